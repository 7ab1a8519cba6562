"""A server of keys that misbehaves, over real TLS on loopback, beside one that behaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policyd.tokens import minting
from policyd.tokens.assembly import ignore, open_issuers, read_keys_now
from policyd.tokens.https.discovery import KEYS as KEYS_MEMBER
from policyd.tokens.https.discovery import DiscoveryFailed, discover, document_urls
from policyd.tokens.https.fetch import LONGEST_BODY, Document, Fetch, FetchFailed, https_fetcher
from policyd.tokens.keys.refresher import Renewal
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from policyd.tokens.validator import Validator
from tests.support.https import Server, body, fetcher, serving, slowly
from tests.support.tokens import (
    Clock,
    accepted_claims,
    key,
    reason,
    refusal,
    settings,
    token,
    verify,
)

KEYS = minting.key_set_text(key())
OK = b"HTTP/1.1 200 OK\r\n"


def test_a_server_that_behaves_is_believed(server: Server, fetch: Fetch) -> None:
    fetched = fetch(server.url("/keys"))

    assert fetched.body == KEYS
    assert fetched.max_age is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=300", 300),
        ("public, max-age=300, must-revalidate", 300),
        ('MAX-AGE="7"', 7),
        ("s-maxage=300", None),
        ("max-age=x", None),
        ("max-age=12345678901", None),
        ("no-cache", 0),
        ("max-age=300, no-store", 0),
    ],
)
def test_the_life_of_keys_is_read(
    server: Server, fetch: Fetch, header: str, seconds: int | None
) -> None:
    server.routes["/keys"] = body(KEYS, Cache_Control=header)

    assert fetch(server.url("/keys")).max_age == seconds


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 T", "308 P"])
def test_redirects_are_not_followed(server: Server, fetch: Fetch, status: str) -> None:
    """CVE-2026-102267 (GHSA-9v7f-9g4p-ffgj): keys come from where they were configured."""
    server.routes["/keys"] = body(KEYS, status, Location=server.url("/elsewhere"))
    server.routes["/elsewhere"] = body(KEYS)

    with pytest.raises(FetchFailed, match="redirects are not followed"):
        fetch(server.url("/keys"))
    assert server.paths == ["/keys"]


@pytest.mark.parametrize("status", ["201 Created", "204 Nothing", "404 Not Found", "500 Oh"])
def test_only_status_200_will_do(server: Server, fetch: Fetch, status: str) -> None:
    server.routes["/keys"] = body(KEYS, status)

    with pytest.raises(FetchFailed, match="expected 200") as caught:
        fetch(server.url("/keys"))
    assert caught.value.status == int(status[:3])


def test_the_size_of_a_body_is_bounded(server: Server, fetch: Fetch) -> None:
    server.routes["/large"] = body(b" " * LONGEST_BODY)
    server.routes["/too-large"] = body(b" " * (LONGEST_BODY + 1))
    server.routes["/endless"] = slowly(OK + b"\r\n", b" " * 65536)

    assert len(fetch(server.url("/large")).body) == LONGEST_BODY
    for path in ("/too-large", "/endless"):
        with pytest.raises(FetchFailed, match="more than 262144 bytes"):
            fetch(server.url(path))


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (OK + b"Content-Length: 1000000\r\n\r\n", b" "),
        (OK + b"\r\n", b" "),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (OK, b"X: y\r\n"),
        (OK + b"X: ", b"y"),
        (b"HTTP/1.1", b" "),
    ],
    ids=["body", "body without length", "chunks", "headers", "one header", "status line"],
)
def test_slow_bytes_do_not_win_time(
    server: Server, folder: Path, head: bytes, piece: bytes
) -> None:
    server.routes["/slow"] = slowly(head, piece)

    with pytest.raises(FetchFailed, match=r"longer than 0\.3 s"):
        fetcher(folder, seconds=0.3)(server.url("/slow"))


def test_a_server_that_says_nothing_does_not_win_time(server: Server, folder: Path) -> None:
    server.routes["/mute"] = slowly(b"", b"")

    with pytest.raises(FetchFailed, match=r"longer than 0\.3 s"):
        fetcher(folder, seconds=0.3)(server.url("/mute"))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        OK + b"Content-Length: 100\r\n\r\nshort",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        OK + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_http_fails(server: Server, fetch: Fetch, answer: bytes) -> None:
    server.routes["/broken"] = lambda write, _: write(answer)

    with pytest.raises(FetchFailed, match="localhost"):
        fetch(server.url("/broken"))


def test_an_encoding_that_was_not_asked_for_fails(server: Server, fetch: Fetch) -> None:
    server.routes["/keys"] = body(KEYS, Content_Encoding="gzip")

    with pytest.raises(FetchFailed, match="encoding 'gzip'"):
        fetch(server.url("/keys"))


def test_a_certificate_of_an_unknown_authority_fails(server: Server) -> None:
    fetch = https_fetcher(ca_file=None, allow_http_loopback=False)

    with pytest.raises(FetchFailed, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(server.url("/keys"))


def test_a_certificate_for_another_host_fails(folder: Path, fetch: Fetch) -> None:
    with (
        serving(folder / "elsewhere.pem", {"/keys": body(KEYS)}) as other,
        pytest.raises(FetchFailed, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        fetch(other.url("/keys"))


def test_plain_http_needs_the_option_and_loopback(folder: Path) -> None:
    with serving(None, {"/keys": body(KEYS)}) as plain:
        assert fetcher(folder, loopback=True)(plain.url("/keys")).body == KEYS
        with pytest.raises(FetchFailed, match="allow_http_loopback"):
            fetcher(folder)(plain.url("/keys"))
        assert plain.paths == ["/keys"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://localhost/keys",
        "data:application/json,{}",
        "http://169.254.169.254/keys",
        "http://10.0.0.1/keys",
    ],
)
def test_other_schemes_and_addresses_are_never_opened(folder: Path, url: str) -> None:
    """CVE-2026-48522 (GHSA-993g-76c3-p5m4): `file:`, `ftp:` and `data:` are no key servers."""
    with pytest.raises(FetchFailed, match=r"must be an absolute URL|begin with https://"):
        fetcher(folder, loopback=True)(url)


def test_a_server_that_is_not_there_fails(fetch: Fetch, server: Server) -> None:
    url = server.url("/keys")
    server.close()

    with pytest.raises(FetchFailed, match="refused"):
        fetch(url)


def test_an_authority_that_cannot_be_read_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        changed = settings(jwks_file=None, ca_file=str(tmp_path / name))
        with pytest.raises(InvalidIssuerSettings, match="`ca_file`"):
            open_issuers([changed], Clock())


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        ("https://a.example", "", ""),
        ("https://a.example/", "", ""),
        ("https://a.example/tenant", "/tenant", "/tenant"),
        ("https://a.example/tenant/", "/tenant", "/tenant"),
    ],
)
def test_documents_lie_where_the_standards_say(issuer: str, first: str, second: str) -> None:
    assert document_urls(issuer) == (
        f"https://a.example{first}/.well-known/openid-configuration",
        f"https://a.example/.well-known/oauth-authorization-server{second}",
    )


def document(issuer: str, jwks_uri: str) -> bytes:
    return f'{{"issuer":"{issuer}","jwks_uri":"{jwks_uri}"}}'.encode()


@pytest.mark.parametrize(
    "path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
)
def test_an_issuer_at_work_verifies_with_the_keys_it_discovered(
    server: Server, folder: Path, path: str
) -> None:
    name = server.url("/")
    server.routes[path] = body(document(name, server.url("/keys")))
    renewals: list[Renewal] = []
    of = settings(issuer=name, jwks_file=None, ca_file=str(folder / "ca.pem"))
    issuers = open_issuers([of], Clock(), renewals.append)

    read_keys_now(issuers)

    assert [renewal.problem for renewal in renewals] == [None]
    assert verify(token(accepted_claims(iss=name)), Validator(issuers)).issuer == name


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("not JSON", "not JSON"),
        ('{"issuer":"NAME"}', "no `jwks_uri`"),
        ('{"issuer":"NAME","jwks_uri":["x"]}', "no `jwks_uri`"),
        ('{"issuer":"https://evil.example/","jwks_uri":"URL"}', "expected"),
        ('{"issuer":"NAMEx","jwks_uri":"URL"}', "expected"),
        ('{"jwks_uri":"URL"}', "expected"),
        ('{"issuer":"NAME","jwks_uri":"https://evil.example/keys"}', "leaves the issuer's host"),
        ('{"issuer":"NAME","jwks_uri":"https://169.254.169.254/"}', "leaves the issuer's host"),
        ('{"issuer":"NAME","jwks_uri":"http://localhost/keys"}', "plain HTTP"),
        ('{"issuer":"NAME","jwks_uri":"file:///etc/passwd"}', "absolute URL"),
        ('{"issuer":"NAME","issuer":"NAME","jwks_uri":"URL"}', "twice"),
    ],
)
def test_a_document_that_leads_astray_is_refused(
    server: Server, fetch: Fetch, content: str, problem: str
) -> None:
    name = server.url("/")
    of = settings(issuer=name, jwks_file=None)
    filled = content.replace("NAME", name).replace("URL", server.url("/keys"))
    server.routes["/.well-known/openid-configuration"] = body(filled.encode())

    with pytest.raises(DiscoveryFailed, match=problem):
        discover(of, fetch)
    assert "/keys" not in server.paths


def test_another_host_can_be_configured(server: Server, fetch: Fetch) -> None:
    name = server.url("/")
    of = settings(issuer=name, jwks_file=None, jwks_hosts=("keys.example",))
    server.routes["/.well-known/openid-configuration"] = body(
        document(name, "https://keys.example/jwks")
    )

    assert discover(of, fetch) == "https://keys.example/jwks"


def discovered(issuer: str, jwks_uri: str, member: str = KEYS_MEMBER, **changes: object) -> str:
    """Return where an issuer's document, which names that, leads; nothing is sent."""
    of = settings(issuer=issuer, jwks_file=None, **changes)
    return discover(
        of, lambda _: Document(json.dumps({"issuer": issuer, member: jwks_uri}).encode()), member
    )


