"""Who gives way to whom, by calls of the test's own and a clock that it moves."""

from __future__ import annotations

import pytest

from policyd.config.limits import Limits
from policyd.pdp.calls import CallFailed
from policyd.server.transport.places import Share
from policyd.server.transport.room import (
    GAVE_WAY,
    NOT_RECEIVED,
    NOT_TAKEN,
    WINDOW,
    Room,
)

HOLDS = 1000 + WINDOW


class FakeCall:
    """A call that notes why it was ended."""

    def __init__(self, connection: str = "a") -> None:
        self.share: Share | None = None
        self.held = 0
        self.stuck_since: float | None = None
        self.ended: CallFailed | None = None
        self._connection = connection.encode()

    def peer(self) -> bytes:
        return self._connection

    def cancel(self, failed: CallFailed) -> None:
        self.ended = failed


def room_of(**limits: int | float) -> Room:
    usual: dict[str, int | float] = {
        "message_bytes": 1000,
        "calls": 4,
        "streams": 2,
        "receive_timeout": 5.0,
        "send_timeout": 3.0,
    }
    made = Room(Limits(**{**usual, **limits}))  # type: ignore[arg-type]  # a number each
    made.now = 0.0
    return made


def receiving(room: Room, connection: str = "a") -> FakeCall:
    call = FakeCall(connection)
    assert room.enter(call, room.calls)
    room.receive(call)
    return call


def test_a_message_that_does_not_arrive_ends_its_call() -> None:
    room = room_of()
    late, on_time = receiving(room), receiving(room)
    room.received(on_time)
    room.now = 5.1
    room.look()
    assert (late.ended, on_time.ended) == (NOT_RECEIVED, None)
    assert (len(room.calls.calls), room.held) == (1, 0)


def test_an_answer_that_is_not_taken_ends_its_call() -> None:
    room = room_of()
    call = receiving(room)
    room.now = 4.9
    room.received(call)
    room.send(call, 10)
    room.now = 7.8
    room.look()
    assert (call.ended, room.held) == (None, 3 * 10 + WINDOW)
    room.now = 8.1
    room.look()
    assert (call.ended, room.held, len(room.calls.calls)) == (NOT_TAKEN, 0, 0)


def test_an_answer_from_another_thread_has_its_time_from_the_next_look_on() -> None:
    room = room_of()
    call = receiving(room)
    room.received(call)
    room.send_from_elsewhere(call, 10)
    room.now = 1.0
    room.look()
    assert room.held == 3 * 10 + WINDOW
    room.now = 4.1
    room.look()
    assert call.ended is NOT_TAKEN


def test_what_is_over_is_counted_out_once() -> None:
    room = room_of()
    call = receiving(room)
    room.send_from_elsewhere(call, 10)
    room.leave(call)
    room.leave(call)
    room.look()
    assert (len(room.calls.calls), room.held, call.ended) == (0, 0, None)


def test_the_oldest_of_the_connection_with_most_gives_way() -> None:
    room = room_of()
    alone, first, second, third = [receiving(room, name) for name in ("b", "a", "a", "a")]
    newcomer = receiving(room, "c")
    assert first.ended is GAVE_WAY
    assert [call.ended for call in (alone, second, third, newcomer)] == [None] * 4
    assert len(room.calls.calls) == 4


def test_a_call_of_few_never_gives_way_while_another_connection_holds_more() -> None:
    room = room_of(calls=64)
    honest = [receiving(room, name) for name in "bbccdd"]
    held = [receiving(room, "a") for _ in range(58)]
    room.now = 1.0  # all of them waited for long
    newcomers = [receiving(room, f"new {number}") for number in range(40)]
    assert [call.ended for call in (*honest, *newcomers)] == [None] * 46
    # Nine at a time, for one newcomer in nine.
    assert [call.ended for call in held] == [GAVE_WAY] * 45 + [None] * 13
    assert len(room.calls.calls) == 64 - 45 + 40


def test_who_asks_much_and_is_answered_holds_no_place() -> None:
    room = room_of(calls=64)
    held = [receiving(room, "a") for _ in range(24)]
    room.now = 1.0
    busy = [receiving(room, "b") for _ in range(40)]
    for call in busy[:30]:
        room.received(call)
        room.queue(call, 10)
    newcomers = [receiving(room, "b") for _ in range(5)]
    assert [call.ended for call in (*busy, *newcomers)] == [None] * 45
    assert held[0].ended is GAVE_WAY


