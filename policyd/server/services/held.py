"""Requests that gateways hold: from method, path and credentials to a question.

This module holds what the protocols of gateways have in common. Each describes the request in its
own way; the API's routes, or the gateway's configuration, determine the question.

Invariants: paths are never normalised; an ambiguous path is refused, even if no route is searched.
A credential of another scheme is ignored.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from policyd.decision.model import Request
from policyd.language.policy import Api
from policyd.program.router import Matched, PathRefused, Router, split_path
from policyd.tokens.model import SenderProof

_DPOP: Final = "dpop"
_SCHEMES: Final = ("bearer", _DPOP)
#: The `name` of an authority and port (RFC 3986, section 3.2.2), as it may stand in a URL.
_HOST: Final = re.compile(r"[A-Za-z0-9._~-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
_LONGEST_PATH: Final = 8192


#: Numbers the held requests, so that a replayed proof is not taken for a repeated question about
#: the same request.
_requests = itertools.count()


class NoQuestion(Exception):
    """The gateway's description is not of a request that can be decided. `status` is the HTTP
    status for the client."""

    def __init__(self, status: int, said: str) -> None:
        self.status = status
        self.said = said


class Held(msgspec.Struct, frozen=True):
    """A request that a gateway holds. `target` is path and query.

    `authorization` and `proofs` are the fields `Authorization` and `DPoP`, `certificate` the
    thumbprint of the client's certificate. `origin` is scheme and authority of the URL that the
    client asked for, where the gateway tells. `name` is what the client calls the request.
    """

    method: str
    target: str
    authorization: str = ""
    proofs: tuple[str, ...] = ()
    origin: str | None = None
    certificate: str = ""
    name: str = ""

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self.target.partition("?")[0]

    @property
    def by_dpop(self) -> bool:
        """Whether a proof came with it, or should have.

        Under the scheme `Bearer` none counts: a token that is bound to a key must not be taken as
        a bearer token (RFC 9449, section 7.2).
        """
        return _credential(self.authorization)[0] == _DPOP


class Named(NamedTuple):
    """An action and a type of resource that a gateway's configuration names for a request."""

    action: str
    resource_type: str


class HeldRequests:
    """Turns held requests into questions.

    `apis` returns an API by its name or an audience, if there is one. It raises `NotReady`.
    `origin_from` says, for messages, how to provide the origin of a request.
    """

    def __init__(self, apis: Callable[[str], Api | None], origin_from: str) -> None:
        self._apis = apis
        self._origin_from = origin_from
        self._routers: dict[str, tuple[Api, Router]] = {}

    def question(self, api_name: str, held: Held, named: Named | None = None) -> Request:
        """Return the question about a request. Raises `NoQuestion` and `NotReady`."""
        api = self._apis(api_name)
        if api is None:
            raise NoQuestion(404, "no policy declares this API")
        if not held.method or not held.target:
            raise NoQuestion(400, "the method or the URI of the request is missing")
        scheme, token = _credential(held.authorization)
        proof = self._proof(held, by_dpop=scheme == _DPOP)
        if named is not None:
            _in_normal_form(held.path)
            action, resource_type = named
            return Request(
                token, api.name, action, resource_type, proof=proof, request_id=held.name
            )
        matched = self._matched(api_name, api, held)
        return Request(
            token,
            api.name,
            matched.route.action,
            matched.route.resource,
            matched.resource_id,
            matched.attributes,
            proof=proof,
            request_id=held.name,
        )

    def _matched(self, name: str, api: Api, held: Held) -> Matched:
        known = self._routers.get(name)
        if known is None or known[0] is not api:
            # Names are those of APIs, so there are no more than these.
            known = self._routers[name] = (api, Router(api.routes))
        path = held.path
        try:
            _check_length(path)
            matched = known[1].match(held.method, path)
        except PathRefused as error:
            raise NoQuestion(400, str(error)) from None
        if matched is None:
            raise NoQuestion(403, "no route of the policy fits this request")
        return matched

    def _proof(self, held: Held, *, by_dpop: bool) -> SenderProof:
        """Return the evidence that the sender holds the token's key, if there is any."""
        if not by_dpop and not held.certificate:
            return SenderProof()
        if by_dpop and held.origin is None:
            raise NoQuestion(400, f"a DPoP proof is for a URL: {self._origin_from}")
        return SenderProof(
            held.proofs if by_dpop else (),
            held.method,
            f"{held.origin}{held.path}" if by_dpop else "",
            held.certificate,
            f"held {next(_requests)}",
        )


def origin_of(scheme: str | None, host: str | None) -> str | None:
    """Return the origin of a URL, `None` if scheme or host is invalid."""
    if host is None or _HOST.fullmatch(host) is None or scheme not in ("http", "https"):
        return None
    return f"{scheme}://{host}"


def _check_length(path: str) -> None:
    if len(path) > _LONGEST_PATH:
        raise PathRefused("the path is too long")


def _in_normal_form(path: str) -> None:
    """Refuse a path that Envoy and the service may interpret differently."""
    try:
        _check_length(path)
        split_path(path)
    except PathRefused as error:
        raise NoQuestion(400, str(error)) from None


def _credential(authorization: str) -> tuple[str, str]:
    """Return scheme and access token; both are empty for another scheme."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() not in _SCHEMES:
        return "", ""
    return scheme.lower(), token.strip(" ")
