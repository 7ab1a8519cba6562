"""AuthZEN's searches: which subjects may, on which resources, by which actions.

It only translates: a page of a search is a list of evaluations, one for each entity of the
directory that it looks at, and its results are those that are allowed. Each is decided and recorded
as any evaluation. An entity that is asked about without properties has those of the directory.

A page looks at as many entities as its `limit`, so it may have fewer results, or none, while
`next_token` goes on. Where a filter helps the directory, a page of resources is asked for with one,
and looks at those alone that may be results: each is still evaluated. A token is of one search: of
its question, and of a position in the directory.

Source: OpenID AuthZEN, Authorization API 1.0, section 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from policyd.config.request_limits import RequestLimits
from policyd.decision.errors import NotReady
from policyd.decision.model import Request
from policyd.diagnostics.json_text import encode_json
from policyd.json_types import Json
from policyd.language.policy import Api
from policyd.language.types import Fact, Type
from policyd.pdp.answering import Answering, NoDecision
from policyd.pdp.calls import CallFailed, Deferred, StatusCode
from policyd.server.directory.model import (
    Declared,
    EntityDirectory,
    Found,
    Key,
    Page,
    Types,
    Wanted,
)
from policyd.server.services.authzen import (
    JSON,
    Evaluating,
    Result,
    echoed,
    failed,
    mistaken,
    read_object,
    refused,
    told,
)
from policyd.server.services.authzen_request import (
    Asked,
    Evaluation,
    Mistake,
    Subjects,
    read_evaluations,
)
from policyd.server.services.authzen_search_request import (
    NO_TOKEN,
    Object,
    Search,
    endpoint,
    read_search,
)
from policyd.server.transport.sequence import then
from policyd.server.transport.web import WebAnswer, WebRequest, WebResponse
from policyd.server.wire.convert_filter import filter_response

_LONGEST_ID: Final = 512
_TOO_LARGE: Final = "FILTER_TOO_LARGE"


class AuthzenSearch:
    """Searches `directory`. `apis` returns the API of a name; else it is as `AuthzenService`."""

    credential = "authorization"

    def __init__(
        self,
        answering: Answering,
        apis: Callable[[str], Api | None],
        directory: EntityDirectory,
        default_api: str,
        subjects: Subjects,
        limits: RequestLimits,
    ) -> None:
        self._answering = answering
        self._apis = apis
        self._directory = directory
        self._default_api = default_api
        self._subjects = subjects
        self._limits = limits

    def has(self, path: str) -> bool:
        """Tell whether a path is that of a search: with an API before it, or without."""
        return endpoint(path) is not None

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request. Raises `CallFailed`."""
        found = endpoint(request.path)
        assert found is not None, "another path is not of this service"
        api, kind = found
        body = read_object(request, self._limits)
        if isinstance(body, WebResponse):
            return body
        try:
            search = read_search(body, kind, api or self._default_api, self._limits)
        except Mistake as mistake:
            return told(request, 400, str(mistake))
        keys = self._keys(search)
        return then(
            self._directory.find(list(keys.values())) if keys else [],
            lambda known: self._searched(request, search, _completed(search, keys, known)),
        )

    def failed(self, request: WebRequest, error: CallFailed) -> WebResponse:
        """Say in the protocol why there is no answer."""
        return failed(request, error)

    # -- what is asked for -----------------------------------------------------------------------

    def _keys(self, search: Search) -> Mapping[str, Key]:
        """Return which of the entities that are asked about the directory may know more of."""
        keys: dict[str, Key] = {}
        for name, entity in search.others.items():
            type_, id_ = entity.get("type"), entity.get("id")
            if "properties" in entity or name == "action":
                continue
            if isinstance(type_, str) and isinstance(id_, str):
                keys[name] = Key(type_, id_, self._types(search, name, type_))
        return keys

    def _types(self, search: Search, name: str, type_: str) -> Types:
        """Return the declared types of what a subject or a resource has."""
        api = self._api(search)
        if api is None:
            return {}
        if name == "subject":
            return _types((one.path, one.fact) for one in api.claims.values())
        declared = api.resources.get(type_)
        attributes = () if declared is None else declared.attributes
        return _types((one.path, one.fact) for one in attributes)

    def _api(self, search: Search) -> Api | None:
        context = search.context.get("context")
        named = context.get("policyd.api", search.api) if isinstance(context, dict) else search.api
        try:
            return self._apis(named) if isinstance(named, str) else None
        except NotReady as error:
            raise CallFailed(StatusCode.UNAVAILABLE, str(error)) from None

    # -- what is tried ---------------------------------------------------------------------------

    def _searched(self, request: WebRequest, search: Search, whole: Object) -> WebAnswer:
        if search.kind == "action":
            page = _of_actions(search, self._actions(search, whole))
            return self._paged(request, search, whole, page)
        types = self._types(search, search.kind, search.type)

        def read(made: bytes | Result | None) -> WebAnswer:
            if isinstance(made, dict):  # nothing can be decided of any
                return _written(request, search, [], [made], "")
            wanted = Wanted(search.type, search.after, search.limit, types, made)
            return then(self._directory.page(wanted), shown)

        def shown(page: Page | None) -> WebAnswer:
            if page is None:
                return told(request, 400, NO_TOKEN)
            tried: list[Object] = [
                {"type": one.type, "id": one.id, "properties": one.properties}
                for one in page.entities
            ]
            return self._paged(request, search, whole, (tried, page.following))

        try:
            made = self._filter(request, search, whole)
        except Mistake as mistake:
            return told(request, 400, str(mistake))
        return then(made, read)

    def _filter(
        self, request: WebRequest, search: Search, whole: Object
    ) -> bytes | Result | Deferred[bytes | Result | None] | None:
        """Return the filter of a search, why nothing can be decided, or `None` where the directory
        goes through all entities."""
        action = search.others.get("action", {})
        if search.kind != "resource" or not self._directory.filters(search.type):
            return None
        if action.get("properties"):
            return None  # they stand in for what the directory says of each resource
        nothing: Object = {"type": search.type, "id": ""}
        asked = self._evaluations(request, search, whole, [nothing])
        evaluation = asked.evaluations[0]
        if not isinstance(evaluation, Evaluation):
            return mistaken(400, str(evaluation))
        question = Request(
            evaluation.access_token,
            evaluation.api,
            evaluation.item.action,
            evaluation.item.resource_type,
            context=evaluation.context,
            request_id=(request.values("x-request-id") or [""])[0][:_LONGEST_ID],
            claim=evaluation.claim,
        )

        def refuse(error: NoDecision) -> Result | None:
            if isinstance(error, NotReady):
                raise CallFailed(StatusCode.UNAVAILABLE, str(error))
            return None if error.code == _TOO_LARGE else refused(error)

        return self._answering.filter(request, question, len(request.body), filter_response, refuse)

    def _actions(self, search: Search, whole: Object) -> Sequence[str]:
        api, resource = self._api(search), whole["resource"]
        type_ = resource.get("type") if isinstance(resource, dict) else None
        declared = api.resources.get(type_) if api and isinstance(type_, str) else None
        return () if declared is None else declared.actions

    def _paged(
        self,
        request: WebRequest,
        search: Search,
        whole: Object,
        page: tuple[Sequence[Object], str] | None,
    ) -> WebAnswer:
        """Evaluate what a page tries, and write which of it is allowed."""
        if page is None:
            return told(request, 400, NO_TOKEN)
        tried, following = page
        if not tried:
            return _written(request, search, tried, [], following)
        try:
            asked = self._evaluations(request, search, whole, tried)
        except Mistake as mistake:
            return told(request, 400, str(mistake))

        def write(request: WebRequest, _asked: Asked, results: list[Result]) -> WebResponse:
            return _written(request, search, tried, results, following)

        return Evaluating(self._answering, request, asked, write).go_on()

    def _evaluations(
        self, request: WebRequest, search: Search, whole: Object, tried: Sequence[Object]
    ) -> Asked:
        """Read the evaluations of what is tried. Raises `Mistake`."""
        # What the directory says is bounded by it, and counts for nobody's request.
        values = sum(len(_properties(one)) for one in tried)
        evaluations: list[Json] = [{search.kind: {**one}} for one in tried]
        return read_evaluations(
            {**whole, "evaluations": evaluations},
            search.api,
            self._subjects,
            RequestLimits(self._limits.values + values, self._limits.batch_items),
            request.caller(),
            several=True,
        )


