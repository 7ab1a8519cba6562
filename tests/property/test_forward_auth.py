"""No answer that a gateway takes for leave, unless the engine allowed.

Whatever the gateway sends, and whatever the engine says of it: a decision that denies with any
status, a mistake, no policies, a failure. nginx takes every 2xx for leave, and so do the others.
"""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from policyd.audit import DecisionLog
from policyd.decision.model import Decision
from policyd.pdp.answering import Answering
from policyd.pdp.calls import Deferred
from policyd.server.services.forward_auth import ForwardAuthService
from policyd.server.transport.web import WebRequest, WebResponse
from policyd.server.transport.web_server import answered
from tests.support.outcomes import ORDERS, Nowhere, Says, allows, denials, failures, texts

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
    service = ForwardAuthService(answering, {"orders": ORDERS}.get)
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
