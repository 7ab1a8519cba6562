"""Couriers: in order, at least once, and nothing lost in silence."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from policyd.audit.courier import Batches, Courier
from policyd.audit.delivery import Delivery
from policyd.audit.sinks import FedSink, Outcome, StandardOutput
from policyd.audit.spool import Spool
from tests.support.audit import MemorySink
from tests.support.disk import Disk
from tests.support.spool import Receiver, lines, number, opened


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with opened(tmp_path / "spool", drops=False) as made:
        yield made


class Time:
    """Time that passes when somebody waits; `until` is when the daemon stops."""

    def __init__(self, until: float = math.inf) -> None:
        self.now = 0.0
        self.until = until
        self.waits: list[float] = []

    def pause(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.now >= self.until


def courier(
    spool: Spool, receiver: Receiver, time: Time | None = None, records: int = 10
) -> Courier:
    return Courier(
        "http",
        receiver,
        spool,
        Batches(records),
        lambda: 1_800_000_000.0,
        pause=(time or Time()).pause,
        chance=lambda: 1.0,
    )


def problem(one: Courier | Delivery) -> str | None:
    return one.problem


def parked(spool: Spool) -> list[int]:
    path = spool.folder / "http.parked.ndjson"
    return [number(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_delivers_in_batches_and_moves_its_cursor(spool: Spool) -> None:
    spool.write(lines(0, 95))
    receiver = Receiver()
    one = courier(spool, receiver)
    assert (one.position, one.lag, one.problem) == (0, 95, None)
    one.deliver()
    assert receiver.numbers == list(range(95))
    assert (one.position, one.lag, one.figures.delivered) == (95, 0, 95)
    spool.write(lines(95, 5))
    again = Receiver()
    courier(spool, again).deliver()
    assert again.numbers == list(range(95, 100))


def test_a_sink_that_is_down_for_ten_minutes_loses_nothing(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    time = Time()
    written = 0

    def judge(records: Sequence[bytes]) -> Outcome | None:
        nonlocal written
        if time.now >= 600:
            return None
        spool.write(lines(written, 20))  # the daemon goes on
        written += 20
        return Outcome(0, "answered 503")

    receiver = Receiver(judge)
    spool.write(lines(0, 20))
    written = 20
    one = courier(spool, receiver, time, records=1000)
    one.deliver()
    receiver.judge = None
    one.deliver()
    assert receiver.numbers == list(range(written))
    assert one.figures.retried == len(time.waits)
    assert time.waits[:9] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [record.getMessage() for record in caplog.records] == [
        "records wait for a sink",
        "a sink takes records again",
    ]


def test_waits_as_long_as_it_is_asked_to(spool: Spool) -> None:
    answers = [
        Outcome(0, "answered 429", retry_after=17),
        Outcome(0, "answered 503", retry_after=1e9),
        Outcome(0, "answered 503", retry_after=0),
    ]
    time = Time()
    spool.write(lines(0))
    courier(spool, Receiver(lambda _: answers.pop(0) if answers else None), time).deliver()
    assert time.waits == [17, 3600, 2]


def test_chance_shortens_a_wait_by_half_at_most(spool: Spool) -> None:
    time, answers = Time(), [Outcome(0, "no")] * 3
    spool.write(lines(0))
    one = courier(spool, Receiver(lambda _: answers.pop(0) if answers else None), time)
    one._chance = lambda: 0.0
    one.deliver()
    assert time.waits == [0.25, 0.5, 1]


def refuses(*bad: int) -> Callable[[Sequence[bytes]], Outcome | None]:
    def judge(records: Sequence[bytes]) -> Outcome | None:
        found = set(bad).intersection(map(number, records))
        return Outcome(0, "answered 400", refused=True) if found else None

    return judge


@pytest.mark.parametrize("bad", [(0,), (9,), (3,), (2, 3), (0, 5, 9), range(10), ()])
def test_what_is_refused_is_parked_alone(
    spool: Spool, bad: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    spool.write(lines(0, 25))
    receiver, time = Receiver(refuses(*bad)), Time()
    one = courier(spool, receiver, time)
    one.deliver()
    assert receiver.numbers == [n for n in range(25) if n not in bad]
    assert parked(spool) == list(bad)
    assert (one.figures.parked, one.figures.delivered) == (len(bad), 25 - len(bad))
    assert (one.position, time.waits, problem(one)) == (25, [], None)
    assert caplog.messages == ["a record was refused, and parked"] * len(bad)


def test_what_cannot_be_parked_waits(spool: Spool) -> None:
    path = spool.folder / "http.parked.ndjson"
    path.mkdir()
    time = Time()

    def pause(seconds: float) -> bool:
        assert problem(one) == "a refused record cannot be parked: Is a directory"
        assert one.position == 0
        path.rmdir()
        return time.pause(seconds)

    spool.write(lines(0, 10))
    receiver = Receiver(refuses(4))
    one = courier(spool, receiver, time)
    one._pause = pause
    one.deliver()
    assert receiver.numbers == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert (parked(spool), len(time.waits)) == ([4], 1)


def test_what_is_parked_is_on_the_disk_before_the_cursor_passes_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    disk.broken = {"http.parked.ndjson"}
    spool.write(lines(0, 2))
    one = courier(spool, Receiver(refuses(0)), Time(until=0))
    one.deliver()
    assert (one.position, one.figures.parked) == (0, 0)
    assert "a refused record cannot be parked: the file cannot be put on the disk" in str(
        problem(one)
    )
    disk.broken.clear()
    one.deliver()
    assert (one.position, one.figures.parked, problem(one)) == (2, 1, None)


def test_a_part_that_was_taken_does_not_come_again(spool: Spool) -> None:
    spool.write(lines(0, 10))
    answers = [Outcome(3, "the connection broke"), Outcome(0, "no"), Outcome(2, "no")]
    receiver, time = Receiver(lambda _: answers.pop(0) if answers else None), Time()
    courier(spool, receiver, time).deliver()
    assert receiver.numbers == list(range(10))
    assert time.waits == [0.5, 1, 0.5]


def test_a_destination_that_takes_a_part_and_does_not_say_why_is_given_time(spool: Spool) -> None:
    spool.write(lines(0, 10))
    answers = [Outcome(3)]
    receiver, time = Receiver(lambda _: answers.pop(0) if answers else None), Time(until=0)
    one = courier(spool, receiver, time)
    one.deliver()
    assert (problem(one), time.waits, one.position) == ("it takes no more", [0.5], 3)
    one.deliver()
    assert (problem(one), receiver.numbers) == (None, list(range(10)))


def test_a_stop_keeps_what_was_delivered_and_what_was_not(spool: Spool) -> None:
    spool.write(lines(0, 10))
    answers = [Outcome(3, "the connection broke")]
    receiver = Receiver(lambda _: answers.pop(0) if answers else Outcome(0, "no"))
    one = courier(spool, receiver, Time(until=0))
    one.deliver()
    one.deliver()  # the last try
    assert (receiver.numbers, one.position, one.lag) == ([0, 1, 2], 3, 7)
    receiver.judge = None
    courier(spool, receiver).deliver()
    assert receiver.numbers == list(range(10))


def test_where_records_are_missing_a_gap_is_delivered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, 4096) as spool:
        receiver = Receiver()
        one = courier(spool, receiver, records=1000)
        spool.write(lines(0, 10))
        one.deliver()
        spool.write(lines(10, 1000))
        one.deliver()
        (gap,) = (-n for n in receiver.numbers if n < 0)
        before = receiver.numbers.index(-gap)  # what it had opened, it reads to the end
        assert before >= 10
        assert receiver.numbers == [*range(before), -gap, *range(before + gap, 1010)]
        assert one.figures.missing == gap
        (said,) = [one for one in caplog.records if "records are missing" in one.getMessage()]
        assert (vars(said)["sink"], vars(said)["records"]) == ("http", gap)
        assert (one.position, one.lag) == (1010, 0)


def test_a_gap_that_is_not_taken_comes_again(tmp_path: Path) -> None:
    with opened(tmp_path, 4096) as spool:
        answers = [Outcome(0, "no"), Outcome(0, "no")]
        receiver = Receiver(lambda _: answers.pop(0) if answers else None)
        one = courier(spool, receiver, records=1000)
        spool.write(lines(0, 1000))
        one.deliver()
        gap = -receiver.numbers[0]
        assert receiver.numbers == [-gap, *range(gap, 1000)]


def test_a_damaged_cursor_begins_with_the_oldest(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.write(lines(0, 10))
    courier(spool, Receiver()).deliver()
    (spool.folder / "http.cursor").write_bytes(b"what?\n")
    receiver = Receiver()
    courier(spool, receiver).deliver()
    assert receiver.numbers == list(range(10))
    assert "the cursor of a sink is damaged" in caplog.text


def test_a_cursor_that_cannot_be_written_is_a_problem(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.write(lines(0, 10))
    receiver = Receiver()
    one = courier(spool, receiver)
    (spool.folder / "http.cursor").unlink()
    (spool.folder / "http.cursor.new").mkdir()
    for _ in range(2):
        one.deliver()
        assert "the cursor cannot be written" in str(problem(one))
        assert (one.position, one.lag) == (0, 0)
    assert caplog.messages == ["a restart would deliver again"]
    (spool.folder / "http.cursor.new").rmdir()
    spool.write(lines(10, 10))
    one.deliver()
    assert (problem(one), one.position, receiver.numbers) == (None, 20, list(range(20)))


def test_a_defect_of_a_destination_is_a_problem_that_may_pass(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    def judge(records: Sequence[bytes]) -> Outcome | None:
        if not time.waits:
            raise ZeroDivisionError
        return None

    time = Time()
    spool.write(lines(0, 10))
    receiver = Receiver(judge)
    courier(spool, receiver, time).deliver()
    assert receiver.numbers == list(range(10))
    assert "a sink failed; it goes on" in caplog.text


def test_sinks_have_their_own_pace_and_the_slowest_keeps_the_segments(spool: Spool) -> None:
    fast, slow = Receiver(), Receiver(lambda _: Outcome(0, "it hangs"))
    couriers = [
        Courier("fast", fast, spool, pause=Time().pause),
        Courier("slow", slow, spool, pause=Time(until=0).pause),
    ]
    delivery = Delivery(spool, couriers)
    delivery.write(lines(0, 500))
    for one in couriers:
        one.deliver()
    delivery.look()
    assert (len(fast.numbers), slow.numbers, spool.begin) == (500, [], 0)
    assert problem(delivery) == "the sink `slow`: it hangs; 500 records wait for it"
    slow.judge = None
    couriers[1].deliver()
    delivery.look()
    assert (slow.numbers == fast.numbers, problem(delivery)) == (True, None)
    assert spool.begin > 0


def test_what_other_processes_left_is_delivered_beside_the_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Spools of workers that there are no more have couriers and no writer."""
    spool = Spool(tmp_path / "own")
    receivers = {name: Receiver() for name in ("own", "left")}
    other = Spool(tmp_path / "other", segment_bytes=2048)
    other.write(lines(0, 200))
    couriers = {
        "own": Courier("own", receivers["own"], spool, Batches(seconds=1e6)),
        "left": Courier("left", receivers["left"], other, Batches(seconds=1e6)),
    }
    left = Delivery(other, [couriers["left"]])
    delivery = Delivery(spool, [couriers["own"]], [left])
    couriers["left"]._trouble = "it hangs"
    assert problem(delivery) == "the sink `left`: it hangs; 200 records wait for it"
    couriers["left"]._trouble = None
    delivery.write(lines(500))
    couriers["own"]._trouble = "it sleeps"
    assert problem(delivery) == "the sink `own`: it sleeps; 1 record waits for it"
    spool.problem = "the spool is full"
    assert problem(delivery) == "the spool is full", "which comes first"
    couriers["own"]._trouble = spool.problem = None
    couriers["left"].deliver()
    delivery.look()
    assert len(list(other.folder.glob("*.segment"))) == 1
    delivery.start()
    assert {"decision-log-own", "decision-log-left"} <= {one.name for one in threading.enumerate()}
    delivery.reopen()
    delivery.close()
    assert (receivers["own"].numbers, receivers["left"].numbers) == ([500], list(range(200)))
    assert [(one.reopened, one.closed) for one in receivers.values()] == [(1, True)] * 2
    for folder in (spool.folder, other.folder):
        Spool(folder).close()
    assert "did not end in time" not in caplog.text