def test_the_heaviest_are_cut_to_the_level_of_the_others() -> None:
    room = room_of(calls=64)
    counts = {"a": 40, "b": 14, "c": 10}
    calls = {name: [receiving(room, name) for _ in range(n)] for name, n in counts.items()}
    room.now = 1.0
    for number in range(28):
        receiving(room, f"new {number}")
    left = [sum(call.ended is None for call in of) for of in calls.values()]
    assert sorted(left) == [9, 9, 10]


def test_a_newcomer_of_the_heaviest_ends_its_own_oldest() -> None:
    room = room_of(calls=16)
    others = [receiving(room, name) for name in ("b", "c")]
    own = [receiving(room, "a") for _ in range(14)]
    newcomer = receiving(room, "a")
    assert [call.ended for call in own] == [GAVE_WAY] * 3 + [None] * 11
    assert [call.ended for call in (*others, newcomer)] == [None] * 3


def test_a_newcomer_of_the_heaviest_ends_no_call_of_others() -> None:
    room = room_of()
    other = receiving(room, "b")
    for _ in range(3):
        room.received(receiving(room, "a"))  # and it is being answered
    assert not room.enter(FakeCall("a"), room.calls)
    assert other.ended is None


def test_calls_of_a_moment_give_way_one_at_a_time() -> None:
    room = room_of(calls=64)
    calls = [receiving(room, str(number)) for number in range(64)]
    receiving(room, "new")
    assert [call.ended for call in calls] == [GAVE_WAY] + [None] * 63


def test_messages_that_wait_for_their_turn_give_way() -> None:
    room = room_of(calls=100, unfinished_bytes=16_000)
    waiting = [receiving(room, name) for name in "baaaaaaaaa"]
    for call in waiting:
        room.received(call)
        for _ in range(2):  # put off twice, and one message
            room.queue(call, 1000)
    assert [call.ended for call in waiting] == [None, GAVE_WAY, GAVE_WAY] + [None] * 7
    assert room.queued == 8000
    for call in waiting[3:]:
        room.answered_from_elsewhere(call)
    room.send(waiting[0], 0)
    room.look()
    assert (room.queued, room.held) == (0, WINDOW)


def test_what_is_being_answered_never_gives_way() -> None:
    room = room_of()
    calls = [receiving(room) for _ in range(4)]
    for call in calls:
        room.received(call)
    assert not room.enter(FakeCall("b"), room.calls)
    assert [call.ended for call in calls] == [None] * 4


def test_a_stream_gives_way_only_to_a_connection_with_fewer() -> None:
    room = room_of()
    streams = [FakeCall("a"), FakeCall("a")]
    for stream in streams:
        assert room.enter(stream, room.streams)
        room.stream(stream)
    assert not room.enter(FakeCall("a"), room.streams)
    room.stream(streams[0])  # it brings a question, so the other is idle for longer
    assert room.enter(FakeCall("b"), room.streams)
    assert [stream.ended for stream in streams] == [None, GAVE_WAY]


def test_methods_that_are_apart_have_places_of_their_own() -> None:
    room = room_of(apart=1)
    for _ in range(4):
        room.received(receiving(room))
    assert not room.enter(FakeCall(), room.calls)
    assert room.enter(FakeCall(), room.calls_apart)
    assert room.enter(FakeCall(), room.streams_apart)


def test_bytes_are_taken_from_calls_that_had_a_fair_time() -> None:
    room = room_of(calls=100, unfinished_bytes=8 * HOLDS)
    slow = [receiving(room) for _ in range(8)]
    room.now = 0.2
    quick = receiving(room, "b")
    assert [call.ended for call in slow] == [GAVE_WAY] * 2 + [None] * 6
    assert quick.ended is None
    assert room.held == 7 * HOLDS


def test_what_may_have_been_said_by_now_makes_no_caller_late() -> None:
    room = room_of(unfinished_bytes=2 * HOLDS, calls=8)
    early = receiving(room)
    room.now, room.behind = 1.0, 0.95
    calls = [receiving(room, "b") for _ in range(3)]
    assert [call.ended for call in (early, *calls)] == [None] * 4
    room.behind = 0.85
    receiving(room, "b")
    assert early.ended == GAVE_WAY


def test_a_place_is_not_taken_from_who_may_have_spoken_by_now() -> None:
    room = room_of(calls=2)
    early = receiving(room)
    room.now, room.behind = 1.0, 0.9
    late = receiving(room, "b")
    newcomer = receiving(room, "b")
    assert (early.ended, late.ended, newcomer.ended) == (None, GAVE_WAY, None)


