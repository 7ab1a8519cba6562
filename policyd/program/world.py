"""What is asked, as JSON values, and each fact of it: the ground of the interpreter.

It reads by paths as policies declare them, and shares nothing with the readers of the compiled
program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from policyd.json_types import Json
from policyd.language.policy import Api, Attribute, ClaimDeclaration, Operand
from policyd.language.types import Fact, Origin
from policyd.program.obstacles import obstacle
from policyd.program.plain_values import Record, Value, addressed, canonical, records, value_of
from policyd.program.trace import Seen
from policyd.tokens.model import VerifiedToken

#: Stands for a value that cannot be reached. No type has it.
_UNREACHABLE: Json = {}


class World(msgspec.Struct, frozen=True):
    """A question about one resource, as it was asked. `now` is whole seconds since the epoch.

    `userinfo` is what the issuer tells of the user; empty when it tells nothing.
    """

    token: VerifiedToken
    resource_id: str
    attributes: Mapping[str, Json]
    context: Mapping[str, Json]
    now: int
    userinfo: Mapping[str, Json] = {}


class WorldReader:
    """Reads the facts of a question, for one resource type at a time (`turn_to`), and within a list
    for one element at a time (`each_element`)."""

    def __init__(self, api: Api, world: World) -> None:
        self._api = api
        self._world = world
        self._context = _paths(api.context)
        self._attributes: Mapping[str, tuple[str, ...]] = {}
        self._element: tuple[Fact, Record] | None = None
        self._scopes: set[str] | None = None

    def turn_to(self, resource: str) -> None:
        """Read the attributes of a resource type from here on."""
        self._attributes = _paths(self._api.resources[resource].attributes)

    def each_element(self, fact: Fact) -> Iterator[Record] | None:
        """Turn to one element of a list after the other, and yield it; `None` where there is no
        list."""
        elements = self._elements(fact)
        return None if elements is None else self._turn_to_each(fact, elements)

    def _turn_to_each(self, fact: Fact, elements: Iterable[Record]) -> Iterator[Record]:
        for element in elements:
            self._element = (fact, element)
            yield element
        self._element = None

    def _elements(self, fact: Fact) -> list[Record] | None:
        raw = self._raw(fact)
        if raw is _UNREACHABLE:
            return None
        found = records(raw, fact)
        if found and fact.origin is Origin.CLAIM and self._api.claims[fact.name].is_details:
            return addressed(found, self._api.audiences)
        return found

    def value(self, operand: Operand) -> Value | None:
        """Return what an operand stands for, `None` when it is missing or ill-typed."""
        if isinstance(operand, Fact):
            raw = self._raw(operand)
            return None if raw is _UNREACHABLE else value_of(raw, self._placed(operand))
        if isinstance(operand.value, tuple):
            return frozenset(canonical(item) for item in operand.value)
        return canonical(operand.value)

    def look(self, fact: Fact) -> Seen:
        """Return what there is of a fact, for a trace."""
        raw = self._raw(fact)
        of = self._element[0] if self._element and fact.origin is Origin.ITEM else None
        if raw is None:
            return Seen(fact, "missing", None, of=of)
        if raw is _UNREACHABLE:
            return Seen(fact, "ill-typed", None, self._obstacle(fact), of)
        known = value_of(raw, self._placed(fact)) is not None
        return Seen(fact, "known" if known else "ill-typed", raw, of=of)

    def _placed(self, fact: Fact) -> Fact:
        """Return a field as a fact of where its list stands: what is foreign to a vocabulary in a
        claim is so in a list of it."""
        if self._element is None or fact.origin is not Origin.ITEM:
            return fact
        return msgspec.structs.replace(fact, origin=self._element[0].origin)

    def _raw(self, fact: Fact) -> Json:
        """Return the JSON value of a fact, `None` when it is missing."""
        world = self._world
        match fact.origin:
            case Origin.CLOCK:
                return world.now
            case Origin.RESOURCE if fact.name == "id":
                return world.resource_id or None
            case Origin.RESOURCE:
                return _at(world.attributes, self._attributes[fact.name])
            case Origin.CONTEXT:
                return _at(world.context, self._context[fact.name])
            case Origin.CLAIM:
                return self._claim(self._api.claims[fact.name], world.token.claims)
            case Origin.USERINFO:
                return self._claim(self._api.userinfo[fact.name], world.userinfo)
            case Origin.TOKEN if fact.name == "scopes":
                return [*sorted(self.granted_scopes())]
            case Origin.TOKEN:
                return _token_fact(world.token, fact.name)
            case Origin.ITEM:
                assert self._element is not None, "a field is one of an element"
                of, element = self._element
                path = next(one.path for one in of.record if one.fact == fact)
                return element.key if path is None else _at(element.members, path)

    def _claim(self, declared: ClaimDeclaration, payload: Mapping[str, Json]) -> Json:
        """Return what a payload holds of a claim; one of another issuer is missing."""
        if declared.issuer not in (None, self._world.token.issuer):
            return None
        return _at(payload, declared.path)

    def _obstacle(self, fact: Fact) -> str:
        """Say what stands in the way to a fact that cannot be reached."""
        world, api = self._world, self._api
        match fact.origin:
            case Origin.CLAIM:
                return obstacle(world.token.claims, api.claims[fact.name].path)
            case Origin.USERINFO:
                return obstacle(world.userinfo, api.userinfo[fact.name].path)
            case Origin.RESOURCE:
                return obstacle(world.attributes, self._attributes[fact.name])
            case Origin.CONTEXT:
                return obstacle(world.context, self._context[fact.name])
        return ""  # a field of an element

    def granted_scopes(self) -> set[str]:
        """Return the token's scopes, and those that they include."""
        if self._scopes is None:
            self._scopes = self._including_scopes()
        return self._scopes

    def _including_scopes(self) -> set[str]:
        found: set[str] = set()
        todo = list(self._world.token.scopes)
        while todo:
            scope = todo.pop()
            if scope not in found:
                found.add(scope)
                declared = self._api.scopes.get(scope)
                todo.extend(() if declared is None else declared.includes)
        return found


def _paths(declared: Iterable[Attribute]) -> Mapping[str, tuple[str, ...]]:
    return {one.fact.name: one.path for one in declared}


def _at(claims: Mapping[str, Json], path: tuple[str, ...]) -> Json:
    """Return the claim at a path, `None` when it is missing.

    A value of no declared type stands for one that cannot be reached, because something else than
    an object is in the way: the claim is then ill-typed, not missing.
    """
    found: Json = dict(claims)
    for name in path:
        if found is None:
            return None
        if not isinstance(found, dict):
            return _UNREACHABLE
        found = found.get(name)
    return found


def _token_fact(token: VerifiedToken, name: str) -> Json:
    match name:
        case "permissions":
            return list(token.permissions)
        case "audience":
            return list(token.audience)
        case "subject":
            return token.subject
        case "client":
            return token.client
        case "actor":
            return token.actor
        case "iss":
            return token.issuer
        case "jti":
            return token.token_id
        case "issued_at":
            return token.issued_at
        case "expires_at":
            return token.expires_at
        case _:  # sub, acr, amr, auth_time: as the token has them
            return token.claims.get(name)
