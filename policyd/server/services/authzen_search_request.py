"""What AuthZEN's searches ask for: their paths, their bodies, and the tokens of their pages.

Source: OpenID AuthZEN, Authorization API 1.0, section 8.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from policyd.config.request_limits import RequestLimits
from policyd.json_types import Json
from policyd.server.services.authzen import MOST_GROUPS, SEARCH, SEARCHED
from policyd.server.services.authzen_request import ENTITIES, Mistake

_OTHERS: Final = {
    "subject": ("action", "resource"),
    "resource": ("subject", "action"),
    "action": ("subject", "resource"),
}
_DIGEST: Final = 16
NO_TOKEN: Final = "`page.token` is none of this search, or the directory has changed"

Object = dict[str, Json]


class Search(msgspec.Struct, frozen=True, eq=False):
    """What a body asks for: one page, after a position. `others` are the entities that it names,
    `type` is that of the entities that it searches."""

    kind: str
    api: str
    type: str
    others: Mapping[str, Object]
    context: Object
    after: str
    limit: int
    digest: str

    def token(self, following: str) -> str:
        """Return the token of the page after a position, empty where there is none."""
        if not following:
            return ""
        return base64.urlsafe_b64encode(f"{self.digest}{following}".encode()).decode()


def endpoint(path: str) -> tuple[str, str] | None:
    """Return the API that a path names, if any, and what is searched."""
    for kind in SEARCHED:
        if path.endswith(SEARCH + kind):
            api = path.removesuffix(SEARCH + kind).removeprefix("/")
            return (api, kind) if "/" not in api else None
    return None


def read_search(body: Object, kind: str, api: str, limits: RequestLimits) -> Search:
    """Read a search of an API. Raises `Mistake`."""
    others = {name: _named(body, name) for name in _OTHERS[kind]}
    type_ = ""
    if kind != "action":
        named = _object(body, kind).get("type")
        if not isinstance(named, str):
            raise Mistake(f"`{kind}.type` is a text")
        type_ = named
    context: Object = {"context": body["context"]} if "context" in body else {}
    page = body.get("page", {})
    if not isinstance(page, dict):
        raise Mistake("`page` is an object")
    most = MOST_GROUPS if kind == "subject" else limits.batch_items
    limit = page.get("limit")
    if limit is None:
        limit = most
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise Mistake("`page.limit` is a whole number from 1 on")
    question = [kind, api, type_, others, context]
    digest = sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:_DIGEST]
    after = _position(page.get("token"), digest)
    return Search(kind, api, type_, others, context, after, min(limit, most), digest)


def _object(body: Object, name: str) -> Object:
    found = body.get(name)
    if not isinstance(found, dict):
        raise Mistake(f"`{name}` is missing" if found is None else f"`{name}` is an object")
    return found


def _named(body: Object, name: str) -> Object:
    """Return an entity that a search is about, which is named in full."""
    found = _object(body, name)
    for part in ENTITIES[name]:
        if not isinstance(found.get(part), str):
            raise Mistake(f"`{name}.{part}` is {'a text' if part in found else 'missing'}")
    return found


def _position(token: Json, digest: str) -> str:
    """Return where the page of a token begins. Raises `Mistake`."""
    if token in (None, ""):
        return ""
    try:
        text = base64.urlsafe_b64decode(str(token).encode()).decode()
    except ValueError:
        text = ""
    if not text.startswith(digest) or len(text) == _DIGEST:
        raise Mistake(NO_TOKEN)
    return text[_DIGEST:]
