"""Records to a receiver of OTLP: what arrives, what is refused, and what comes again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from policyd.audit.courier import Batches, Courier
from policyd.audit.sinks.http import HttpDestination, HttpSettings, sink_url
from policyd.audit.sinks.otlp import OtlpForm
from policyd.audit.spool import Spool
from tests.support.daemon import PATIENCE
from tests.support.logs import Question, log_lines
from tests.support.otlp import Receiver, receiver

LINES = [
    line.rstrip(b"\n")
    for line in log_lines(Question(sealed=at % 2 == 1, roles=(), at=at) for at in range(10))
]


@pytest.fixture
def received() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def destination(received: Receiver, *, gzip: bool = False) -> HttpDestination:
    url = sink_url(f"{received.http}/v1/logs", insecure=False)
    return HttpDestination(HttpSettings(url, gzip=gzip, timeout=30), form=OtlpForm())


@pytest.mark.parametrize("gzip", [False, True])
def test_a_record_arrives_as_it_is(received: Receiver, gzip: bool) -> None:
    outcome = destination(received, gzip=gzip).deliver(LINES)
    assert outcome.taken == len(LINES)
    assert [log.body for log in received.logs] == [line.decode() for line in LINES]
    for log, line in zip(received.logs, LINES, strict=True):
        record = json.loads(line)
        assert log.event == "policyd.decision"
        assert log.attributes["policyd.decision_id"] == record["decision_id"]
        assert log.attributes["policyd.effect"] == record["effect"]
        assert log.severity == (9 if record["effect"] == "allow" else 13)
        assert log.time == 1_800_000_000 + LINES.index(line)
        assert log.resource["service.name"] == "policyd"
    assert {log.attributes["policyd.effect"] for log in received.logs} == {"allow", "deny"}


def test_what_is_no_decision_arrives_too(received: Receiver) -> None:
    traced = b'{"type":"partial","trace_id":"' + b"ab" * 16 + b'","time":"1969-01-01T00:00:00Z"}'
    lines = [b'{"type":"gap","dropped":3}', traced, b'{"type":7}', b"\xff"]
    assert destination(received).deliver(lines).taken == 4
    assert [log.event for log in received.logs] == [
        *("policyd.gap", "policyd.partial", "policyd.record", "policyd.record"),
    ]
    assert [log.trace for log in received.logs] == ["", "ab" * 16, "", ""]


@contextmanager
def delivering(received: Receiver, folder: Path) -> Iterator[tuple[Spool, Courier]]:
    """Deliver records from a spool, without long waits; both are at rest afterwards."""
    spool, stopping = Spool(folder, 1 << 30), threading.Event()
    made = Courier(
        "otlp",
        destination(received),
        spool,
        Batches(seconds=0.01),
        pause=lambda _: stopping.wait(0.01),
    )
    assert spool.write(b"".join(line + b"\n" for line in LINES))
    made.start()
    try:
        yield spool, made
    finally:
        stopping.set()
        made.stop()
        assert made.join(PATIENCE)
        spool.close()


def test_an_acknowledged_batch_moves_the_cursor_and_a_failure_does_not(
    received: Receiver, tmp_path: Path
) -> None:
    gate = threading.Event()
    received.refusing = lambda: None if gate.is_set() else 503
    with delivering(received, tmp_path / "spool") as (_, made):
        before = made.position
        received.wait(lambda it: it.exports >= 2)
        assert made.position == before
        gate.set()
        received.wait(lambda it: len(it.logs) == len(LINES))
    assert made.figures.retried >= 2
    assert made.figures.delivered == len(LINES)
    assert made.position == before + len(LINES)


def test_the_record_that_a_collector_refuses_is_parked_and_the_others_arrive(
    received: Receiver, tmp_path: Path
) -> None:
    bad = json.loads(LINES[3])["decision_id"]
    received.refusing_logs = lambda logs: (
        400 if any(log.attributes["policyd.decision_id"] == bad for log in logs) else None
    )
    with delivering(received, tmp_path / "spool") as (spool, made):
        received.wait(lambda it: len(it.logs) == len(LINES) - 1)
    assert (made.figures.parked, made.figures.delivered) == (1, len(LINES) - 1)
    assert (spool.folder / "otlp.parked.ndjson").read_bytes() == LINES[3] + b"\n"


def test_a_success_in_part_is_none() -> None:
    answer = ExportLogsServiceResponse()
    assert OtlpForm().problem(answer.SerializeToString()) is None
    assert OtlpForm().problem(b"<html>") is None
    answer.partial_success.error_message = "a warning"
    assert OtlpForm().problem(answer.SerializeToString()) is None
    answer.partial_success.rejected_log_records = 2
    said = OtlpForm().problem(answer.SerializeToString())
    assert said is not None
    assert said.startswith("rejected 2 of them")
