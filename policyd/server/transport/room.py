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
while one that holds more has a waiting call. The amounts are exact: each call is added once and
subtracted once, however it ends. Only the loop's thread uses this.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from operator import itemgetter

from policyd.server.transport.interface import CallFailed, Limits, StatusCode
from policyd.server.transport.places import Share, Tenant

#: What gRPC takes in of a call beyond its message, before its caller has to wait.
WINDOW = 65_536
#: An answer that waits is held by grpcio and by gRPC; with what allocators keep, measured.
_COPIES = 3
#: Seconds between two looks for calls whose time is over; they may last so much longer.
LOOK = 0.25
#: Places and bytes are made free by up to this part of them, so that each newcomer pays little.
_AT_A_TIME = 8
#: A connection holds few places up to this part of them.
_FEW = 64
#: Seconds of the daemon's own work that count between two times of listening.
_OWN_WORK = 0.02
#: Seconds after which a call that waits is the first to lose its place. In a flood those wait too
#: who did nothing wrong, while the calls of the flood come and go: it is longer than such waits.
_FAIR_FOR_A_PLACE = 0.5

#: Calls that may be ended in a second for newcomers. Past it, the connections that they came by
#: bring no new ones for so long: to end a call takes longer than to answer one.
_ENDS = 500.0
#: All callers over Unix sockets count as one connection, which has this name.
_UNIX = b"unix:"

