"""The queue between decisions and the sink: nothing is lost in silence."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Iterator, Sequence

import pytest

from policyd.audit import DecisionLog, Entry, Mask, Recorder
from tests.support.audit import MemorySink, entry


def log(sink: MemorySink, capacity: int = 100) -> DecisionLog:
    return DecisionLog(Recorder(Mask()), sink, capacity, clock=lambda: 1_800_000_001.0)


def written(sink: MemorySink) -> list[dict[str, object]]:
    return [json.loads(line) for line in sink.data.splitlines() if line]


def test_writes_what_was_appended_in_order(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    decisions = log(sink, capacity=5000)
    decisions.start()
    for n in range(1000):
        decisions.append(entry(f"d-{n}"))
    decisions.extend([entry("x"), entry("y")], 0)
    decisions.close()
    names = [line["decision_id"] for line in written(sink)]
    assert names == [*(f"d-{n}" for n in range(1000)), "x", "y"]
    assert decisions.dropped == 0
    assert sink.closed
    assert caplog.records == []


def test_of_a_large_call_little_waits() -> None:
    decisions = log(MemorySink())
    decisions.extend([entry(note="x" * 1_000_000)], 1_000_000)
    assert decisions.waiting == 1
    assert 0 < decisions.waiting_bytes < 5000  # no rule can read the note


def test_the_log_has_one_thread_of_its_own_by_name() -> None:
    decisions = log(MemorySink())
    decisions.start()
    assert "decision-log" in {thread.name for thread in threading.enumerate()}
    decisions.close()
    assert "decision-log" not in {thread.name for thread in threading.enumerate()}


def test_drops_the_oldest_when_full_and_says_how_many(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    decisions = log(sink, capacity=3)
    for n in range(5):
        decisions.append(entry(f"d-{n}"))
    decisions.extend([entry(f"e-{n}") for n in range(2)], 0)
    decisions.start()
    decisions.close()
    gap, *rest = written(sink)
    assert gap == {"type": "gap", "schema": 1, "time": "2027-01-15T08:00:01Z", "dropped": 4}
    (said,) = [one for one in caplog.records if one.message == "decision records were dropped"]
    assert (vars(said)["dropped"], vars(said)["total"]) == (4, 4)
    assert [line["decision_id"] for line in rest] == ["d-4", "e-0", "e-1"]
    assert decisions.dropped == 4


def test_further_lines_follow_the_decisions_before_them() -> None:
    sink = MemorySink()
    decisions = log(sink)
    decisions.append(entry("d-0"))
    assert decisions.note(b'{"type":"shadow"}\n')
    assert decisions.waiting == 2
    decisions.drain()
    assert [line["type"] for line in written(sink)] == ["decision", "shadow"]
    assert decisions.waiting == 0


def test_further_lines_that_find_no_room_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policyd.audit.log._NOTES", 2)
    sink = MemorySink()
    sink.room = 0
    decisions = log(sink)
    line = b'{"type":"shadow"}\n'
    assert [decisions.note(line) for _ in range(3)] == [True, True, False]
    decisions.start()
    decisions.close()
    assert decisions.dropped == 2


def names(sink: MemorySink) -> list[object]:
    """Return the identifiers of decisions, and the counts of gaps."""
    return [line.get("decision_id", line.get("dropped")) for line in written(sink)]


def test_what_a_sink_does_not_take_is_given_to_it_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MemorySink()
    decisions = log(sink)
    sink.room = 0
    for name in ("first", "second", "third"):
        decisions.append(entry(name))
        decisions.drain()
    assert (names(sink), decisions.waiting, decisions.dropped) == ([], 3, 0)
    assert (decisions.writable, decisions.problem) == (False, "No space left on device")
    sink.room = math.inf
    decisions.append(entry("fourth"))
    decisions.drain()
    assert names(sink) == ["first", "second", "third", "fourth"]
    assert (decisions.waiting, decisions.dropped) == (0, 0)
    assert (decisions.writable, decisions.problem) == (True, None)
    assert [record.getMessage() for record in caplog.records] == [
        "decision records cannot be written",
        "decision records can be written again",
    ]


def test_all_that_was_taken_from_the_queue_waits_until_it_is_written() -> None:
    sink = MemorySink()
    recorder = Recorder(Mask())
    decisions = DecisionLog(Slow(Mask()), sink, 1000)
    sink.room = len(recorder.lines([entry("d-0")]))
    decisions.extend([entry(f"d-{n}") for n in range(9)], 0)
    assert decisions.waiting == 9
    decisions.drain()
    assert (names(sink), decisions.waiting) == (["d-0"], 8)


class Slow(Recorder):
    """Makes a portion of each entry."""

    def portions(self, entries: Sequence[Entry]) -> Iterator[tuple[bytes, int]]:
        for one in entries:
            yield from super().portions([one])


def test_of_records_that_are_written_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    decisions = log(sink)
    for name in ("first", "second"):
        decisions.append(entry(name))
        decisions.drain()
    decisions.drain()
    assert (names(sink), sink.looks) == (["first", "second"], 3)
    assert caplog.records == []


def test_a_sink_that_does_not_say_what_is_wrong_is_one_that_takes_nothing() -> None:
    class Silent(MemorySink):
        def write(self, data: bytes) -> int:
            return 0

    decisions = log(Silent())
    decisions.append(entry())
    decisions.drain()
    assert (decisions.writable, decisions.problem) == (False, "the sink takes no records")


def test_a_sink_that_breaks_does_not_end_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemorySink):
        def look(self) -> None:
            super().look()
            if self.looks == 1:
                raise ZeroDivisionError

    sink = Broken()
    decisions = log(sink)
    decisions.append(entry("kept"))
    decisions.drain()
    assert (names(sink), "the decision log failed; it goes on" in caplog.text) == ([], True)
    decisions.drain()
    assert names(sink) == ["kept"]


def test_the_thread_of_the_log_does_not_keep_a_process_alive() -> None:
    before = set(threading.enumerate())
    decisions = log(MemorySink())
    decisions.start()
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    decisions.close()


@pytest.mark.parametrize("lines", range(4))
def test_a_batch_of_which_some_lines_were_taken_goes_on_at_the_next(lines: int) -> None:
    sink = MemorySink()
    decisions = log(sink)
    sink.room = len(Recorder(Mask()).lines([entry("d-0")])) * (lines + 0.5)
    decisions.extend([entry(f"d-{n}") for n in range(4)], 0)
    decisions.drain()
    assert names(sink) == [f"d-{n}" for n in range(lines)]
    assert decisions.waiting == 4 - lines
    sink.room = math.inf
    decisions.drain()
    assert names(sink) == [f"d-{n}" for n in range(4)]
    assert (decisions.waiting, decisions.dropped) == (0, 0)


def test_a_gap_stands_where_records_are_missing_and_tells_each_once() -> None:
    sink = MemorySink()
    decisions = log(sink, capacity=2)
    sink.room = 0
    decisions.append(entry("taken"))  # by the thread, which goes on to hold it
    decisions.drain()
    for n in range(5):
        decisions.append(entry(f"d-{n}"))
    decisions.drain()
    sink.room = len(Recorder(Mask()).lines([entry("taken")]))
    decisions.drain()  # now the gap is under way, and is not taken
    for n in range(5, 9):
        decisions.append(entry(f"d-{n}"))
    decisions.drain()
    assert decisions.dropped == 5
    sink.room = math.inf
    decisions.drain()
    assert names(sink) == ["taken", 3, "d-3", "d-4", 2, "d-7", "d-8"]
    assert decisions.dropped == 5


def test_what_could_never_be_written_is_counted_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MemorySink()
    decisions = log(sink)
    sink.room = len(Recorder(Mask()).lines([entry("d-0")]))
    decisions.extend([entry(f"d-{n}") for n in range(3)], 0)
    decisions.start()
    decisions.close()
    assert names(sink) == ["d-0"]
    assert (decisions.dropped, decisions.waiting, sink.closed) == (2, 0, True)
    (said,) = [
        one for one in caplog.records if one.message == "decision records were never written"
    ]
    assert (said.levelname, vars(said)["dropped"]) == ("ERROR", 2)


def test_opens_its_sink_anew_when_asked() -> None:
    sink = MemorySink()
    decisions = log(sink)
    decisions.drain()
    assert sink.reopened == 0
    decisions.reopen()
    for _ in range(2):
        decisions.drain()
    assert sink.reopened == 1


def test_a_sink_may_have_a_trouble_and_take_records() -> None:
    sink = MemorySink()
    decisions = log(sink)
    sink.problem = "the old file goes on"
    assert (decisions.writable, decisions.problem) == (True, "the old file goes on")


class Defective(Recorder):
    """Fails where an entry is called `bad`."""

    def portions(self, entries: Sequence[Entry]) -> Iterator[tuple[bytes, int]]:
        for one in entries:
            if one.decision_id == "bad":
                raise RecursionError
            yield from super().portions([one])


def test_a_record_that_cannot_be_encoded_does_not_end_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MemorySink()
    decisions = DecisionLog(Defective(Mask()), sink)
    decisions.append(entry("bad"))
    decisions.drain()
    decisions.append(entry("good"))
    decisions.drain()
    assert names(sink) == [1, "good"]
    assert (decisions.dropped, decisions.waiting) == (1, 0)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_an_error_within_a_chunk_costs_what_follows_in_it() -> None:
    sink = MemorySink()
    decisions = DecisionLog(Defective(Mask()), sink)
    decisions.extend([entry("good"), entry("bad"), entry("lost")], 0)
    decisions.drain()
    assert names(sink) == ["good", 2]
    assert (decisions.dropped, decisions.waiting) == (2, 0)


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
    blocked = "the decision log's sink is blocked; records were not written"
    (said,) = [one for one in caplog.records if one.message == blocked]
    assert (said.levelname, vars(said)["left"]) == ("ERROR", decisions.waiting)
    assert decisions.waiting > 0
    sink.gate.set()
    decisions.close()
    assert [line["decision_id"] for line in written(sink)] == ["stuck", "waits"]


def test_shows_each_chunk_before_it_is_written() -> None:
    sink, seen = MemorySink(), list[list[str]]()

    def observe(entries: Sequence[Entry]) -> None:
        assert sink.data.count(b"\n") == sum(map(len, seen))
        seen.append([one.decision_id for one in entries])

    decisions = DecisionLog(Recorder(Mask()), sink, 1000, observe=observe)
    decisions.extend([entry(f"d-{n}") for n in range(600)], 0)
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


def test_with_sync_what_was_appended_before_is_on_the_disk() -> None:
    sink = MemorySink()
    decisions = DecisionLog(Recorder(Mask()), sink, durability="sync")
    decisions.start()
    for number in range(1, 4):
        decisions.append(entry(f"d-{number}"))
        assert decisions.settled(10)
        assert len(written(sink)) == number
    decisions.close()


def test_many_that_wait_share_a_write() -> None:
    sink = MemorySink()
    sink.gate.clear()
    decisions = DecisionLog(Recorder(Mask()), sink, durability="sync")
    decisions.start()

    def wait(name: str) -> None:
        decisions.append(entry(name))
        assert decisions.settled(10)

    first = threading.Thread(target=wait, args=("first",))
    first.start()
    assert sink.entered.wait(10)
    others = [threading.Thread(target=wait, args=(f"d-{n}",)) for n in range(8)]
    for one in others:
        one.start()
    while decisions.waiting < 9:
        threading.Event().wait(0.001)
    sink.gate.set()
    for one in (first, *others):
        one.join()
    assert len(written(sink)) == 9
    assert sink.settled < 9
    decisions.close()


def test_where_nothing_can_be_written_nobody_waits() -> None:
    sink = MemorySink()
    sink.room = 0
    decisions = DecisionLog(Recorder(Mask()), sink, durability="sync")
    decisions.append(entry())
    decisions.drain()
    assert decisions.full
    assert not decisions.settled(1e9)
    sink.room = math.inf
    decisions.drain()
    assert not decisions.full


def test_who_waits_for_what_cannot_be_written_is_told_at_once() -> None:
    sink = MemorySink()
    sink.gate.clear()
    sink.room = 0
    decisions = DecisionLog(Recorder(Mask()), sink, durability="sync")
    decisions.append(entry())
    decisions.start()
    told: list[bool] = []
    waiting = threading.Thread(target=lambda: told.append(decisions.settled(1e6)))
    waiting.start()
    assert sink.entered.wait(30)
    sink.gate.set()
    waiting.join(30)
    assert told == [False]
    decisions.close()


def test_with_interval_it_is_put_on_the_disk_each_second() -> None:
    sink, now = MemorySink(), [0.0]
    decisions = DecisionLog(Recorder(Mask()), sink, durability="interval", monotonic=lambda: now[0])
    for moment, settled in ((0.5, 0), (1.0, 1), (1.9, 1), (2.0, 2)):
        now[0] = moment
        decisions.append(entry())
        decisions.drain()
        assert sink.settled == settled
    sink.unsettled = "the disk is gone"
    now[0] = 3.0
    decisions.drain()
    assert decisions.problem == "the disk is gone"
    sink.unsettled = None
    decisions.drain()
    assert decisions.problem is None


def test_where_the_disk_hangs_only_the_first_waits() -> None:
    sink = MemorySink()
    sink.gate.clear()
    decisions = DecisionLog(Recorder(Mask()), sink, durability="sync")
    decisions.start()

    def full() -> bool:
        return decisions.full

    decisions.append(entry("d-1"))
    assert not decisions.settled(0.05)
    assert full()
    decisions.append(entry("d-2"))
    assert not decisions.settled(1e6)  # at once
    sink.gate.set()
    while full():
        threading.Event().wait(0.001)
    decisions.append(entry("d-3"))
    assert decisions.settled(10)
    assert [line["decision_id"] for line in written(sink)] == ["d-1", "d-2", "d-3"]
    decisions.close()
