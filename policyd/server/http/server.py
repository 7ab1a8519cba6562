"""A small HTTP/1.1 server for what is no authorization question: metrics, health, metadata.

Input: GET and HEAD requests without a body. Output: `Response`s; each connection carries one. All
of them share one thread with an event loop of its own, so that a client that is slow to ask or to
read holds a coroutine and no thread, and only for so long. Connections come to an address, or from
another process of the daemon over a `Line`.

Invariants: a head of more than `_LONGEST_HEAD` bytes is not read, nor much of what follows one; of
more than `_MOST_CONNECTIONS` the oldest gives way, so that however many dawdle, a client that
asks at once is heard; nothing of a request is ever echoed.

Sources: RFC 9110 and RFC 9112, of which this is the part that answering such requests takes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from email.utils import formatdate
from http import HTTPStatus

import msgspec

from policyd.config.access import SocketAccess
from policyd.config.addresses import Address, TcpAddress, UnixAddress
from policyd.server.line import Line, LineBroken
from policyd.server.listeners import socket_of
from policyd.server.transport.interface import BindFailed

_log = logging.getLogger(__name__)
#: Seconds from the connection to its end.
PATIENCE = 5.0
_LONGEST_HEAD = 8192
#: How often so many bytes are read that follow a request.
_MOST_READS = 32
_MOST_CONNECTIONS = 64
_BACKLOG = 16
_USUAL = SocketAccess()
_END_OF_HEAD = b"\r\n\r\n"
#: RFC 9112, section 3, with RFC 9110's token for the method; the target in origin-form.
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-~]*) HTTP/1\.[01]")
# One way to match at most: blanks around the value are cut off afterwards, for several parts that
# could each take them would make a long run of blanks a matter of hours.
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")


class Request(msgspec.Struct, frozen=True):
    """A GET or HEAD. `path` is as it was sent, without the query; `host` without it is empty."""

    path: str
    host: str = ""


class Response(msgspec.Struct, frozen=True):
    """What goes back. `content_type` is a media type."""

    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


#: Answers at once, or with something that the server's loop waits for.
RequestHandler = Callable[[Request], Response | Awaitable[Response]]


class _Refused(Exception):
    """The bytes are no request that is answered here."""

    def __init__(self, response: Response) -> None:
        self.response = response


class HttpServer:
    """Serves `answer`, which must not hold the thread for long, from a thread of its own.

    `patience` is how many seconds a connection may last.
    """

    def __init__(self, answer: RequestHandler, patience: float = PATIENCE) -> None:
        self._answer = answer
        self._patience = patience
        self._sockets: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        # The oldest first.
        self._connections: dict[asyncio.Task[None], asyncio.WriteTransport] = {}
        self._lines: list[Line] = []
        self._arriving: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def bind(self, address: Address, access: SocketAccess = _USUAL) -> str:
        """Listen on an address, before `start`; return it with its actual port.

        Raises:
            BindFailed: the address is taken or no address of this machine.
        """
        try:
            listening = _listen(address, access)
        except OSError as error:
            raise BindFailed(error.strerror or str(error)) from None
        self._sockets.append(listening)
        if isinstance(address, UnixAddress):
            return str(address)
        return str(TcpAddress(address.host, listening.getsockname()[1]))

    def adopt(self, line: Line) -> None:
        """Answer what comes over a line as well, until its other end is gone. From any thread."""
        self._loop.call_soon_threadsafe(self._listen_to, line)

    def soon(self, coroutine: Coroutine[object, object, None]) -> None:
        """Run something beside the answers, in their thread. To be called from any other."""
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop. Connections that are being answered are closed."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        for listening in self._sockets:
            listening.close()
        for line in self._lines:
            line.close()
        if not self._loop.is_closed():
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        servers = [
            self._loop.run_until_complete(
                asyncio.start_server(self._accept, sock=listening, limit=_LONGEST_HEAD)
            )
            for listening in self._sockets
        ]
        try:
            self._loop.run_forever()
        finally:
            for server in servers:
                server.close()
            for connection in tuple(self._connections):
                self._end(connection)
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(asyncio.sleep(0))  # transports say good-bye

    def _listen_to(self, line: Line) -> None:
        self._lines.append(line)
        self._loop.add_reader(line.fileno(), self._arrived, line)

    def _arrived(self, line: Line) -> None:
        """Take a connection that has come over a line."""
        try:
            connection = line.accept()
        except LineBroken:
            self._loop.remove_reader(line.fileno())
            self._lines.remove(line)
            line.close()
            return
        if connection is not None:
            task = self._loop.create_task(self._welcome(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=_LONGEST_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader, self._accept)
        await self._loop.connect_accepted_socket(lambda: protocol, connection)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= _MOST_CONNECTIONS:
            self._end(next(iter(self._connections)))
        task = self._loop.create_task(self._serve(reader, writer))
        self._connections[task] = writer.transport
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        """Close a connection, at whatever point it is."""
        transport = self._connections.pop(task, None)
        if transport is not None:
            transport.abort()
            task.cancel()  # does nothing to one that is done

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._patience):
                for part in await self._exchange(reader):
                    writer.write(part)
                writer.transport.set_write_buffer_limits(0)  # drain means to the last byte
                await writer.drain()
                writer.write_eof()
                # Closing with unread bytes would reset the connection, answer and all. Who goes
                # on sending has no use for an answer.
                for _ in range(_MOST_READS):
                    if not await reader.read(_LONGEST_HEAD):
                        break
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            _log.debug("an HTTP client was too slow, or went away")
        finally:
            # Not left to `_end`: that runs after this frame, and with it the writer, has gone.
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        """Read a request; return the response's head and body."""
        try:
            head = await reader.readuntil(_END_OF_HEAD)
        except asyncio.LimitOverrunError:
            too_long = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return _written(plain(too_long), body=True)
        try:
            method, request = _read(head)
        except _Refused as refused:
            return _written(refused.response, body=True)
        try:
            made = self._answer(request)
            response = made if isinstance(made, Response) else await made
        except Exception:
            # A defect of one page; the next scrape or probe deserves its answer.
            _log.exception("an HTTP request could not be answered", extra={"path": request.path})
            response = plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        return _written(response, body=method != "HEAD")


