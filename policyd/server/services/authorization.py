"""The AuthorizationService: Check, BatchCheck and CheckStream, bytes to bytes.

Invariants: whatever the token is like, the answer is a decision; each decision gets an identifier
and one entry in the decision log; a caller's mistake is INVALID_ARGUMENT and no decision. What must
be asked of an issuer first is no decision yet: the question is put again once it is there.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter, time
from typing import Protocol

import msgspec

from policyd.audit import LIGHT, DecisionLog, Entry, Origin
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.model import BatchItem, Decision, Request
from policyd.json_types import Json
from policyd.server.services.waiting import Waiting
from policyd.server.transport.interface import (
    Call,
    CallFailed,
    Exchange,
    Later,
    Methods,
    StatusCode,
    Unary,
)
from policyd.server.wire import convert
from policyd.server.wire.convert import IN_REQUEST, Question
from policyd.server.wire.convert_response import (
    Outcome,
    batch_check_response,
    check_response,
    check_stream_response,
)
from policyd.server.wire.failures import ErrorReason, failure
from policyd.server.wire.limits import DEFAULTS, RequestLimits
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.model import NO_PROOF, SenderProof

SERVICE = "policyd.v1.AuthorizationService"

#: Characters of a `traceparent`: version, trace, parent and flags.
_TRACEPARENT = 55


class Decider(Protocol):
    """What the service asks; `policyd.decision.engine.Engine` is one."""

    def check(self, request: Request) -> Decision: ...

    def check_batch(
        self,
        access_token: str,
        api: str,
        context: Mapping[str, Json],
        items: Sequence[BatchItem],
        proof: SenderProof = NO_PROOF,
    ) -> list[Decision | InvalidRequest]: ...


class DecisionIds:
    """Identifiers of decisions: a random prefix of the process and a counter. Thread-safe."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6)
        self._counter = itertools.count(1)

    def next(self) -> str:
        """Return an identifier that was never given before."""
        return f"{self._prefix}-{next(self._counter):x}"

    def several(self, number: int) -> list[str]:
        """Return identifiers that were never given before."""
        prefix = self._prefix
        return [f"{prefix}-{n:x}" for n in itertools.islice(self._counter, number)]


