"""No answer that Envoy takes for leave, unless the engine allowed.

Whatever Envoy sends, on a client's behalf or its own, and whatever the engine says of it. Envoy
lets a request pass for a status code of 0, which an empty message has too, and where it is told to
for an error of gRPC: so there is none.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import cast

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from policyd.audit import DecisionLog
from policyd.decision.errors import NotReady
from policyd.decision.model import Decision, Request
from policyd.envoy.service.auth.v3 import authorization_pb2 as messages
from policyd.language.policy import Api
from policyd.pdp.answering import Answering
from policyd.pdp.calls import CallFailed, Deferred, StatusCode
from policyd.pdp.waiting import Waiting
from policyd.server.services.envoy import ACTION, API, RESOURCE, EnvoyService, EnvoySettings
from policyd.tokens.endpoints.pending import TokenPending
from tests.support.audit import NoCall
from tests.support.daemon import PATIENCE
from tests.support.outcomes import ORDERS, Nowhere, Says, allows, denials, failures, texts

octets = texts.map(lambda text: text.encode("latin-1"))
values = octets | st.sampled_from(
    [
        *(b"GET", b"/orders/1", b"/orders/../1", b"/orders/1?a=b", b"https", b"a.example"),
        *(b"Bearer a", b"DPoP a", b"Bearer a,Bearer b", b"-----BEGIN CERTIFICATE-----"),
        *(b"orders", b"order", b"read", b"\xff\xfe", b""),
    ]
)
names = st.sampled_from(
    [
        *("authorization", "dpop", "x-request-id", ":path", "x-policyd-subject"),
        *("x-envoy-auth-partial-body", "Authorization"),
    ]
)
extensions = st.dictionaries(st.sampled_from([API, ACTION, RESOURCE, "a"]), values, max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return the bytes of a message of Envoy's, of one that is nearly that, or of none."""
    made = messages.CheckRequest()
    attributes = made.attributes
    http = attributes.request.http
    if draw(st.booleans()):
        http.method, http.path, http.host, http.scheme = b"GET", b"/orders/1", b"a", b"http"
        attributes.context_extensions[API] = b"orders"
    else:
        http.method, http.path = draw(values), draw(values)
        http.host, http.scheme = draw(values), draw(values)
        attributes.source.certificate = draw(values)
        for name, value in draw(extensions).items():
            attributes.context_extensions[name] = value
    for name, value in draw(st.dictionaries(names, values, max_size=3)).items():
        http.headers[name] = value
    for name, value in draw(st.lists(st.tuples(names, values), max_size=2)):
        http.header_map.headers.add(key=name.encode(), value=value)
    data = bytearray(made.SerializeToString())
    for place, byte in draw(
        st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=1)
    ):
        if place < len(data):
            data[place] = byte
    return bytes(data)


class AsksFirst(Says):
    """Has to ask an issuer before it says what it was told to."""

    def __init__(self, outcome: Decision | Exception) -> None:
        super().__init__(outcome)
        self._known = False

    def check(self, request: Request) -> Decision:
        if not self._known:
            raise TokenPending("question", self._learn, self._learn)
        return super().check(request)

    def _learn(self) -> None:
        self._known = True


class Refused(NoCall):
    """A call by an Envoy that may not ask."""

    def caller(self) -> str:
        raise CallFailed(StatusCode.PERMISSION_DENIED, "this certificate may not call")


def service(decider: Says, waiting: Waiting | None = None, *, ready: bool = True) -> EnvoyService:
    def apis(name: str) -> Api | None:
        if not ready:
            raise NotReady
        return ORDERS if name == "orders" else None

    answering = Answering(decider, cast(DecisionLog, Nowhere()), waiting=waiting)
    return EnvoyService(answering, apis, "", EnvoySettings())


def verdict(answer: bytes) -> messages.CheckResponse:
    """Read an answer; no beginning of one that denies is one that allows."""
    read = messages.CheckResponse.FromString(answer)
    if read.status.code:
        for end in range(1, len(answer)):
            try:
                part = messages.CheckResponse.FromString(answer[:end])
            except DecodeError:
                continue
            assert part.status.code == read.status.code
    return read


def check(answer: bytes, *, allowed: bool) -> None:
    read = verdict(answer)
    assert (read.status.code == 0) is allowed
    if allowed:
        assert read.WhichOneof("http_response") == "ok_response"
        assert [one.header.key for one in read.ok_response.headers] == [
            *(b"X-Policyd-Subject", b"X-Policyd-Client", b"X-Policyd-Decision-Id"),
        ]
    else:
        assert read.WhichOneof("http_response") == "denied_response"
        assert 400 <= read.denied_response.status.code <= 599
        body = read.denied_response.body
        assert body.isascii()
        assert body.isprintable()
        assert len(body) <= 200


@given(data=requests() | st.binary(max_size=200), outcome=denials | failures | allows)
def test_leave_is_given_by_the_engine_alone(data: bytes, outcome: Decision | Exception) -> None:
    decider = Says(outcome)
    answer = service(decider).check(data, NoCall())
    assert isinstance(answer, bytes)
    allowed = isinstance(outcome, Decision) and outcome.allowed and bool(decider.asked)
    check(answer, allowed=allowed)


@given(data=requests(), outcome=denials | failures | allows)
def test_nor_before_there_are_policies_or_to_any_envoy(
    data: bytes, outcome: Decision | Exception
) -> None:
    for made, call in (
        (service(Says(outcome), ready=False), NoCall()),
        (service(Says(outcome)), Refused()),
    ):
        answer = made.check(data, call)
        assert isinstance(answer, bytes)
        check(answer, allowed=False)


SOUND = messages.CheckRequest()
SOUND.attributes.request.http.method = b"GET"
SOUND.attributes.request.http.path = b"/orders/1"
SOUND.attributes.context_extensions[API] = b"orders"


@given(outcome=denials | failures | allows)
def test_nor_after_an_issuer_was_asked(outcome: Decision | Exception) -> None:
    waiting = Waiting(1, expected=True)
    try:
        answer = service(AsksFirst(outcome), waiting).check(SOUND.SerializeToString(), NoCall())
        assert isinstance(answer, Deferred)
        brought: SimpleQueue[bytes | CallFailed] = SimpleQueue()
        answer.begin(brought.put)
        told = brought.get(timeout=PATIENCE)
    finally:
        waiting.close()
    assert isinstance(told, bytes)
    check(told, allowed=isinstance(outcome, Decision) and outcome.allowed)
