"""The queue between decisions and the sink: nothing is lost in silence."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from policyd.audit import DecisionLog, Entry, FileSink, Mask, Recorder
from tests.support.audit import MemorySink, entry


def log(sink: MemorySink, capacity: int = 100) -> DecisionLog:
    return DecisionLog(Recorder(Mask()), sink, capacity, clock=lambda: 1_800_000_001.0)


def written(sink: MemorySink) -> list[dict[str, object]]:
    return [json.loads(line) for line in sink.data.splitlines() if line]


def test_writes_what_was_appended_in_order() -> None:
    sink = MemorySink()
    decisions = log(sink, capacity=5000)
    decisions.start()
    for n in range(1000):
        decisions.append(entry(f"d-{n}"))
    decisions.extend([entry("x"), entry("y")])
    decisions.close()
    names = [line["decision_id"] for line in written(sink)]
    assert names == [*(f"d-{n}" for n in range(1000)), "x", "y"]
    assert decisions.dropped == 0
    assert sink.closed


def test_drops_the_oldest_when_full_and_says_how_many() -> None:
    sink = MemorySink()
    decisions = log(sink, capacity=3)
    for n in range(5):
        decisions.append(entry(f"d-{n}"))
    decisions.extend([entry(f"e-{n}") for n in range(2)])
    decisions.start()
    decisions.close()
    gap, *rest = written(sink)
    assert (gap["type"], gap["dropped"]) == ("gap", 4)
    assert [line["decision_id"] for line in rest] == ["d-4", "e-0", "e-1"]
    assert decisions.dropped == 4


def test_a_sink_that_fails_costs_its_records_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MemorySink()
    decisions = log(sink)
    sink.broken = True
    decisions.append(entry("lost"))
    decisions.drain()
    decisions.append(entry("lost too"))
    decisions.drain()
    sink.broken = False
    decisions.append(entry("kept"))
    decisions.drain()
    decisions.append(entry("kept too"))
    decisions.drain()
    lines = written(sink)
    assert [line.get("decision_id", line.get("dropped")) for line in lines] == [
        "kept",
        2,
        "kept too",
    ]
    assert decisions.dropped == 2
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("decision records cannot be written") == 1
    assert messages.count("decision records can be written again") == 1


class Defective(Recorder):
    """Fails where an entry is called `bad`."""

    def lines(self, entries: Sequence[Entry]) -> bytes:
        if any(one.decision_id == "bad" for one in entries):
            raise RecursionError
        return super().lines(entries)


def test_a_record_that_cannot_be_encoded_does_not_end_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MemorySink()
    decisions = DecisionLog(Defective(Mask()), sink)
    decisions.append(entry("bad"))
    decisions.drain()
    decisions.append(entry("good"))
    decisions.drain()
    assert written(sink)[-1]["decision_id"] == "good"
    assert decisions.dropped == 1
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_a_sink_that_takes_nothing_does_not_hold_the_end_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MemorySink()
    decisions = log(sink)
    sink.gate.clear()
    decisions.append(entry("stuck"))
    decisions.start()
    assert sink.entered.wait(30)
    decisions.append(entry("waits"))
    decisions.close(timeout=0.01)
    assert not sink.closed
    assert "does not take records" in caplog.text
    sink.gate.set()
    decisions.close()
    assert [line["decision_id"] for line in written(sink)] == ["stuck", "waits"]


def test_a_file_is_appended_to_and_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for data in (b"one\n", b"two\n"):
        sink = FileSink(path)
        sink.write(data)
        sink.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o007 == 0


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        FileSink(tmp_path / "nowhere" / "log")


def test_shows_each_chunk_before_it_is_written() -> None:
    sink, seen = MemorySink(), list[list[str]]()

    def observe(entries: Sequence[Entry]) -> None:
        assert sink.data.count(b"\n") == sum(map(len, seen))
        seen.append([one.decision_id for one in entries])

    decisions = DecisionLog(Recorder(Mask()), sink, 1000, observe=observe)
    decisions.extend([entry(f"d-{n}") for n in range(600)])
    assert (decisions.waiting, seen) == (600, [])
    decisions.drain()
    assert decisions.waiting == 0
    assert [name for chunk in seen for name in chunk] == [f"d-{n}" for n in range(600)]
    assert len(seen) == 2


def test_an_observer_that_fails_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    def observe(entries: Sequence[Entry]) -> None:
        raise ZeroDivisionError

    sink = MemorySink()
    decisions = DecisionLog(Recorder(Mask()), sink, observe=observe)
    decisions.append(entry("kept"))
    decisions.drain()
    assert [line["decision_id"] for line in written(sink)] == ["kept"]
    assert decisions.dropped == 0
    assert "could not be observed" in caplog.text
