"""A decorator for Django's views, blocking and async: ask before a view runs.

    client = Client("127.0.0.1:8181")
    guard = Guard(client, api="health")

    @guard.requires("read", lambda request, patient_id: Resource("patient", patient_id))
    def read(request, patient_id): ...

An async view needs `AsyncClient`; `policyd.Embedded` goes with both kinds. Classes take the
decorator by `method_decorator(…, name="dispatch")`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeAlias, cast, overload

from django.http import HttpRequest, HttpResponseBase, JsonResponse

from .credentials import new_request_id
from .enforcement import (
    Ask,
    AskLater,
    Asks,
    AsksBoth,
    AsksLater,
    HttpGuard,
    Seen,
    answer_headers,
    asked_later,
    asked_now,
    refusal,
)
from .values import Answer, AuthorizationFailed, Question, Resource

P = ParamSpec("P")
#: What is asked about: always the same, or what the request and the view's arguments name.
ResourceOf: TypeAlias = Resource | Callable[Concatenate[HttpRequest, P], Resource]
View: TypeAlias = Callable[
    Concatenate[HttpRequest, P], "HttpResponseBase | Awaitable[HttpResponseBase]"
]

_REQUEST_ID = "policyd_request_id"


class Guard(HttpGuard[HttpRequest, Asks | AsksLater | AsksBoth]):
    """Asks with `client`. For the other arguments see `HttpGuard`.

    A refusal is answered as JSON, with the status and the header fields that policyd made. The
    answer of a request that is let in is `request.policyd`.
    """

    @overload
    def requires(self, action: str, resource: Resource) -> Callable[[View[P]], View[P]]: ...

    @overload
    def requires(
        self, action: str, resource: Callable[Concatenate[HttpRequest, P], Resource]
    ) -> Callable[[View[P]], View[P]]: ...

    def requires(self, action: str, resource: ResourceOf[P]) -> Callable[[View[P]], View[P]]:
        """Return a decorator that lets in who may perform `action` on `resource`.

        It raises `TypeError` where the view and the client are of two kinds.
        """

        def decorate(view: View[P]) -> View[P]:
            if inspect.iscoroutinefunction(view):
                later = asked_later(self._client)
                if later is None:
                    raise TypeError("an async view needs a guard with an AsyncClient")
                return self._async(later, view, action, resource)
            now = asked_now(self._client)
            if now is None:
                raise TypeError("a blocking view needs a guard with a Client")
            return self._blocking(now, view, action, resource)

        return decorate

    def _blocking(self, ask: Ask, view: View[P], action: str, resource: ResourceOf[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            named = resource(request, *args, **kwargs) if callable(resource) else resource
            outcome: Answer | AuthorizationFailed
            try:
                outcome = ask(self._asked(request, action, named))
            except AuthorizationFailed as failed:
                outcome = failed
            if isinstance(outcome, AuthorizationFailed) or not outcome.allowed:
                return _refused(outcome)
            request.policyd = outcome
            return _answered(cast("HttpResponseBase", view(request, *args, **kwargs)), outcome)

        return guarded

    def _async(self, ask: AskLater, view: View[P], action: str, resource: ResourceOf[P]) -> View[P]:
        @wraps(view)
        async def guarded(
            request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
        ) -> HttpResponseBase:
            named = resource(request, *args, **kwargs) if callable(resource) else resource
            outcome: Answer | AuthorizationFailed
            try:
                outcome = await ask(self._asked(request, action, named))
            except AuthorizationFailed as failed:
                outcome = failed
            if isinstance(outcome, AuthorizationFailed) or not outcome.allowed:
                return _refused(outcome)
            request.policyd = outcome
            made = cast("Awaitable[HttpResponseBase]", view(request, *args, **kwargs))
            return _answered(await made, outcome)

        return guarded

    def _asked(self, request: HttpRequest, action: str, resource: Resource) -> Question:
        request_id = str(getattr(request, _REQUEST_ID, "") or new_request_id())
        setattr(request, _REQUEST_ID, request_id)
        return self.question(request, _seen(request), action, resource, request_id)


def _refused(outcome: Answer | AuthorizationFailed) -> HttpResponseBase:
    made = refusal(outcome)
    return JsonResponse(made.body(), status=made.status, headers=dict(made.headers))


def _answered(response: HttpResponseBase, answer: Answer) -> HttpResponseBase:
    for name, value in answer_headers(answer).items():
        response.headers[name] = value
    return response


def _seen(request: HttpRequest) -> Seen:
    """WSGI and ASGI servers join repeated fields with a comma, so there is one of each at most."""
    meta = request.META
    authorization, dpop = meta.get("HTTP_AUTHORIZATION"), meta.get("HTTP_DPOP")
    # Servers differ in where they leave the path as it was received; no standard says.
    raw = str(meta.get("RAW_URI") or meta.get("REQUEST_URI") or request.path)
    return Seen(
        [] if authorization is None else [authorization],
        [] if dpop is None else [dpop],
        str(request.method),
        raw.partition("?")[0],
    )
