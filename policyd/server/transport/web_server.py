"""The server of requests over HTTP/1.1: sockets, TLS, and the loop that carries connections.

One thread with its own event loop carries all connections, and answers requests of up to 16 KiB.
Larger ones are answered `aside`, one at a time, next the one of the connection that used the least
of that thread. So neither delays the threads that carry gRPC for longer than one
`sys.getswitchinterval`.

Invariants: past `WebLimits.connections`, the server closes the connection that has waited longest
for its caller or, if there is none, one that waits for its turn. Past `WebLimits.unfinished_bytes`,
it closes the connection that holds the most bytes. It closes none whose request is being answered.
A handshake uses the identity that is current when it begins.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

import msgspec

from policyd.config.tls_files import Identity
from policyd.pdp.calls import DEFECT, CallFailed, Deferred, start_deferred
from policyd.server.transport.aside import SMALL, Aside
from policyd.server.transport.interface import CurrentIdentity
from policyd.server.transport.web import WebAnswer, WebRequest, WebResponse, WebService
from policyd.server.transport.web_connection import PIECE, WebConnection, WebLimits

_log = logging.getLogger(__name__)
_BACKLOG: Final = 128
#: Seconds between two looks for overdue connections, and before a failed accept is retried.
_LOOK: Final = 0.25
#: The most seconds for the loop to end after all connections have ended.
_LAST: Final = 1.0
# Each connection over TLS has a buffer of this size, 256 KiB otherwise: 100 MB for 400 callers that
# begin a handshake. A record of TLS has at most 16 KiB (RFC 8446, section 5.1).
SSLProtocol.max_size = PIECE


class Entrance(msgspec.Struct, frozen=True, eq=False):
    """A listening socket, its service, and its TLS identity."""

    listening: socket.socket
    service: WebService
    identity: CurrentIdentity | None = None


class WebServer:
    """Carries requests between sockets and services, within `limits`."""

    def __init__(self, limits: WebLimits) -> None:
        self.limits = limits
        self.buffer = memoryview(bytearray(PIECE))
        self._entrances: list[Entrance] = []
        self._loop = asyncio.new_event_loop()
        self._connections: dict[WebConnection, WebService] = {}
        # Accepted sockets that are not connections yet, by their names.
        self._opening: dict[bytes, asyncio.Task[None]] = {}
        self._number = 0
        self._held = 0
        self._aside: Aside[WebResponse] = Aside()
        self._stopping = False
        self._turned = monotonic()
        self._empty = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http-calls", daemon=True)

    def listen(
        self, listening: socket.socket, service: WebService, identity: CurrentIdentity | None
    ) -> None:
        """Add a bound socket; to be called before `start`."""
        listening.setblocking(False)
        self._entrances.append(Entrance(listening, service, identity))

    def start(self) -> None:
        """Start to take connections."""
        for entrance in self._entrances:
            entrance.listening.listen(_BACKLOG)
        self._aside.start()
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Take no more connections; return when all have ended, after `grace` seconds at most."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._begin_to_stop)
            self._empty.wait(grace)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_LAST)
        elif self._thread.ident is None:  # never started
            self._loop.close()
        self._aside.close()
        for entrance in self._entrances:
            entrance.listening.close()

    def turned(self) -> float:
        """See `Transport.turned`."""
        return self._turned

    @property
    def held(self) -> int:
        """The number of bytes that connections hold."""
        return self._held

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._connections)

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        tasks = [self._loop.create_task(self._accept(one)) for one in self._entrances]
        tasks.append(self._loop.create_task(self._look()))
        try:
            self._loop.run_forever()
        finally:
            for connection in tuple(self._connections):
                connection.abort()
            tasks += self._opening.values()
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(asyncio.sleep(0))  # transports close
            self._loop.close()

    def _begin_to_stop(self) -> None:
        self._stopping = True
        for entrance in self._entrances:
            self._loop.remove_reader(entrance.listening)
            entrance.listening.close()
        for connection in tuple(self._connections):
            connection.stop()
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        if self._stopping and not self._connections:
            self._empty.set()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            now = self._turned = monotonic()
            for connection in tuple(self._connections):
                connection.give_up(now)

    async def _accept(self, entrance: Entrance) -> None:
        contexts = _Contexts()
        while True:
            try:
                connection, _ = await self._loop.sock_accept(entrance.listening)
            except OSError as error:
                if self._stopping:
                    return
                # Without free descriptors, waiting is all that can be done.
                _log.warning("a connection could not be accepted", extra={"error": str(error)})
                await asyncio.sleep(_LOOK)
                continue
            if not self._has_room():
                connection.close()
                continue
            self._number += 1
            name = str(self._number).encode()
            opening = self._loop.create_task(self._open(entrance, connection, contexts, name))
            self._opening[name] = opening
            opening.add_done_callback(partial(self._opened_or_not, name))

    async def _open(
        self, entrance: Entrance, connection: socket.socket, contexts: _Contexts, name: bytes
    ) -> None:
        factory = partial(_Connection, self, entrance.service, name)
        try:
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if entrance.identity is None:
                await self._loop.connect_accepted_socket(factory, connection)
            else:
                await self._loop.connect_accepted_socket(
                    factory,
                    connection,
                    ssl=contexts.of(entrance.identity()),
                    ssl_handshake_timeout=self.limits.handshake_timeout,
                    ssl_shutdown_timeout=self.limits.send_timeout,
                )
        except (OSError, ssl.SSLError, TimeoutError):
            _log.debug("a connection ended before it began")
            connection.close()
        except Exception:
            _log.exception("a connection could not be opened")
            connection.close()

    def _opened_or_not(self, name: bytes, _task: object) -> None:
        self._opening.pop(name, None)

    def _has_room(self) -> bool:
        """Return whether there is room for a connection; make room if possible."""
        opening, most = len(self._opening), self.limits.connections
        if len(self._connections) + opening < most:
            return True
        if opening > most // 2:
            next(iter(self._opening.values())).cancel()
            return True
        waiting = [one for one in self._connections if one.since is not None]
        if waiting:
            min(waiting, key=lambda one: one.since or 0.0).abort()
            return True
        return any(self._gives_way(one) for one in tuple(self._connections))

    def _gives_way(self, connection: WebConnection) -> bool:
        """End a connection if its request waits for its turn; return whether it did."""
        asked = connection.answering
        if asked is None or self._aside.drop(asked) is None:
            return False
        connection.abort()
        return True

    # -- what connections say ------------------------------------------------------------------

    def opened(self, connection: WebConnection) -> None:
        """Keep a connection."""
        assert isinstance(connection, _Connection)
        self._connections[connection] = connection.service
        # Its task ends a moment later, and would count too until then.
        self._opening.pop(connection.name, None)
        if self._stopping:
            connection.stop()

    def closed(self, connection: WebConnection) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)
        if connection.answering is not None:
            self._aside.drop(connection.answering)
        self._tell_if_empty()

    def hold(self, size: int) -> None:
        """Count bytes; if there are too many, end the connection that holds the most.

        Only connections that wait for their caller or for their turn are ended.
        """
        self._held += size
        if size <= 0 or self._held <= self.limits.unfinished_bytes:
            return
        for connection in sorted(self._connections, key=lambda one: one.held, reverse=True):
            if connection.since is not None:
                connection.abort()
                return
            if self._gives_way(connection):
                return

    def ask(self, connection: WebConnection, request: WebRequest) -> None:
        """Answer a request, in the loop or aside."""
        service = self._connections.get(connection)
        if service is None:
            return
        answer = partial(answered, service, request)

        def deliver(given: WebResponse | CallFailed) -> None:
            if isinstance(given, CallFailed):
                given = _failed(service, request, given)
            self._call(connection.respond, given)

        if len(request.body) > SMALL:
            start_deferred(self._aside.deferred(request, answer), deliver)
            return
        given = answer()
        if isinstance(given, Deferred):
            start_deferred(given, deliver)
        else:
            connection.respond(given)

    def _call(self, respond: Callable[[WebResponse], None], response: WebResponse) -> None:
        try:
            self._loop.call_soon_threadsafe(respond, response)
        except RuntimeError:  # the loop is closed: no caller waits any more
            _log.debug("an answer came after the end")


class _Connection(WebConnection):
    """A connection and its service."""

    def __init__(self, server: WebServer, service: WebService, name: bytes) -> None:
        super().__init__(server, name)
        self.service = service


def answered(service: WebService, request: WebRequest) -> WebAnswer:
    """Have a service answer; a failure becomes a response too."""
    try:
        return service.answer(request)
    except CallFailed as failure:
        return _failed(service, request, failure)
    except Exception:
        _log.exception("a handler failed")
        return _failed(service, request, DEFECT)


def _failed(service: WebService, request: WebRequest, failure: CallFailed) -> WebResponse:
    try:
        return service.failed(request, failure)
    except Exception:
        _log.exception("a failure could not be told")
        return WebResponse(500)


class _Contexts:
    """The TLS context of an identity, made again when the identity changes."""

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self._context: ssl.SSLContext

    def of(self, identity: Identity) -> ssl.SSLContext:
        if identity is not self._identity:
            self._context = server_context(identity)
            self._identity = identity
        return self._context


def server_context(identity: Identity) -> ssl.SSLContext:
    """Return the TLS context of a server with an identity, which asks for client certificates if it
    has authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL reads a key pair from a file. This file is in memory, and no other process can open
    # it.
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=True) as file:  # noqa: PTH123 - it has no path
        file.write(identity.private_key + b"\n" + identity.certificate)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    if identity.client_authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=identity.client_authorities.decode("ascii", "ignore"))
    return context
