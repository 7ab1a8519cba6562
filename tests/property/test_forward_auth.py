"""No answer that a gateway takes for leave, unless the engine allowed.

Whatever the gateway sends, and whatever the engine says of it: a decision that denies with any
status, a mistake, no policies, a failure. nginx takes every 2xx for leave, and so do the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from policyd.audit import DecisionLog
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation
from policyd.decision.model import BatchRequest, Decision, Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.reasons import Reason
from policyd.server.answering import Answering
from policyd.server.services.forward_auth import ForwardAuthService
from policyd.server.transport.interface import CallFailed, Deferred, StatusCode
from policyd.server.transport.web import WebRequest, WebResponse
from policyd.server.transport.web_server import answered
from tests.support.audit import verified_token

POLICY = """\
api orders

audience "https://example.com/orders"

resource order {
    actions read
}

route GET "/orders/{id}" as read on order

allow reads: read on order
    when token.client == "a"
"""
loaded = load([Source("orders.policy", POLICY)])
assert loaded.policies is not None
API = loaded.policies.apis["orders"]


class Nowhere:
    """A log that keeps nothing."""

    def append(self, entry: object) -> None:
        pass

    def extend(self, entries: object, size: int) -> None:
        pass


class Says:
    """Decides as it was told to, whatever it is asked."""

    def __init__(self, outcome: Decision | Exception) -> None:
        self.outcome = outcome
        self.asked: list[Request] = []

    def check(self, request: Request) -> Decision:
        self.asked.append(request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def check_batch(self, batch: BatchRequest) -> Sequence[Decision | InvalidRequest]:
        raise NotImplementedError

    def explain(self, request: Request) -> Explanation:
        raise NotImplementedError


texts = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20)
statuses = st.sampled_from([200, 201, 204, 206, 299, 100, 302, 401, 403, 500, 503, 0, -1])
denials = st.builds(
    Decision,
    allowed=st.just(False),
    reason=st.sampled_from(list(Reason)),
    message=texts,
    api=st.just("orders"),
    revision=st.just("r"),
    http_status=statuses,
    www_authenticate=texts,
    retry_after=st.none() | st.integers(0, 9),
    dpop_nonce=texts,
)
failures = st.sampled_from(
    [
        InvalidRequest("a", "b", "ATTRIBUTE_MISSING"),
        NotReady(),
        RuntimeError("defect"),
        *(CallFailed(code, "no") for code in StatusCode),
    ]
)
allows = st.builds(
    Decision,
    allowed=st.just(True),
    reason=st.just(Reason.ALLOWED),
    message=st.just(""),
    api=st.just("orders"),
    revision=st.just("r"),
    token=st.builds(verified_token),
)
names = st.sampled_from(
    [
        *("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-proto"),
        *("x-original-method", "x-original-uri", "authorization", "dpop", "traceparent"),
    ]
)
values = texts | st.sampled_from(
    [
        "GET",
        "/orders/1",
        "/orders/../1",
        "/orders/1?a=b",
        "Bearer a",
        "DPoP a",
        "https",
        "a.example",
    ]
)
requests = st.builds(
    WebRequest,
    method=st.sampled_from(["GET", "HEAD", "POST", "get", ""]),
    path=st.sampled_from(["/forward-auth/orders", "/forward-auth/other", "/forward-auth/"]),
    query=st.sampled_from(["", "gateway=nginx", "gateway=caddy", "gateway"]) | texts,
    fields=st.lists(st.tuples(names, values), max_size=6).map(tuple),
)
sound = st.just(
    WebRequest(
        "GET",
        "/forward-auth/orders",
        fields=(("x-forwarded-method", "GET"), ("x-forwarded-uri", "/orders/1")),
    )
)


@given(request=requests | sound, outcome=denials | failures | allows)
def test_leave_is_given_by_the_engine_alone(
    request: WebRequest, outcome: Decision | Exception
) -> None:
    decider = Says(outcome)
    answering = Answering(decider, cast(DecisionLog, Nowhere()))
    service = ForwardAuthService(answering, {"orders": API}.get)
    answer = answered(service, request)
    assert not isinstance(answer, Deferred)
    allowed = isinstance(outcome, Decision) and outcome.allowed and bool(decider.asked)
    if allowed:
        assert answer.status == 200
        assert {"X-Policyd-Subject", "X-Policyd-Client"} <= dict(answer.headers).keys()
    else:
        assert 400 <= answer.status <= 599
        assert "X-Policyd-Subject" not in dict(answer.headers)
    if request.query == "gateway=nginx" and not allowed and request.method in ("GET", "HEAD"):
        assert answer.status in (401, 403)
    assert isinstance(answer, WebResponse)
