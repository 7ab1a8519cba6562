"""Envoy's external authorization, version 3: Envoy asks about each request before it passes it on.

It only translates: the request that Envoy holds becomes a question for `answering`, a decision the
request's way on, or what its client is answered.

Invariants: nothing that a client can send ends in an error of gRPC: where Envoy is configured with
`failure_mode_allow`, an error would let the request pass. So whatever goes wrong is an answer that
denies, in time for Envoy to hear it. Only a decision that allows is written as one
(`policyd.server.wire.envoy_response`).

Source: `proto/envoy/service/auth/v3/authorization.proto`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from policyd.config.identity_names import NAMES, IdentityNames
from policyd.decision.errors import NotReady
from policyd.decision.model import Decided, Request
from policyd.language.policy import Api
from policyd.pdp.answering import Answering, NoDecision
from policyd.pdp.calls import (
    DEFECT,
    Call,
    CallFailed,
    Deferred,
    Deliver,
    StatusCode,
    start_deferred,
)
from policyd.server.services.held import Held, HeldRequests, Named, NoQuestion, origin_of
from policyd.server.services.punctual import Punctual
from policyd.server.transport.interface import Methods, Unary
from policyd.server.wire.envoy_request import HeldByEnvoy, Unreadable, check_request
from policyd.server.wire.envoy_response import AllowedWriter, denied, metadata, nonce

SERVICE: Final = "envoy.service.auth.v3.Authorization"
#: What Envoy's configuration may say of a route, as `context_extensions`.
API, ACTION, RESOURCE = "policyd.api", "policyd.action", "policyd.resource"
_ORIGIN_FROM: Final = "scheme and host of the request tell it, or `[envoy] external_origin`"
_HALF_NAMED: Final = f"`context_extensions` name `{ACTION}` and `{RESOURCE}` together, or neither"
_NO_API: Final = f"name an API: `{API}` in `context_extensions`, or `server.default_api`"
_TOO_LATE: Final = denied(503, "what the token's issuer says did not come in time")

_log = logging.getLogger(__name__)


class EnvoySettings(msgspec.Struct, frozen=True):
    """The table `[envoy]`: see `policyd.config.tables.EnvoyTable`."""

    names: IdentityNames = NAMES
    strip_token: bool = False
    external_origin: str | None = None


class EnvoyService:
    """Decides about requests that Envoy holds.

    `apis` returns an API by its name, if there is one. It raises `NotReady`. `default_api` is the
    API of requests whose route names none.
    """

    def __init__(
        self,
        answering: Answering,
        apis: Callable[[str], Api | None],
        default_api: str,
        settings: EnvoySettings,
    ) -> None:
        self._answering = answering
        self._held = HeldRequests(apis, _ORIGIN_FROM)
        self._default_api = default_api
        self._origin = settings.external_origin
        self._allowed = AllowedWriter(settings.names, strip_token=settings.strip_token)
        self._punctual = Punctual()

    def methods(self) -> Methods:
        """Return the service's methods."""
        return {f"/{SERVICE}/Check": Unary(self.check, self._answering.waits)}

    def check(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        """Answer a CheckRequest with a CheckResponse, whatever it is."""
        try:
            answer = self._answer(data, call)
        except Unreadable as error:
            return denied(400, str(error))
        except NoQuestion as error:
            return denied(error.status, error.said)
        except NotReady as error:
            return denied(503, str(error))
        except CallFailed as failed:
            return _failed(failed)
        except Exception:
            _log.exception("a handler failed")
            return _failed(DEFECT)
        if isinstance(answer, Deferred):
            return self._punctual.deferred(_denying(answer), call.time_remaining(), _TOO_LATE)
        return answer

    def _answer(self, data: bytes, call: Call) -> bytes | Deferred[bytes]:
        question = self._question(check_request(data))
        return self._answering.check(call, question, len(data), self._write, _refuse)

    def _question(self, told: HeldByEnvoy) -> Request:
        named = told.extensions
        held = Held(
            told.method,
            told.target,
            told.authorization,
            told.proofs,
            self._origin or origin_of(told.scheme, told.host),
            told.certificate,
            told.request_id,
        )
        api = named.get(API) or self._default_api
        if not api:
            raise NoQuestion(403, _NO_API)
        return self._held.question(api, held, _named(named.get(ACTION), named.get(RESOURCE)))

    def _write(self, decided: Decided) -> bytes:
        decision, decision_id = decided
        if decision.allowed:
            return self._allowed.write(decision, decision_id)
        headers = list(nonce(decision))
        if decision.www_authenticate:
            headers.append(("WWW-Authenticate", decision.www_authenticate))
        if decision.retry_after is not None:
            headers.append(("Retry-After", str(decision.retry_after)))
        told = metadata(decision, decision_id)
        return denied(decision.http_status, decision.message, headers, told)


def _named(action: str | None, resource_type: str | None) -> Named | None:
    """Return what the configuration of Envoy names, `None` where routes are to tell."""
    if action is not None and resource_type is not None:
        return Named(action, resource_type)
    if action is not None or resource_type is not None:
        raise NoQuestion(403, _HALF_NAMED)
    return None


def _refuse(error: NoDecision) -> bytes:
    return denied(503 if isinstance(error, NotReady) else 400, str(error))


def _failed(failed: CallFailed) -> bytes:
    """Say that this Envoy may not ask, or that policyd failed."""
    refusals = (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED)
    return denied(403 if failed.code in refusals else 503, failed.message)


def _denying(answer: Deferred[bytes]) -> Deferred[bytes]:
    """Return an answer that denies where the call would fail."""

    def begin(deliver: Deliver[bytes]) -> None:
        def told(given: bytes | CallFailed) -> None:
            deliver(_failed(given) if isinstance(given, CallFailed) else given)

        start_deferred(answer, told)

    return Deferred(begin)
