"""Dependencies for FastAPI, and a decorator for Starlette: ask before an endpoint runs.

client = AsyncClient("127.0.0.1:8181")
guard = Guard(client, api="health")

def patient(request: Request) -> Resource:
    return Resource("patient", request.path_params["patient_id"], {"sealed": False})

@app.get("/patients/{patient_id}", dependencies=[Depends(guard.requires("read", patient))])
async def read(patient_id: str): ...
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .credentials import new_request_id
from .enforcement import (
    AskLater,
    AsksBoth,
    AsksLater,
    HttpGuard,
    Seen,
    answer_headers,
    asked_later,
    refusal,
)
from .values import Answer, AuthorizationFailed, Resource

#: What is asked about: always the same, or what the request names; it may be looked up.
ResourceOf: TypeAlias = Resource | Callable[[Request], "Resource | Awaitable[Resource]"]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
Dependency: TypeAlias = Callable[[Request, Response], Awaitable[Answer]]

_REQUEST_ID = "policyd_request_id"


class Guard(HttpGuard[Request, AsksLater | AsksBoth]):
    """Asks with `client`, an `AsyncClient` or a `policyd.Embedded`. For the others see
    `HttpGuard`.

    A refusal is an `HTTPException` with the status and the header fields that policyd made. The
    answer of a request that is let in is `request.state.policyd`.
    """

    def requires(self, action: str, resource: ResourceOf) -> Dependency:
        """Return a FastAPI dependency that lets in who may perform `action` on `resource`."""

        ask = self._later()

        async def dependency(request: Request, response: Response) -> Answer:
            answer = await self._admit(ask, request, action, resource)
            response.headers.update(answer_headers(answer))
            return answer

        return dependency

    def protect(self, action: str, resource: ResourceOf) -> Callable[[Endpoint], Endpoint]:
        """Return a decorator of Starlette endpoints; what it does is `requires`."""

        ask = self._later()

        def decorate(endpoint: Endpoint) -> Endpoint:
            @wraps(endpoint)
            async def guarded(request: Request) -> Response:
                answer = await self._admit(ask, request, action, resource)
                response = await endpoint(request)
                response.headers.update(answer_headers(answer))
                return response

            return guarded

        return decorate

    def _later(self) -> AskLater:
        ask = asked_later(self._client)
        if ask is None:
            raise TypeError("a guard of async endpoints needs an AsyncClient")
        return ask

    async def _admit(
        self, ask: AskLater, request: Request, action: str, resource: ResourceOf
    ) -> Answer:
        named = resource(request) if callable(resource) else resource
        named = await named if inspect.isawaitable(named) else named
        request_id = getattr(request.state, _REQUEST_ID, None) or new_request_id()
        setattr(request.state, _REQUEST_ID, request_id)
        outcome: Answer | AuthorizationFailed
        try:
            asked = self.question(request, _seen(request), action, named, request_id)
            outcome = await ask(asked)
        except AuthorizationFailed as failed:
            outcome = failed
        if isinstance(outcome, AuthorizationFailed) or not outcome.allowed:
            made = refusal(outcome)
            raise HTTPException(made.status, made.message, dict(made.headers)) from None
        request.state.policyd = outcome
        return outcome


def _seen(request: Request) -> Seen:
    raw = request.scope.get("raw_path")
    return Seen(
        request.headers.getlist("authorization"),
        request.headers.getlist("dpop"),
        request.method,
        raw.decode("latin-1").partition("?")[0] if isinstance(raw, bytes) else request.url.path,
    )
