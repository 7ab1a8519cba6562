"""The AuthorizationService, bytes to bytes: Check and PartialCheck, each alone and in batches,
Filter, and CheckStream.

It only translates: `answering` answers. A caller's mistake is INVALID_ARGUMENT; in a batch and in a
stream it ends only the question that it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from policyd.config.request_limits import DEFAULTS, RequestLimits
from policyd.decision.errors import InvalidRequest
from policyd.pdp.answering import Answering, DecidedItem, NoDecision
from policyd.pdp.calls import Call, CallFailed, Deferred
from policyd.server.transport.interface import Exchange, Methods, Unary
from policyd.server.wire.convert import (
    IN_REQUEST,
    Batch,
    batch_check_request,
    batch_partial_check_request,
    check_request,
    check_stream_request,
    filter_request,
    partial_check_request,
)
from policyd.server.wire.convert_filter import filter_response
from policyd.server.wire.convert_response import (
    Result,
    batch_check_response,
    batch_partial_check_response,
    check_response,
    check_stream_response,
    partial_check_response,
)
from policyd.server.wire.failures import refused

SERVICE = "policyd.v1.AuthorizationService"


class AuthorizationService:
    """Says what `answering` answers, in messages within `limits`."""

    def __init__(self, answering: Answering, limits: RequestLimits = DEFAULTS) -> None:
        self._answering = answering
        self._limits = limits

    def methods(self) -> Methods:
        """Return the service's methods."""
        waits = self._answering.waits
        return {
            f"/{SERVICE}/Check": Unary(self.check, waits),
            f"/{SERVICE}/BatchCheck": Unary(self.batch_check, waits),
            f"/{SERVICE}/PartialCheck": Unary(self.partial_check, waits),
            f"/{SERVICE}/BatchPartialCheck": Unary(self.batch_partial_check, waits),
            f"/{SERVICE}/Filter": Unary(self.filter, waits),
            f"/{SERVICE}/CheckStream": Exchange(self.check_stream),
        }

    def check(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer a CheckRequest with a CheckResponse."""
        request = check_request(data, self._limits)
        return self._answering.check(call, request, len(data), check_response, _fail)

    def check_stream(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer a CheckStreamRequest with a CheckStreamResponse."""
        streamed = check_stream_request(data, self._limits)

        def write(result: Result) -> bytes:
            return check_stream_response(streamed.id, result)

        def refuse(error: NoDecision) -> bytes:
            return write(refused(error, IN_REQUEST))

        if isinstance(streamed.request, CallFailed):
            return write(streamed.request)
        return self._answering.check(call, streamed.request, len(data), write, refuse)

    def batch_check(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer a BatchCheckRequest with a BatchCheckResponse."""
        batch = batch_check_request(data, self._limits)

        def write(decided: Sequence[DecidedItem]) -> bytes:
            return batch_check_response(batch.ids, _results(batch, decided))

        return self._answering.check_batch(call, batch.request, len(data), write, _fail)

    def partial_check(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer a PartialCheckRequest with a PartialCheckResponse."""
        request, unknown = partial_check_request(data, self._limits)
        return self._answering.check_partially(
            call, request, unknown, len(data), partial_check_response, _fail
        )

    def batch_partial_check(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer a BatchPartialCheckRequest with a BatchPartialCheckResponse."""
        batch, unknown = batch_partial_check_request(data, self._limits)

        def write(decided: Sequence[DecidedItem]) -> bytes:
            return batch_partial_check_response(batch.ids, _results(batch, decided))

        return self._answering.check_batch_partially(
            call, batch.request, unknown, len(data), write, _fail
        )

    def filter(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer a FilterRequest with a FilterResponse."""
        request = filter_request(data, self._limits)
        return self._answering.filter(call, request, len(data), filter_response, _fail)


def _results(batch: Batch, decided: Sequence[DecidedItem]) -> list[Result]:
    """Return the result of each item: what was decided, or what was wrong with it."""
    answers: Iterable[DecidedItem | CallFailed] = decided
    if batch.malformed:
        rest = iter(decided)
        answers = [batch.malformed.get(place) or next(rest) for place in range(len(batch.ids))]
    return [refused(one) if isinstance(one, InvalidRequest) else one for one in answers]


def _fail(error: NoDecision) -> NoReturn:
    raise refused(error) from None
