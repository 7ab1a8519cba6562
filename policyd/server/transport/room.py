"""Limits of the calls that wait for their callers, and the choice of the calls to end.

A call uses memory as long as it waits for its caller: for the message to arrive, or for the answer
to be read. gRPC keeps the received part of a message and the unsent part of an answer, and reports
neither; so a waiting call counts with the maximum that it may hold. A call also waits, and counts
with its message, while others are answered before it. Input: the begin and the end of each wait.
Output: the calls to cancel now.

There are three limits: the time of a wait, the number of calls of one kind (`Share`), and the bytes
of all waiting calls together. At the limit of calls or bytes, the new call stays and a waiting call
ends: the one that has waited longest, of the connection that holds most. So a caller who leaves
calls open loses its own calls first.

Invariants: a call that is being answered is never ended, nor a call of a connection that holds few
calls while a connection that holds more has a waiting call. The amounts are exact: each call is
added once and subtracted once, however it ends. Only the loop's thread uses this.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from operator import itemgetter

from policyd.config.limits import Limits
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.transport.places import Share, Tenant

#: Bytes that gRPC receives for a call beyond its message before flow control stops the caller.
WINDOW = 65_536
#: How many times grpcio and gRPC together hold a waiting answer, allocators included; measured.
_COPIES = 3
#: Seconds between two looks for overdue calls; these may last that much longer.
LOOK = 0.25
#: Up to an eighth of the places and bytes is freed at once, so that each new call pays little.
_AT_A_TIME = 8
#: A connection with at most one place in 64 counts as holding few.
_FEW = 64
#: The most seconds of the daemon's own work that count as waiting time of callers.
_OWN_WORK = 0.02
#: Seconds after which a waiting call is among the first to lose its place. In a flood, calls of
#: honest callers wait too, while those of the flood come and go, so this is longer than such waits.
_FAIR_FOR_A_PLACE = 0.5

#: The most calls ended for new ones in a second. Past that, the connections of the ended calls get
#: no new places for a while, because ending a call costs more than answering one.
_ENDS = 500.0
#: The name of the connection of all callers over Unix sockets, who count as one.
_UNIX = b"unix:"

#: The most messages of a watch that may wait for the caller to take the previous one.
MOST_WAITING = 16

BUSY = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "too many calls at a time")
NOT_RECEIVED = CallFailed(
    StatusCode.DEADLINE_EXCEEDED, "the call's message did not arrive within the receive timeout"
)
NOT_TAKEN = CallFailed(
    StatusCode.DEADLINE_EXCEEDED, "the answer was not taken within the send timeout"
)
GAVE_WAY = CallFailed(
    StatusCode.RESOURCE_EXHAUSTED, "the call waited for its caller, and others needed its place"
)


class Room:
    """The places and bytes of one transport.

    `now` is a clock that only counts time in which the daemon listened to callers; `heard` is when
    it last listened, by `time.monotonic`. What callers sent in the last `behind` seconds may not be
    known yet, so these seconds do not count against a call that might be ended for others. `fair`
    is the time, by this clock, for which a call may wait for its message or for its answer to be
    taken before it may be ended for its bytes: a caller that is in time loses no call.
    """

    def __init__(self, limits: Limits, fair: float = 0.1) -> None:
        self.calls = Share(limits.calls)
        self.streams = Share(limits.streams, lasting=True)
        self.watches = Share(limits.streams, lasting=True)
        self.calls_apart = Share(limits.apart)
        self.streams_apart = Share(limits.apart, lasting=True)
        self.now = self.heard = time.monotonic()
        self.behind = 0.0
        self.held = self.queued = 0
        self._fair = fair
        self._most_held = limits.unfinished_bytes
        self._most_queued = limits.unfinished_bytes // 2
        self._message = limits.message_bytes + WINDOW
        self._receive_timeout = limits.receive_timeout
        self._send_timeout = limits.send_timeout
        self._next_look = 0.0
        # The connections that get no new places, and until when.
        self._resting: set[bytes] = set()
        self._rested = 0.0
        # The waiting calls with the time since when they wait, in that order.
        self._receiving: dict[Tenant, float] = {}
        self._queued: dict[Tenant, float] = {}
        self._sending: dict[Tenant, float] = {}
        self._streams: dict[Tenant, float] = {}
        self._watches: dict[Tenant, float] = {}
        self._postponed: deque[tuple[Tenant, int]] = deque()
        self._answered: deque[Tenant] = deque()

    def pass_time(self, ready: float, heard: float) -> None:
        """Advance the clock: the daemon was ready to listen at one time, and heard an event at
        another, by `time.monotonic`.

        The time before was the daemon's own work, of which only a little counts: callers whose
        messages wait to be read are not late.
        """
        self.now += min(ready - self.heard, _OWN_WORK) + heard - ready
        self.heard = heard

    # -- what calls do -------------------------------------------------------------------------

    def enter(self, call: Tenant, share: Share) -> bool:
        """Give the call a place.

        `False` if all places are taken and no call can be ended, or if so many calls of its
        connection were ended that it gets no new places for a while.
        """
        if self._resting and self._rests(call.peer()):
            return False
        if len(share.calls) >= share.most and not self._make_places(call, share):
            return False
        share.add(call)
        return True

    def receive(self, call: Tenant) -> None:
        """Note that the call waits for its only message."""
        self._receiving[call] = self.now
        call.held = self._message
        self.held += self._message
        if self.held > self._most_held:
            self._make_bytes(self._late(), _excess(self.held, self._most_held))

    def received(self, call: Tenant) -> None:
        """Note that its message has arrived."""
        self._receiving.pop(call, None)
        self.held -= call.held
        call.held = 0

    def queue(self, call: Tenant, size: int) -> None:
        """Note that its message of `size` bytes waits for more than a moment to be answered."""
        self._catch_up()
        if call.share is None or call in self._queued:
            return
        self._queued[call] = self.now
        call.held = size
        self.queued += size
        if self.queued > self._most_queued:
            self._make_bytes(list(self._queued), _excess(self.queued, self._most_queued))

    def dequeued(self, call: Tenant) -> None:
        """Note that the call is being answered, or was."""
        if self._queued.pop(call, None) is not None:
            self.queued -= call.held
            call.held = 0

    def send(self, call: Tenant, size: int) -> None:
        """Note that the call waits for its answer of `size` bytes to be taken, and then ends."""
        if call.share is None:  # the call is over
            return
        if self._queued:
            self.dequeued(call)
        self._sending[call] = self.now
        call.held = _COPIES * size + WINDOW
        self.held += call.held
        if self.held > self._most_held:
            self._make_bytes(self._late(), _excess(self.held, self._most_held))

    def answered_from_elsewhere(self, call: Tenant) -> None:
        """Have `dequeued` called soon. For any thread, before the answer is sent."""
        self._answered.append(call)

    def _catch_up(self) -> None:
        while self._answered:
            self.dequeued(self._answered.popleft())

    def send_from_elsewhere(self, call: Tenant, size: int) -> None:
        """Have `send` called at the next look. For any thread, before the answer is sent."""
        self._postponed.append((call, size))

    def stream(self, call: Tenant) -> None:
        """Note that the stream begins, or that a question arrived."""
        self._streams.pop(call, None)
        self._streams[call] = self.now

    def watch(self, call: Tenant) -> None:
        """Note that the watch begins to send."""
        if call.share is not None:
            self._watches[call] = self.now

    def leave(self, call: Tenant) -> None:
        """Note that the call is over. This may be called again."""
        if call.share is not None:
            call.share.remove(call)
        self.dequeued(call)
        self.held -= call.held
        call.held = 0
        self._sending.pop(call, None)
        self._receiving.pop(call, None)
        self._streams.pop(call, None)
        self._watches.pop(call, None)

    def _rests(self, connection: bytes) -> bool:
        if self.now >= self._rested:
            self._resting.clear()
        return connection in self._resting

    # -- whose time is over --------------------------------------------------------------------

    def look(self) -> None:
        """End the calls that have waited too long, if it is time to look again."""
        now = self.now
        if now < self._next_look:
            return
        self._next_look = now + LOOK
        self._catch_up()
        while self._postponed:
            self.send(*self._postponed.popleft())
        self._end(_older(self._receiving, now - self._receive_timeout), NOT_RECEIVED)
        oldest = now - self._send_timeout
        self._end(_older(self._sending, oldest), NOT_TAKEN)
        stuck = [call for call in self._watches if (call.stuck_since or now) < oldest]
        self._end(stuck, NOT_TAKEN)

    # -- who gives way -------------------------------------------------------------------------

    def _make_places(self, newcomer: Tenant, share: Share) -> bool:
        """Free some places; `False` if no call can be ended for this new one.

        Calls that had a fair time are ended first, and only they count: a caller that asks much and
        takes its answers holds no place for long. If there are none, one call ends, or several of a
        connection that holds more than a few. Of long-lived calls, exactly one ends.
        """
        own = newcomer.peer()
        if not share.gives_way_to(own):
            return False
        since = self._waiting(share, own)
        limit = self.now - self.behind - _FAIR_FOR_A_PLACE
        candidates = [call for call in since if since[call] < limit]
        holds, few = Counter(call.peer() for call in candidates), 0
        if share.lasting or not candidates:
            # This includes calls whose messages wait for their turn. Otherwise, if most calls of a
            # flood do so, calls of connections that hold less would end instead.
            candidates = list(since)
            holds, few = Counter(call.peer() for call in share.calls), share.most // _FEW
        holds[own] += 1
        leaving: list[Tenant] = []
        for call in _of_the_heaviest(candidates, holds, _places):
            peer = call.peer()
            if peer != own and holds[peer] < holds[own]:
                break
            if leaving and holds[peer] <= few:
                break
            leaving.append(call)
            if share.lasting or len(leaving) > share.most // _AT_A_TIME:
                break
        self._give_way(leaving)
        return bool(leaving)

    def _waiting(self, share: Share, own: bytes) -> dict[Tenant, float]:
        """Return the times since when calls of a kind wait, the longest wait first.

        Long-lived calls are not ended for their own connection.
        """
        waiting = (self._receiving, self._queued, self._sending, self._streams, self._watches)
        found = [
            (since, call)
            for calls in waiting
            for call, since in calls.items()
            if call.share is share and not (share.lasting and call.peer() == own)
        ]
        found.sort(key=itemgetter(0))
        return {call: since for since, call in found}

    def _late(self) -> list[Tenant]:
        """Return the calls that had a fair time for their message to arrive, or for their answer to
        be taken."""
        limit = self.now - self.behind - self._fair
        return _older(self._receiving, limit) + _older(self._sending, limit)

    def _make_bytes(self, candidates: list[Tenant], excess: int) -> None:
        """Free that many bytes by ending some of these calls."""
        holds: Counter[bytes] = Counter()
        for call in candidates:
            holds[call.peer()] += call.held
        leaving = []
        for call in _of_the_heaviest(candidates, holds, _bytes):
            leaving.append(call)
            excess -= call.held
            if excess <= 0:
                break
        self._give_way(leaving)

    def _give_way(self, leaving: list[Tenant]) -> None:
        """End these calls for others; their connections get no new places for as long as that
        takes."""
        self._end(leaving, GAVE_WAY)
        connections = {call.peer() for call in leaving}
        self._resting.update(one for one in connections if not one.startswith(_UNIX))
        self._rested = max(self._rested, self.now) + len(leaving) / _ENDS

    def _end(self, calls: Iterable[Tenant], why: CallFailed) -> None:
        for call in calls:
            self.leave(call)
            call.cancel(why)


def _older(waiting: dict[Tenant, float], limit: float) -> list[Tenant]:
    """Return the calls that wait since before `limit`, which come first in order."""
    found = []
    for call, since in waiting.items():
        if since >= limit:
            break
        found.append(call)
    return found


def _excess(held: int, most: int) -> int:
    """Return how many bytes to free: 0 if the calls hold no more than they may."""
    return held - most + most // _AT_A_TIME


def _places(_call: Tenant) -> int:
    return 1


def _bytes(call: Tenant) -> int:
    return call.held


def _of_the_heaviest(
    calls: Iterable[Tenant], holds: Counter[bytes], weigh: Callable[[Tenant], int]
) -> Iterator[Tenant]:
    """Yield calls one by one: each time the first call of the connection that now holds the most.

    `calls` are in order, and `holds` has the amount of each connection. The weight of a yielded
    call is subtracted from its connection before the next one is chosen. Among connections with
    equal amounts, the one with the earliest call comes first.
    """
    queues: dict[bytes, deque[tuple[int, Tenant]]] = {}
    for number, call in enumerate(calls):
        queues.setdefault(call.peer(), deque()).append((number, call))
    heaviest = [(-holds[peer], queue[0][0], peer) for peer, queue in queues.items()]
    heapify(heaviest)
    while heaviest:
        peer = heaviest[0][2]
        queue = queues[peer]
        _, call = queue.popleft()
        weight = weigh(call)
        yield call
        holds[peer] -= weight
        if queue:
            heapreplace(heaviest, (-holds[peer], queue[0][0], peer))
        else:
            heappop(heaviest)
