"""What the HTTP listener answers: `/healthz`, `/readyz`, `/metrics`, and metadata of APIs.

Invariants: nothing here needs or takes a credential, and no page shows one, nor a value of a token;
no page changes anything. `/readyz` is for operators, and names files.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from policyd.diagnostics.json_text import encode_json
from policyd.pdp.metadata import WELL_KNOWN, Metadata
from policyd.server.http.server import Request, Response, plain
from policyd.server.state import DaemonState

JSON = "application/json"
FRESH = ("Cache-Control", "no-store")
#: Metadata is public (RFC 9728, section 3), for clients in browsers too, and changes seldom.
_PUBLIC = (("Cache-Control", "public, max-age=300"), ("Access-Control-Allow-Origin", "*"))


class Pages:
    """The pages of one daemon. `metrics` returns a page of figures."""

    def __init__(
        self, state: DaemonState, metadata: Metadata, metrics: Callable[[], Response]
    ) -> None:
        self._state = state
        self._metadata = metadata
        self._pages: dict[str, Callable[[], Response]] = {
            "/healthz": lambda: plain(HTTPStatus.OK, FRESH),
            "/readyz": self._ready,
            "/metrics": metrics,
        }

    def answer(self, request: Request) -> Response:
        """Answer a request."""
        page = self._pages.get(request.path)
        if page is not None:
            return page()
        if request.path.startswith(WELL_KNOWN):
            return self._described(request)
        return plain(HTTPStatus.NOT_FOUND)

    def _ready(self) -> Response:
        """Say what the gRPC health service says, and why."""
        state = self._state
        ready = state.health.serving
        body = {
            "ready": ready,
            "reasons": [] if ready else [state.health.why],
            "troubles": list(state.troubles()),
            "revision": state.revision,
        }
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(status, JSON, encode_json(body), (FRESH,))

    def _described(self, request: Request) -> Response:
        snapshot = self._state.engine.snapshot
        programs = {} if snapshot is None else snapshot.program.by_name_or_audience
        apis = {program.api.name: program.api for program in programs.values()}
        api = self._metadata.find(apis.values(), request.path, request.host)
        if api is None:
            return plain(HTTPStatus.NOT_FOUND)
        issuers = [issuer.settings for issuer in self._state.validator.issuers]
        body = encode_json(self._metadata.document(api, issuers))
        return Response(HTTPStatus.OK, JSON, body, _PUBLIC)
