"""The HTTP listener of a daemon, from its configuration to its sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from http import HTTPStatus
from time import monotonic
from typing import Final

from policyd.config.listeners import Listener
from policyd.pdp.metadata import Metadata
from policyd.server.http.pages import Pages
from policyd.server.http.server import HttpServer, RequestHandler, Response
from policyd.server.listeners import naming, occupied
from policyd.server.state import DaemonState

#: Seconds for which a page of figures serves, since one takes milliseconds to make.
_KEPT: Final = 0.1


def serve_http(
    listeners: Iterable[Listener], answer: RequestHandler, stack: ExitStack
) -> tuple[HttpServer, list[str]]:
    """Serve pages on `listeners` until `stack` ends; return them with their actual ports, and what
    serves them.

    Raises:
        ConfigurationInvalid: an address is taken or no address of this machine.
    """
    server = HttpServer(answer)
    stack.callback(server.stop)
    bound = []
    for listener in listeners:
        with naming(listener):
            stack.enter_context(occupied(listener.address))
            bound.append(server.bind(listener.address, listener.access))
    server.start()
    return server, bound


def make_pages(state: DaemonState, metadata: Metadata) -> Pages:
    """Return the pages of a daemon."""
    return Pages(state, metadata, _metrics(state))


def _metrics(state: DaemonState) -> Callable[[], Response]:
    # The library costs a daemon without the listener nothing.
    from policyd.server.http.metrics_text import CONTENT_TYPE, Exposition

    exposition = Exposition(state)
    kept = Response(HTTPStatus.OK, CONTENT_TYPE, b"")
    until = 0.0

    def metrics() -> Response:
        nonlocal kept, until
        now = monotonic()
        if now >= until:
            kept = Response(HTTPStatus.OK, CONTENT_TYPE, exposition.text())
            until = now + _KEPT
        return kept

    return metrics
