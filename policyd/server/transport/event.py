"""The transport over gRPC core's completion queue: one thread, no hand-over.

grpcio's own server passes each call from a polling thread to a pool and back, under several locks,
and that costs more than a check does. Here one thread polls the queue and runs the handlers. It
works in turns: it takes what is ready, answers those questions one after another, and then sends
the answers. So gRPC's code and policyd's each find the processor's caches as they left them, and
under load a check costs half of what it costs when each call is carried through by itself. Large
messages, which take longer, are answered `aside`.

A call that has sent its headers and no message holds an object, and no thread. A stream is a few
fields, advanced by the same loop. The thread that delivers a deferred answer starts the batch that
sends it.

The layer below (`grpc._cython.cygrpc`) is private to grpcio, though stable over years of releases.
So the daemon tries it at each start (`selftest`) and serves over `standard` where it does not do
what is expected. `grpc_core` names what is used of it.

Invariants: the state is touched by the loop's thread alone (`event_call` names two exceptions); a
turn is bounded, so that nobody waits for those who came later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import cast

from policyd.server.transport.aside import SMALL, Aside
from policyd.server.transport.event_call import (
    FLAGS,
    EventCall,
    HandlerAnswer,
    SendAnswer,
    Watching,
)
from policyd.server.transport.grpc_core import Credentials, Event, Operation, load_core
from policyd.server.transport.grpc_options import server_credentials, server_options
from policyd.server.transport.interface import (
    BindFailed,
    CallFailed,
    CurrentIdentity,
    Exchange,
    Limits,
    Method,
    Methods,
    StatusCode,
    Unary,
    Watch,
)
from policyd.server.transport.room import BUSY, LOOK, Room

_log = logging.getLogger(__name__)
_NO_METHOD = CallFailed(StatusCode.UNIMPLEMENTED, "there is no such method")
_AT_ONCE = 0.0  # a deadline that is over
#: Events that are taken together, of which a call makes three; seconds that an answer may wait for
#: others to be found.
_EVENTS_PER_TURN = 96
_KEPT_WAITING = 0.001
_OK = 0


class EventTransport:
    """`policyd.server.transport.interface.Transport` over a completion queue.

    `surplus` is what a stream past the limit is told.
    """

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        self._loop = _Loop(methods, limits, surplus)

    def bind(self, address: str, identity: CurrentIdentity | None = None) -> str:
        """See `Transport.bind`."""
        port = self._loop.bind(address, identity)
        if address.startswith("unix:"):
            return address
        return f"{address.rpartition(':')[0]}:{port}"

    def start(self) -> None:
        """See `Transport.start`."""
        self._loop.start()

    def stop(self, grace: float) -> None:
        """See `Transport.stop`."""
        self._loop.stop(grace)


class _Loop:
    """The server, its queue, and the thread that polls it."""

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        core = self.core = load_core()
        self._methods = {name.encode(): method for name, method in methods.items()}
        self._surplus = surplus
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
        self._asked: list[tuple[EventCall, bytes, SendAnswer]] = []
        self._aside = Aside()
        # Made once: a batch may share what it does not change.
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
        if self._thread.ident is None:  # never started
            self._server.start()
            self._thread.start()
        self._server.shutdown(self._queue, self._on_shut_down)
        if not self._ended.wait(grace):
            self._server.cancel_all_calls()
            self._ended.wait()
        # Calls may outlive this: cancelled, with an answer that was put off.
        with self.closing:
            self.closed = True
        self._aside.close()
        self._server.destroy()
        self._queue.shutdown()
        self._thread.join()

    def ask(self, call: EventCall, message: bytes, send: SendAnswer) -> None:
        """Have a call's handler asked at the end of the turn, and its answer brought to `send`."""
        self._asked.append((call, message, send))

    def _run(self) -> None:
        while self._take():
            self._answer()
            if self._empty:  # not before the answers went out: with that, the queue is shut down
                self._ended.set()

    def _take(self) -> bool:
        """Wait for an event, then take what else is ready; `False` when none will come any more.

        It waits no longer than until calls whose time is over are looked for. The layer below wakes
        up as often by itself, to see to signals.
        """
        poll, room = self._queue.poll, self.room
        ready = time.monotonic()
        event = poll(time.time() + LOOK)
        room.pass_time(ready, time.monotonic())
        if event.tag is None:  # the time is over, or the queue is shut down and empty
            room.look()
            return event.completion_type == self._nothing_yet
        self._advance(event)
        for _ in range(_EVENTS_PER_TURN):
            event = poll(_AT_ONCE)
            if event.tag is None:
                break
            self._advance(event)
        room.look()
        return True

    def _advance(self, event: Event) -> None:
        try:
            cast("Callable[[Event], None]", event.tag)(event)
        except Exception:
            _log.exception("a call could not be advanced")

    def _answer(self) -> None:
        """Answer the questions that were taken, then send the answers."""
        asked, self._asked = self._asked, []
        answers: list[tuple[SendAnswer, HandlerAnswer]] = []
        begun = time.monotonic()
        for call, message, send in asked:
            if len(message) > SMALL:
                answers.append((send, self._aside.deferred(partial(call.answer, message))))
                continue
            answers.append((send, call.answer(message)))
            if time.monotonic() - begun > _KEPT_WAITING:
                self._send(answers)
                begun = time.monotonic()
        self._send(answers)

    def _send(self, answers: list[tuple[SendAnswer, HandlerAnswer]]) -> None:
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
            if not self._stopping:  # and none is to come
                raise

    def _on_shut_down(self, _event: Event) -> None:
        """The server takes no more calls, and all that were there have ended."""
        self._empty = True

    def _on_call(self, event: Event) -> None:
        if not event.success:  # the server stops
            return
        if not self._stopping:
            self._request_call()
        method = self._methods.get(event.call_details.method)
        call = EventCall(self, event)
        if method is None:
            call.refuse(_NO_METHOD)
        elif isinstance(method, Unary):
            self._on_unary(call, method)
        else:
            self._on_stream(call, method)

    def _on_unary(self, call: EventCall, method: Unary) -> None:
        room = self.room
        if room.enter(call, room.calls_apart if method.apart else room.calls):
            call.begin_unary(method.handler)
        else:
            call.refuse(BUSY)

    def _on_stream(self, call: EventCall, method: Method) -> None:
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
        call.refuse(self._surplus)