class AuthorizationService:
    """Answers questions with decisions of `decider` and hands them on to `log`.

    `default_api` is the API of callers that name none; empty means that they must name one. Calls
    with a token that an issuer must be asked about wait in `waiting`.
    """

    def __init__(
        self,
        decider: Decider,
        log: DecisionLog,
        ids: DecisionIds,
        *,
        default_api: str = "",
        limits: RequestLimits = DEFAULTS,
        waiting: Waiting | None = None,
    ) -> None:
        self._decider = decider
        self._log = log
        self._ids = ids
        self._default_api = default_api
        self._limits = limits
        self._waiting = waiting or Waiting()

    def methods(self) -> Methods:
        """Return the service's methods."""
        return {
            f"/{SERVICE}/Check": Unary(self.check, self._waiting.expected),
            f"/{SERVICE}/BatchCheck": Unary(self.batch_check, self._waiting.expected),
            f"/{SERVICE}/CheckStream": Exchange(self.check_stream),
        }

    def check(self, data: bytes, call: Call) -> bytes | Later:
        """Answer a CheckRequest with a CheckResponse."""
        question = convert.check_request(data, self._limits)
        try:
            return check_response(*self._decide(question, call, data))
        except TokenPending as pending:
            return self._waiting.later(
                pending, call, lambda: check_response(*self._decide(question, call, data))
            )

    def check_stream(self, data: bytes, call: Call) -> bytes | Later:
        """Answer a CheckStreamRequest with a CheckStreamResponse."""
        asked = convert.check_stream_request(data, self._limits)
        try:
            return self._check_in_stream(asked, call, data)
        except TokenPending as pending:
            return self._waiting.later(
                pending, call, lambda: self._check_in_stream(asked, call, data)
            )

    def _check_in_stream(self, asked: convert.StreamQuestion, call: Call, data: bytes) -> bytes:
        outcome: Outcome
        try:
            if isinstance(asked.question, CallFailed):
                outcome = asked.question
            else:
                outcome = self._decide(asked.question, call, data, IN_REQUEST)
        except CallFailed as failed:
            outcome = failed.kept()
        return check_stream_response(asked.id, outcome)

    def _decide(
        self, question: Question, call: Call, data: bytes, at: str = ""
    ) -> tuple[Decision, str]:
        request = question.request
        if not request.api:
            request = msgspec.structs.replace(request, api=self._default_api)
        began = perf_counter()
        try:
            decision = self._decider.check(request)
        except (InvalidRequest, NotReady) as error:
            raise refused(error, at) from None
        duration = perf_counter() - began
        decision_id = self._ids.next()
        origin = Origin(time(), duration, question.request_id, request.context, traceparent(call))
        entry = Entry.of(request, origin, decision_id, decision)
        size = len(data) - len(request.access_token)
        if size > LIGHT:
            self._log.extend((entry,), size)
        else:
            self._log.append(entry)
        return decision, decision_id

    def batch_check(self, data: bytes, call: Call) -> bytes | Later:
        """Answer a BatchCheckRequest with a BatchCheckResponse."""
        batch = convert.batch_check_request(data, self._limits)
        try:
            return self._check_batch(batch, call, data)
        except TokenPending as pending:
            return self._waiting.later(pending, call, lambda: self._check_batch(batch, call, data))

    def _check_batch(self, batch: convert.Batch, call: Call, data: bytes) -> bytes:
        return batch_check_response(batch.ids, self._decide_batch(batch, call, data))

    def _decide_batch(self, batch: convert.Batch, call: Call, data: bytes) -> list[Outcome]:
        api = batch.api or self._default_api
        sound = [item for item in batch.items if not isinstance(item, CallFailed)]
        began = perf_counter()
        try:
            answers = self._decider.check_batch(
                batch.access_token, api, batch.context, sound, batch.proof
            )
        except (InvalidRequest, NotReady) as error:
            raise refused(error) from None
        duration = (perf_counter() - began) / max(1, len(sound))
        origin = Origin(time(), duration, batch.request_id, batch.context, traceparent(call))
        ids = self._ids.several(len(sound))
        self._log.extend(
            [
                Entry(origin, decision_id, item, answer)
                for decision_id, item, answer in zip(ids, sound, answers, strict=True)
                if isinstance(answer, Decision)
            ],
            len(data) - len(batch.access_token),
        )
        outcomes: Iterator[Outcome] = (
            (answer, decision_id) if isinstance(answer, Decision) else refused(answer)
            for decision_id, answer in zip(ids, answers, strict=True)
        )
        return [item if isinstance(item, CallFailed) else next(outcomes) for item in batch.items]


def traceparent(call: Call) -> str:
    """Return the call's `traceparent` (W3C Trace Context), empty where there is none; no more of it
    than says which trace it is, since the log keeps it."""
    value = call.metadata().get("traceparent", "")
    return value[:_TRACEPARENT] if isinstance(value, str) else ""


def refused(error: InvalidRequest | NotReady, at: str = "") -> CallFailed:
    """Return the error of a call for which there is no decision.

    `at` is where the question stands in the request message, such as `request.`.
    """
    if isinstance(error, NotReady):
        return failure(StatusCode.UNAVAILABLE, ErrorReason.POLICY_NOT_LOADED, str(error))
    field = at + error.field
    description = error.description
    metadata = {"field": field}
    if error.suggestion is not None:
        description += f"; did you mean `{error.suggestion}`?"
        metadata["suggestion"] = error.suggestion
    return failure(
        StatusCode.INVALID_ARGUMENT,
        error.code,
        f"{field}: {description}",
        [(field, description)],
        metadata,
    )
