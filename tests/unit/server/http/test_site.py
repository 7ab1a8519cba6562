"""One listener over HTTP: which service answers, and in whose name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from policyd.config.secrets import CallerSecrets
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.doors import CertificateDoor
from policyd.server.http.site import Site, WebDoor
from policyd.server.transport.web import Fields, WebRequest, WebResponse
from policyd.server.wire.json_messages import error_details
from tests.support.certificates import Authority

SECRET = "a-secret-of-some-length"
REFUSAL = CallFailed(StatusCode.PERMISSION_DENIED, "this certificate may not call")


class Room:
    """Answers below its path, and remembers in whose name it was asked."""

    def __init__(self, path: str, credential: str = "authorization") -> None:
        self.path = path
        self.credential = credential
        self.callers: list[str] = []

    def has(self, path: str) -> bool:
        return path.startswith(self.path)

    def answer(self, request: WebRequest) -> WebResponse:
        self.callers.append(request.caller())
        return WebResponse(200, self.path.encode())

    def failed(self, request: WebRequest, failure: CallFailed) -> WebResponse:
        return WebResponse(500, f"{self.path} {request.path} {failure.message}".encode())


@pytest.fixture
def secrets(tmp_path: Path) -> CallerSecrets:
    (tmp_path / "edge").write_text(SECRET)
    return CallerSecrets(tmp_path / "edge", "token_file")


@pytest.fixture(scope="module")
def certificates() -> dict[str, bytes]:
    """Certificates in PEM, by the host that they name."""
    authority = Authority()
    return {host: authority.issue(host).certificate for host in ("shop.example", "other.example")}


def body(site: Site, request: WebRequest) -> tuple[int, bytes]:
    answer = site.answer(request)
    assert isinstance(answer, WebResponse)
    return answer.status, answer.body


def test_the_first_room_that_has_the_path_answers() -> None:
    first, second, public = Room("/a"), Room("/a/b"), Room("/")
    site = Site((first, second), WebDoor("network", None, None), (public,))
    assert body(site, WebRequest("GET", "/a/b")) == (200, b"/a")
    assert body(site, WebRequest("GET", "/c")) == (200, b"/")
    assert (first.callers, second.callers, public.callers) == (["network"], [], [""])
    told = site.failed(WebRequest("GET", "/a/b"), REFUSAL)
    assert told.body == b"/a /a/b this certificate may not call"


def test_where_no_room_has_the_path_nobody_is_asked_who_they_are(secrets: CallerSecrets) -> None:
    site = Site((Room("/a"),), WebDoor("network", None, secrets))
    assert body(site, WebRequest("GET", "/c")) == (404, b"Not Found\n")


BEARER = f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("credential", "fields", "enters"),
    [
        ("authorization", (("authorization", BEARER),), True),
        ("authorization", (("authorization", f"bEARER  {SECRET} "),), True),
        ("authorization", (), False),
        ("authorization", (("authorization", SECRET),), False),
        ("authorization", (("authorization", f"Basic {SECRET}"),), False),
        ("authorization", (("authorization", "Bearer another-of-some-length"),), False),
        ("authorization", (("authorization", BEARER), ("authorization", BEARER)), False),
        ("authorization", (("policyd-authorization", BEARER),), False),
        ("policyd-authorization", (("policyd-authorization", BEARER),), True),
        ("policyd-authorization", (("authorization", BEARER),), False),
    ],
)
def test_a_secret_is_shown_in_the_field_of_the_service(
    secrets: CallerSecrets, credential: str, fields: Fields, enters: bool
) -> None:
    room, public = Room("/a", credential), Room("/p")
    site = Site((room,), WebDoor("network", None, secrets), (public,))
    request = WebRequest("GET", "/a", fields=fields)
    assert body(site, msgspec.structs.replace(request, path="/p")) == (200, b"/p")
    if enters:
        assert body(site, request) == (200, b"/a")
        assert room.callers == ["token:edge"]
        return
    with pytest.raises(CallFailed, match=f"`{credential}: Bearer …`") as caught:
        site.answer(request)
    assert (caught.value.code, room.callers) == (StatusCode.UNAUTHENTICATED, [])
    assert SECRET not in caught.value.message
    assert error_details(caught.value)[0]["debug"] == {
        "reason": "CALLER_REFUSED",
        "domain": "policyd",
    }


def test_a_certificate_names_the_caller_or_keeps_it_out(
    certificates: dict[str, bytes], secrets: CallerSecrets
) -> None:
    door = CertificateDoor(["dns:shop.example"], REFUSAL)
    room = Room("/a")
    site = Site((room,), WebDoor("network", door, None))
    shop = WebRequest("GET", "/a", certificate=certificates["shop.example"])
    assert body(site, shop) == (200, b"/a")
    assert room.callers == ["dns:shop.example"]
    for certificate in (certificates["other.example"], b"", b"garbage"):
        with pytest.raises(CallFailed, match="may not call"):
            site.answer(msgspec.structs.replace(shop, certificate=certificate))
    # Where both are asked for, one is not enough, and the certificate names the caller.
    both = Site((room,), WebDoor("network", door, secrets))
    with pytest.raises(CallFailed, match="asks for a secret"):
        both.answer(shop)
    bearer = (("authorization", BEARER),)
    with pytest.raises(CallFailed, match="may not call"):
        both.answer(WebRequest("GET", "/a", fields=bearer))
    body(both, msgspec.structs.replace(shop, fields=bearer))
    assert room.callers == ["dns:shop.example"] * 2
