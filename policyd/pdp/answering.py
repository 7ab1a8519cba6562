"""The one place that answers: a caller's question to a decision, for every protocol.

Input: a question, the call that it came with, and a function that writes an answer in the protocol.
Output: the written answer, or `Deferred` if an issuer must be asked first. This module does what
all answers have in common: the default API, the duration of the decision, the identifier, the
record in the decision log, and the wait for an issuer. A protocol's module, such as one of
`services/`, only translates.

Invariants: for every token the answer is a decision; each decision has an identifier and one
record, which names who asked; a caller's mistake has neither. A caller that its listener does not
let in gets no answer. If an issuer must be asked, the whole question is repeated,
so nothing was decided, timed or recorded before.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Protocol, TypeVar

import msgspec

from policyd.audit import LIGHT, CallDetails, Entry
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation
from policyd.decision.model import BatchItem, BatchRequest, Decided, Decision, Request
from policyd.pdp.calls import Call, Deferred, WrittenT
from policyd.pdp.waiting import Waiting
from policyd.tokens.endpoints.pending import TokenPending

#: Characters of a `traceparent`: version, trace, parent and flags.
_TRACEPARENT = 55

#: An explanation, and the identifier of the decision that it explains.
Explained = tuple[Explanation, str]
#: What became of one item of a batch; `InvalidRequest` says what is wrong with it.
DecidedItem = Decided | InvalidRequest
#: Why there is no decision: the caller's mistake, or that no policy is loaded yet.
NoDecision = InvalidRequest | NotReady

RequestT = TypeVar("RequestT", Request, BatchRequest)
AnswerT = TypeVar("AnswerT", Decided, Explained, Sequence[DecidedItem])
#: Decide a question of `size` bytes, and record it: who calls, and the call's `traceparent`.
Decide = Callable[[RequestT, int, str, str], AnswerT]
#: Write what was decided, and why nothing was. The second may also raise `CallFailed`.
Write = Callable[[AnswerT], WrittenT]
Refuse = Callable[[NoDecision], WrittenT]


class Decider(Protocol):
    """What decides; `policyd.decision.engine.Engine` is one.

    Each method raises `InvalidRequest`, `NotReady`, and `TokenPending` where an issuer must be
    asked first.
    """

    def check(self, request: Request) -> Decision: ...

    def check_batch(self, batch: BatchRequest) -> Sequence[Decision | InvalidRequest]: ...

    def check_partially(self, request: Request, unknown: Sequence[str]) -> Decision: ...

    def check_batch_partially(
        self, batch: BatchRequest, unknown: Sequence[str]
    ) -> Sequence[Decision | InvalidRequest]: ...

    def filter(self, request: Request) -> Decision: ...

    def explain(self, request: Request) -> Explanation: ...


class Records(Protocol):
    """Where decisions are handed on to; `policyd.audit.DecisionLog` is such a place."""

    @property
    def append(self) -> Callable[[Entry], None]: ...

    @property
    def extend(self) -> Callable[[Sequence[Entry], int], None]: ...


class DecisionIds:
    """Identifiers of decisions: a random prefix of the process and a counter. Thread-safe."""

    def __init__(self) -> None:
        # An iterator made of C's parts: a step is atomic, and no frame of Python's.
        self._all = map(f"{secrets.token_hex(6)}-%x".__mod__, itertools.count(1))
        #: Returns an identifier that was never given before.
        self.next: Callable[[], str] = self._all.__next__

    def several(self, number: int) -> list[str]:
        """Return identifiers that were never given before."""
        return list(itertools.islice(self._all, number))


class Answering:
    """Answers questions by decisions of `decider`, and hands those on to `log`.

    `default_api` is the API of callers that name none; empty means that they must name one. Calls
    with a token that an issuer must be asked about wait in `waiting`.

    Of each method, `size` is the number of bytes that the question came in, the token among them.
    """

    def __init__(
        self,
        decider: Decider,
        log: Records,
        *,
        default_api: str = "",
        waiting: Waiting | None = None,
    ) -> None:
        self._decider = decider
        self._log = log
        self._default_api = default_api
        self._waiting = waiting or Waiting()
        self._ids = DecisionIds()

    @property
    def waits(self) -> bool:
        """Whether `Deferred` is an answer to expect."""
        return self._waiting.expected

    def check(
        self,
        call: Call,
        request: Request,
        size: int,
        write: Write[Decided, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """Answer whether the request is allowed."""
        return self._answer(self._check, call, request, size, write, refuse)

    def explain(
        self,
        call: Call,
        request: Request,
        size: int,
        write: Write[Explained, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """Answer as `check` does, and explain the decision."""
        return self._answer(self._explain, call, request, size, write, refuse)

    def check_batch(
        self,
        call: Call,
        batch: BatchRequest,
        size: int,
        write: Write[Sequence[DecidedItem], WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """Answer each item of the batch, in order."""
        return self._answer(self._check_batch, call, batch, size, write, refuse)

    def check_partially(
        self,
        call: Call,
        request: Request,
        unknown: Sequence[str],
        size: int,
        write: Write[Decided, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """Answer what is certain of a request while the facts of these names are unknown."""

        def decide(request: Request, size: int, caller: str, trace: str) -> Decided:
            began = perf_counter()
            decision = self._decider.check_partially(request, unknown)
            duration = perf_counter() - began
            return decision, self._record(request, size, caller, trace, decision, duration)

        return self._answer(decide, call, request, size, write, refuse)

    def check_batch_partially(
        self,
        call: Call,
        batch: BatchRequest,
        unknown: Sequence[str],
        size: int,
        write: Write[Sequence[DecidedItem], WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """Answer each item of the batch so, in order."""

        def decide(
            batch: BatchRequest, size: int, caller: str, trace: str
        ) -> Sequence[DecidedItem]:
            began = perf_counter()
            answers = self._decider.check_batch_partially(batch, unknown)
            duration = perf_counter() - began
            return self._record_batch(batch, size, caller, trace, answers, duration)

        return self._answer(decide, call, batch, size, write, refuse)

    def filter(
        self,
        call: Call,
        request: Request,
        size: int,
        write: Write[Decided, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """Answer on which resources of the request's type its action is allowed."""

        def decide(request: Request, size: int, caller: str, trace: str) -> Decided:
            began = perf_counter()
            decision = self._decider.filter(request)
            duration = perf_counter() - began
            return decision, self._record(request, size, caller, trace, decision, duration)

        return self._answer(decide, call, request, size, write, refuse)

    def _answer(
        self,
        decide: Decide[RequestT, AnswerT],
        call: Call,
        question: RequestT,
        size: int,
        write: Write[AnswerT, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        if not question.api:
            question = msgspec.structs.replace(question, api=self._default_api)
        caller, sent = call.caller(), call.metadata().get("traceparent")
        trace = _shortened(sent) if sent else ""
        try:
            return write(decide(question, size, caller, trace))
        except TokenPending as pending:
            # No closure: each call would pay for the cells of its variables.
            again = partial(_decided, decide, question, size, caller, trace, write, refuse)
            return self._waiting.deferred(pending, call, again)
        except (InvalidRequest, NotReady) as error:
            return refuse(error)

    def _check(self, request: Request, size: int, caller: str, trace: str) -> Decided:
        began = perf_counter()
        decision = self._decider.check(request)
        duration = perf_counter() - began
        return decision, self._record(request, size, caller, trace, decision, duration)

    def _explain(self, request: Request, size: int, caller: str, trace: str) -> Explained:
        began = perf_counter()
        explanation = self._decider.explain(request)
        duration = perf_counter() - began
        decision = explanation.decision
        return explanation, self._record(request, size, caller, trace, decision, duration)

    def _record(
        self,
        request: Request,
        size: int,
        caller: str,
        trace: str,
        decision: Decision,
        duration: float,
    ) -> str:
        """Hand on the record of a decision, without the token; return the identifier."""
        decision_id = self._ids.next()
        entry = Entry(
            CallDetails(duration, caller, trace, request.request_id, request.context),
            decision_id,
            BatchItem(
                request.action, request.resource_type, request.resource_id, request.attributes
            ),
            decision,
        )
        size -= len(request.access_token)
        if size > LIGHT:
            self._log.extend((entry,), size)
        else:
            self._log.append(entry)
        return decision_id

    def _check_batch(
        self, batch: BatchRequest, size: int, caller: str, trace: str
    ) -> Sequence[DecidedItem]:
        began = perf_counter()
        answers = self._decider.check_batch(batch)
        duration = perf_counter() - began
        return self._record_batch(batch, size, caller, trace, answers, duration)

    def _record_batch(
        self,
        batch: BatchRequest,
        size: int,
        caller: str,
        trace: str,
        answers: Sequence[Decision | InvalidRequest],
        duration: float,
    ) -> Sequence[DecidedItem]:
        """Hand on the records of a batch, without the token; return the answers with their
        identifiers."""
        duration /= max(1, len(batch.items))
        details = CallDetails(duration, caller, trace, batch.request_id, batch.context)
        ids = self._ids.several(len(answers))
        self._log.extend(
            [
                Entry(details, decision_id, item, answer)
                for decision_id, item, answer in zip(ids, batch.items, answers, strict=True)
                if isinstance(answer, Decision)
            ],
            size - len(batch.access_token),
        )
        return [
            (answer, decision_id) if isinstance(answer, Decision) else answer
            for decision_id, answer in zip(ids, answers, strict=True)
        ]


def _decided(
    decide: Decide[RequestT, AnswerT],
    question: RequestT,
    size: int,
    caller: str,
    trace: str,
    write: Write[AnswerT, WrittenT],
    refuse: Refuse[WrittenT],
) -> WrittenT:
    """Answer a question that has waited for an issuer."""
    try:
        return write(decide(question, size, caller, trace))
    except (InvalidRequest, NotReady) as error:
        return refuse(error)


def _shortened(traceparent: str | bytes) -> str:
    """Return what of a `traceparent` (W3C Trace Context) can name a trace: the log keeps it."""
    return traceparent[:_TRACEPARENT] if isinstance(traceparent, str) else ""