#: Messages of a watch that may wait for the one before to be taken.
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

    `now` is the time in which callers were listened to, and `heard` when they last were, by
    `time.monotonic`. `fair` is how many seconds of it a call has
    for its message, or for its answer to go, before it may have to give way for its bytes: a caller
    that speaks in time holds none.
    """

    def __init__(self, limits: Limits, fair: float = 0.1) -> None:
        self.calls = Share(limits.calls)
        self.streams = Share(limits.streams, lasting=True)
        self.watches = Share(limits.streams, lasting=True)
        self.calls_apart = Share(limits.apart)
        self.streams_apart = Share(limits.apart, lasting=True)
        self.now = self.heard = time.monotonic()
        self.held = self.queued = 0
        self._fair = fair
        self._most_held = limits.unfinished_bytes
        self._most_queued = limits.unfinished_bytes // 2
        self._message = limits.message_bytes + WINDOW
        self._receive_timeout = limits.receive_timeout
        self._send_timeout = limits.send_timeout
        self._next_look = 0.0
        # The connections that bring no new calls, and until when.
        self._resting: set[bytes] = set()
        self._rested = 0.0
        # Since when they wait, in that order.
        self._receiving: dict[Tenant, float] = {}
        self._queued: dict[Tenant, float] = {}
        self._sending: dict[Tenant, float] = {}
        self._streams: dict[Tenant, float] = {}
        self._watches: dict[Tenant, float] = {}
        self._postponed: deque[tuple[Tenant, int]] = deque()
        self._answered: deque[Tenant] = deque()

    def pass_time(self, ready: float, heard: float) -> None:
        """Move the clock: ready to listen at one time, by `time.monotonic`, and heard at another.

        What lies before is the daemon's own work, of which only a little counts: callers whose
        messages wait to be read are not late.
        """
        self.now += min(ready - self.heard, _OWN_WORK) + heard - ready
        self.heard = heard

    # -- what calls do -------------------------------------------------------------------------

    def enter(self, call: Tenant, share: Share) -> bool:
        """Give the call a place.

        `False` when there is none and nobody to give way, or when so many calls of its connection
        had to give way that it rests.
        """
        if self._resting and self._rests(call.peer()):
            return False
        if len(share.calls) >= share.most and not self._make_places(call, share):
            return False
        share.add(call)
        return True

    def receive(self, call: Tenant) -> None:
        """The call waits for its only message."""
        self._receiving[call] = self.now
        call.held = self._message
        self.held += self._message
        if self.held > self._most_held:
            self._make_bytes(self._late(), _excess(self.held, self._most_held))

    def received(self, call: Tenant) -> None:
        """Its message is there."""
        self._receiving.pop(call, None)
        self.held -= call.held
        call.held = 0

    def queue(self, call: Tenant, size: int) -> None:
        """Its message of `size` bytes waits to be answered, longer than for a moment."""
        self._catch_up()
        if call.share is None or call in self._queued:
            return
        self._queued[call] = self.now
        call.held = size
        self.queued += size
        if self.queued > self._most_queued:
            self._make_bytes(list(self._queued), _excess(self.queued, self._most_queued))

    def dequeued(self, call: Tenant) -> None:
        """It is being answered, or was."""
        if self._queued.pop(call, None) is not None:
            self.queued -= call.held
            call.held = 0

    def send(self, call: Tenant, size: int) -> None:
        """The call waits for its answer of `size` bytes to be taken, and then ends."""
        if call.share is None:  # it is over
            return
        if self._queued:
            self.dequeued(call)
        self._sending[call] = self.now
        call.held = _COPIES * size + WINDOW
        self.held += call.held
        if self.held > self._most_held:
            self._make_bytes(self._late(), _excess(self.held, self._most_held))

    def answered_from_elsewhere(self, call: Tenant) -> None:
        """Have `dequeued` called in time. For any thread, before the answer is sent."""
        self._answered.append(call)

    def _catch_up(self) -> None:
        while self._answered:
            self.dequeued(self._answered.popleft())

    def send_from_elsewhere(self, call: Tenant, size: int) -> None:
        """Have `send` called at the next look. For any thread, before the answer is sent."""
        self._postponed.append((call, size))

    def stream(self, call: Tenant) -> None:
        """The stream brings a question, or begins."""
        self._streams.pop(call, None)
        self._streams[call] = self.now

    def watch(self, call: Tenant) -> None:
        """The watch begins to send."""
        if call.share is not None:
            self._watches[call] = self.now

    def leave(self, call: Tenant) -> None:
        """The call is over. What is over already may leave again."""
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
        """End what has waited too long, if it is time to look again."""
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
        """Free some of the places; `False` where no call gives way to this newcomer.

        Calls that had a fair time are ended first, and only they count: a caller that asks much and
        is answered holds no place for long. Where there are none, one call ends, or more of one
        who holds more than a few. Of calls that last, it is always one.
        """
        own = newcomer.peer()
        if not share.gives_way_to(own):
            return False
        since = self._waiting(share, own)
        limit = self.now - _FAIR_FOR_A_PLACE
        candidates = [call for call in since if since[call] < limit]
        holds, few = Counter(call.peer() for call in candidates), 0
        if share.lasting or not candidates:
            # Those whose messages wait for their turn as well: else, where most of a flood's do,
            # calls of who holds less would end in their place.
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
        """Return since when calls of a kind wait, those that wait longest first.

        Calls that last do not give way to their own connection.
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
        """Return the calls that had a fair time for their message, or for their answer to go."""
        limit = self.now - self._fair
        return _older(self._receiving, limit) + _older(self._sending, limit)

    def _make_bytes(self, candidates: list[Tenant], excess: int) -> None:
        """Free so many bytes, of these calls."""
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
        """End these calls for others; their connections rest for as long as that takes."""
        self._end(leaving, GAVE_WAY)
        connections = {call.peer() for call in leaving}
        self._resting.update(one for one in connections if not one.startswith(_UNIX))
        self._rested = max(self._rested, self.now) + len(leaving) / _ENDS

    def _end(self, calls: Iterable[Tenant], why: CallFailed) -> None:
        for call in calls:
            self.leave(call)
            call.cancel(why)


def _older(waiting: dict[Tenant, float], limit: float) -> list[Tenant]:
    """Return the calls that wait since before `limit`; they stand first."""
    found = []
    for call, since in waiting.items():
        if since >= limit:
            break
        found.append(call)
    return found


def _excess(held: int, most: int) -> int:
    """Return how many bytes to free, where more are held than there may be."""
    return held - most + most // _AT_A_TIME


def _places(_call: Tenant) -> int:
    return 1


def _bytes(call: Tenant) -> int:
    return call.held


def _of_the_heaviest(
    calls: Iterable[Tenant], holds: Counter[bytes], weigh: Callable[[Tenant], int]
) -> Iterator[Tenant]:
    """Yield calls one by one: each time the first one of the connection that now holds most.

    `calls` are in their order, `holds` is what each connection holds. What a call weighs is taken
    from its connection before the next one is looked for. Of connections that hold as much as each
    other, it is the one whose first call stands first.
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