def test_delivers_in_threads_and_at_the_end_what_is_left(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    receivers = [Receiver(), Receiver()]
    couriers = [
        Courier(f"r{n}", one, spool, Batches(seconds=1e6)) for n, one in enumerate(receivers)
    ]
    delivery = Delivery(spool, couriers)
    delivery.start()
    assert {"decision-log-r0", "decision-log-r1"} <= {one.name for one in threading.enumerate()}
    delivery.write(lines(0, 3000))
    delivery.reopen()
    couriers[0].stop()
    assert couriers[0].join(30)
    for one in couriers[1:]:
        one.stop()
        assert one.join(30)
    assert [one.numbers for one in receivers] == [list(range(3000))] * 2
    assert [(one.reopened, one.closed) for one in receivers] == [(1, True)] * 2
    assert [one._reader._descriptor for one in couriers] == [-1, -1]
    assert caplog.records == []


def test_a_sink_that_hangs_does_not_hold_the_end_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    gate, entered = threading.Event(), threading.Event()

    def judge(records: Sequence[bytes]) -> Outcome | None:
        entered.set()
        gate.wait()
        return None

    receiver = Receiver(judge)
    one = Courier("http", receiver, spool, Batches(10, seconds=0.0))
    idle = Courier("idle", Receiver(), spool)
    delivery = Delivery(spool, [idle, one], last=0.01)
    one.start()
    delivery.write(lines(0, 30))
    assert entered.wait(30)
    delivery.close()
    (late,) = [one for one in caplog.records if "did not end in time" in one.getMessage()]
    assert (vars(late)["sink"], vars(late)["left"]) == ("http", 30)
    with pytest.raises(BlockingIOError):  # it still runs, so nobody else may begin
        Spool(tmp_path)
    gate.set()
    assert one.join(30)
    assert receiver.numbers == list(range(10))  # it ended with its batch
    os.close(spool._lock)
    with opened(tmp_path) as again:
        rest = Receiver()
        Courier("http", rest, again).deliver()
        assert rest.numbers == list(range(10, 30))


def test_without_records_the_disk_is_left_alone(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    spool.write(lines(0, 10))
    one = courier(spool, Receiver())
    one.deliver()
    assert "http.cursor.new" in disk.taken()
    one.deliver()
    assert disk.taken() == []


def test_a_sink_of_the_log_is_a_destination_once_it_has_settled() -> None:
    sink = MemorySink()
    fed = FedSink(sink)
    records = lines(0, 4).splitlines()
    sink.room = len(records[0]) * 2.5
    sink.unsettled = "the disk is gone"
    assert fed.deliver(records) == Outcome(0, "the disk is gone")
    sink.room = math.inf
    sink.unsettled = None
    first = fed.deliver(records)
    assert first.taken == 2
    assert fed.deliver(records[2:]) == Outcome(2)
    assert sink.data == lines(0, 4)
    fed.reopen()
    fed.close()
    assert (sink.reopened, sink.closed, sink.looks) == (1, True, 2)


def test_a_record_that_is_taken_in_three_parts_is_written_once() -> None:
    class Narrow(MemorySink):
        """Takes four bytes at a time, and does not say why."""

        def write(self, data: bytes) -> int:
            self.data += data[:4]
            return len(data[:4])

    sink = Narrow()
    fed = FedSink(sink)
    records = [b"0123456789", b"ab"]
    for _ in range(2):
        assert fed.deliver(records) == Outcome(0, "no more is taken")
    assert fed.deliver(records) == Outcome(1, "no more is taken")
    assert fed.deliver(records[1:]) == Outcome(1)
    assert sink.data == b"0123456789\nab\n"


def test_a_pipe_that_takes_half_a_record_gets_the_other_half() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    fed = FedSink(StandardOutput(write, patience=0))
    records = [json.dumps({"n": n, "x": "y" * 50_000}).encode() for n in range(5)]
    got, left = b"", records
    while left:
        outcome = fed.deliver(left)
        left = left[outcome.taken :]
        got += os.read(read, 70_000)
    os.close(write)
    while data := os.read(read, 1 << 20):
        got += data
    os.close(read)
    assert got.splitlines() == records


def test_a_spool_that_cannot_be_read_is_a_problem_and_defects_end_nothing(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    one = courier(spool, receiver)
    spool.write(lines(0, 3))
    (path,) = spool.folder.glob("*.segment")
    away = path.rename(path.with_suffix(".away"))
    one.deliver()
    assert problem(one) == "the spool cannot be read: No such file or directory"
    away.rename(path)

    def fail() -> None:
        raise ZeroDivisionError

    receiver.reopen = fail  # type: ignore[method-assign]
    one.reopen()
    one.deliver()
    one.deliver()
    assert (receiver.numbers, problem(one)) == ([0, 1, 2], None)
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 2


def test_with_a_damaged_cursor_what_is_long_gone_is_no_gap(tmp_path: Path) -> None:
    with opened(tmp_path, 4096) as spool:
        spool.write(lines(0, 1000))
        begin = spool.begin
        assert begin > 0
        (tmp_path / "http.cursor").write_bytes(b"what?\n")
        receiver = Receiver()
        courier(spool, receiver).deliver()
        assert receiver.numbers == list(range(begin, 1000))


def test_a_cursor_that_is_behind_is_saved_as_soon_as_it_can_be(spool: Spool) -> None:
    spool.write(lines(0, 10))
    one = courier(spool, Receiver())
    (spool.folder / "http.cursor").unlink()
    (spool.folder / "http.cursor.new").mkdir()
    one.deliver()
    (spool.folder / "http.cursor.new").rmdir()
    one.deliver()  # though nothing has come
    assert (problem(one), one.position) == (None, 10)


def test_its_thread_keeps_no_process_alive_and_need_not_have_begun(spool: Spool) -> None:
    receiver = Receiver()
    one = Courier("http", receiver, spool, Batches(seconds=1e6))
    assert one.join(0)
    one.start()
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "decision-log-http")
    assert thread.daemon
    one.stop()
    assert one.join(30)
    assert (receiver.closed, receiver.reopened, one._reader._descriptor) == (True, 0, -1)
