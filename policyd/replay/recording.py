"""Determines which of the facts that a plan needs are in a record, and which are open.

A fact is open if it was masked, or if the policies that decided did not declare it or read it from
another place. If those policies are not known, a fact that the record lacks may not have been
declared. The states of an open fact are those of `policyd.analysis.partial`.

An attribute that is not recorded counts as known or missing: a log cannot show whether callers
would send it with another type than the new policies declare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from policyd.analysis.partial import ANY_STATE, KNOWN, States
from policyd.language.policy import Api, Attribute, ClaimDeclaration
from policyd.language.types import RESOURCE_ID, TOKEN_FACTS, Fact, Origin
from policyd.program.index import ApiProgram, Plan

Declared = ClaimDeclaration | Attribute
_OR_MISSING: Final[States] = frozenset({"known", "missing"})
_OR_ILL_TYPED: Final[States] = frozenset({"known", "ill-typed"})
_ISSUER: Final = TOKEN_FACTS["iss"].path
#: Facts of the token that keep the issuer's JSON; all others have their declared type.
_AS_WRITTEN: Final = frozenset({"sub", "acr", "amr", "auth_time"})


class Needed(msgspec.Struct, frozen=True):
    """The facts that a plan needs: those that its rules read or that the API requires.

    `reads` are those that rules read; `declared` those of them, and of the demanded ones, that the
    API or the resource type declares.
    """

    reads: frozenset[Fact]
    declared: tuple[Declared, ...]

    @classmethod
    def of(cls, api: Api, resource_type: str, action: str, plan: Plan) -> Needed:
        """Determine what the plan of an action needs."""
        plan.read_by(RESOURCE_ID)
        reads = frozenset(plan.readers)
        declared: tuple[Declared, ...] = (
            *api.claims.values(),
            *api.userinfo.values(),
            *_for(api.resources[resource_type].attributes, action),
            *api.context,
        )
        needed = tuple(one for one in declared if one.fact in reads or not one.optional)
        return cls(reads, needed)


def _for(attributes: Iterable[Attribute], action: str) -> Iterator[Attribute]:
    return (one for one in attributes if one.is_for(action))


def not_recorded(
    old: ApiProgram, needed: Needed, resource_type: str, action: str
) -> dict[Fact, States]:
    """Return the needed facts that no record of these old policies holds."""
    return {
        one.fact: _OR_MISSING if isinstance(one, Attribute) else ANY_STATE
        for one in needed.declared
        if not _is_recorded(old, one, resource_type, action)
    }


def _is_recorded(old: ApiProgram, one: Declared, resource_type: str, action: str) -> bool:
    api = old.api
    if isinstance(one, ClaimDeclaration):
        if one.fact.origin is Origin.USERINFO and old.token.userinfo is None:
            return False  # the issuer was not asked
        listed = api.claims if one.fact.origin is Origin.CLAIM else api.userinfo
        was = listed.get(one.fact.name)
        return was is not None and was.path == one.path and was.issuer in (None, one.issuer)
    if one.fact.origin is Origin.CONTEXT:
        there: Iterable[Attribute] = api.context
    else:
        resource = api.resources.get(resource_type)
        there = () if resource is None else _for(resource.attributes, action)
    return any(had.fact.name == one.fact.name and had.path == one.path for had in there)


def masked(names: Iterable[str], needed: Needed, old: ApiProgram | None) -> dict[Fact, States]:
    """Return the needed facts among those of these names, which are masked in a record.

    The old policies give their types, if they are known.
    """
    paths = frozenset(names)
    found: dict[Fact, States] = {}
    for fact in needed.reads:
        if fact.path in paths and (fact.origin is Origin.TOKEN or fact == RESOURCE_ID):
            found[fact] = _OR_ILL_TYPED if fact.name in _AS_WRITTEN else KNOWN
    for one in needed.declared:
        if one.fact.path in paths:
            found[one.fact] = _states(one, old)
        elif _ISSUER in paths and isinstance(one, ClaimDeclaration) and one.issuer is not None:
            found[one.fact] = ANY_STATE  # the masked issuer may be another one
    return found


def _states(one: Declared, old: ApiProgram | None) -> States:
    """Return the possible states of a masked value."""
    if isinstance(one, Attribute):
        return _OR_MISSING if one.optional else KNOWN
    listed: Mapping[str, ClaimDeclaration] = {}
    if old is not None:
        is_claim = one.fact.origin is Origin.CLAIM
        listed = old.api.claims if is_claim else old.api.userinfo
    was = listed.get(one.fact.name)
    if was is not None and was.fact == one.fact and not was.optional and was.issuer is None:
        return KNOWN  # else the token would have been refused
    return _OR_ILL_TYPED
