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

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

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
    MOST_GROUPS,
    SEARCH,
    SEARCHED,
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
    ENTITIES,
    Asked,
    Evaluation,
    Mistake,
    Subjects,
    read_evaluations,
)
from policyd.server.transport.sequence import then
from policyd.server.transport.web import WebAnswer, WebRequest, WebResponse
from policyd.server.wire.convert_filter import filter_response

_OTHERS: Final = {
    "subject": ("action", "resource"),
    "resource": ("subject", "action"),
    "action": ("subject", "resource"),
}
_DIGEST: Final = 16
_LONGEST_ID: Final = 512
_TOO_LARGE: Final = "FILTER_TOO_LARGE"

_Object = dict[str, Json]


class Search(msgspec.Struct, frozen=True, eq=False):
    """What a body asks for: one page, after a position. `others` are the entities that it names,
    `type` is that of the entities that it searches."""

    kind: str
    api: str
    type: str
    others: Mapping[str, _Object]
    context: _Object
    after: str
    limit: int
    digest: str

    def token(self, following: str) -> str:
        """Return the token of the page after a position, empty where there is none."""
        if not following:
            return ""
        return base64.urlsafe_b64encode(f"{self.digest}{following}".encode()).decode()


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
        return _endpoint(path) is not None

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request. Raises `CallFailed`."""
        found = _endpoint(request.path)
        assert found is not None, "another path is not of this service"
        api, kind = found
        body = read_object(request, self._limits)
        if isinstance(body, WebResponse):
            return body
        try:
            search = self._read(body, kind, api or self._default_api)
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

    def _read(self, body: _Object, kind: str, api: str) -> Search:
        """Read a search. Raises `Mistake`."""
        others = {name: _named(body, name) for name in _OTHERS[kind]}
        type_ = ""
        if kind != "action":
            named = _object(body, kind).get("type")
            if not isinstance(named, str):
                raise Mistake(f"`{kind}.type` is a text")
            type_ = named
        context: _Object = {"context": body["context"]} if "context" in body else {}
        page = body.get("page", {})
        if not isinstance(page, dict):
            raise Mistake("`page` is an object")
        most = MOST_GROUPS if kind == "subject" else self._limits.batch_items
        limit = page.get("limit")
        if limit is None:
            limit = most
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise Mistake("`page.limit` is a whole number from 1 on")
        question = [kind, api, type_, others, context]
        digest = sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:_DIGEST]
        after = _position(page.get("token"), digest)
        return Search(kind, api, type_, others, context, after, min(limit, most), digest)

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

    def _searched(self, request: WebRequest, search: Search, whole: _Object) -> WebAnswer:
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
                return told(request, 400, _NO_TOKEN)
            tried: list[_Object] = [
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
        self, request: WebRequest, search: Search, whole: _Object
    ) -> bytes | Result | Deferred[bytes | Result | None] | None:
        """Return the filter of a search, why nothing can be decided, or `None` where the directory
        goes through all entities."""
        action = search.others.get("action", {})
        if search.kind != "resource" or not self._directory.filters(search.type):
            return None
        if action.get("properties"):
            return None  # they stand in for what the directory says of each resource
        nothing: _Object = {"type": search.type, "id": ""}
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

    def _actions(self, search: Search, whole: _Object) -> Sequence[str]:
        api, resource = self._api(search), whole["resource"]
        type_ = resource.get("type") if isinstance(resource, dict) else None
        declared = api.resources.get(type_) if api and isinstance(type_, str) else None
        return () if declared is None else declared.actions

    def _paged(
        self,
        request: WebRequest,
        search: Search,
        whole: _Object,
        page: tuple[Sequence[_Object], str] | None,
    ) -> WebAnswer:
        """Evaluate what a page tries, and write which of it is allowed."""
        if page is None:
            return told(request, 400, _NO_TOKEN)
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
        self, request: WebRequest, search: Search, whole: _Object, tried: Sequence[_Object]
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


def _object(body: _Object, name: str) -> _Object:
    found = body.get(name)
    if not isinstance(found, dict):
        raise Mistake(f"`{name}` is missing" if found is None else f"`{name}` is an object")
    return found


def _named(body: _Object, name: str) -> _Object:
    """Return an entity that a search is about, which is named in full."""
    found = _object(body, name)
    for part in ENTITIES[name]:
        if not isinstance(found.get(part), str):
            raise Mistake(f"`{name}.{part}` is {'a text' if part in found else 'missing'}")
    return found


def _properties(entity: _Object) -> _Object:
    found = entity.get("properties")
    return found if isinstance(found, dict) else {}


def _completed(search: Search, keys: Mapping[str, Key], known: Found) -> _Object:
    """Return what is asked about, with the properties that the directory knows."""
    whole: _Object = {**search.context, **search.others}
    for name, entity in zip(keys, known, strict=True):
        if entity is not None:
            whole[name] = {**search.others[name], "properties": entity.properties}
    return whole


def _of_actions(search: Search, actions: Sequence[str]) -> tuple[Sequence[_Object], str] | None:
    """Return a page of actions, `None` where there is no such position."""
    if search.after and not search.after.isdecimal():
        return None
    start = int(search.after or 0)
    end = start + search.limit
    return [{"name": one} for one in actions[start:end]], str(end) if end < len(actions) else ""


_NO_TOKEN: Final = "`page.token` is none of this search, or the directory has changed"


def _position(token: Json, digest: str) -> str:
    """Return where the page of a token begins. Raises `Mistake`."""
    if token in (None, ""):
        return ""
    try:
        text = base64.urlsafe_b64decode(str(token).encode()).decode()
    except ValueError:
        text = ""
    if not text.startswith(digest) or len(text) == _DIGEST:
        raise Mistake(_NO_TOKEN)
    return text[_DIGEST:]


def _written(
    request: WebRequest,
    search: Search,
    tried: Sequence[_Object],
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


def _endpoint(path: str) -> tuple[str, str] | None:
    """Return the API that a path names, if any, and what is searched."""
    for kind in SEARCHED:
        if path.endswith(SEARCH + kind):
            api = path.removesuffix(SEARCH + kind).removeprefix("/")
            return (api, kind) if "/" not in api else None
    return None
