"""Prepared data for the questions of one revision about one action, shared by all their records.

A `Route` leads from the record to the plan. It holds the facts that its records lack, the places of
attributes, and the tokens seen so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor
from typing import Final

import msgspec

from policyd.analysis.partial import States
from policyd.audit.schema import UNREADABLE, LineUnusable, TokenFacts
from policyd.json_types import Json
from policyd.language.policy import Attribute, ClaimDeclaration
from policyd.language.types import ASSERTED, TOKEN_FACTS, Fact, Origin
from policyd.program.index import ApiProgram, Plan
from policyd.program.layout import Facts
from policyd.replay.recorded import at_their_paths, verified
from policyd.replay.recording import Needed, masked, not_recorded
from policyd.replay.records import Asked
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import TokenRefused

#: The most tokens, and lists of masked facts, that are cached for each API and revision.
_REMEMBERED: Final = 16_384
JTI: Final = TOKEN_FACTS["jti"]
_decode = msgspec.json.Decoder(TokenFacts).decode


class SeenToken(msgspec.Struct, frozen=True):
    """A recorded token. `facts` are those that the program reads, `None` if it refuses the token.

    `for_api` is whether it was issued for one of the API's audiences, `None` if that is unknown.
    `complete` is `False` if a claim is missing that may not have been recorded.
    """

    stated: TokenFacts
    token: VerifiedToken
    facts: Facts | None
    for_api: bool | None
    complete: bool


Tokens = dict[tuple[bytes, tuple[str, ...]], SeenToken]


class Route(msgspec.Struct, frozen=True, eq=False):
    """From the records of one revision, about one action on a resource type, to a plan.

    `old` is the API in that revision, if its policies are known. `never` are needed facts that its
    records do not hold; `masked` caches the masked ones. `attributes` and `context` are the
    declarations, if some are read from other places than their names. `doubtful` are names of
    claims, userinfo, attributes and context that, if missing, may not have been recorded, because
    the policies of the revision are not known.
    """

    api: ApiProgram
    plan: Plan
    needed: Needed
    old: ApiProgram | None
    never: Mapping[Fact, States]
    simple: bool
    attributes: tuple[Attribute, ...]
    context: tuple[Attribute, ...]
    doubtful: Mapping[Origin, frozenset[str]]
    tokens: Tokens
    masked: dict[tuple[str, ...], Mapping[Fact, States]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        api: ApiProgram,
        resource_type: str,
        action: str,
        old: ApiProgram | None,
        tokens: Tokens,
    ) -> Route:
        """Find a route to an action that the API has."""
        resource = api.resources[resource_type]
        plan = resource.plans[action]
        needed = Needed.of(api.api, resource_type, action, plan)
        never = {} if old is None else not_recorded(old, needed, resource_type, action)
        doubtful: dict[Origin, frozenset[str]] = {}
        for origin in (Origin.CLAIM, Origin.USERINFO, Origin.RESOURCE, Origin.CONTEXT):
            names = (one.fact.name for one in needed.declared if one.fact.origin is origin)
            doubtful[origin] = frozenset(() if old is not None else names)
        return cls(
            api,
            plan,
            needed,
            old,
            never,
            simple=not never and JTI not in needed.reads,
            attributes=_pointed_at(resource.type.attributes),
            context=_pointed_at(api.api.context),
            doubtful=doubtful,
            tokens=tokens,
        )

    def kept_out(self, names: tuple[str, ...]) -> Mapping[Fact, States]:
        """Return the needed facts among those of these names, which are masked."""
        known = self.masked.get(names)
        if known is None:
            if len(self.masked) >= _REMEMBERED:
                self.masked.clear()
            known = self.masked[names] = masked(names, self.needed, self.old)
        return known

    def lacks(self, record: Asked) -> bool:
        """Return whether a record lacks values, other than claims, that may not have been
        recorded."""
        doubtful = self.doubtful
        return not (
            record.attributes.keys() >= doubtful[Origin.RESOURCE]
            and record.context.keys() >= doubtful[Origin.CONTEXT]
            and record.userinfo.keys() >= doubtful[Origin.USERINFO]
        )

    def given(self, record: Asked) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
        """Return attributes and context as the caller passed them."""
        attributes: Mapping[str, Json] = record.attributes
        context: Mapping[str, Json] = record.context
        if self.attributes:
            attributes = at_their_paths(attributes, self.attributes, ())
        if self.context:
            context = at_their_paths(context, self.context, ())
        return attributes, context

    def told(self, record: Asked) -> Mapping[str, Json]:
        """Return the userinfo claims."""
        return at_their_paths(record.userinfo, self.api.api.userinfo.values(), record.ill_typed)

    def token(self, record: Asked) -> SeenToken:
        """Return the token of a record. Raises `LineUnusable`."""
        key = (bytes(record.token), record.ill_typed)
        seen = self.tokens.get(key)
        if seen is None:
            if len(self.tokens) >= _REMEMBERED:
                self.tokens.clear()
            seen = self.tokens[key] = self._seen(record)
        return seen

    def _seen(self, record: Asked) -> SeenToken:
        stated = stated_token(record)
        token = token_of(stated, record, self.api)
        facts: Facts | None
        try:
            facts = self.api.token.read(token)
        except TokenRefused:
            facts = None
        lacking = self.doubtful[Origin.CLAIM] - stated.claims.keys()
        return SeenToken(stated, token, facts, self._is_for_api(stated), not lacking)

    def _is_for_api(self, stated: TokenFacts) -> bool | None:
        """Return whether an accepted token would be accepted for the API's current audiences."""
        now = frozenset(self.api.api.audiences)
        before = None if self.old is None else frozenset(self.old.api.audiences)
        if before is not None and now >= before:
            return True
        if (stated.issuer or "").startswith(ASSERTED):
            return True
        named = frozenset(stated.audience or ())
        if named & now:
            return True
        # An accepted token named an audience at that time, unless its issuer's tokens name none.
        return False if named and (before is None or named & before) else None


def stated_token(record: Asked) -> TokenFacts:
    """Return the token as recorded. Raises `LineUnusable`."""
    try:
        return _decode(record.token)
    except UNREADABLE as problem:
        said = f"the record's token is not as schema 1 says: {problem}"
        raise LineUnusable("malformed", said) from None


def token_of(stated: TokenFacts, record: Asked, api: ApiProgram) -> VerifiedToken:
    """Return a record's token, with its claims where an API looks for them."""
    claims = at_their_paths(stated.claims, api.api.claims.values(), record.ill_typed)
    return verified(stated, claims, floor(record.time.timestamp()))


def _pointed_at(declared: Iterable[Attribute]) -> tuple[Attribute, ...]:
    listed = tuple(declared)
    return listed if any(one.is_pointed_at for one in listed) else ()


def is_of_another(one: ClaimDeclaration | Attribute, stated: TokenFacts) -> bool:
    """Return whether a claim belongs to an issuer other than the token's."""
    if not isinstance(one, ClaimDeclaration) or stated.issuer is None:
        return False
    return one.issuer not in (None, stated.issuer)
