"""The slots of facts: names become positions in tuples.

A compiled plan reads three tuples: the facts of the token, the resource and the context. `None` in
a slot is a value that is missing or, in a token, ill-typed: no operator distinguishes them. Only
`is present` does, so a token's fact whose presence is tested has a second slot for that.
Attributes need none: an ill-typed attribute never reaches a plan.

The token's facts are read once for each token and program, and stored in the token's memo. Userinfo
can change while the token does not, so it is read at each call; its slots follow those of the token
in the same tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Generic, TypeVar

import msgspec

from policyd.json_types import Json
from policyd.language.policy import Api, Attribute, ClaimDeclaration, Inclusion
from policyd.language.types import RESOURCE_ID, TOKEN_FACTS, Fact, Origin
from policyd.program.fields import Field, ReadFields, reading
from policyd.program.values import ILL_TYPED, IllTyped, Value, addressed, json_at, reader_of
from policyd.tokens.model import FACTS_MEMO, VerifiedToken
from policyd.tokens.refusals import ClaimInvalid, ClaimMissing, TokenRefused

Facts = tuple[Value | None, ...]

#: Slots that every token has: the granted scopes with all that they include, and whom the token
#: acts for.
SCOPES_SLOT = 0
KIND_SLOT = 1

Payload = Mapping[str, Json]
S = TypeVar("S")
Fetch = Callable[[S], Value | IllTyped | None]


class Slot(msgspec.Struct, Generic[S], frozen=True, gc=False):
    """One fact, and what fetches it from a token, or from what an issuer tells of the user.

    `presence` tells whether a second slot says if it is present. A claim of one `issuer` is missing
    in all other tokens, of which it is not demanded.
    """

    fact: Fact
    fetch: Fetch[S]
    demanded: bool
    presence: bool
    issuer: str | None = None


class UserinfoLayout(msgspec.Struct, frozen=True, eq=False):
    """What is read of the claims that an issuer tells of the user."""

    fields: tuple[Slot[Payload], ...]

    def read(self, payload: Payload, token: VerifiedToken) -> Facts:
        """Return the facts, or raise `ClaimMissing` or `ClaimInvalid` as of that token."""
        facts: list[Value | None] = []
        for field in self.fields:
            _append(facts, field, field.fetch(payload), token)
        return tuple(facts)


class TokenLayout(msgspec.Struct, frozen=True, eq=False):
    """The slots of a token's facts, and of what its issuer tells of the user, `userinfo`; that is
    `None` where nothing of it is read or demanded.

    `identity` names this layout in the tokens' memo; it is not the layout itself, so that a cached
    token does not keep an old program alive.
    """

    fields: tuple[Slot[VerifiedToken], ...]
    userinfo: UserinfoLayout | None
    slots: dict[Fact, int]
    presence: dict[Fact, int]
    inclusion: Inclusion
    identity: object

    def read(self, token: VerifiedToken) -> Facts:
        """Return the token's own facts, or raise `ClaimMissing` or `ClaimInvalid`."""
        memo = token.memo
        entry = memo[FACTS_MEMO]
        if type(entry) is tuple and entry[0] is self.identity:
            facts: Facts = entry[1]
            return facts
        facts = self._read(token)
        memo[FACTS_MEMO] = (self.identity, facts)
        return facts

    def _read(self, token: VerifiedToken) -> Facts:
        facts: list[Value | None] = [self.inclusion.closed(token.scopes), token.kind]
        for field in self.fields:
            _append(facts, field, field.fetch(token), token)
        return tuple(facts)


def _append(
    facts: list[Value | None],
    field: Slot[S],
    value: Value | IllTyped | None,
    token: VerifiedToken,
) -> None:
    """Put a value in its slot, and in that of its presence; or refuse the token that lacks it."""
    foreign = field.issuer is not None and field.issuer != token.issuer
    if foreign:
        known, present = None, False
    elif value is ILL_TYPED:
        known, present = None, None
    else:
        known, present = value, value is not None
    if known is None and field.demanded and not foreign:
        raise _refusal(token, field.fact, value)
    facts.append(known)
    if field.presence:
        facts.append(present)


def _refusal(token: VerifiedToken, fact: Fact, found: Value | IllTyped | None) -> TokenRefused:
    refusal: TokenRefused
    if found is ILL_TYPED:
        refusal = ClaimInvalid(f"the API declares the claim `{fact.path}` as {fact.type_name}")
    else:
        refusal = ClaimMissing(f"the API demands the claim `{fact.path}` of every token")
    refusal.token = token
    return refusal


class FieldLayout(msgspec.Struct, frozen=True, eq=False):
    """The slots of a resource's attributes, or of the context's entries, and what reads them."""

    read: ReadFields
    slots: dict[Fact, int]


