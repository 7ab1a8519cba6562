"""Decisions as spans of OpenTelemetry, exported by OTLP.

Input: entries of the decision log, in chunks, from the thread that writes them. Output: a span for
each check, and one for each batch, whose decisions are its events. The path of a call does nothing
for it: a thread of its own makes the spans, and the SDK's own thread exports them.

A span begins at the engine's clock, and lasts as long as the decision took. Its parent is the
caller's span (W3C Trace Context), so the sampler can follow that (`OTEL_TRACES_SAMPLER`). Decisions
that come faster than spans can be made have none, which the log says.

Sources: the semantic conventions of OpenTelemetry for `error.type`, `process.pid` and `service.*`;
there are none for authorization, so all else is under `policyd.`.
"""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Mapping, Sequence
from itertools import groupby
from threading import Thread
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from policyd import __version__
from policyd.audit import CHUNK, Entry
from policyd.decision.model import Decision
from policyd.errors import PolicydError
from policyd.tokens.model import SEEN_MEMO, VerifiedToken

_log = logging.getLogger(__name__)
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
#: Chunks of the log that wait for their spans.
_MOST_WAITING: Final = 64
#: Seconds that the end of the daemon waits for what is left to be exported.
_PATIENCE: Final = 2.0
_SERVER_ERROR: Final = 500

#: Seconds within which the rest of a batch comes.
_SOON: Final = 1.0
_END: Final[Sequence[Entry]] = []

Attributes = dict[str, str | int | bool | Sequence[str]]


class SpansUnusable(PolicydError):
    """The variables ask for what there is not."""


def open_spans(environment: Mapping[str, str]) -> Spans:
    """Return what exports as the variables say. Raises `SpansUnusable`."""
    protocol = next(filter(None, (environment.get(name) for name in _PROTOCOLS)), "grpc")
    try:
        return Spans(_exporter(protocol))
    except ValueError as error:  # of a variable's value, by the exporter or the SDK
        raise SpansUnusable(str(error)) from None


def _exporter(protocol: str) -> SpanExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_exporter

        return grpc_exporter.OTLPSpanExporter()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_exporter

        return http_exporter.OTLPSpanExporter()
    raise SpansUnusable(f"{_PROTOCOLS[1]} is `{protocol}`; known are `grpc` and `http/protobuf`")


class Spans:
    """Makes spans of decisions, for `exporter`."""

    def __init__(self, exporter: SpanExporter) -> None:
        # Ended by `close`: the end of the process would wait too long for one that hangs.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("policyd", __version__)
        self._parents = TraceContextTextMapPropagator()
        self._waiting: queue.Queue[Sequence[Entry]] = queue.Queue(_MOST_WAITING)
        self._thread = Thread(target=self._run, name="spans", daemon=True)

    def start(self) -> None:
        """Begin to make spans."""
        self._thread.start()

    def observe(self, entries: Sequence[Entry]) -> None:
        """Take decisions, in the order of the log."""
        try:
            self._waiting.put_nowait(entries)
        except queue.Full:
            _log.warning(
                "decisions have no spans, since too many came", extra={"number": len(entries)}
            )

    def close(self) -> None:
        """Export what is left, for `_PATIENCE` seconds at most."""
        # By a thread that the end of the process does not wait for: an exporter may hang.
        end = Thread(target=self._end, name="spans-end", daemon=True)
        end.start()
        end.join(_PATIENCE)
        if end.is_alive():
            _log.warning("spans that were left could not be exported in time")

    def _end(self) -> None:
        self._waiting.put(_END)
        self._thread.join()
        self._provider.shutdown()

    def _run(self) -> None:
        unfinished: list[Entry] = []
        while (entries := self._next(wait=not unfinished)) is not _END:
            calls = _calls([*unfinished, *entries])
            # A chunk that is full may end within a batch, whose rest comes with the next.
            unfinished = calls.pop() if len(entries) >= CHUNK else []
            for call in calls:
                self._safely_add(call)
        if unfinished:
            self._safely_add(unfinished)

    def _next(self, *, wait: bool) -> Sequence[Entry]:
        """Return entries; none if none come soon, unless it is to `wait` for them."""
        try:
            return self._waiting.get(timeout=None if wait else _SOON)
        except queue.Empty:
            return ()

    def _safely_add(self, call: Sequence[Entry]) -> None:
        try:
            self._add(call)
        except Exception:
            # A defect must not end the spans of all decisions to come.
            _log.exception("a span could not be made")

    def _add(self, call: Sequence[Entry]) -> None:
        """Make the span of a call, from its decisions."""
        first, single = call[0], len(call) == 1
        details, decision = first.details, first.decision
        parent = self._parents.extract({"traceparent": details.traceparent}, Context())
        kind = "check" if decision.partial is None else "partial_check"
        cached = _seen(decision.token)
        begin = round(decision.time * 1e6) * 1000  # the clock has microseconds
        span = self._tracer.start_span(
            f"{kind} {decision.api}" if single else f"batch_{kind} {decision.api}",
            parent,
            SpanKind.SERVER,
            {
                **(_of_decision(first) if single else _of_batch(call)),
                "policyd.token.cached": cached,
            },
            start_time=begin,
        )
        if span.is_recording():
            if not single:
                for entry in call:
                    span.add_event("decision", _of_decision(entry), begin)
            failed = next(
                (one.decision for one in call if one.decision.http_status >= _SERVER_ERROR), None
            )
            if failed is not None:
                span.set_attribute("error.type", failed.reason)
                span.set_status(Status(StatusCode.ERROR, failed.message))
        span.end(begin + round(details.duration * len(call) * 1e9))


def _resource() -> Resource:
    """Return what all spans have in common; the variables may name the service."""
    attributes: Attributes = {"service.version": __version__, "process.pid": os.getpid()}
    if "service.name" not in OTELResourceDetector().detect().attributes:
        attributes["service.name"] = "policyd"
    return Resource.create(attributes)


def _calls(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Return the entries of each call, which are adjacent."""
    return [list(call) for _, call in groupby(entries, key=lambda entry: id(entry.details))]


def _seen(token: VerifiedToken | None) -> bool:
    """Tell whether a token had been verified before, and remember that it has been."""
    if token is None:
        return False
    seen = token.memo[SEEN_MEMO] is not None
    token.memo[SEEN_MEMO] = True
    return seen


def _of_batch(call: Sequence[Entry]) -> Attributes:
    return {
        "policyd.api": call[0].decision.api,
        "policyd.revision": call[0].decision.revision,
        "policyd.batch.decisions": len(call),
        "policyd.batch.allowed": sum(entry.decision.allowed for entry in call),
    }


def _of_decision(entry: Entry) -> Attributes:
    decision, item = entry.decision, entry.item
    return {
        "policyd.api": decision.api,
        "policyd.action": item.action,
        "policyd.resource.type": item.resource_type,
        "policyd.effect": _effect(decision),
        "policyd.reason": decision.reason,
        "policyd.rules": decision.rules,
        "policyd.revision": decision.revision,
        "policyd.decision_id": entry.decision_id,
    }


def _effect(decision: Decision) -> str:
    if decision.partial is not None:
        return decision.partial.outcome
    return "allow" if decision.allowed else "deny"
