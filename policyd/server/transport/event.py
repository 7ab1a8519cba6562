"""The transport over gRPC core's completion queue: one thread, and no hand-over between threads.

grpcio's own server passes each call from a polling thread to a pool and back, under several locks,
and that costs more than a check does. Here one thread polls the queue and runs the handlers. It
works in turns: it takes the events that are ready, answers their questions one after another, and
then sends the answers. So gRPC's code and policyd's do not evict each other from the processor's
caches. Under load, that halves the cost of a check, compared with handling each call from start to
end. Large messages, which take longer, are answered `aside`.

A call whose message has not arrived occupies an object and no thread. A stream is a few fields,
advanced by the same loop. The thread that delivers a deferred answer also starts the batch that
sends it.

The layer below (`grpc._cython.cygrpc`) is private to grpcio, though stable over years of releases.
So the daemon tests it at each start (`selftest`), and serves over `standard` if the test fails.
`grpc_core` lists the parts in use.

If the answers of a turn take long, the rest is postponed to the next turn, which begins with the
connections that used the least time so far. So a caller with many expensive questions waits for its
own. If more calls arrive than a turn takes, they are all taken from gRPC first, and begun in turns,
one of each connection (`arrivals`).

Invariants: only the loop's thread touches the state (`event_call` names two exceptions). A turn is
bounded in events and in time, so no call waits for calls that came later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import cast

from policyd.config.limits import Limits
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.transport.arrivals import Arrivals
from policyd.server.transport.aside import SMALL, Aside
from policyd.server.transport.event_call import (
    FLAGS,
    EventCall,
    HandlerAnswer,
    SendAnswer,
    Watching,
)
from policyd.server.transport.grpc_core import Credentials, Event, Operation, load_core
from policyd.server.transport.grpc_options import (
    most_headers,
    server_credentials,
    server_options,
)
from policyd.server.transport.interface import (
    ANYBODY,
    BindFailed,
    CurrentIdentity,
    Door,
    Exchange,
    Method,
    Methods,
    Settling,
    Unary,
    Watch,
)
from policyd.server.transport.refusals import SOON, Refusals
from policyd.server.transport.room import BUSY, GAVE_WAY, LOOK, Room

_log = logging.getLogger(__name__)
_NO_METHOD = CallFailed(StatusCode.UNIMPLEMENTED, "there is no such method")
_TOO_MANY_HEADERS = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "the call has too many headers")
_AT_ONCE = 0.0  # a deadline that is over
#: The most events of a turn; a call makes three.
_EVENTS_PER_TURN = 97
#: The same after a long turn, so that new calls are found before the next question is answered. How
#: often to look again without finding an event: each look reads one connection.
_EVENTS_PER_LONG_TURN, _LOOKS = 480, 64
#: Connections become known only in one of that many turns, because asking for their names takes
#: time.
_TURNS = 16
#: The most waiting calls that are begun in one turn.
_BEGUN_PER_TURN = 64
#: Seconds for which an answer may wait while further events are collected.
_KEPT_WAITING = 0.001
#: Seconds after which the rest of a turn's questions are postponed.
_LONG = 0.005
_OK = 0


class EventTransport:
    """`policyd.server.transport.interface.Transport` over a completion queue.

    `surplus` is the failure of a stream past the limit; `door` identifies callers.
    """

    def __init__(
        self, methods: Methods, limits: Limits, surplus: CallFailed, door: Door = ANYBODY
    ) -> None:
        self._loop = _Loop(methods, limits, surplus, door)

    def bind(self, address: str, identity: CurrentIdentity | None = None) -> str:
        """See `Transport.bind`."""
        port = self._loop.bind(address, identity)
        if address.startswith("unix:"):
            return address
        return f"{address.rpartition(':')[0]}:{port}"

    def settle_with(self, settling: Settling) -> None:
        """See `Transport.settle_with`."""
        self._loop.settling = settling

    def start(self) -> None:
        """See `Transport.start`."""
        self._loop.start()

    def stop(self, grace: float) -> None:
        """See `Transport.stop`."""
        self._loop.stop(grace)

    def turned(self) -> float:
        """See `Transport.turned`."""
        return self._loop.room.heard


_Question = tuple[EventCall, bytes, SendAnswer]


class _Loop:
    """The server, its queue, and the thread that polls it."""

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed, door: Door) -> None:
        core = self.core = load_core()
        self.door = door
        self._methods = {name.encode(): method for name, method in methods.items()}
        self._surplus = surplus
        self._most_headers = most_headers(limits)
        self._queue = core.CompletionQueue()
        self._nothing_yet = core.CompletionType.queue_timeout
        self._server = core.Server(server_options(limits), False)
        self._server.register_completion_queue(self._queue)
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
        self._ended = threading.Event()
        self._stopping = False
        self._empty = False
        self.closing = threading.Lock()
        self.closed = False
        self.room = Room(limits)
        self._refusals = Refusals()
        # Whether the last turn left events behind, or calls wait to be begun.
        self._flooded = False
        self._arrivals: Arrivals[tuple[EventCall, Method]] = Arrivals(_let_go)
        self._asked: list[_Question] = []
        # The time spent on each connection, if the last turn took long.
        self._spent: defaultdict[bytes, float] = defaultdict(float)
        self._aside: Aside[bytes] = Aside()
        self.settling: Settling | None = None
        # Made once: batches may share operations that they do not change.
        self.receive_close: Callable[[int], Operation] = core.ReceiveCloseOnServerOperation
        self.no_metadata = core.SendInitialMetadataOperation(None, FLAGS)
        self.status_ok = core.SendStatusFromServerOperation(None, _OK, b"", FLAGS)

    def bind(self, address: str, identity: CurrentIdentity | None) -> int:
        try:
            if identity is None:
                port = self._server.add_http2_port(address.encode())
            else:
                credentials = cast(Credentials, server_credentials(identity))._credentials
                port = self._server.add_http2_port(address.encode(), credentials)
        except RuntimeError as error:
            raise BindFailed(str(error)) from error
        if not port:
            raise BindFailed(f"Failed to bind to address {address}")
        return port

    def start(self) -> None:
        self._server.start()
        self._request_call()
        self._aside.start()
        self._thread.start()

    def stop(self, grace: float) -> None:
        self._stopping = True
        if self._thread.ident is None:  # it was never started
            self._server.start()
            self._thread.start()
        self._server.shutdown(self._queue, self._on_shut_down)
        if not self._ended.wait(grace):
            self._server.cancel_all_calls()
            self._ended.wait()
        # Cancelled calls with a deferred answer may outlive this.
        with self.closing:
            self.closed = True
        self._aside.close()
        self._server.destroy()
        self._queue.shutdown()
        self._thread.join()

    def ask(self, call: EventCall, message: bytes, send: SendAnswer) -> None:
        """Run a call's handler at the end of the turn, and pass its answer to `send`."""
        self._asked.append((call, message, send))

    def forget(self, call: EventCall) -> None:
        """Release the message of a call that was ended for others."""
        deliver = self._aside.drop(call)
        if deliver is not None:
            deliver(GAVE_WAY)

    def _run(self) -> None:
        if self.settling is not None:
            self.settling.group()
        turn = 0
        while self._take():
            turn += 1
            if self._flooded or not turn % _TURNS:
                for call, _message, _send in self._asked:
                    self._arrivals.know(call.peer())
            if self._flooded:
                self._begin_arrived()
            self._answer()
            if self._refusals:
                self._send_refusals()
            if self._empty:  # only after the answers were sent, because this shuts the queue down
                self._asked.clear()
                self._ended.set()

    def _take(self) -> bool:
        """Wait for an event, and take all others that are ready; `False` if the queue is shut down.

        It waits at most until the next look for calls whose time is over. The layer below wakes up
        as often anyway, to handle signals.
        """
        poll, room = self._queue.poll, self.room
        late = self._flooded or bool(self._spent)
        left, looks = (_EVENTS_PER_LONG_TURN, _LOOKS) if late else (_EVENTS_PER_TURN, 0)
        ready = time.monotonic()
        until = _AT_ONCE if late else time.time() + (SOON if self._refusals else LOOK)
        event = poll(until)
        room.pass_time(ready, time.monotonic())
        while True:
            if event.tag is not None:
                self._advance(event)
            elif event.completion_type != self._nothing_yet:  # shut down and empty
                return False
            elif not looks:
                break
            else:
                looks -= 1
            left -= 1
            if not left:
                break
            event = poll(_AT_ONCE)
        self._flooded = not left or bool(self._arrivals)
        room.look()
        return True

    def _begin_arrived(self) -> None:
        """Begin some of the waiting calls."""
        for _ in range(min(len(self._arrivals), _BEGUN_PER_TURN)):
            self._begin(*self._arrivals.take())

    def _advance(self, event: Event) -> None:
        try:
            cast("Callable[[Event], None]", event.tag)(event)
        except Exception:
            _log.exception("a call could not be advanced")

    def _answer(self) -> None:
        """Answer the questions of this turn, then send the answers."""
        asked, self._asked = self._asked, []
        if self._spent:
            asked = self._least_served_first(asked)
        answers: list[tuple[SendAnswer, HandlerAnswer]] = []
        first = begun = time.monotonic()
        for number, (call, message, send) in enumerate(asked, 1):
            if len(message) > SMALL:
                self.room.queue(call, len(message))
                answers.append((send, self._aside.deferred(call, partial(call.answer, message))))
                continue
            answers.append((send, call.answer(message)))
            now = time.monotonic()
            if now - begun > _KEPT_WAITING:
                self._send(answers)
                # The time is charged to the connection whose answer exceeded it; over many answers,
                # that averages out.
                self._spent[call.peer()] += now - begun
                begun = time.monotonic()
                if begun - first > _LONG:
                    self._postpone(asked[number:])
                    return
        self._send(answers)
        if self._spent:
            self._spent.clear()

    def _postpone(self, rest: list[_Question]) -> None:
        """Postpone questions to the next turn."""
        self._asked = rest
        for call, message, _send in rest:
            self.room.queue(call, len(message))

    def _least_served_first(self, asked: list[_Question]) -> list[_Question]:
        """Order questions, some of which were postponed; calls that are over are dropped."""
        left = []
        for question in asked:
            call, _message, send = question
            if call.share is None:
                self._send([(send, GAVE_WAY)])
            else:
                left.append(question)
        return sorted(left, key=lambda question: self._spent[question[0].peer()])

    def _send(self, answers: list[tuple[SendAnswer, HandlerAnswer]]) -> None:
        if self.settling is not None:
            failed = self.settling.settle_group()
            if failed is not None:
                answers[:] = [
                    (send, failed if isinstance(answer, bytes) else answer)
                    for send, answer in answers
                ]
        for send, answer in answers:
            try:
                send(answer)
            except Exception:
                _log.exception("an answer could not be sent")
        answers.clear()

    def _request_call(self) -> None:
        try:
            self._server.request_call(self._queue, self._queue, self._on_call)
        except ValueError:
            if not self._stopping:  # and no further event is expected
                raise

    def _on_shut_down(self, _event: Event) -> None:
        """The server takes no more calls, and all calls have ended."""
        self._empty = True

    def _on_call(self, event: Event) -> None:
        if not event.success:  # the server is stopping
            return
        if not self._stopping:
            self._request_call()
        method = self._methods.get(event.call_details.method)
        call = EventCall(self, event)
        if len(event.invocation_metadata) > self._most_headers:
            # Release the headers at once: a waiting refusal would keep them, and they can take tens
            # of megabytes.
            call.cancel(_TOO_MANY_HEADERS)
        elif method is None:
            self._refuse(call, _NO_METHOD)
        elif self._flooded:
            self._arrivals.add(call.peer(), (call, method))
        else:
            self._begin(call, method)

    def _begin(self, call: EventCall, method: Method) -> None:
        if not isinstance(method, Unary):
            self._begin_stream(call, method)
        elif not self._begin_unary(call, method):
            self._refusals.add(partial(self._begin_or_refuse, call, method))

    def _begin_unary(self, call: EventCall, method: Unary) -> bool:
        room = self.room
        if not room.enter(call, room.calls_apart if method.apart else room.calls):
            return False
        call.begin_unary(method.handler)
        return True

    def _begin_or_refuse(self, call: EventCall, method: Unary) -> None:
        """Try once more: calls that were being answered when this one arrived may have ended."""
        if self._stopping or not self._begin_unary(call, method):
            call.refuse(BUSY)

    def _begin_stream(self, call: EventCall, method: Method) -> None:
        room = self.room
        if isinstance(method, Exchange):
            if room.enter(call, room.streams_apart if method.apart else room.streams):
                call.begin_exchange(method.handler)
                return
        elif isinstance(method, Watch):
            watching = Watching(self, call, method)
            if room.enter(watching, room.watches):
                watching.begin()
                return
        self._refuse(call, self._surplus)

    def _refuse(self, call: EventCall, failed: CallFailed) -> None:
        self._refusals.add(partial(call.refuse, failed))

    def _send_refusals(self) -> None:
        if self._stopping:
            self._refusals.send_all()
        else:
            self._refusals.send(time.monotonic())


def _let_go(arrived: tuple[EventCall, Method]) -> None:
    """End a call that lost its place to others before it was begun."""
    arrived[0].cancel(BUSY)
