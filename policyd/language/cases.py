"""Checked policy tests: the contents of `test` blocks, with all names resolved."""

from __future__ import annotations

from typing import Literal as OneOf

import msgspec

from policyd.diagnostics.source import Source, Span

JsonScalar = str | int | float | bool
JsonValue = JsonScalar | list["JsonValue"] | dict[str, "JsonValue"]


Claim = JsonScalar | list["Claim"] | dict[str, "Claim"]


class TestClaims(msgspec.Struct, frozen=True):
    """`token from DIALECT { … }`: a payload as an issuer writes it, to be read as a token is."""

    dialect: str
    claims: dict[str, Claim]


class TestToken(msgspec.Struct, frozen=True):
    """`token KIND { … }`. `values` is by the names of the language: `scope`, `permissions`, a name
    of the token table, or a declared claim. Times are RFC 3339 text or NumericDate."""

    kind: OneOf["user", "application"] | None
    values: dict[str, JsonValue]


class TestExpectation(msgspec.Struct, frozen=True):
    """One expected decision, with the token, userinfo, context and clock that hold where it stands.

    `userinfo` is by the names that the API declares; empty where the issuer tells nothing.

    `now` is whole seconds since the epoch, `None` where no rule of the API reads the clock and the
    test does not set it. `by` are the expected determining rules and `missing` the expected missing
    scopes, both sorted; empty says nothing.
    """

    effect: OneOf["allow", "deny"]
    action: str
    resource_type: str
    resource_id: str
    attributes: dict[str, JsonValue]
    context: dict[str, JsonValue]
    token: TestToken | TestClaims
    userinfo: dict[str, JsonValue]
    now: int | None
    by: tuple[str, ...]
    missing: tuple[str, ...]
    reason: str | None
    span: Span


class TestCase(msgspec.Struct, frozen=True):
    api: str
    title: str
    docs: tuple[str, ...]
    expectations: tuple[TestExpectation, ...]
    source: Source
    span: Span
