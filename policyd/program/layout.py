"""Where the facts of a question stand: the resolver's names turned into slots of tuples.

A compiled plan reads three tuples: the token's facts, the resource's, the context's. `None` in a
slot is a value that is missing or, in a token, ill-typed: no operator tells the two apart. Only
`is present` does, so a token's fact whose presence is tested has a second slot for the answer.
Attributes need none: an ill-typed one never reaches a plan.

The token's facts are read once a token and program, and remembered in the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Literal as OneOf

import msgspec

from policyd.errors import PolicydError
from policyd.language.policy import Api, Attribute, ClaimDeclaration
from policyd.language.types import RESOURCE_ID, TOKEN_FACTS, Fact, Origin
from policyd.program.values import ILL_TYPED, IllTyped, Reader, Value, reader
from policyd.tokens.model import Json, VerifiedToken
from policyd.tokens.refusals import ClaimInvalid, ClaimMissing, TokenRefused

Facts = tuple[Value | None, ...]

#: Slots that every token has: the granted scopes, and whom the token acts for.
SCOPES_SLOT = 0
KIND_SLOT = 1

Fetch = Callable[[VerifiedToken], Value | IllTyped | None]


class FieldFault(PolicydError):
    """An attribute or context entry is absent though demanded, or ill-typed."""

    def __init__(self, fact: Fact, fault: OneOf["MISSING", "INVALID"]) -> None:
        super().__init__(f"{fact.path} is {fault.lower()}")
        self.fact = fact
        self.fault = fault


class TokenField(msgspec.Struct, frozen=True, gc=False):
    """One fact of a token. `presence` tells whether a second slot says if it is present."""

    fact: Fact
    fetch: Fetch
    demanded: bool
    presence: bool


class TokenLayout(msgspec.Struct, frozen=True, eq=False):
    """The slots of a token's facts. `identity` names this layout in the tokens' memo; it is not the
    layout itself, so that a cached token does not keep an old program alive."""

    fields: tuple[TokenField, ...]
    slots: dict[Fact, int]
    presence: dict[Fact, int]
    identity: object

    def read(self, token: VerifiedToken) -> Facts:
        """Return the token's facts, or raise `ClaimMissing` or `ClaimInvalid`."""
        memo = token.memo
        if memo:
            entry = memo[0]
            if type(entry) is tuple and entry[0] is self.identity:
                facts: Facts = entry[1]
                return facts
        facts = self._read(token)
        memo[:] = [(self.identity, facts)]
        return facts

    def _read(self, token: VerifiedToken) -> Facts:
        facts: list[Value | None] = [token.scopes, token.kind]
        for field in self.fields:
            value = field.fetch(token)
            if value is ILL_TYPED:
                known, present = None, None
            else:
                known, present = value, value is not None
            if known is None and field.demanded:
                raise _refusal(token, field.fact, value)
            facts.append(known)
            if field.presence:
                facts.append(present)
        return tuple(facts)


def _refusal(token: VerifiedToken, fact: Fact, found: Value | IllTyped | None) -> TokenRefused:
    refusal: TokenRefused
    if found is ILL_TYPED:
        refusal = ClaimInvalid(f"the API declares the claim `{fact.name}` as {fact.type}")
    else:
        refusal = ClaimMissing(f"the API demands the claim `{fact.name}` of every token")
    refusal.token = token
    return refusal


class FieldLayout(msgspec.Struct, frozen=True, eq=False):
    """The slots of a resource's attributes, or of the context's entries."""

    fields: tuple[tuple[str, Reader, bool, Fact], ...]
    slots: dict[Fact, int]

    def read(self, given: Mapping[str, Json], *first: Value | None) -> Facts:
        """Return the facts, those of `first` before them, or raise `FieldFault`."""
        facts: list[Value | None] = [*first]
        for name, read, optional, fact in self.fields:
            raw = given.get(name)
            if raw is None:
                if not optional:
                    raise FieldFault(fact, "MISSING")
                facts.append(None)
                continue
            value = read(raw)
            if value is ILL_TYPED:
                raise FieldFault(fact, "INVALID")
            facts.append(value)
        return tuple(facts)


def token_layout(api: Api, used: Iterable[Fact], presence_of: Iterable[Fact]) -> TokenLayout:
    """Lay out the facts that the API's rules read, and the claims that it demands.

    `presence_of` are the facts whose presence is tested.
    """
    tested = frozenset(presence_of)
    demanded = [claim.fact for claim in api.claims.values() if not claim.optional]
    wanted = {fact for fact in used if fact.origin in (Origin.TOKEN, Origin.CLAIM)}
    wanted.discard(TOKEN_FACTS["scopes"])
    slots = {TOKEN_FACTS["scopes"]: SCOPES_SLOT}
    presence: dict[Fact, int] = {}
    fields: list[TokenField] = []
    slot = KIND_SLOT + 1
    for fact in sorted(wanted.union(demanded), key=lambda fact: fact.name):
        fields.append(TokenField(fact, _fetch(api, fact), fact in demanded, fact in tested))
        slots[fact] = slot
        slot += 1
        if fact in tested:
            presence[fact] = slot
            slot += 1
    return TokenLayout(tuple(fields), slots, presence, object())


def resource_layout(attributes: Iterable[Attribute]) -> FieldLayout:
    """Lay out a resource's attributes, after its id."""
    layout = context_layout(attributes)
    slots = {fact: slot + 1 for fact, slot in layout.slots.items()}
    return FieldLayout(layout.fields, {RESOURCE_ID: 0, **slots})


def context_layout(entries: Iterable[Attribute]) -> FieldLayout:
    """Lay out the context's entries."""
    fields = tuple(
        (entry.fact.name, reader(entry.fact.type), entry.optional, entry.fact) for entry in entries
    )
    return FieldLayout(fields, {field[3]: slot for slot, field in enumerate(fields)})


# -- where a token's facts come from -------------------------------------------------------------

#: Facts that the dialect has read.
_READ_BY_DIALECT: dict[str, Fetch] = {
    "permissions": attrgetter("permissions"),
    "audience": attrgetter("audience"),
    "iss": attrgetter("issuer"),
    "subject": attrgetter("subject"),
    "client": attrgetter("client"),
    "actor": attrgetter("actor"),
    "jti": attrgetter("token_id"),
    "issued_at": attrgetter("issued_at"),
    "expires_at": attrgetter("expires_at"),
}


def _fetch(api: Api, fact: Fact) -> Fetch:
    """Return what reads one fact from a verified token."""
    if fact.origin is Origin.CLAIM:
        declaration: ClaimDeclaration = api.claims[fact.name]
        return _claim(declaration.path, reader(fact.type))
    by_dialect = _READ_BY_DIALECT.get(fact.name)
    if by_dialect is not None:
        return by_dialect
    return _claim((fact.name,), reader(fact.type))


def _claim(path: tuple[str, ...], read: Reader) -> Fetch:
    """Return what reads the claim at `path`.

    A member is missing when the object that should hold it is missing; where something else than an
    object stands in its way it is ill-typed.
    """
    *outer, last = path

    def fetch(token: VerifiedToken) -> Value | IllTyped | None:
        holder: Mapping[str, Json] = token.claims
        for name in outer:
            inner = holder.get(name)
            if inner is None:
                return None
            if type(inner) is not dict:
                return ILL_TYPED
            holder = inner
        raw = holder.get(last)
        return None if raw is None else read(raw)

    return fetch
