"""Requests and responses over HTTP, as services and servers hand them to each other."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

from policyd.pdp.calls import CallFailed, Deferred, Deliver, StatusCode
from policyd.server.transport.web import RepeatedField, WebRequest, WebResponse, converted, plain


def test_a_field_that_stands_twice_has_no_value() -> None:
    request = WebRequest("GET", "/", fields=(("a", "1"), ("b", "2"), ("b", "3")))
    assert (request.value("a"), request.value("c"), request.values("b")) == ("1", None, ["2", "3"])
    with pytest.raises(RepeatedField, match=r"^the header field `b` stands more than once$"):
        request.value("b")


def test_a_request_is_the_call_of_what_it_asks() -> None:
    request = WebRequest(
        "GET", "/", fields=(("a", "1"), ("a", "2")), peer_name=b"p", called_by="local"
    )
    assert (request.caller(), request.peer(), request.metadata()) == ("local", b"p", {"a": "2"})
    assert request.time_remaining() is None


def test_the_time_that_is_left_is_never_less_than_none() -> None:
    assert WebRequest("GET", "/", until=monotonic() - 9).time_remaining() == 0
    left = WebRequest("GET", "/", until=monotonic() + 1000).time_remaining()
    assert left is not None
    assert 900 < left <= 1000


@pytest.mark.parametrize(
    ("status", "said", "body"),
    [
        (404, "", b"Not Found\n"),
        (404, "no such page", b"no such page\n"),
        (400, "caf\xe9 \ud800", b"caf\xc3\xa9 ?\n"),
    ],
)
def test_a_plain_response_says_its_status_or_something_better(
    status: int, said: str, body: bytes
) -> None:
    response = plain(status, said, ("Allow", "GET"))
    assert (response.status, response.body, response.headers) == (status, body, (("Allow", "GET"),))
    assert response.content_type == "text/plain; charset=utf-8"


FAILED = CallFailed(StatusCode.UNAVAILABLE, "no")


def test_an_answer_is_written_when_it_is_there() -> None:
    def write(answer: bytes) -> WebResponse:
        return WebResponse(200, answer)

    at_once = converted(b"a", write)
    assert isinstance(at_once, WebResponse)
    assert at_once.body == b"a"
    begun: list[Deliver[bytes]] = []
    later = converted(Deferred[bytes](begun.append), write)
    assert isinstance(later, Deferred)
    got: list[WebResponse | CallFailed] = []
    later.begin(got.append)
    deliver: Callable[[bytes | CallFailed], None] = begun[0]
    deliver(b"b")
    deliver(FAILED)
    first, second = got
    assert isinstance(first, WebResponse)
    assert (first.body, second) == (b"b", FAILED)
