"""Requests of AuthZEN, read: who asks to do what to which resource.

Input: the object of a body. Output: evaluations, each sound or a `Mistake` by itself. Members that
AuthZEN does not know are ignored. A default at the top holds for each evaluation that does not name
the entity itself; of one that names it in part, the type, id or name is completed by it.

Invariants: every text that outlives the call is bounded, and how many attributes the evaluations
read together. An asserted subject is one of an API that permits it; access tokens never stand in
what is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from policyd.config.request_limits import RequestLimits
from policyd.decision.model import Asserted, BatchItem, Expected
from policyd.json_types import Json
from policyd.language.types import ASSERTED
from policyd.pdp.calls import CallFailed
from policyd.server.wire.limits import check_length
from policyd.tokens.model import SubjectKind

_TOKEN: Final = "policyd.access_token"
_API: Final = "policyd.api"
_OURS: Final = (_TOKEN, _API)
_TOKEN_TYPE: Final = "access_token"
#: The entities of a question, and what of each is mandatory.
ENTITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "subject": ("type", "id"),
    "action": ("name",),
    "resource": ("type", "id"),
}
_SEMANTICS: Final = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
_KINDS: Final[Mapping[str, SubjectKind]] = {"user": "user", "application": "application"}
_LONGEST_SUBJECT: Final = 2048
#: How often the values that a body may hold are read, by evaluations that share defaults.
_READ_AGAIN: Final = 20
_NOTHING: Final[dict[str, Json]] = {}

_Object = dict[str, Json]


class Mistake(Exception):
    """What is wrong with a body, or with one of its evaluations."""


class Subjects(msgspec.Struct, frozen=True):
    """The APIs whose subjects an enforcement point may assert, and whether scopes with them."""

    asserted: frozenset[str] = frozenset()
    scopes: bool = False


class Evaluation(msgspec.Struct, frozen=True):
    """A question. `shared` tells which others it can be asked with."""

    access_token: str
    claim: Asserted | Expected | None
    api: str
    context: Mapping[str, Json]
    item: BatchItem
    shared: tuple[object, ...]


class Asked(msgspec.Struct, frozen=True):
    """The evaluations of a body. `several` is whether the answer is a list of them."""

    evaluations: list[Evaluation | Mistake]
    several: bool
    semantic: str = "execute_all"


def read_evaluations(
    body: _Object,
    api: str,
    subjects: Subjects,
    limits: RequestLimits,
    caller: str,
    *,
    several: bool,
) -> Asked:
    """Read a body. Raises `Mistake` where it is no request."""
    reader = _Reader(api, subjects, caller, limits.values * _READ_AGAIN)
    items = body.get("evaluations") if several else None
    if items is not None and not isinstance(items, list):
        raise Mistake("`evaluations` is a list")
    if not items:
        return Asked([reader.evaluation(body)], several=False)
    if len(items) > limits.batch_items:
        raise Mistake(f"a body holds at most {limits.batch_items} evaluations")
    options = body.get("options")
    semantic = options.get("evaluations_semantic") if isinstance(options, dict) else None
    if semantic is None:
        semantic = _SEMANTICS[0]
    if not isinstance(semantic, str) or semantic not in _SEMANTICS:
        raise Mistake(f"`options.evaluations_semantic` is one of {', '.join(_SEMANTICS)}")
    for name in (*ENTITIES, "context"):
        if not isinstance(body.get(name, _NOTHING), dict):
            raise Mistake(f"`{name}` is an object")
    return Asked([_tried(reader, body, item) for item in items], True, semantic)


def _tried(reader: _Reader, body: _Object, item: Json) -> Evaluation | Mistake:
    if not isinstance(item, dict):
        return Mistake("an evaluation is an object")
    try:
        return reader.evaluation(_completed(body, item))
    except Mistake as mistake:
        return Mistake(*mistake.args)


def _completed(body: _Object, item: _Object) -> _Object:
    """Return an evaluation with the defaults of the body."""
    whole: _Object = {}
    for name, required in ENTITIES.items():
        default, own = body.get(name), item.get(name)
        if name not in item:
            own = default
        elif isinstance(own, dict) and isinstance(default, dict):
            missing = [part for part in required if part not in own and part in default]
            if missing:
                own = {**{part: default[part] for part in missing}, **own}
        if own is not None or name in item:
            whole[name] = own
    if "context" in item or "context" in body:
        whole["context"] = item.get("context", body.get("context"))
    return whole


class _Reader:
    """Reads the evaluations of one body, which read `most` values together."""

    def __init__(self, api: str, subjects: Subjects, caller: str, most: int) -> None:
        self._api = api
        self._subjects = subjects
        self._caller = caller
        self._left = most

    def evaluation(self, value: _Object) -> Evaluation:
        """Read one. Raises `Mistake`."""
        entities = {name: _entity(value, name) for name in ENTITIES}
        subject, action, resource = entities.values()
        context = _object(value, "context", "context")
        api = _text(context, _API, _API) if _API in context else self._api
        declared = {name: one for name, one in context.items() if name not in _OURS}
        properties = _properties(resource, "resource")
        further = _properties(action, "action")
        self._left -= len(properties) + len(further) + len(context)
        if self._left < 0:
            raise Mistake("the evaluations of this body read too many values together")
        token, claim = self._subject(subject, context, api)
        item = BatchItem(
            _text(action, "name", "action.name"),
            _text(resource, "type", "resource.type"),
            _text(resource, "id", "resource.id"),
            _together(properties, further),
        )
        _check_lengths(api, item)
        # Objects are told apart by identity: those that are inherited are one.
        who = (subject["type"], subject["id"], id(subject.get("properties")))
        shared = (token, *who, api, id(value.get("context")))
        return Evaluation(token, claim, api, declared, item, shared)

    def _subject(
        self, subject: _Object, context: _Object, api: str
    ) -> tuple[str, Asserted | Expected | None]:
        """Return the access token, and what is said of the subject beside it."""
        kind = _text(subject, "type", "subject.type")
        name = _text(subject, "id", "subject.id")
        if kind == _TOKEN_TYPE:
            return name, None
        if len(name) > _LONGEST_SUBJECT:
            raise Mistake(f"`subject.id` has more than {_LONGEST_SUBJECT} characters")
        if _TOKEN in context:
            return _text(context, _TOKEN, _TOKEN), Expected(name)
        if api not in self._subjects.asserted:
            return "", None  # without a token, which the decision says
        if not name:
            raise Mistake("`subject.id` is empty")
        claims = _properties(subject, "subject")
        scopes = _scopes(claims) if self._subjects.scopes else ()
        claim = Asserted(f"{ASSERTED}{self._caller}", name, _KINDS.get(kind), scopes, claims)
        return "", claim


def _entity(value: _Object, name: str) -> _Object:
    if name not in value:
        raise Mistake(f"`{name}` is missing")
    return _object(value, name, name)


def _object(value: _Object, name: str, path: str) -> _Object:
    found = value.get(name, _NOTHING)
    if not isinstance(found, dict):
        raise Mistake(f"`{path}` is an object")
    return found


def _properties(entity: _Object, name: str) -> _Object:
    return _object(entity, "properties", f"{name}.properties")


def _text(value: _Object, name: str, path: str) -> str:
    if name not in value:
        raise Mistake(f"`{path}` is missing")
    found = value[name]
    if not isinstance(found, str):
        raise Mistake(f"`{path}` is a text")
    return found


def _together(properties: _Object, further: _Object) -> _Object:
    """Return the attributes: the resource's properties, and those of the action beside them."""
    if not further:
        return properties
    for name in further.keys() & properties.keys():
        if further[name] != properties[name]:
            raise Mistake(f"`{name}` is one thing of the action and another of the resource")
    return {**properties, **further}


def _scopes(claims: _Object) -> tuple[str, ...]:
    found = claims.get("scope", "")
    names = found.split(" ") if isinstance(found, str) else found
    if not isinstance(names, list):
        raise Mistake("`subject.properties.scope` is a text, or a list of texts")
    texts = tuple(name for name in names if isinstance(name, str) and name)
    if len(texts) < len([name for name in names if name != ""]):
        raise Mistake("`subject.properties.scope` holds something else than texts")
    return texts


def _check_lengths(api: str, item: BatchItem) -> None:
    try:
        for field, text in (
            ("api", api),
            ("action", item.action),
            ("resource.type", item.resource_type),
            ("resource.id", item.resource_id),
        ):
            check_length(field, text)
    except CallFailed as failed:
        raise Mistake(failed.message) from None
