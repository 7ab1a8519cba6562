"""What an engine may say, for tests that ask whether a protocol's answer says the same."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation
from policyd.decision.model import BatchRequest, Decision, Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.reasons import Reason
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
ORDERS = loaded.policies.apis["orders"]


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

    def check_partially(self, request: Request, unknown: Sequence[str]) -> Decision:
        raise NotImplementedError

    def check_batch_partially(
        self, batch: BatchRequest, unknown: Sequence[str]
    ) -> Sequence[Decision | InvalidRequest]:
        raise NotImplementedError

    def filter(self, request: Request) -> Decision:
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