def _types(facts: Iterable[tuple[tuple[str, ...], Fact]]) -> Types:
    """Return what properties are declared as, by their names in an entity."""
    types: dict[str, Declared] = {}
    for path, fact in facts:
        if len(path) == 1:
            types[path[0]] = Declared(fact.type, fact.name)
        elif path:
            types.setdefault(path[0], Declared(Type.LIST, ""))
    return types


def _properties(entity: Object) -> Object:
    found = entity.get("properties")
    return found if isinstance(found, dict) else {}


def _completed(search: Search, keys: Mapping[str, Key], known: Found) -> Object:
    """Return what is asked about, with the properties that the directory knows."""
    whole: Object = {**search.context, **search.others}
    for name, entity in zip(keys, known, strict=True):
        if entity is not None:
            whole[name] = {**search.others[name], "properties": entity.properties}
    return whole


def _of_actions(search: Search, actions: Sequence[str]) -> tuple[Sequence[Object], str] | None:
    """Return a page of actions, `None` where there is no such position."""
    if search.after and not search.after.isdecimal():
        return None
    start = int(search.after or 0)
    end = start + search.limit
    return [{"name": one} for one in actions[start:end]], str(end) if end < len(actions) else ""


def _written(
    request: WebRequest,
    search: Search,
    tried: Sequence[Object],
    results: Sequence[Result],
    following: str,
) -> WebResponse:
    """Write what of a page is allowed."""
    names = ("name",) if search.kind == "action" else ("type", "id")
    shown = [
        {name: one[name] for name in names}
        for one, result in zip(tried, results, strict=False)
        if result["decision"]
    ]
    answer: dict[str, object] = {
        "page": {"next_token": search.token(following), "count": len(shown)},
        "results": shown,
    }
    problem = _problem(results)
    if problem is not None:
        answer["context"] = {"error": problem}
    return WebResponse(200, encode_json(answer), JSON, echoed(request))


def _problem(results: Sequence[Result]) -> object:
    """Return the first error among results: an entity of the directory lacks what is demanded."""
    for one in results:
        context = one.get("context")
        if isinstance(context, dict) and "error" in context:
            return context["error"]
    return None
