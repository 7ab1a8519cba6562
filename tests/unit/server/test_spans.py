"""Spans of decisions: which belong together, what they say, and what becomes of a flood."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from policyd.audit import CHUNK, Entry
from policyd.decision.model import Partial
from policyd.reasons import Reason
from policyd.server.spans import Spans, SpansUnusable, open_spans
from policyd.server.traces import asked_for, open_tracing
from tests.support.audit import entry, verified_token

PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


class Kept:
    """Spans, and what they were exported as, once they are closed."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.spans = Spans(self.exporter)
        self.spans.start()

    def made(self) -> Sequence[ReadableSpan]:
        self.spans.close()
        return self.exporter.get_finished_spans()


@pytest.fixture
def kept() -> Kept:
    return Kept()


def batch(number: int) -> list[Entry]:
    """Return the decisions of one call."""
    first = entry("d-0")
    details = msgspec.structs.replace(first.details, traceparent=PARENT)
    return [msgspec.structs.replace(entry(f"d-{n}"), details=details) for n in range(number)]


def test_a_batch_is_one_span_however_it_is_cut(kept: Kept) -> None:
    entries = [*batch(10), *batch(CHUNK), entry()]
    kept.spans.observe(entries[:CHUNK])
    kept.spans.observe(entries[CHUNK:])
    short, long, single = kept.made()
    for span, number in ((short, 10), (long, CHUNK)):
        assert span.name == "batch_check health"
        assert span.attributes is not None
        assert span.attributes["policyd.batch.decisions"] == number
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == "cd" * 8
    assert single.name == "check health"


def test_a_batch_that_fills_a_chunk_does_not_wait_for_ever(kept: Kept) -> None:
    kept.spans.observe(batch(CHUNK))
    (span,) = kept.made()
    assert span.name == "batch_check health"


def test_times_are_the_engines_and_the_decisions(kept: Kept) -> None:
    kept.spans.observe([entry()])
    kept.spans.observe(batch(3))
    single, several = kept.made()
    assert single.start_time == several.start_time == 1_800_000_000_250_000_000
    assert single.end_time == 1_800_000_000_250_012_300
    assert several.end_time == 1_800_000_000_250_036_900


def test_a_token_is_cached_from_its_second_use_on(kept: Kept) -> None:
    one, other = verified_token(), verified_token()
    kept.spans.observe([entry(token=token) for token in (one, one, other, None, one)])
    cached = [(span.attributes or {})["policyd.token.cached"] for span in kept.made()]
    assert cached == [False, True, False, False, True]


def test_what_policyd_cannot_judge_is_an_error_and_a_deny_is_none(kept: Kept) -> None:
    refused: list[Entry] = []
    for reason, status in ((Reason.KEYS_UNAVAILABLE, 503), (Reason.NO_RULE_ALLOWS, 403)):
        fine = entry()
        decision = msgspec.structs.replace(
            fine.decision, allowed=False, reason=reason, http_status=status, message="why"
        )
        refused.append(msgspec.structs.replace(fine, decision=decision))
    kept.spans.observe(refused)
    failed, sound = kept.made()
    assert (failed.status.is_ok, failed.status.description) == (False, "why")
    assert (failed.attributes or {})["error.type"] == "KEYS_UNAVAILABLE"
    assert sound.status.is_ok or sound.status.is_unset
    assert (sound.attributes or {})["policyd.effect"] == "deny"


def test_an_answer_with_unknown_facts_says_so(kept: Kept) -> None:
    sound = entry()
    partial = msgspec.structs.replace(sound.decision, partial=Partial("maybe"))
    kept.spans.observe([msgspec.structs.replace(sound, decision=partial)])
    (span,) = kept.made()
    assert span.name == "partial_check health"
    assert (span.attributes or {})["policyd.effect"] == "maybe"


class Stuck(SpanExporter):
    """Takes one batch, and hangs."""

    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.gate.wait()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.gate.set()


def test_a_flood_waits_nowhere_and_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    spans = Spans(InMemorySpanExporter())  # not started: nobody takes anything
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            spans.observe([entry()])
    assert "decisions have no spans" in caplog.text


def test_an_exporter_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("policyd.server.spans._PATIENCE", 0.05)
    stuck = Stuck()
    spans = Spans(stuck)
    spans.start()
    spans.observe([entry()])
    with caplog.at_level(logging.WARNING):
        spans.close()
    assert "could not be exported in time" in caplog.text
    stuck.gate.set()


def test_a_defect_costs_one_span(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    broken = msgspec.structs.replace(entry(), details=None)
    kept.spans.observe([broken, entry()])
    assert len(kept.made()) == 1
    assert "a span could not be made" in caplog.text


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ({"OTEL_SERVICE_NAME": "a"}, False),
    ],
)
def test_the_variables_ask_for_traces(variables: dict[str, str], wanted: bool) -> None:
    assert asked_for(variables) is wanted


def test_what_cannot_be_exported_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    variables = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier pigeon"}
    with pytest.raises(SpansUnusable, match="carrier pigeon"):
        open_spans(variables)
    assert open_tracing(variables) is None
    assert "there are no traces" in caplog.text
