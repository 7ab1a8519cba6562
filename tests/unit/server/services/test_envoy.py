"""What Envoy tells, as the engine is asked, and what the engine says, as Envoy is answered."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from queue import SimpleQueue
from typing import cast
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf.json_format import MessageToDict

from policyd.audit import DecisionLog
from policyd.config.identity_names import IdentityNames
from policyd.decision.model import Decision, Request
from policyd.envoy.service.auth.v3 import authorization_pb2 as messages
from policyd.pdp.answering import Answering
from policyd.pdp.calls import Call, CallFailed, Deferred
from policyd.pdp.waiting import Waiting
from policyd.reasons import Reason
from policyd.server.services.envoy import ACTION, API, RESOURCE, EnvoyService, EnvoySettings
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.model import NO_PROOF
from tests.support.audit import NoCall, verified_token
from tests.support.certificates import Authority
from tests.support.daemon import PATIENCE
from tests.support.outcomes import ORDERS, Nowhere, Says

ALLOWED = Decision(
    True,
    Reason.ALLOWED,
    "",
    "orders",
    "r1",
    1.0,
    ("reads", "others"),
    token=verified_token(),
    cacheable_until=1_800_000_000,
)


def sound() -> messages.CheckRequest:
    """Return what Envoy tells of a request for an order."""
    made = messages.CheckRequest()
    http = made.attributes.request.http
    http.method, http.path = b"GET", b"/orders/7?page=2"
    http.scheme, http.host = b"https", b"api.example"
    http.headers["authorization"] = b"Bearer a.b.c"
    made.attributes.context_extensions[API] = b"orders"
    return made


def foreign_extension() -> bytes:
    made = sound()
    made.attributes.context_extensions[ACTION] = b"\xff"
    return made.SerializeToString()


class Asking:
    """A service, and what it asked."""

    def __init__(
        self, outcome: Decision | Exception = ALLOWED, settings: EnvoySettings | None = None
    ) -> None:
        self.decider = Says(outcome)
        answering = Answering(self.decider, cast(DecisionLog, Nowhere()))
        known = {"orders": ORDERS, "other": ORDERS}
        self._service = EnvoyService(answering, known.get, "other", settings or EnvoySettings())

    def ask(
        self, request: messages.CheckRequest, call: Call | None = None
    ) -> messages.CheckResponse:
        return messages.CheckResponse.FromString(self.answer(request.SerializeToString(), call))

    def answer(self, data: bytes, call: Call | None = None) -> bytes:
        answer = self._service.check(data, call or NoCall())
        assert isinstance(answer, bytes)
        return answer

    def asked(self, request: messages.CheckRequest) -> Request:
        assert self.ask(request).status.code == 0
        return self.decider.asked[-1]


def refused(request: messages.CheckRequest) -> tuple[int, str]:
    """Return status and text for a request about which the engine is not asked."""
    asking = Asking()
    told = asking.ask(request)
    assert asking.decider.asked == []
    assert told.status.code != 0
    return told.denied_response.status.code, told.denied_response.body


def test_the_route_tells_what_is_asked() -> None:
    asked = Asking().asked(sound())
    assert (asked.access_token, asked.api) == ("a.b.c", "orders")
    assert (asked.action, asked.resource_type, asked.resource_id) == ("read", "order", "7")


def test_envoys_configuration_may_tell_it() -> None:
    made = sound()
    made.attributes.request.http.path = b"/anything"
    made.attributes.context_extensions[ACTION] = b"read"
    made.attributes.context_extensions[RESOURCE] = b"order"
    asked = Asking().asked(made)
    assert (asked.action, asked.resource_type, asked.resource_id) == ("read", "order", "")
    # A route of Envoy's was found for the path, so that must not be understood in two ways either.
    for path in (
        b"/x/../anything",
        b"/any%74hing",
        b"//anything",
        b"/any;thing",
        b"/" + b"x" * 9000,
    ):
        made.attributes.request.http.path = path
        assert refused(made)[0] == 400
    made.attributes.request.http.path = b"/anything"
    del made.attributes.context_extensions[RESOURCE]
    assert refused(made)[0] == 403


def test_an_api_is_named_by_the_route_or_by_default() -> None:
    made = sound()
    del made.attributes.context_extensions[API]
    assert Asking().asked(made).api == "orders"
    made.attributes.context_extensions[API] = b"none"
    assert refused(made) == (404, "no policy declares this API")


def test_header_fields_are_read_either_way() -> None:
    made = sound()
    http = made.attributes.request.http
    http.headers.clear()
    http.header_map.headers.add(key=b"Authorization", raw_value=b"Bearer d.e.f")
    http.header_map.headers.add(key=b"x-request-id", value=b"one")
    asked = Asking().asked(made)
    assert (asked.access_token, asked.request_id) == ("d.e.f", "one")
    http.headers["a"] = b"b"
    assert refused(made) == (400, "`headers` and `header_map` are both filled")
    http.headers.clear()
    http.header_map.headers.add(key=b"authorization", raw_value=b"Bearer g.h.i")
    assert refused(made)[0] == 400
    http.header_map.headers.pop()
    http.header_map.headers[0].value = b"Bearer g.h.i"
    assert refused(made) == (400, "`authorization` has two values in one")
    http.header_map.headers[0].value = b"Bearer d.e.f"
    assert Asking().asked(made).access_token == "d.e.f"


def test_a_request_without_a_credential_is_asked_about_too() -> None:
    made = sound()
    made.attributes.request.http.headers.clear()
    asked = Asking().asked(made)
    assert (asked.access_token, asked.proof, asked.request_id) == ("", NO_PROOF, "")


def test_two_credentials_are_refused() -> None:
    made = sound()
    made.attributes.request.http.headers["authorization"] = b"Bearer a,Bearer b"
    assert refused(made) == (400, "`Authorization` stands several times, or holds a comma")


_ENCODE = "holds characters that have to be encoded"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("method", b"", "the method or the URI of the request is missing"),
        ("method", b"G\xc3\x89T", f"the method {_ENCODE}"),
        ("path", b"", "the method or the URI of the request is missing"),
        ("path", b"*", "a path begins with `/`"),
        ("path", b"/orders/\xff", f"the path {_ENCODE}"),
        ("path", b"/orders/\xc3\xa9", f"the path {_ENCODE}"),
        ("path", b"orders/7", "a path begins with `/`"),
        (
            "path",
            b"https://api.example/orders/7",
            "a path begins with `/`: write it without scheme and host",
        ),
        ("path", b"/" + b"x" * 8192, "the path is too long"),
        ("scheme", b"\xff", f"the scheme {_ENCODE}"),
        ("host", b"\xff", f"the host {_ENCODE}"),
    ],
)
def test_what_is_no_request_is_refused(field: str, value: bytes, said: str) -> None:
    made = sound()
    setattr(made.attributes.request.http, field, value)
    assert refused(made) == (400, said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "this is no message of Envoy's external authorization"),
        (b"\x0a\x7f", "this is no message of Envoy's external authorization"),
        (foreign_extension(), "`context_extensions` hold what is no UTF-8"),
    ],
)
def test_bytes_that_cannot_be_read_are_the_senders_mistake(data: bytes, said: str) -> None:
    asking = Asking()
    told = messages.CheckResponse.FromString(asking.answer(data))
    assert (told.denied_response.status.code, told.denied_response.body) == (400, said)
    assert asking.decider.asked == []


def test_what_fits_no_route_is_forbidden() -> None:
    made = sound()
    made.attributes.request.http.path = b"/other"
    assert refused(made) == (403, "no route of the policy fits this request")


def test_a_body_decides_nothing() -> None:
    made = sound()
    # Fields 11 and 12 of HttpRequest: the text and the bytes of a body.
    whole = made.attributes.request.http
    told = whole.SerializeToString() + b"\x5a\x04body" + b"\x62\x04\xff\xfe\xfd\xfc"
    whole.ParseFromString(told)
    whole.headers["x-envoy-auth-partial-body"] = b"true"
    assert Asking().asked(made) == Asking().asked(sound())


def test_a_proof_is_for_the_url_that_clients_use() -> None:
    made = sound()
    http = made.attributes.request.http
    http.headers["authorization"] = b"DPoP a.b.c"
    http.headers["dpop"] = b"p.q.r"
    proof = Asking().asked(made).proof
    assert (proof.dpop_proofs, proof.http_method) == (("p.q.r",), "GET")
    assert proof.http_uri == "https://api.example/orders/7"
    settings = EnvoySettings(external_origin="https://outside.example")
    outside = Asking(settings=settings).asked(made).proof
    assert outside.http_uri == "https://outside.example/orders/7"
    assert outside.request_id != proof.request_id
    http.headers["dpop"] = b"p.q.r,s.t.u"
    assert Asking().asked(made).proof.dpop_proofs == ("p.q.r", "s.t.u")
    for name, value in (("host", b"a/b"), ("host", b""), ("scheme", b"ftp"), ("scheme", b"")):
        odd = sound()
        odd.attributes.request.http.headers["authorization"] = b"DPoP a.b.c"
        odd.attributes.request.http.headers["dpop"] = b"p.q.r"
        setattr(odd.attributes.request.http, name, value)
        assert refused(odd)[0] == 400


def test_the_certificate_of_the_client_is_told_by_its_thumbprint() -> None:
    pair = Authority().issue("client.example")
    made = sound()
    made.attributes.source.certificate = quote(pair.certificate).encode()
    told = Asking().asked(made).proof
    digest = x509.load_pem_x509_certificate(pair.certificate).fingerprint(SHA256())
    assert told.client_certificate_sha256 == urlsafe_b64encode(digest).decode().rstrip("=")
    assert told.dpop_proofs == ()
    made.attributes.source.certificate = b"no certificate"
    assert refused(made) == (400, "the client's certificate cannot be read")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"a-b", "a-b"),
        (b"a" * 512, "a" * 512),
        (b"a" * 513, ""),
        (b"\xff", ""),
        (b"a\nb", ""),
        (b"", ""),
    ],
)
def test_a_request_has_a_name_for_the_log(sent: bytes, kept: str) -> None:
    made = sound()
    made.attributes.request.http.headers["x-request-id"] = sent
    assert Asking().asked(made).request_id == kept


def test_what_allows_sets_identity_and_removes_its_spellings() -> None:
    told = Asking().ask(sound()).ok_response
    values = {one.header.key: one.header.value for one in told.headers}
    assert values.keys() == {b"X-Policyd-Subject", b"X-Policyd-Client", b"X-Policyd-Decision-Id"}
    assert values[b"X-Policyd-Subject"] == quote(verified_token().subject or "").encode()
    removed = set(told.headers_to_remove)
    assert {"x_policyd_subject", "x.policyd-client", "x-policyd_decision.id"} <= removed
    assert not removed & {"x-policyd-subject", "x-policyd-client", "x-policyd-decision-id"}
    assert "authorization" not in removed


def test_names_and_the_token_are_as_configured() -> None:
    settings = EnvoySettings(IdentityNames("Remote-User", "App", "X-Id"), strip_token=True)
    told = Asking(settings=settings).ask(sound()).ok_response
    assert [one.header.key for one in told.headers] == [b"Remote-User", b"App", b"X-Id"]
    assert set(told.headers_to_remove) == {
        *("remote_user", "remote.user", "x_id", "x.id", "authorization", "dpop"),
    }


def test_the_client_gets_the_next_nonce() -> None:
    decision = Decision(
        True, Reason.ALLOWED, "", "orders", "r1", 1.0, token=verified_token(), dpop_nonce="n"
    )
    (option,) = Asking(decision).ask(sound()).ok_response.response_headers_to_add
    assert (option.header.key, option.header.value) == (b"DPoP-Nonce", b"n")


def test_metadata_tells_of_the_decision() -> None:
    told = Asking().ask(sound())
    values = MessageToDict(told.dynamic_metadata)
    assert values.pop("decision_id")
    assert values == {
        "allowed": True,
        "reason": "ALLOWED",
        "rules": ["reads", "others"],
        "subject": verified_token().subject,
        "policy_revision": "r1",
        "cacheable_until": 1_800_000_000.0,
    }


def test_what_denies_brings_status_challenge_and_time() -> None:
    decision = Decision(
        False,
        Reason.KEYS_UNAVAILABLE,
        "the issuer's keys are not there \u202e \u2026" + "x" * 300,
        "orders",
        "r1",
        1.0,
        http_status=503,
        www_authenticate="Bearer",
        retry_after=7,
        dpop_nonce="n",
    )
    told = Asking(decision).ask(sound())
    refusal = told.denied_response
    assert (told.status.code, refusal.status.code) == (14, 503)
    fields = {one.header.key: one.header.value for one in refusal.headers}
    assert fields == {b"WWW-Authenticate": b"Bearer", b"Retry-After": b"7", b"DPoP-Nonce": b"n"}
    assert refusal.body.isascii()
    assert refusal.body.isprintable()
    assert len(refusal.body) == 200
    assert MessageToDict(told.dynamic_metadata)["reason"] == "KEYS_UNAVAILABLE"


@pytest.mark.parametrize(
    ("status", "answered"), [(0, 403), (200, 403), (399, 403), (400, 400), (599, 599), (600, 403)]
)
def test_what_denies_has_the_status_of_an_error(status: int, answered: int) -> None:
    decision = Decision(False, Reason.NO_RULE_ALLOWS, "", "orders", "r1", 1.0, http_status=status)
    told = Asking(decision).ask(sound())
    assert told.status.code != 0
    assert told.denied_response.status.code == answered


def test_our_own_defect_denies() -> None:
    told = Asking(RuntimeError("a secret")).ask(sound())
    assert told.denied_response.status.code == 503
    assert "secret" not in told.denied_response.body


class Impatient(NoCall):
    """A call whose caller gives up soon."""

    def time_remaining(self) -> float | None:
        return 0.05


def test_an_issuer_is_not_waited_for_longer_than_envoy_waits() -> None:
    class Hanging(Says):
        def check(self, request: Request) -> Decision:
            raise TokenPending("question", lambda: None, lambda: None)

    answering = Answering(
        Hanging(ALLOWED), cast(DecisionLog, Nowhere()), waiting=_Endless(1, expected=True)
    )
    made = EnvoyService(answering, {"orders": ORDERS}.get, "", EnvoySettings())
    answer = made.check(sound().SerializeToString(), Impatient())
    assert isinstance(answer, Deferred)
    brought: SimpleQueue[bytes | CallFailed] = SimpleQueue()
    answer.begin(brought.put)
    told = brought.get(timeout=PATIENCE)
    assert isinstance(told, bytes)
    refusal = messages.CheckResponse.FromString(told)
    assert (refusal.status.code, refusal.denied_response.status.code) == (14, 503)


class _Endless(Waiting):
    """Asks, and is never answered."""

    def deferred(self, *_: object) -> Deferred[bytes]:  # type: ignore[override]
        return Deferred(lambda _deliver: None)
