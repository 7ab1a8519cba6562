"""Pages that another process of the daemon answers, asked for over a line.

With several workers the first process shows the pages of all, and asks each worker for its own
(`policyd.server.http.crew`). A worker whose listener offers pages beside other services asks the
first process for them.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from policyd.pdp.calls import Deferred, Deliver
from policyd.server.http.server import HttpServer, Request, Response, plain
from policyd.server.line import Line, LineBroken

#: Seconds that a process has for a page; less than the `PATIENCE` of those who ask for it.
TIME: Final = 2.0
_LARGEST: Final = 16 * 1024 * 1024


class NoPage(Exception):
    """The other process gave no page: it has ended, hangs, or said what is none."""


async def ask(line: Line, request: Request, patience: float = TIME) -> Response:
    """Return the page of the process at the other end, within `patience` seconds.

    Raises:
        NoPage: there is none.
    """
    try:
        connection = line.connect()
    except LineBroken as error:
        raise NoPage(str(error)) from None
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LARGEST)
    try:
        async with asyncio.timeout(patience):
            writer.write(
                f"GET {request.path} HTTP/1.1\r\nHost: {request.host}\r\n\r\n".encode("latin-1")
            )
            return _read(await reader.read(-1))
    except TimeoutError:
        raise NoPage(f"nothing within {patience:g} seconds") from None
    except OSError as error:
        raise NoPage(error.strerror or str(error)) from None
    finally:
        writer.transport.abort()


def _read(answer: bytes) -> Response:
    """Read what an `HttpServer` has written. Raises `NoPage` if it is not whole."""
    head, end, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    known = dict(fields)
    if not end or len(body) != int(known.get("Content-Length", "-1")):
        raise NoPage("the answer was cut off")
    further = tuple(one for one in fields if one[0] in _PASSED_ON)
    return Response(HTTPStatus(int(first.split(" ")[1])), known["Content-Type"], body, further)


#: Fields of an answer that are the page's, and not the connection's.
_PASSED_ON: Final = frozenset({"Cache-Control", "Access-Control-Allow-Origin"})


class RelayedPages:
    """The pages of the process at the other end of `line`; `server` has the thread that asks."""

    def __init__(self, server: HttpServer, line: Line) -> None:
        self._server = server
        self._line = line

    def answer(self, request: Request) -> Deferred[Response]:
        """Answer a request, once the other process has."""

        def begin(deliver: Deliver[Response]) -> None:
            self._server.soon(self._asked(request, deliver))

        return Deferred(begin)

    async def _asked(self, request: Request, deliver: Deliver[Response]) -> None:
        try:
            # Twice the time: the other process asks in its turn.
            answer = await ask(self._line, request, 2 * TIME)
        except NoPage:
            answer = plain(HTTPStatus.SERVICE_UNAVAILABLE)
        deliver(answer)