def test_calls_of_one_moment_may_hold_more() -> None:
    room = room_of(calls=100, unfinished_bytes=8 * HOLDS)
    calls = [receiving(room) for _ in range(20)]
    assert [call.ended for call in calls] == [None] * 20


def test_a_large_answer_that_nobody_takes_gives_way() -> None:
    room = room_of(calls=100, unfinished_bytes=8 * HOLDS)
    unread = receiving(room)
    room.received(unread)
    room.send(unread, 3 * HOLDS)
    room.now = 0.2
    receiving(room, "b")
    assert unread.ended is GAVE_WAY


def test_a_watch_whose_message_is_not_taken_ends() -> None:
    room = room_of()
    watch = FakeCall()
    assert room.enter(watch, room.watches)
    room.watch(watch)
    room.now = 100.0
    room.look()
    assert watch.ended is None
    watch.stuck_since = 96.0
    room.now = 101.0
    room.look()
    assert watch.ended is NOT_TAKEN


def test_the_daemons_own_work_makes_no_caller_late() -> None:
    room = room_of()
    room.pass_time(ready=room.heard, heard=room.heard)
    began, heard = room.now, room.heard
    room.pass_time(ready=heard + 30.0, heard=heard + 30.5)
    assert 0.5 <= room.now - began < 0.6


def test_a_connection_whose_calls_gave_way_rests_and_others_do_not() -> None:
    room = room_of(calls=4)
    heavy = [receiving(room, "heavy") for _ in range(4)]
    room.now = 1.0
    other = FakeCall("other")
    assert room.enter(other, room.calls)
    assert [call.ended for call in heavy] == [GAVE_WAY, None, None, None]
    assert not room.enter(FakeCall("heavy"), room.calls)
    room.leave(other)
    assert room.enter(FakeCall("other"), room.calls)
    room.now = 1.01
    room.leave(heavy[1])
    assert room.enter(FakeCall("heavy"), room.calls)


def test_callers_over_a_unix_socket_do_not_rest_for_each_other() -> None:
    room = room_of(calls=2)
    held = [receiving(room, "unix:") for _ in range(2)]
    room.now = 1.0
    assert room.enter(FakeCall("unix:"), room.calls)
    room.leave(held[1])
    assert room.enter(FakeCall("unix:"), room.calls)


def test_of_lasting_calls_the_counts_follow_each_end() -> None:
    room = room_of(streams=3)
    streams = [FakeCall("a"), FakeCall("a"), FakeCall("b")]
    for stream in streams:
        assert room.enter(stream, room.streams)
        room.stream(stream)
    assert room.streams.holds == {b"a": 2, b"b": 1}
    assert not room.streams.gives_way_to(b"a")
    assert room.streams.gives_way_to(b"b")
    for stream in streams:
        room.leave(stream)
    assert room.streams.holds == {}


@pytest.mark.parametrize(
    ("kind", "lasts"),
    [
        ("calls", False),
        ("calls_apart", False),
        ("streams", True),
        ("watches", True),
        ("streams_apart", True),
    ],
)
def test_each_kind_has_its_places_and_those_that_last_are_kept(kind: str, lasts: bool) -> None:
    """A newcomer of the connection that has most finds no place among calls that last."""
    room = room_of(calls=3, streams=3, apart=3)
    share: Share = getattr(room, kind)
    mine = [FakeCall("a") for _ in range(3)]
    for call in mine:
        assert room.enter(call, share)
        {"calls": room.receive, "streams": room.stream, "watches": room.watch}[
            kind.removesuffix("_apart")
        ](call)
    assert room.enter(FakeCall("a"), share) is not lasts
    assert any(call.ended for call in mine) is not lasts
    assert room.enter(FakeCall("b"), share)
    assert [call.ended for call in mine].count(GAVE_WAY) == (1 if lasts else 2)


def test_what_was_answered_elsewhere_waits_no_more_when_others_come() -> None:
    room = room_of(unfinished_bytes=4000)
    answered, waiting = FakeCall("a"), FakeCall("a")
    for call in (answered, waiting):
        assert room.enter(call, room.calls)
    room.queue(answered, 1500)
    room.answered_from_elsewhere(answered)
    room.queue(waiting, 1500)
    assert (room.queued, answered.held, waiting.held) == (1500, 0, 1500)
    assert answered.ended is waiting.ended is None
    room.queue(waiting, 1500)  # once is enough
    assert room.queued == 1500
