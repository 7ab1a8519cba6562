"""AuthZEN's Authorization API 1.0: evaluations of JSON over HTTP.

It only translates: an evaluation becomes a question for `answering`, and a decision an object with
`decision` and `context`. The subject comes in an access token, or is asserted by an enforcement
point that is trusted to have authenticated it.

Invariants: `decision: true` is written in one place, for a decision that allows. What is wrong with
one evaluation denies that one; 400 is for a body that is no request at all, and 401 and 403 speak
of the enforcement point itself. Questions of one body about one subject in one context are asked
together, so that they share what a call may spend.

Source: OpenID AuthZEN, Authorization API 1.0, sections 6 (Access Evaluation), 7 (Access
Evaluations), 9 (metadata) and 10 (transport).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from policyd.config.request_limits import RequestLimits
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.model import BatchRequest
from policyd.diagnostics.json_text import encode_json
from policyd.json_types import Json
from policyd.pdp.answering import Answering, DecidedItem, NoDecision
from policyd.pdp.calls import CallFailed, Deferred, StatusCode
from policyd.server.services.authzen_request import (
    Asked,
    Evaluation,
    Mistake,
    Subjects,
    read_evaluations,
)
from policyd.server.transport.sequence import then
from policyd.server.transport.web import RepeatedField, WebAnswer, WebRequest, WebResponse
from policyd.server.wire.json_body import read_body

_SINGLE: Final = "/access/v1/evaluation"
_SEVERAL: Final = "/access/v1/evaluations"
#: Where searches are, each by what it searches.
SEARCH: Final = "/access/v1/search/"
SEARCHED: Final = ("subject", "resource", "action")
JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
#: What stands in a body beside properties and context, for each evaluation at most.
_BESIDE: Final = 16
#: Subjects and contexts that one body may ask about: each is asked for by itself.
MOST_GROUPS: Final = 32
_LONGEST_ID: Final = 512
_NO_URL: Final = (
    b"there is no metadata here, because `[authzen] policy_decision_point` is not configured\n"
)

Result = dict[str, object]


class AuthzenService:
    """Evaluates. `default_api` is the API of requests that name none, `subjects` says for which
    APIs a subject may be asserted, and whether scopes may be too."""

    credential = "authorization"

    def __init__(
        self, answering: Answering, default_api: str, subjects: Subjects, limits: RequestLimits
    ) -> None:
        self._answering = answering
        self._default_api = default_api
        self._subjects = subjects
        self._limits = limits

    def has(self, path: str) -> bool:
        """Tell whether a path is one of the service's: with an API before it, or without."""
        return _endpoint(path) is not None

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request. Raises `CallFailed`."""
        found = _endpoint(request.path)
        assert found is not None, "another path is not of this service"
        api, endpoint = found
        body = read_object(request, self._limits)
        if isinstance(body, WebResponse):
            return body
        try:
            asked = read_evaluations(
                body,
                api or self._default_api,
                self._subjects,
                self._limits,
                request.caller(),
                several=endpoint == _SEVERAL,
            )
        except Mistake as mistake:
            return told(request, 400, str(mistake))
        return Evaluating(self._answering, request, asked, self._written).go_on()

    def failed(self, request: WebRequest, error: CallFailed) -> WebResponse:
        """Say in the protocol why there is no answer."""
        return failed(request, error)

    def _written(self, request: WebRequest, asked: Asked, results: list[Result]) -> WebResponse:
        body: object = results[0]
        if asked.several:
            body = {"evaluations": _cut(results, asked.semantic)}
        return WebResponse(200, encode_json(body), JSON, echoed(request))


#: 401 and 403 speak of the enforcement point; all else is its mistake, or ours.
_STATUS: Final = {
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.RESOURCE_EXHAUSTED: 400,
    StatusCode.UNAVAILABLE: 503,
}


def read_object(request: WebRequest, limits: RequestLimits) -> dict[str, Json] | WebResponse:
    """Return the object of a request's body, or what is answered to a request that has none."""
    if request.method != "POST":
        return told(request, 405, "ask with POST", (("Allow", "POST"),))
    try:
        media_type = (request.value("content-type") or "").partition(";")[0].strip().lower()
    except RepeatedField as error:
        return told(request, 400, str(error))
    if media_type != JSON:
        return told(request, 400, f"the body must be {JSON}")
    return read_body(request.body, limits.values + _BESIDE * (limits.batch_items + 1))


