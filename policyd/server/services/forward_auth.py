"""Forward authentication: a gateway asks about each request before it passes it on.

Input: a request of the gateway whose header fields tell of the request that it holds:
`X-Forwarded-Method` and `X-Forwarded-Uri` (Traefik, Caddy), or `X-Original-Method` and
`X-Original-URI` (nginx), beside the caller's own `Authorization` and `DPoP`. The API's routes turn
it into a question. Output: 200 with the caller's identity in header fields, or what the gateway is
to answer in our place.

Invariants: 200 is written in one place, for a decision that allows. Exactly one family of fields
may be there, each field once: a gateway sets its own and passes on what its caller sent, so with
both nobody could tell whose word counts, and the request is refused. Paths are never normalised. An
allowing answer sets every identity field, empty if need be, so that none of the caller's passes.

Sources: nginx's `ngx_http_auth_request_module`, Traefik's ForwardAuth, Caddy's `forward_auth`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, unquote

import msgspec

from policyd.config.identity_names import NAMES
from policyd.decision.errors import NotReady
from policyd.decision.model import Decided, Decision, Request
from policyd.language.policy import Api
from policyd.pdp.answering import Answering, NoDecision
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.services.forwarded_certificate import certificate_thumbprint
from policyd.server.services.held import Held, HeldRequests, NoQuestion, origin_of
from policyd.server.transport.web import (
    Fields,
    RepeatedField,
    WebAnswer,
    WebRequest,
    WebResponse,
    plain,
)
from policyd.server.wire.identity import encoded

PREFIX: Final = "/forward-auth/"
_FORWARDED: Final = ("x-forwarded-method", "x-forwarded-uri")
_ORIGINAL: Final = ("x-original-method", "x-original-uri")
_ORIGIN_FROM: Final = "`X-Forwarded-Proto` and `X-Forwarded-Host` tell it"
#: What nginx takes for an answer; it turns all else into an error of its own.
_OF_NGINX: Final = (401, 403)


class ForwardAuthService:
    """Decides about requests that gateways hold.

    `apis` returns an API by its name, if there is one. It raises `NotReady`. `certificate_header`
    is the field in which gateways tell of their caller's certificate, in lower case; empty for
    none.
    """

    credential = "policyd-authorization"

    def __init__(
        self,
        answering: Answering,
        apis: Callable[[str], Api | None],
        certificate_header: str = "",
    ) -> None:
        self._answering = answering
        self._held = HeldRequests(apis, _ORIGIN_FROM)
        self._certificate_header = certificate_header

    def has(self, path: str) -> bool:
        """Tell whether a path is one of the service's."""
        return path.startswith(PREFIX)

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a gateway."""
        if request.method not in ("GET", "HEAD"):
            return plain(405, "", ("Allow", "GET, HEAD"))
        gateway = _is_nginx(request)
        try:
            question = self._question(request)
        except RepeatedField as error:
            return _refused(400, str(error), gateway)
        except NoQuestion as error:
            return _refused(error.status, error.said, gateway)
        except NotReady as error:
            return _refused(503, str(error), gateway)

        def write(decided: Decided) -> WebResponse:
            decision, decision_id = decided
            return (
                _allowed(decision, decision_id) if decision.allowed else _denied(decision, gateway)
            )

        def refuse(error: NoDecision) -> WebResponse:
            return _refused(503 if isinstance(error, NotReady) else 400, str(error), gateway)

        size = sum(len(name) + len(value) for name, value in request.fields)
        return self._answering.check(request, question, size, write, refuse)

    def failed(self, request: WebRequest, failed: CallFailed) -> WebResponse:
        """Say that this gateway may not ask, or that policyd failed; never what lets pass."""
        refusals = (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED)
        status = 403 if failed.code in refusals else 503
        return _refused(status, failed.message, _is_nginx(request))

    def _question(self, request: WebRequest) -> Request:
        method, target = _held(request)
        proofs = tuple(request.values("dpop"))
        held = Held(method, target, request.value("authorization") or "", proofs)
        if self._certificate_header:
            held = msgspec.structs.replace(held, certificate=self._certificate(request))
        if held.by_dpop:
            scheme, host = request.value("x-forwarded-proto"), request.value("x-forwarded-host")
            held = msgspec.structs.replace(held, origin=origin_of(scheme, host))
        return self._held.question(unquote(request.path.removeprefix(PREFIX)), held)

    def _certificate(self, request: WebRequest) -> str:
        """Return the thumbprint of the certificate that the gateway saw, empty for none."""
        try:
            return certificate_thumbprint(request.value(self._certificate_header) or "")
        except ValueError as error:
            raise NoQuestion(400, str(error)) from None


def _held(request: WebRequest) -> tuple[str, str]:
    """Return method and target of the request that the gateway holds."""
    families = [
        family for family in (_FORWARDED, _ORIGINAL) if any(request.values(name) for name in family)
    ]
    if len(families) != 1:
        said = "both families of header fields are there" if families else "no header field tells"
        raise NoQuestion(400, f"{said} of the request: see `X-Forwarded-Uri`, `X-Original-URI`")
    method, target = (request.value(name) for name in families[0])
    if not method or not target:
        raise NoQuestion(400, "the method or the URI of the request is missing")
    if not target.isascii():
        raise NoQuestion(400, "the URI of the request holds characters that have to be encoded")
    return method, target


def _is_nginx(request: WebRequest) -> bool:
    return parse_qs(request.query, max_num_fields=None).get("gateway") == ["nginx"]


def _allowed(decision: Decision, decision_id: str) -> WebResponse:
    token = decision.token
    assert decision.allowed
    assert token is not None
    headers: Fields = (
        (NAMES.subject, encoded(token.subject)),
        (NAMES.client, encoded(token.client)),
        (NAMES.decision_id, decision_id),
    )
    return WebResponse(200, headers=headers + _nonce(decision))


def _denied(decision: Decision, nginx: bool) -> WebResponse:
    headers = _nonce(decision)
    if decision.www_authenticate:
        headers += (("WWW-Authenticate", decision.www_authenticate),)
    if decision.retry_after is not None:
        headers += (("Retry-After", str(decision.retry_after)),)
    # A decision that denies has a status of its own, and none of those lets anything pass.
    status = decision.http_status if decision.http_status >= 400 else 403
    return _refused(status, decision.message, nginx, headers)


def _nonce(decision: Decision) -> Fields:
    return (("DPoP-Nonce", decision.dpop_nonce),) if decision.dpop_nonce else ()


def _refused(status: int, said: str, nginx: bool, headers: Fields = ()) -> WebResponse:
    if nginx and status not in _OF_NGINX:
        status = 403
    return plain(status, said[:_SHOWN], *headers)


_SHOWN: Final = 500
