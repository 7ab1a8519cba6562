"""AuthZEN's searches: which subjects may, on which resources, by which actions.

It only translates: a page of a search is a list of evaluations, one for each entity of the
directory that it looks at, and its results are those that are allowed. Each is decided and recorded
as any evaluation. An entity that is asked about without properties has those of the directory.

A page looks at as many entities as its `limit`, so it may have fewer results, or none, while
`next_token` goes on. A token is of one search: of its question, and of the directory as it is.

Source: OpenID AuthZEN, Authorization API 1.0, section 8.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from policyd.config.entities import EntityDirectory
from policyd.config.request_limits import RequestLimits
from policyd.decision.errors import NotReady
from policyd.diagnostics.json_text import encode_json
from policyd.json_types import Json
from policyd.language.policy import Api
from policyd.pdp.answering import Answering
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.services.authzen import (
    JSON,
    MOST_GROUPS,
    SEARCH,
    SEARCHED,
    Evaluating,
    Result,
    echoed,
    failed,
    read_object,
    told,
)
from policyd.server.services.authzen_request import Asked, Mistake, Subjects, read_evaluations
from policyd.server.transport.web import WebAnswer, WebRequest, WebResponse

_OTHERS: Final = {
    "subject": ("action", "resource"),
    "resource": ("subject", "action"),
    "action": ("subject", "resource"),
}
_DIGEST: Final = 16


class Search(msgspec.Struct, frozen=True):
    """A page of a search: what is tried from `start` on, and what it began from."""

    tried: Sequence[dict[str, Json]]
    start: int
    total: int
    digest: str

    def next_token(self) -> str:
        """Return the token of the next page, empty where this is the last."""
        following = self.start + len(self.tried)
        if following >= self.total:
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
            search, asked = self._read(body, kind, api or self._default_api, request.caller())
        except Mistake as mistake:
            return told(request, 400, str(mistake))

        def write(request: WebRequest, _asked: Asked, results: list[Result]) -> WebResponse:
            allowed = [
                one for one, result in zip(search.tried, results, strict=True) if result["decision"]
            ]
            shown = [{name: one[name] for name in _shown(kind)} for one in allowed]
            answer: dict[str, object] = {
                "page": {"next_token": search.next_token(), "count": len(shown)},
                "results": shown,
            }
            problem = _problem(results)
            if problem is not None:
                answer["context"] = {"error": problem}
            return WebResponse(200, encode_json(answer), JSON, echoed(request))

        if not search.tried:
            return write(request, asked, [])
        return Evaluating(self._answering, request, asked, write).go_on()

    def failed(self, request: WebRequest, error: CallFailed) -> WebResponse:
        """Say in the protocol why there is no answer."""
        return failed(request, error)

    def _read(
        self, body: dict[str, Json], kind: str, api: str, caller: str
    ) -> tuple[Search, Asked]:
        """Read a search. Raises `Mistake`."""
        whole: dict[str, Json] = {"context": body["context"]} if "context" in body else {}
        for name in _OTHERS[kind]:
            entity = body.get(name)
            if not isinstance(entity, dict):
                raise Mistake(
                    f"`{name}` is missing" if entity is None else f"`{name}` is an object"
                )
            whole[name] = dict(self._directory.completed(entity))
        candidates = self._candidates(body, kind, api)
        search = self._page(body, kind, api, whole, candidates)
        evaluations: list[Json] = [{kind: {**one}} for one in search.tried]
        if not evaluations:
            return search, Asked([], several=True)
        asked = read_evaluations(
            {**whole, "evaluations": evaluations},
            api,
            self._subjects,
            self._limits,
            caller,
            several=True,
        )
        return search, asked

    def _candidates(self, body: dict[str, Json], kind: str, api: str) -> Sequence[dict[str, Json]]:
        if kind == "action":
            return [{"name": one} for one in self._actions(body, api)]
        entity = body.get(kind)
        if not isinstance(entity, dict):
            raise Mistake(f"`{kind}` is missing" if entity is None else f"`{kind}` is an object")
        type_ = entity.get("type")
        if not isinstance(type_, str):
            raise Mistake(f"`{kind}.type` is a text")
        return [
            {"type": one.type, "id": one.id, "properties": one.properties}
            for one in self._directory.of(type_)
        ]

    def _actions(self, body: dict[str, Json], api: str) -> Sequence[str]:
        context, resource = body.get("context"), body.get("resource")
        named = context.get("policyd.api", api) if isinstance(context, dict) else api
        try:
            found = self._apis(named) if isinstance(named, str) else None
        except NotReady as error:
            raise CallFailed(StatusCode.UNAVAILABLE, str(error)) from None
        type_ = resource.get("type") if isinstance(resource, dict) else None
        declared = found.resources.get(type_) if found and isinstance(type_, str) else None
        return () if declared is None else declared.actions

    def _page(
        self,
        body: dict[str, Json],
        kind: str,
        api: str,
        whole: dict[str, Json],
        candidates: Sequence[dict[str, Json]],
    ) -> Search:
        page = body.get("page", {})
        if not isinstance(page, dict):
            raise Mistake("`page` is an object")
        most = MOST_GROUPS if kind == "subject" else self._limits.batch_items
        limit = page.get("limit")
        if limit is None:
            limit = most
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise Mistake("`page.limit` is a whole number from 1 on")
        entity = body.get(kind)
        question = [
            kind,
            api,
            entity if kind != "action" else None,
            whole,
            self._directory.revision,
        ]
        digest = sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:_DIGEST]
        start = _start(page.get("token"), digest)
        return Search(candidates[start : start + min(limit, most)], start, len(candidates), digest)


def _start(token: Json, digest: str) -> int:
    """Return where the page of a token begins. Raises `Mistake`."""
    if token in (None, ""):
        return 0
    try:
        text = base64.urlsafe_b64decode(str(token).encode()).decode("ascii")
    except ValueError:
        text = ""
    if not text.startswith(digest) or not text[_DIGEST:].isdecimal():
        raise Mistake("`page.token` is none of this search, or the directory has changed")
    return int(text[_DIGEST:])


def _shown(kind: str) -> Sequence[str]:
    return ("name",) if kind == "action" else ("type", "id")


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
