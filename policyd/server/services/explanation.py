"""The ExplanationService: a decision, and how it came about. Bytes to bytes.

Off unless a listener is configured for it: an explanation shows rules and values.
"""

from __future__ import annotations

import time
from typing import Protocol

import msgspec

from policyd.audit import DecisionLog, Entry, Mask, Origin
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation
from policyd.decision.model import Request
from policyd.server.services.authorization import DecisionIds, refused, traceparent
from policyd.server.services.waiting import Waiting
from policyd.server.transport.interface import Call, Later, Methods, Unary
from policyd.server.wire.convert import IN_REQUEST, Question, explain_request
from policyd.server.wire.convert_explanation import explain_response
from policyd.server.wire.limits import DEFAULTS, RequestLimits
from policyd.tokens.endpoints.pending import TokenPending

SERVICE = "policyd.v1.ExplanationService"


class Explainer(Protocol):
    """What the service asks; `policyd.decision.engine.Engine` is one."""

    def explain(self, request: Request) -> Explanation: ...


class ExplanationService:
    """Answers questions with explanations. They are decisions, so they are logged as such."""

    def __init__(
        self,
        explainer: Explainer,
        log: DecisionLog,
        ids: DecisionIds,
        mask: Mask,
        *,
        default_api: str = "",
        limits: RequestLimits = DEFAULTS,
        waiting: Waiting | None = None,
    ) -> None:
        self._explainer = explainer
        self._log = log
        self._ids = ids
        self._mask = mask
        self._default_api = default_api
        self._limits = limits
        self._waiting = waiting or Waiting()

    def methods(self) -> Methods:
        """Return the service's methods."""
        return {f"/{SERVICE}/Explain": Unary(self.explain, self._waiting.expected)}

    def explain(self, data: bytes, call: Call) -> bytes | Later:
        """Answer an ExplainRequest with an ExplainResponse."""
        asked = explain_request(data, self._limits)
        try:
            return self._explain(asked, call, data)
        except TokenPending as pending:
            return self._waiting.later(pending, call, lambda: self._explain(asked, call, data))

    def _explain(self, asked: Question, call: Call, data: bytes) -> bytes:
        request = asked.request
        if not request.api:
            request = msgspec.structs.replace(request, api=self._default_api)
        began = time.perf_counter()
        try:
            explanation = self._explainer.explain(request)
        except (InvalidRequest, NotReady) as error:
            raise refused(error, IN_REQUEST) from None
        duration = time.perf_counter() - began
        decision_id = self._ids.next()
        decision = explanation.decision
        origin = Origin(time.time(), duration, asked.request_id, request.context, traceparent(call))
        entry = Entry.of(request, origin, decision_id, decision)
        self._log.extend((entry,), len(data) - len(request.access_token))
        return explain_response(explanation, decision_id, self._mask)
