"""One connection over HTTP/1.1: bytes to requests, responses to bytes.

llhttp, through httptools, reads the messages (RFC 9112), strictly: a message that two readers could
understand differently is refused. This module bounds them, and answers them one after another: it
reads a request while none is being answered, and answers it when the previous response was taken.

Invariants: head, body and the number of pipelined requests are bounded. A trailer never becomes a
header field. A refusal echoes nothing of the request, and ends the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from time import monotonic
from typing import Final, Protocol

import httptools
import msgspec

from policyd.server.transport.web import WebRequest, WebResponse, plain
from policyd.server.transport.web_writing import written

#: The most bytes of a request's line and header fields: gateways pass on those of their callers.
LONGEST_HEAD: Final = 64 * 1024
MOST_FIELDS: Final = 200
#: Bytes that are read at a time; others have their turn before the next ones are.
PIECE: Final = 16 * 1024
#: The estimated memory of a header field beyond its bytes.
_A_FIELD: Final = 128
#: A body may come in so many chunks, and in one more for each so many bytes: each costs time.
_FEW_CHUNKS: Final = 1_000
_SMALL_CHUNK: Final = 64
#: The most pipelined requests; a client that sends more does not wait for answers.
_MOST_AT_ONCE: Final = 16
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
#: The most bytes on the wire for each byte of a body, which may come in chunks of one byte.
_CHUNKING: Final = 8
#: Seconds for which further bytes are received and dropped, so that the last answer arrives.
_LINGERS: Final = 1.0
_TOO_LATE: Final = "the request did not arrive in time"


class WebLimits(msgspec.Struct, frozen=True):
    """The limits of one server; see `policyd.server.transport.interface.Limits`. Times are in
    seconds."""

    body_bytes: int = 512 * 1024
    connections: int = 1000
    unfinished_bytes: int = 32 * 1024 * 1024
    receive_timeout: float = 5.0
    send_timeout: float = 5.0
    handshake_timeout: float = 10.0
    idle: float = 3600.0


class Site(Protocol):
    """The server, as its connections see it."""

    limits: WebLimits
    #: Holds what is read of a connection for as long as it takes to read it.
    buffer: memoryview

    def opened(self, connection: WebConnection) -> None: ...

    def closed(self, connection: WebConnection) -> None: ...

    def ask(self, connection: WebConnection, request: WebRequest) -> None:
        """Answer a request; `WebConnection.respond` is then called once, in the loop."""
        ...

    def hold(self, size: int) -> None:
        """Add to the bytes that a connection holds; a negative number subtracts."""
        ...


#: A whole request, whether it is the last one, and its size.
_Ready = tuple[WebRequest, bool, int]


class _Refused(Exception):
    """A request that is not answered by a service."""

    def __init__(self, status: HTTPStatus, said: str = "") -> None:
        super().__init__(said)
        self.response = plain(status, said)


class WebConnection(asyncio.BufferedProtocol):
    """A connection. `held` is the number of bytes of its messages; `answering` is the request being
    answered.

    `since` is when it began to wait for its caller, on the monotonic clock, and `None` while a
    request is being answered. `patience` is how long it may wait, in seconds.
    """

    def __init__(self, site: Site, name: bytes) -> None:
        self._site = site
        self.name = name
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._certificate = b""
        self._ready: deque[_Ready] = deque()
        self.answering: WebRequest | None = None
        self._last = False
        self._sending = False
        self._whole = True
        self._lingers = False
        self._bytes = 0
        # Of `held`: the request being answered, and its answer until it was taken.
        self._asked = self._unsent = 0
        # What will be counted in `held` once all that came has been read.
        self._new = 0
        self.held = 0
        self.since: float | None = monotonic()
        self.patience = site.limits.idle
        self._begin()

    # -- what asyncio says ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the connection; with TLS, after the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        shown = transport.get_extra_info("ssl_object")
        if shown is not None:
            self._certificate = shown.getpeercert(binary_form=True) or b""
        self._site.opened(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection; an answer in progress is dropped."""
        self._last = True
        self._forget()
        self._site.closed(self)
        del self._parser  # which holds on to this connection

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return where to put what is received: all connections have their turn there."""
        return self._site.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read the received bytes."""
        data = self._site.buffer[:nbytes]
        if self._last:  # bytes after the end are not read
            return
        waiting = len(self._ready)
        try:
            self._parser.feed_data(data)
            # Bytes that follow whole requests are counted when more of them arrive.
            self._bytes += len(data) if len(self._ready) == waiting else 0
            self._check_bytes()
        except httptools.HttpParserUpgrade:
            self._finish()  # the connection stays HTTP/1.1, and an upgraded protocol is not read
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            refused = cause if isinstance(cause, _Refused) else _Refused(HTTPStatus.BAD_REQUEST)
            self._refuse(refused)
        except httptools.HttpParserError:
            self._refuse(_Refused(HTTPStatus.BAD_REQUEST, "this is no HTTP request"))
        except _Refused as refused:
            self._refuse(refused)
        new, self._new = self._new, 0
        self._hold(new)
        self._next()

    def _check_bytes(self) -> None:
        """Refuse requests that are long although neither head nor body is, such as by chunk
        extensions."""
        if self._whole:
            return
        if not self._in_body:
            if self._bytes > LONGEST_HEAD:
                raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._count(max(0, self._bytes - self._size))  # the parser keeps half a line
        if self._bytes > LONGEST_HEAD + _CHUNKING * self._site.limits.body_bytes:
            raise self._too_large()

    def eof_received(self) -> bool:
        """Answer the complete requests, and then end."""
        if self._is_idle() or self._transport.get_extra_info("ssl_object") is not None:
            return False
        self._last = True
        return True

    def _is_idle(self) -> bool:
        return self.answering is None and not self._ready and not self._sending

    def pause_writing(self) -> None:
        """Wait until the caller takes its answer."""
        self._sending = True
        self._wait(self._site.limits.send_timeout)

    def resume_writing(self) -> None:
        """Continue: the caller took its answer."""
        self._sending = False
        self._taken()

    # -- what the parser says ------------------------------------------------------------------

    def _begin(self) -> None:
        self._target = b""
        self._fields: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._body_size = 0
        self._in_body = False
        self._chunks = 0
        # Of `held`: the message that is being read.
        self._size = 0

    def on_message_begin(self) -> None:
        """Start to wait for a complete request."""
        self._whole = False
        self._bytes = 0
        self._wait(self._site.limits.receive_timeout)

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target += part
        self._count(len(part))
        if len(self._target) > LONGEST_HEAD:
            raise _Refused(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field; trailers are ignored."""
        if self._in_body:
            return
        if len(self._fields) == MOST_FIELDS:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._count(len(name) + len(value) + _A_FIELD)
        self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        """Judge the head before the body comes."""
        self._in_body = True
        found = dict(self._fields)
        hosts = [value for name, value in self._fields if name == "host"]
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise _Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if len(hosts) > 1 or (version == "1.1" and not hosts):
            raise _Refused(HTTPStatus.BAD_REQUEST, "there must be one header field Host")
        length = found.get("content-length", "0")
        # llhttp has checked that it is a number, but `int` refuses very long ones.
        if len(length) > 18 or int(length) > self._site.limits.body_bytes:
            raise self._too_large()
        if "expect" in found:
            if found["expect"].lower() != "100-continue":
                raise _Refused(HTTPStatus.EXPECTATION_FAILED)
            if version == "1.1" and self._is_idle():
                self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self._body_size += len(part)
        if self._body_size > self._site.limits.body_bytes:
            raise self._too_large()
        self._body.append(part)
        self._count(len(part))

    def on_chunk_header(self) -> None:
        """Count a chunk."""
        self._chunks += 1
        if self._chunks > _FEW_CHUNKS + self._body_size // _SMALL_CHUNK:
            raise _Refused(HTTPStatus.BAD_REQUEST, "the body comes in too many small chunks")

    def on_message_complete(self) -> None:
        """Take a complete request."""
        if len(self._ready) == _MOST_AT_ONCE:
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "these are too many requests at once")
        path, _, query = self._target.decode("latin-1").partition("?")
        request = WebRequest(
            self._parser.get_method().decode("latin-1"),
            path,
            query,
            tuple(self._fields),
            b"".join(self._body),
            self.name,
            self._certificate,
        )
        self._ready.append((request, not self._parser.should_keep_alive(), self._size))
        self._whole = True
        self._begin()

    def _too_large(self) -> _Refused:
        most = self._site.limits.body_bytes
        return _Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {most} bytes here"
        )

    # -- answers -------------------------------------------------------------------------------

    def _next(self) -> None:
        """Answer the next request, unless one is being answered or its answer has not been
        taken."""
        if self.answering is not None or self._sending or not self._ready:
            return
        if self._transport.is_closing():
            return
        self._transport.pause_reading()
        self.answering, last, self._asked = self._ready.popleft()
        if last:
            self._last = True
            self._hold(-sum(size for _, _, size in self._ready))
            self._ready.clear()
        self.since = None
        self._site.ask(self, self.answering)

    def respond(self, response: WebResponse) -> None:
        """Send the answer to the request that is being answered."""
        request, self.answering = self.answering, None
        if self._transport.is_closing():
            return
        self.since = monotonic()
        head = request is not None and request.method == "HEAD"
        data = written(response, last=self._last, head=head)
        self._unsent = len(data)
        self._hold(self._unsent - self._asked)
        self._asked = 0
        self._transport.write(data)
        if not self._sending:
            self._taken()

    def _taken(self) -> None:
        """Forget an answer that is on its way, and go on."""
        self._hold(-self._unsent)
        self._unsent = 0
        self._go_on()

    def _go_on(self) -> None:
        """Continue with the next request, or end."""
        if self._ready:
            # Not directly: more requests may have arrived, and the recursion would be unbounded.
            asyncio.get_running_loop().call_soon(self._next)
        elif self._last:
            self._finish()
        else:
            limits = self._site.limits
            self._wait(limits.idle if self._whole else limits.receive_timeout)
            self._transport.resume_reading()

    def _finish(self) -> None:
        """End after the requests in progress were answered and the answers taken."""
        self._last = True
        if not self._is_idle():
            return
        if self._lingers and self._transport.can_write_eof():
            # Closing with unread bytes would reset the connection and lose the answer.
            self._transport.write_eof()
            self._wait(_LINGERS)
        else:
            self._transport.close()

    def _refuse(self, refused: _Refused) -> None:
        """Refuse an invalid request, after the answers to earlier ones, and end."""
        self._last = True
        if self._is_idle():
            self._lingers = True
            self.respond(refused.response)

    def _wait(self, patience: float) -> None:
        """Start to wait for the caller, unless a request is being answered."""
        if self.answering is None:
            self.since, self.patience = monotonic(), patience

    def _forget(self) -> None:
        self._begin()
        self._ready.clear()
        self._hold(-self.held)
        self._asked = self._unsent = self._new = 0

    def _count(self, size: int) -> None:
        self._size += size
        self._new += size

    def _hold(self, size: int) -> None:
        self.held += size
        self._site.hold(size)

    # -- what the server says ------------------------------------------------------------------

    def give_up(self, now: float) -> None:
        """End the connection if the caller's time is over."""
        if self.since is None or not self.patience or now - self.since < self.patience:
            return
        if self._whole or self._last or not self._is_idle():
            self.abort()
        else:
            self._refuse(_Refused(HTTPStatus.REQUEST_TIMEOUT, _TOO_LATE))

    def stop(self) -> None:
        """End as soon as no request is in progress."""
        self._finish()

    def abort(self) -> None:
        """End the connection now."""
        self._last = True
        self._transport.abort()
        self._forget()  # at once, so that no other one is ended for the same bytes
