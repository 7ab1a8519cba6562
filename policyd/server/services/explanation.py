"""The ExplanationService: a decision, and how it came about. Bytes to bytes.

Off unless a listener is configured for it: an explanation shows rules and values.
"""

from __future__ import annotations

from typing import NoReturn

from policyd.audit import Mask
from policyd.config.request_limits import DEFAULTS, RequestLimits
from policyd.pdp.answering import Answering, Explained, NoDecision
from policyd.pdp.calls import Call, Deferred
from policyd.server.transport.interface import Methods, Unary
from policyd.server.wire.convert import IN_REQUEST, explain_request
from policyd.server.wire.convert_explanation import explain_response
from policyd.server.wire.failures import refused

SERVICE = "policyd.v1.ExplanationService"


class ExplanationService:
    """Says how `answering` decides, in messages within `limits`, but for what `mask` names."""

    def __init__(self, answering: Answering, mask: Mask, limits: RequestLimits = DEFAULTS) -> None:
        self._answering = answering
        self._mask = mask
        self._limits = limits

    def methods(self) -> Methods:
        """Return the service's methods."""
        return {f"/{SERVICE}/Explain": Unary(self.explain, self._answering.waits)}

    def explain(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer an ExplainRequest with an ExplainResponse."""
        request = explain_request(data, self._limits)
        return self._answering.explain(call, request, len(data), self._write, _fail)

    def _write(self, explained: Explained) -> bytes:
        return explain_response(explained, self._mask)


def _fail(error: NoDecision) -> NoReturn:
    raise refused(error, IN_REQUEST) from None
