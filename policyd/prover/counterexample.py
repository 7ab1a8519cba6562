"""Writes a witness in the language of tests: a token, a request and the decision.

Input: the declarations and a witness. Output: lines of a `test`, with names as the policy declares
them. Remarks describe what the language of tests cannot express, such as a claim of a wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from policyd.json_types import Json
from policyd.language.parser.tokens import is_name, quoted
from policyd.language.policy import Attribute, ClaimDeclaration
from policyd.language.types import TOKEN_FACTS, Fact
from policyd.program.interpreter import World
from policyd.program.plain_values import value_of
from policyd.prover.universe import DEFAULT_ISSUER, Side
from policyd.prover.witness import LIFETIME

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Written(msgspec.Struct, frozen=True):
    """The statements of a test, and remarks about what they cannot express."""

    lines: tuple[str, ...]
    unsaid: tuple[str, ...]


def written(side: Side, world: World, effect: str, by: Iterable[str]) -> Written:
    """Return a question as statements of a test, with the decision that is expected."""
    writer = _Writer(side, world)
    return Written(tuple(writer.lines(effect, by)), tuple(writer.unsaid))


def as_test(title: str, api: str, lines: Iterable[str]) -> str:
    """Return a whole test file with one test."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"api {api}\n\ntest {quoted(title)} {{\n{body}}}\n"


class _Writer:
    def __init__(self, side: Side, world: World) -> None:
        self._side = side
        self._world = world
        self.unsaid: list[str] = []

    def lines(self, effect: str, by: Iterable[str]) -> Iterator[str]:
        """Yield the statements."""
        side, world = self._side, self._world
        yield f"at {quoted(_time(world.now))}"
        kind = "" if world.token.kind is None else f" {world.token.kind}"
        yield f"token{kind} {_object(self._token())}".replace("{ }", "{}")
        told = self._declared(side.api.userinfo, world.userinfo, "userinfo")
        if told:
            yield f"userinfo {_object(told)}"
        context = self._fields(side.api.context, world.context)
        if context:
            yield f"context {_object(context)}"
        resource = _named(side.resource.name)
        identity = f" {quoted(world.resource_id)}" if world.resource_id else ""
        fields = self._fields(side.attributes, world.attributes)
        attributes = f" {_object(fields)}" if fields else ""
        rules = ", ".join(by)
        because = f" by {rules}" if rules else ""
        action = _named(side.action)
        yield f"{effect} {action} on {resource}{identity}{attributes}{because}"

    def _token(self) -> dict[str, str]:
        world, api = self._world, self._side.api
        token, said = world.token, dict[str, str]()
        if token.scopes:
            said["scope"] = _list(sorted(token.scopes), _scope)
        if token.permissions:
            said["permissions"] = _list(sorted(token.permissions), quoted)
        for name, value in (
            ("subject", token.subject),
            ("client", token.client),
            ("actor", token.actor),
            ("jti", token.token_id),
        ):
            if value is not None:
                said[name] = quoted(value)
        if token.issuer != DEFAULT_ISSUER:
            said["iss"] = quoted(token.issuer)
        if token.audience != frozenset(api.audiences):
            said["audience"] = _list(sorted(token.audience), quoted)
        if token.issued_at not in (None, world.now):
            said["issued_at"] = quoted(_time(token.issued_at or 0))
        if token.expires_at != world.now + LIFETIME:
            said["expires_at"] = quoted(_time(token.expires_at))
        for name in ("sub", "acr", "amr", "auth_time"):
            if name in token.claims and token.claims[name] != token.subject:
                self._say(said, name, token.claims[name], TOKEN_FACTS[name], "token")
        said |= self._declared(api.claims, token.claims, "token")
        return said

    def _declared(
        self, declared: Mapping[str, ClaimDeclaration], payload: Mapping[str, Json], root: str
    ) -> dict[str, str]:
        said: dict[str, str] = {}
        for name, claim in declared.items():
            if claim.issuer in (None, self._world.token.issuer):
                self._say(said, name, _at(payload, claim.path), claim.fact, root)
        return said

    def _fields(self, declared: Iterable[Attribute], given: Mapping[str, Json]) -> dict[str, str]:
        said: dict[str, str] = {}
        for one in declared:
            self._say(said, one.fact.name, _at(given, one.path), one.fact, one.fact.origin)
        return said

    def _say(self, said: dict[str, str], name: str, value: Json, fact: Fact, root: str) -> None:
        if value is None:
            return
        if value_of(value, fact) is None:
            self.unsaid.append(f"`{root}.{name}` is there, and not of its type")
            return
        said[name] = _json(value)


def _at(values: Mapping[str, Json], path: tuple[str, ...]) -> Json:
    """Return the value at a path, or the object at which the path is blocked."""
    found: Json = dict(values)
    for name in path:
        if found is None:
            return None
        if not isinstance(found, dict):
            return {"": found}
        found = found.get(name)
    return found


def _object(members: Mapping[str, str]) -> str:
    if not members:
        return "{}"
    return "{ " + ", ".join(f"{name}: {value}" for name, value in members.items()) + " }"


def _list(values: Iterable[str], write: Callable[[str], str]) -> str:
    return "[" + ", ".join(map(write, values)) + "]"


def _json(value: Json) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, dict):
        return _object({_key(name): _json(one) for name, one in value.items()})
    return str(value)


def _key(name: str) -> str:
    return name if is_name(name) else quoted(name)


def _named(name: str) -> str:
    return name if is_name(name) else quoted(name)


def _scope(name: str) -> str:
    return name if all(map(is_name, name.split(":"))) else quoted(name)


def _time(seconds: int) -> str:
    return f"{(_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()}Z"
