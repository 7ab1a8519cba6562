"""A decorator for Flask: ask before a view runs.

client = Client("127.0.0.1:8181")
guard = Guard(client, api="health")

@app.get("/patients/<patient_id>")
@guard.requires("read", lambda patient_id: Resource("patient", patient_id))
def read(patient_id): ...
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeAlias, overload

from flask import Request, Response, current_app, g, jsonify, make_response, request
from flask.typing import ResponseReturnValue

from .credentials import new_request_id
from .enforcement import Asks, HttpGuard, Seen, answer_headers, refusal
from .values import Answer, AuthorizationFailed, Resource

P = ParamSpec("P")
#: What is asked about: always the same, or what the view's arguments name.
ResourceOf: TypeAlias = Resource | Callable[P, Resource]
View: TypeAlias = Callable[P, ResponseReturnValue]


class Guard(HttpGuard[Request, Asks]):
    """Asks with `client`, a `Client` or a `policyd.Embedded`. For the others see `HttpGuard`.

    A refusal is answered as JSON, with the status and the header fields that policyd made. The
    answer of a request that is let in is `flask.g.policyd`.
    """

    @overload
    def requires(self, action: str, resource: Resource) -> Callable[[View[P]], View[P]]: ...

    @overload
    def requires(
        self, action: str, resource: Callable[P, Resource]
    ) -> Callable[[View[P]], View[P]]: ...

    def requires(self, action: str, resource: ResourceOf[P]) -> Callable[[View[P]], View[P]]:
        """Return a decorator that lets in who may perform `action` on `resource`."""

        def decorate(view: View[P]) -> View[P]:
            @wraps(view)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
                named = resource(*args, **kwargs) if callable(resource) else resource
                outcome = self._ask(action, named)
                if isinstance(outcome, AuthorizationFailed) or not outcome.allowed:
                    return _refused(outcome)
                g.policyd = outcome
                response = make_response(current_app.ensure_sync(view)(*args, **kwargs))
                response.headers.update(answer_headers(outcome))
                return response

            return guarded

        return decorate

    def _ask(self, action: str, resource: Resource) -> Answer | AuthorizationFailed:
        if "policyd_request_id" not in g:
            g.policyd_request_id = new_request_id()
        current: Request = request
        try:
            return self._client.ask(
                self.question(current, _seen(current), action, resource, g.policyd_request_id)
            )
        except AuthorizationFailed as failed:
            return failed


def _refused(outcome: Answer | AuthorizationFailed) -> Response:
    made = refusal(outcome)
    response = jsonify(made.body())
    response.status_code = made.status
    response.headers.update(made.headers)
    return response


def _seen(current: Request) -> Seen:
    # Servers differ in where they leave the path as it was received; no standard says.
    raw = current.environ.get("RAW_URI") or current.environ.get("REQUEST_URI") or current.path
    return Seen(
        current.headers.getlist("Authorization"),
        current.headers.getlist("DPoP"),
        current.method,
        str(raw).partition("?")[0],
    )