def failed(request: WebRequest, error: CallFailed) -> WebResponse:
    """Say in the protocol why there is no answer."""
    status = _STATUS.get(error.code, 500)
    headers = (("WWW-Authenticate", "Bearer"),) if status == 401 else ()
    return told(request, status, error.message, headers)


def told(
    request: WebRequest,
    status: int,
    said: str,
    headers: tuple[tuple[str, str], ...] = (),
) -> WebResponse:
    """Return an answer that is no evaluation."""
    body = f"{said}\n".encode()
    return WebResponse(status, body, _TEXT, headers + echoed(request))


def _endpoint(path: str) -> tuple[str, str] | None:
    """Return the API that a path names, if any, and which endpoint it is."""
    for endpoint in (_SINGLE, _SEVERAL):
        if path.endswith(endpoint):
            api = path.removesuffix(endpoint).removeprefix("/")
            return (api, endpoint) if "/" not in api else None
    return None


def echoed(request: WebRequest) -> tuple[tuple[str, str], ...]:
    """Return the header field with the request's identifier, if it has one."""
    return tuple(("X-Request-ID", value) for value in request.values("x-request-id")[:1])


class Evaluating:
    """One body on its way: its questions in groups, one group after another. `write` writes the
    answer from the results of all evaluations, in order."""

    def __init__(
        self,
        answering: Answering,
        request: WebRequest,
        asked: Asked,
        write: Callable[[WebRequest, Asked, list[Result]], WebResponse],
    ) -> None:
        self._answering = answering
        self._request = request
        self._asked = asked
        self._write = write
        self._results: list[Result] = [{} for _ in asked.evaluations]
        self._groups = self._grouped()
        ids = request.values("x-request-id")
        self._request_id = ids[0][:_LONGEST_ID] if ids else ""

    def _grouped(self) -> list[list[tuple[int, Evaluation]]]:
        """Put together what is asked about one subject, at one API, in one context."""
        groups: list[list[tuple[int, Evaluation]]] = []
        places: dict[tuple[object, ...], int] = {}
        for number, evaluation in enumerate(self._asked.evaluations):
            if isinstance(evaluation, Mistake):
                self._results[number] = mistaken(400, str(evaluation))
                continue
            place = places.setdefault(evaluation.shared, len(groups))
            if place == len(groups):
                groups.append([])
            groups[place].append((number, evaluation))
        for surplus in groups[MOST_GROUPS:]:
            said = f"one body asks about at most {MOST_GROUPS} subjects and contexts"
            for number, _ in surplus:
                self._results[number] = mistaken(400, said)
        return groups[:MOST_GROUPS][::-1]

    def go_on(self) -> WebAnswer:
        """Ask for the groups that are left; return the answer once there are none."""
        while self._groups:
            group = self._groups.pop()
            answer = self._ask(group)
            if isinstance(answer, Deferred):
                return then(answer, partial(self._resumed, group))
            self._take(group, answer)
        return self._write(self._request, self._asked, self._results)

    def _resumed(self, group: list[tuple[int, Evaluation]], results: Sequence[Result]) -> WebAnswer:
        """Go on once a group was answered."""
        self._take(group, results)
        return self.go_on()

    def _ask(
        self, group: list[tuple[int, Evaluation]]
    ) -> Sequence[Result] | Deferred[Sequence[Result]]:
        first = group[0][1]
        batch = BatchRequest(
            first.access_token,
            first.api,
            [one.item for _, one in group],
            first.context,
            request_id=self._request_id,
            claim=first.claim,
        )

        def refuse(error: NoDecision) -> Sequence[Result]:
            if isinstance(error, NotReady):
                raise CallFailed(StatusCode.UNAVAILABLE, str(error))
            return [refused(error)] * len(group)

        return self._answering.check_batch(
            self._request, batch, len(self._request.body), _results, refuse
        )

    def _take(self, group: list[tuple[int, Evaluation]], results: Sequence[Result]) -> None:
        for (number, _), result in zip(group, results, strict=True):
            self._results[number] = result