def token_layout(api: Api, used: Iterable[Fact], presence_of: Iterable[Fact]) -> TokenLayout:
    """Lay out the facts that the API's rules read, and the claims that it demands.

    `presence_of` are the facts whose presence is tested.
    """
    read, tested = frozenset(used), frozenset(presence_of)
    own = _wanted(read - {TOKEN_FACTS["scopes"]}, (Origin.TOKEN, Origin.CLAIM), api.claims)
    of_userinfo = _wanted(read, (Origin.USERINFO,), api.userinfo)
    slots = {TOKEN_FACTS["scopes"]: SCOPES_SLOT}
    presence: dict[Fact, int] = {}
    slot = KIND_SLOT + 1
    for fact, _ in (*own, *of_userinfo):
        slots[fact] = slot
        slot += 1
        if fact in tested:
            presence[fact] = slot
            slot += 1
    fields = tuple(
        Slot(fact, _from_token(api, fact), demanded, fact in tested, _issuer(api.claims, fact))
        for fact, demanded in own
    )
    asked_for = tuple(
        Slot(
            fact,
            _at(api.userinfo[fact.name].path, fact),
            demanded,
            fact in tested,
            _issuer(api.userinfo, fact),
        )
        for fact, demanded in of_userinfo
    )
    userinfo = UserinfoLayout(asked_for) if asked_for else None
    return TokenLayout(fields, userinfo, slots, presence, api.inclusion, object())


def _issuer(declared: Mapping[str, ClaimDeclaration], fact: Fact) -> str | None:
    """Return the issuer whose claim a fact is alone, if it is declared so."""
    if fact.origin not in (Origin.CLAIM, Origin.USERINFO):
        return None
    return declared[fact.name].issuer


def _wanted(
    read: Iterable[Fact], origins: tuple[Origin, ...], declared: Mapping[str, ClaimDeclaration]
) -> list[tuple[Fact, bool]]:
    """Return the facts of these origins that are read or demanded, by name: each, and whether it is
    demanded."""
    demanded = {claim.fact for claim in declared.values() if not claim.optional}
    wanted = demanded.union(fact for fact in read if fact.origin in origins)
    return [(fact, fact in demanded) for fact in sorted(wanted, key=lambda fact: fact.name)]


def resource_layout(
    attributes: Iterable[Attribute], absent: Container[Attribute] = ()
) -> FieldLayout:
    """Lay out a resource's attributes, after its id. What is `absent` keeps its slot, so that
    actions share the code of their rules, and is read from nowhere."""
    layout = context_layout(attributes, absent)
    slots = {fact: slot + 1 for fact, slot in layout.slots.items()}
    return FieldLayout(layout.read, {RESOURCE_ID: 0, **slots})


def context_layout(entries: Iterable[Attribute], absent: Container[Attribute] = ()) -> FieldLayout:
    """Lay out the context's entries."""
    fields = [
        Field(
            entry.fact,
            reader_of(entry.fact),
            entry.optional,
            partial(json_at, entry.path) if entry.is_pointed_at else None,
            entry in absent,
        )
        for entry in entries
    ]
    return FieldLayout(reading(fields), {field.fact: slot for slot, field in enumerate(fields)})


# -- where a token's facts come from -------------------------------------------------------------

#: Facts that the dialect has read.
_READ_BY_DIALECT: dict[str, Fetch[VerifiedToken]] = {
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


def _from_token(api: Api, fact: Fact) -> Fetch[VerifiedToken]:
    """Return what reads one fact from a verified token."""
    if fact.origin is Origin.CLAIM:
        path = api.claims[fact.name].path
    elif fact.name in _READ_BY_DIALECT:
        return _READ_BY_DIALECT[fact.name]
    else:
        path = (fact.name,)
    if fact.origin is Origin.CLAIM and api.claims[fact.name].is_details:
        read, audiences = reader_of(fact), frozenset(api.audiences)

        def details(token: VerifiedToken) -> Value | IllTyped | None:
            raw = token.claims.get("authorization_details")
            return None if raw is None else read(addressed(raw, audiences))

        return details
    fetch = _at(path, fact)
    return lambda token: fetch(token.claims)


def _at(path: tuple[str, ...], fact: Fact) -> Fetch[Payload]:
    """Return what reads the claim at `path`.

    A member is missing when the object that should hold it is missing; where something else than an
    object stands in its way it is ill-typed.
    """
    read = reader_of(fact)

    def fetch(payload: Payload) -> Value | IllTyped | None:
        raw = json_at(path, payload)
        return None if raw is None else ILL_TYPED if raw is ILL_TYPED else read(raw)

    return fetch