@pytest.mark.parametrize(
    ("issuer", "jwks_uri"),
    [
        ("https://login.example/", "https://login.example/keys"),
        ("https://login.example/", "https://login.example:443/keys"),
        ("https://login.example:443/", "https://login.example/keys"),
        ("https://login.example:8443/", "https://login.example:8443/keys"),
        ("https://login.example/", "https://LOGIN.Example/keys"),
        ("https://[2001:db8::1]/", "https://[2001:DB8:0::1]/keys"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/keys"),
    ],
)
def test_the_same_host_and_port_in_any_spelling(issuer: str, jwks_uri: str) -> None:
    assert discovered(issuer, jwks_uri) == jwks_uri


@pytest.mark.parametrize(
    ("issuer", "jwks_uri", "problem"),
    [
        ("https://login.example/", "https://login.example:8443/keys", "or its port"),
        ("https://login.example:8443/", "https://login.example/keys", "or its port"),
        ("https://login.example:8443/", "https://login.example:8444/keys", "or its port"),
        ("https://login.example/", "https://login.example./keys", "leaves the issuer's host"),
        ("https://login.example/", "https://login.example.evil.example/keys", "leaves the"),
        ("https://login.example/", "https://keys.login.example/keys", "leaves the"),
        ("https://login.example/", "https://login.example@evil.example/keys", "may hold no user"),
        ("https://login.example/", "https://evil@login.example/keys", "may hold no user"),
        ("https://login.example/", "http://login.example/keys", "must begin with https://"),
        ("https://localhost/", "http://localhost/keys", "leaves the issuer's host, or its port"),
        ("https://localhost:80/", "http://localhost:80/keys", "leaves the issuer's host"),
        ("https://login.example/", "https://login.example:0/keys", "port 0"),
        ("https://login.example/", "https://login.example:x/keys", "a port that cannot be"),
        ("https://login.example/", "https://login.example:65536/keys", "a port that cannot be"),
        ("https://login.example/", "https://[::1/keys", "a host or a port that cannot be"),
        ("https://[2001:db8::1]/", "https://[2001:db8::2]/keys", "leaves the"),
        ("https://login.example/", "//login.example/keys", "must begin with https://"),
    ],
)
@pytest.mark.parametrize("member", [KEYS_MEMBER, "introspection_endpoint", "userinfo_endpoint"])
def test_another_host_or_port_is_refused(
    issuer: str, jwks_uri: str, problem: str, member: str
) -> None:
    with pytest.raises(DiscoveryFailed) as caught:
        discovered(issuer, jwks_uri, member, allow_http_loopback=True)

    assert problem in str(caught.value)
    assert f"`{member}`" in str(caught.value)


@pytest.mark.parametrize(
    ("allowed", "jwks_uri", "leads"),
    [
        ("keys.example", "https://keys.example/jwks", True),
        ("keys.example", "https://keys.example:443/jwks", True),
        ("KEYS.example", "https://keys.example/jwks", True),
        ("keys.example", "https://keys.example:8443/jwks", False),
        ("keys.example:8443", "https://keys.example:8443/jwks", True),
        ("keys.example:8443", "https://keys.example/jwks", False),
        ("[::1]:8443", "https://[::1]:8443/jwks", True),
        ("login.example:8443", "https://login.example:8443/jwks", True),
        ("keys.example", "https://other.keys.example/jwks", False),
    ],
)
def test_a_configured_host_is_for_one_port(allowed: str, jwks_uri: str, leads: bool) -> None:
    if leads:
        assert discovered("https://login.example/", jwks_uri, jwks_hosts=(allowed,)) == jwks_uri
    else:
        with pytest.raises(DiscoveryFailed, match=r"add '.*' to `jwks_hosts`"):
            discovered("https://login.example/", jwks_uri, jwks_hosts=(allowed,))
    with pytest.raises(DiscoveryFailed, match="configure the `endpoint`"):
        discovered("https://other.example/", jwks_uri, "userinfo_endpoint", jwks_hosts=(allowed,))


@pytest.mark.parametrize(
    "host",
    ["", "https://keys.example", "keys.example/jwks", "a@b", "keys.example:0", "a:b", "[::1"],
)
def test_a_configured_host_is_a_host(host: str) -> None:
    with pytest.raises(InvalidIssuerSettings, match=r"`jwks_hosts` has .*write a host"):
        settings(jwks_hosts=(host,))


def test_the_second_place_is_only_looked_at_when_the_first_is_not_there(
    server: Server, fetch: Fetch
) -> None:
    of = settings(issuer=server.url("/"), jwks_file=None)
    server.routes["/.well-known/openid-configuration"] = body(b"", "503 Busy")

    with pytest.raises(FetchFailed, match="503"):
        discover(of, fetch)
    assert len(server.paths) == 1


def test_keys_from_a_configured_url_and_from_a_file(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_bytes(KEYS)
    places: list[dict[str, object]] = [
        {"jwks_file": None, "jwks_uri": server.url("/keys"), "ca_file": str(folder / "ca.pem")},
        {"jwks_file": str(tmp_path / "keys.json")},
    ]
    for place in places:
        issuers = open_issuers([settings(**place)], Clock())
        read_keys_now(issuers)
        assert verify(token(), Validator(issuers)).subject == "auth0|123456"


def test_a_file_that_is_no_key_set_fails_closed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    renewals: list[Renewal] = []
    issuers = open_issuers([settings(jwks_file=str(path))], Clock(), renewals.append)
    of = Validator(issuers)

    read_keys_now(issuers)
    assert "cannot be read" in str(renewals[0].problem)
    path.write_bytes(b" " * (LONGEST_BODY + 1))
    read_keys_now(issuers)
    assert "more than 262144 bytes" in str(renewals[1].problem)
    assert reason(token(), of) == "KEYS_UNAVAILABLE"
    path.write_bytes(KEYS)
    read_keys_now(issuers)
    assert verify(token(), of).subject == "auth0|123456"
    ignore(renewals[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "it is empty"),
        (b"-----BEGIN PUBLIC KEY-----\nMIIBIjAN", "it is PEM, and a JWK Set is expected"),
        (b"\xef\xbb\xbf" + KEYS, "begins with a byte order mark (BOM)"),
        (json.dumps(key().public_jwk()).encode(), "it is a single key"),
        (b'{"keys":[]}', "the key set has no usable key"),
        (KEYS.replace(b'"alg"', b'"x"'), "has no `alg`, and RS256, RS512 would all fit it"),
        (b'{"keys":[{}', "is not JSON: it ends too early"),
    ],
)
def test_a_token_is_told_what_is_wrong_with_the_file(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    """Told in the decision log and in `/readyz`: whoever wonders looks there first."""
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    of = settings(jwks_file=str(path), algorithms=("RS256", "RS512"))
    (opened,) = read_keys_now(open_issuers([of], Clock()))

    found = refusal(token(), Validator([opened]))

    assert found.reason == "KEYS_UNAVAILABLE"
    assert said in str(found)
    assert said in str(opened.keys.problem)
    assert "keys.json" in str(found)


def test_what_a_command_read_is_all_that_it_knows(tmp_path: Path) -> None:
    """It ends, so nothing is read again: no token is told to come back."""
    path = tmp_path / "keys.json"
    path.write_bytes(KEYS)
    opened = read_keys_now(open_issuers([settings(jwks_file=str(path))], Clock()))

    assert reason(token(by=key(name="new")), Validator(opened)) == "KEY_UNKNOWN"


def test_what_went_wrong_is_said_without_a_librarys_words(server: Server, fetch: Fetch) -> None:
    """Operators read it in `/readyz`."""
    url = server.url("/keys")
    server.routes["/keys"] = lambda write, _: write(b"nonsense\r\n\r\n")
    problems = []
    for ask in (fetch, https_fetcher(ca_file=None, allow_http_loopback=False)):
        with pytest.raises(FetchFailed) as caught:
            ask(url)
        problems.append(str(caught.value))
    server.close()
    with pytest.raises(FetchFailed) as caught:
        fetch(url)
    problems.append(str(caught.value))

    assert "what came is no answer of HTTP: 'nonsense" in problems[0]
    assert "the server's certificate does not hold: " in problems[1]
    assert problems[2] == f"'{url}': Connection refused"
    for problem in problems:
        assert not any(word in problem for word in ("Error", "Errno", "_ssl.c", "Exception"))