def _results(decided: Sequence[DecidedItem]) -> Sequence[Result]:
    return [_result(item) for item in decided]


def _result(item: DecidedItem) -> Result:
    if isinstance(item, InvalidRequest):
        return refused(item)
    decision, decision_id = item
    context: dict[str, object] = {
        "reason": decision.reason,
        "message": decision.message,
        "decision_id": decision_id,
        "policy_revision": decision.revision,
        "missing_scopes": list(decision.missing_scopes),
        "http_status": 0 if decision.allowed else decision.http_status,
        "www_authenticate": decision.www_authenticate,
        "retry_after": decision.retry_after,
        "cacheable_until": decision.cacheable_until,
    }
    return {
        "decision": decision.allowed,
        "context": {name: value for name, value in context.items() if value},
    }


def refused(error: InvalidRequest) -> Result:
    """Return the result of an evaluation that cannot be decided."""
    return mistaken(_status(error), _said(error))


def mistaken(status: int, said: str) -> Result:
    """Return the result of an evaluation that is none."""
    return {"decision": False, "context": {"error": {"status": status, "message": said}}}


def _status(error: InvalidRequest) -> int:
    return 404 if error.code.startswith("UNKNOWN") else 400


def _said(error: InvalidRequest) -> str:
    hint = "" if error.suggestion is None else f"; did you mean `{error.suggestion}`?"
    return f"{error.field}: {error.description}{hint}"


def _cut(results: list[Result], semantic: str) -> list[Result]:
    """End the results where the semantic says that they end: at the one that decides."""
    deciding = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(semantic)
    for number, result in enumerate(results):
        if deciding is not None and result["decision"] is deciding:
            return results[: number + 1]
    return results


class AuthzenMetadata:
    """Says where the endpoints are, those of searches where there are `searches`. `decision_point`
    is the URL from outside, if it is configured.

    It is never taken from `Host`, which the caller chooses.
    """

    credential = ""

    def __init__(self, decision_point: str | None, *, searches: bool = False) -> None:
        self._searches = searches
        self._url = None if decision_point is None else decision_point.rstrip("/")

    def has(self, path: str) -> bool:
        """Tell whether a path is that of the metadata, of an API too."""
        return path == WELL_KNOWN or (
            path.startswith(f"{WELL_KNOWN}/") and "/" not in path.removeprefix(f"{WELL_KNOWN}/")
        )

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request."""
        if request.method not in ("GET", "HEAD"):
            return WebResponse(405, headers=(("Allow", "GET, HEAD"), *echoed(request)))
        if self._url is None:
            return WebResponse(404, _NO_URL, _TEXT, echoed(request))
        base = self._url + request.path.removeprefix(WELL_KNOWN)
        body = {
            "policy_decision_point": base,
            "access_evaluation_endpoint": base + _SINGLE,
            "access_evaluations_endpoint": base + _SEVERAL,
        }
        for kind in SEARCHED if self._searches else ():
            body[f"search_{kind}_endpoint"] = f"{base}{SEARCH}{kind}"
        return WebResponse(200, encode_json(body), JSON, echoed(request))

    def failed(self, request: WebRequest, _failed: CallFailed) -> WebResponse:
        """Say that there was a defect."""
        return WebResponse(500, headers=echoed(request))


WELL_KNOWN: Final = "/.well-known/authzen-configuration"