def plain(status: HTTPStatus, *headers: tuple[str, str]) -> Response:
    """Return a response that says its status and no more."""
    return Response(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode(), headers)


def _read(head: bytes) -> tuple[str, Request]:
    """Return method and request. Raises `_Refused`."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise _Refused(plain(HTTPStatus.BAD_REQUEST))
    if line[1] not in ("GET", "HEAD"):
        raise _Refused(plain(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD")))
    hosts: list[str] = []
    for text in lines:
        field = _FIELD.fullmatch(text)
        if field is None:
            raise _Refused(plain(HTTPStatus.BAD_REQUEST))
        name, value = field[1].lower(), field[2].strip(" \t")
        if name == "transfer-encoding" or (name == "content-length" and value != "0"):
            raise _Refused(plain(HTTPStatus.BAD_REQUEST))  # no request here has a body
        if name == "host":
            hosts.append(value)
    if len(hosts) > 1 or (first.endswith("/1.1") and not hosts):
        raise _Refused(plain(HTTPStatus.BAD_REQUEST))  # RFC 9112, section 3.2
    return line[1], Request(line[2].partition("?")[0], hosts[0] if hosts else "")


def _written(response: Response, *, body: bool) -> tuple[bytes, bytes]:
    fields = [
        ("Date", formatdate(usegmt=True)),
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        *response.headers,
    ]
    head = f"HTTP/1.1 {response.status.value} {response.status.phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"{head}\r\n".encode("latin-1"), response.body if body else b""


def _listen(address: Address, access: SocketAccess) -> socket.socket:
    """Return a socket that listens. Raises OSError, and `BindFailed`."""
    if isinstance(address, UnixAddress):
        with ExitStack() as failed:
            listening = failed.enter_context(socket.socket(socket.AF_UNIX))
            with socket_of(address.path, access):
                listening.bind(os.fspath(address.path))
            listening.listen(_BACKLOG)
            failed.pop_all()
        return listening
    family, _, _, _, name = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(name[:2], family=family, backlog=_BACKLOG)
