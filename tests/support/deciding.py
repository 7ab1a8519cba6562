"""What decides as it was told to, for tests of the modules that only translate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar, cast

from policyd.audit import DecisionLog, Entry
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation
from policyd.decision.model import BatchItem, BatchRequest, Decision, Request
from policyd.pdp.answering import Answering
from policyd.pdp.calls import CallFailed, Deferred
from policyd.reasons import Reason
from policyd.tokens.endpoints.pending import TokenPending
from tests.support.audit import verified_token
from tests.support.daemon import PATIENCE

ALLOWED = Decision(
    True, Reason.ALLOWED, "", "orders", "r1", 1.0, ("reads",), token=verified_token()
)
DENIED = Decision(False, Reason.NO_RULE_ALLOWS, "no rule", "orders", "r1", 1.0, http_status=403)
AnswerT = TypeVar("AnswerT")
Outcome = Decision | InvalidRequest


class Decider:
    """Answers by `outcome`: one for all, or a function of the item; errors are raised.

    `asked` is what it was asked. With `asks`, it must ask an issuer first, once for each token.
    """

    def __init__(
        self,
        outcome: Outcome | NotReady | CallFailed | Callable[[BatchItem], Outcome] = ALLOWED,
        *,
        asks: bool = False,
    ) -> None:
        self.outcome = outcome
        self.asks = asks
        self.asked: list[Request | BatchRequest] = []
        self._known: set[str] = set()

    def check(self, request: Request) -> Decision:
        self._look_up(request)
        item = BatchItem(
            request.action, request.resource_type, request.resource_id, request.attributes
        )
        answer = self._answer(item)
        if isinstance(answer, InvalidRequest):
            raise answer
        return answer

    def check_batch(self, batch: BatchRequest) -> Sequence[Outcome]:
        self._look_up(batch)
        return [self._answer(item) for item in batch.items]

    def check_partially(self, request: Request, unknown: Sequence[str]) -> Decision:
        raise NotImplementedError

    def check_batch_partially(
        self, batch: BatchRequest, unknown: Sequence[str]
    ) -> Sequence[Outcome]:
        raise NotImplementedError

    def filter(self, request: Request) -> Decision:
        raise NotImplementedError

    def explain(self, request: Request) -> Explanation:
        return Explanation(self.check(request))

    def _look_up(self, question: Request | BatchRequest) -> None:
        token = question.access_token
        if self.asks and token not in self._known:
            learn = lambda: self._known.add(token)  # noqa: E731 - it is the whole of asking
            raise TokenPending(token, learn, learn)
        self.asked.append(question)

    def _answer(self, item: BatchItem) -> Outcome:
        if isinstance(self.outcome, NotReady | CallFailed):
            raise self.outcome
        return self.outcome(item) if callable(self.outcome) else self.outcome


class KeptLog:
    """A log that keeps what it is handed on, and how large the calls were that were not small."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.sizes: list[int] = []

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)

    def extend(self, entries: Sequence[Entry], size: int) -> None:
        self.entries += entries
        self.sizes.append(size)


def answering(decider: Decider, log: KeptLog | None = None, default_api: str = "") -> Answering:
    """Return what answers by `decider`."""
    return Answering(decider, cast(DecisionLog, log or KeptLog()), default_api=default_api)


def settled(answer: AnswerT | Deferred[AnswerT]) -> AnswerT | CallFailed:
    """Return an answer, once it is there."""
    if not isinstance(answer, Deferred):
        return answer
    brought: SimpleQueue[AnswerT | CallFailed] = SimpleQueue()
    answer.begin(brought.put)
    return brought.get(timeout=PATIENCE)
