"""The syntax tree of tests and fixtures: what was written and where, with no meaning in it.

As in `nodes`, every node carries the `Span` of its text, and trees are immutable.
"""

from __future__ import annotations

from typing import Literal as OneOf

from policyd.language.nodes import Declaration, List, Literal, Name, Node, Text


class Pair(Node, frozen=True):
    """`NAME: VALUE`. A list of records is stated as the JSON that it is."""

    key: Name
    value: Literal | List | Object | Array


class TokenBlock(Node, frozen=True):
    """`token { … }`; `kind` is the word before the brace, if any: `user`, `application`, or the
    name of a fixture."""

    kind: Name | None
    pairs: tuple[Pair, ...]


class Member(Node, frozen=True):
    key: Name | Text
    value: JsonNode


class Object(Node, frozen=True):
    """`{ sub: "auth0|ann", "https://example.com/roles": ["a"] }`"""

    members: tuple[Member, ...]


class Array(Node, frozen=True):
    items: tuple[JsonNode, ...]


JsonNode = Literal | Array | Object


class ClaimsBlock(Node, frozen=True):
    """`token from DIALECT { … }`: the payload of a token as an issuer writes it."""

    dialect: Name
    claims: Object


class UserinfoBlock(Node, frozen=True):
    pairs: tuple[Pair, ...]


class ContextBlock(Node, frozen=True):
    pairs: tuple[Pair, ...]


class Clock(Node, frozen=True):
    """`at "…"`"""

    time: Text


class Expectation(Node, frozen=True):
    """`allow ACTION on RESOURCE "id" { … } by RULE missing SCOPE because REASON`

    `resource` names a resource, or a fixture that is one.
    """

    effect: OneOf["allow", "deny"]
    action: Name
    resource: Name
    id: Text | None
    attributes: tuple[Pair, ...]
    by: tuple[Name, ...]
    missing: tuple[Name, ...]
    reason: Name | None


TestItem = TokenBlock | ClaimsBlock | UserinfoBlock | ContextBlock | Clock | Expectation


class Test(Declaration, frozen=True):
    title: Text
    items: tuple[TestItem, ...]


class ResourceValue(Node, frozen=True):
    """`resource RESOURCE "id" { … }`"""

    resource: Name
    id: Text | None
    attributes: tuple[Pair, ...]


class Fixture(Declaration, frozen=True):
    """`define NAME as token { … }`, `define NAME as resource …`: what several tests share."""

    name: Name
    value: TokenBlock | ClaimsBlock | ResourceValue
