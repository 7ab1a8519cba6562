"""Records over HTTP, to real servers on loopback."""

from __future__ import annotations

import socket
from http.client import HTTPResponse
from pathlib import Path
from typing import cast

import pytest

from policyd.audit.sinks import Outcome
from policyd.audit.sinks.http import HttpDestination, HttpSettings, sink_url
from tests.support.certificates import Authority
from tests.support.collector import Answer, Collector, collecting, server_context

RECORDS = [b'{"n":1}', b'{"n":2}']


def settings(collector: Collector, **changes: object) -> HttpSettings:
    url = sink_url(collector.url, insecure=False)
    return HttpSettings(url, **changes)  # type: ignore[arg-type]


def deliver(collector: Collector, **changes: object) -> Outcome:
    return HttpDestination(settings(collector, **changes), lambda: 0.0).deliver(RECORDS)


@pytest.mark.parametrize("compressed", [True, False])
def test_posts_lines(compressed: bool) -> None:
    with collecting() as collector:
        assert deliver(collector, gzip=compressed) == Outcome(2)
        (post,) = collector.posts
    assert (post.lines, post.path) == (RECORDS, "/records")
    assert post.headers["content-type"] == "application/x-ndjson"
    assert ("content-encoding" in post.headers) is compressed
    assert "authorization" not in post.headers


def test_a_url_may_have_a_query() -> None:
    with collecting() as collector:
        url = sink_url(collector.url + "?stream=policyd", insecure=False)
        assert HttpDestination(HttpSettings(url)).deliver(RECORDS) == Outcome(2)
        assert collector.posts[0].path == "/records?stream=policyd"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_acknowledges(status: int) -> None:
    with collecting(lambda _: Answer(status)) as collector:
        assert deliver(collector) == Outcome(2)


@pytest.mark.parametrize("status", [400, 402, 409, 413, 415, 422, 499])
def test_records_are_refused(status: int) -> None:
    with collecting(lambda _: Answer(status, b"no such field\nmore")) as collector:
        said = f"answered {status}: 'no such field'"
        assert deliver(collector) == Outcome(0, said, refused=True)


@pytest.mark.parametrize(
    "status", [300, 307, 401, 403, 404, 407, 408, 421, 425, 429, 500, 502, 503, 599]
)
def test_what_may_pass_is_no_fault_of_the_records(status: int) -> None:
    with collecting(lambda _: Answer(status)) as collector:
        outcome = deliver(collector)
    assert (outcome.taken, outcome.refused, outcome.retry_after) == (0, False, None)
    assert outcome.problem is not None
    assert outcome.problem.startswith(f"answered {status}")


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "9" * 400}, 9_999_999_999.0),
        ({"Retry-After": "Thu, 99 Jan 1970 00:02:00 GMT"}, None),
    ],
)
def test_reads_how_long_to_wait(fields: dict[str, str], seconds: float | None) -> None:
    with collecting(lambda _: Answer(503, headers=fields)) as collector:
        outcome = deliver(collector)
    if "GMT" in fields["Retry-After"] and "99" not in fields["Retry-After"]:
        assert outcome.retry_after == 0  # long ago, by the server's own clock
    else:
        assert outcome.retry_after == seconds


class Fields:
    """The header of an answer."""

    def __init__(self, **fields: str) -> None:
        self._fields = {name.replace("_", "-"): value for name, value in fields.items()}

    def getheader(self, name: str) -> str | None:
        return self._fields.get(name)


EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"
LATER = "Thu, 01 Jan 1970 00:02:00 GMT"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"Retry_After": LATER, "Date": EPOCH}, 120),  # its own clock counts
        ({"Retry_After": LATER}, 70),
        ({"Retry_After": LATER, "Date": "now"}, 70),
        ({"Retry_After": EPOCH, "Date": LATER}, 0),
        ({"Retry_After": " 7 "}, 7),
        ({"Retry_After": "\u0667"}, None),  # a digit, and none of HTTP
        ({}, None),
    ],
)
def test_a_wait_until_a_date_is_by_the_servers_clock(
    fields: dict[str, str], seconds: float | None
) -> None:
    url = sink_url("http://127.0.0.1/", insecure=False)
    destination = HttpDestination(HttpSettings(url), lambda: 50.0)
    answer = cast(HTTPResponse, Fields(**fields))
    assert destination._retry_after(answer) == seconds


def test_a_token_is_read_for_each_batch(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    with collecting() as collector:
        destination = HttpDestination(settings(collector, token_file=path))
        destination.deliver(RECORDS)
        path.write_text("second")
        destination.deliver(RECORDS)
        path.unlink()
        outcome = destination.deliver(RECORDS)
        assert [post.headers["authorization"] for post in collector.posts] == [
            "Bearer first",
            "Bearer second",
        ]
    assert outcome == Outcome(0, "its token cannot be read: No such file or directory")


@pytest.mark.parametrize("text", ["", "\n", "a\nb", "caf\xe9"])
def test_a_token_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text, encoding="latin-1")
    with collecting() as collector, pytest.raises(OSError, match="holds no token"):
        deliver(collector, token_file=path)


def test_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = Authority()
    files = {}
    for name in ("localhost", "policyd"):
        pair = authority.issue(name)
        for kind, content in (("crt", pair.certificate), ("key", pair.key)):
            files[f"{name}.{kind}"] = tmp_path / f"{name}.{kind}"
            files[f"{name}.{kind}"].write_bytes(content)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate)
    context = server_context(files["localhost.crt"], files["localhost.key"], ca)
    with collecting(tls=context) as collector:
        identity = {"certificate": files["policyd.crt"], "private_key": files["policyd.key"]}
        assert deliver(collector, ca_file=ca, **identity) == Outcome(2)
        untrusted = deliver(collector, **identity)
        assert untrusted.problem is not None
        assert "the server's certificate does not hold" in untrusted.problem
        assert deliver(collector, ca_file=ca).taken == 0


def test_a_server_that_accepts_and_hangs_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = sink_url(f"http://127.0.0.1:{listener.getsockname()[1]}/", insecure=False)
        outcome = HttpDestination(HttpSettings(url, timeout=0.2)).deliver(RECORDS)
    assert outcome == Outcome(0, "took longer than 0.2 s")


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = sink_url(f"http://127.0.0.1:{port}/", insecure=False)
    assert HttpDestination(HttpSettings(url)).deliver(RECORDS) == Outcome(0, "Connection refused")


@pytest.mark.parametrize(
    ("url", "insecure", "why"),
    [
        ("http://logs.example.com/", False, "must begin with https://"),
        ("ftp://logs.example.com/", True, "must begin with https://"),
        ("https://user:secret@logs.example.com/", False, "may hold no user"),
        ("https://logs.example.com/#x", False, "may hold no user, query or fragment"),
        ("https://[", False, "has a host"),
        ("logs.example.com", False, "must be an absolute URL"),
        ("https://logs.example.com/a b", False, "must be an absolute URL"),
        ("https://logs.example.com/?a\n", False, "must be an absolute URL"),
    ],
)
def test_urls_that_cannot_be(url: str, insecure: bool, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sink_url(url, insecure=insecure)


def test_plain_http_needs_a_word() -> None:
    assert sink_url("http://logs.example.com/x", insecure=True).hostname == "logs.example.com"
    assert sink_url("https://logs.example.com/x?y=z", insecure=False).query == "y=z"
