"""What generated policies and questions lack, put into them: forms of declarations.

`tests.support.program.apis` draws conditions of every kind, over one resource and claims of every
issuer. Here a seed makes of such a policy one whose list is that of authorization details (RFC
9396), whose claims may be those of one issuer, whose attributes may be for some actions only, and
whose rules may be for two resources; and of its questions, such questions.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.language.policy import Api, Attribute, ClaimDeclaration, Rule
from policyd.language.types import Fact, Type
from policyd.language.walks import facts
from policyd.tokens.model import VerifiedToken, new_memo
from tests.support.program import ACTIONS, ATTRIBUTES, AUDIENCE, CLAIMS
from tests.support.random_questions import random_questions

ISSUERS = ("https://issuer.example/", "https://other.example/")
#: An action as a protocol names it, in place of a plain name.
QUOTED = "tools/call"
RESOURCES = ("thing", "box")
_DETAILS = CLAIMS["list"].name
_FOREIGN = "https://elsewhere.example/"
_LOCATIONS: tuple[dict[str, Json], ...] = (
    {},
    {},
    {"locations": None},
    {"locations": [AUDIENCE]},
    {"locations": [_FOREIGN, AUDIENCE]},
    {"locations": [_FOREIGN]},
    {"locations": []},
    {"locations": [1]},
    {"locations": AUDIENCE},
)


def varied(api: Api, dice: random.Random) -> Api:
    """Return a policy with the same conditions, and with other forms of declarations."""
    limited = _limited(api, dice)
    thing = api.resources["thing"]
    attributes = tuple(
        msgspec.structs.replace(one, actions=ACTIONS[:1]) if one.fact in limited else one
        for one in thing.attributes
    )
    names = tuple(map(_name, ACTIONS))
    return msgspec.structs.replace(
        api,
        claims={name: _claim(claim, dice) for name, claim in api.claims.items()},
        userinfo={name: _of_issuer(claim, dice) for name, claim in api.userinfo.items()},
        resources={
            name: msgspec.structs.replace(thing, name=name, attributes=attributes, actions=names)
            for name in RESOURCES
        },
        rules=tuple(
            msgspec.structs.replace(rule, resource=name, actions=tuple(map(_name, rule.actions)))
            for rule in (_narrowed(rule, limited) for rule in api.rules)
            for name in dice.choice((RESOURCES, RESOURCES[:1], RESOURCES[1:], RESOURCES))
        ),
    )


def varied_questions(
    api: Api, plain: Api, dice: random.Random, number: int
) -> Iterator[tuple[VerifiedToken, Request]]:
    """Make questions about a policy that `varied` has made of a `plain` one."""
    only_first = [one for one in api.resources["thing"].attributes if one.actions]
    for token, request in random_questions(plain, dice, number):
        attributes = dict(request.attributes)
        if request.action not in ACTIONS[:1]:
            for attribute in only_first:
                if dice.random() < 0.5:
                    _remove(attributes, attribute)
        claims = dict(token.claims)
        if api.claims[_DETAILS].is_details and _DETAILS in claims:
            claims["authorization_details"] = _addressed(claims.pop(_DETAILS), dice)
        yield (
            msgspec.structs.replace(
                token, claims=claims, issuer=dice.choice(ISSUERS), memo=new_memo()
            ),
            msgspec.structs.replace(
                request,
                action=_name(request.action),
                resource_type=dice.choice(RESOURCES),
                attributes=attributes,
            ),
        )


def _name(action: str) -> str:
    return action if action in ACTIONS[:1] else QUOTED


def _claim(claim: ClaimDeclaration, dice: random.Random) -> ClaimDeclaration:
    if claim.fact.name == _DETAILS and dice.random() < 0.7:
        return msgspec.structs.replace(claim, path=("authorization_details",))
    return _of_issuer(claim, dice)


def _of_issuer(claim: ClaimDeclaration, dice: random.Random) -> ClaimDeclaration:
    issuer = dice.choice((None, None, None, None, *ISSUERS))
    return msgspec.structs.replace(claim, issuer=issuer)


def _limited(api: Api, dice: random.Random) -> set[Fact]:
    """Choose attributes that the first action has alone: those that no rule reads which is for the
    others alone."""
    read_by_others = {
        fact for rule in api.rules if ACTIONS[0] not in rule.actions for fact in facts(rule.formula)
    }
    return {
        one
        for one in ATTRIBUTES.values()
        if one not in read_by_others and one.type is not Type.LIST and dice.random() < 0.3
    }


def _narrowed(rule: Rule, limited: set[Fact]) -> Rule:
    """Return a rule that is for no action which lacks what it reads: else it would not load."""
    if limited.isdisjoint(facts(rule.formula)):
        return rule
    return msgspec.structs.replace(rule, actions=ACTIONS[:1])


def _remove(attributes: dict[str, Json], attribute: Attribute) -> None:
    *outer, last = attribute.path
    holder = attributes
    for step in outer:
        inner = holder.get(step)
        if not isinstance(inner, dict):
            return
        holder[step] = holder = dict(inner)
    holder.pop(last, None)


def _addressed(details: Json, dice: random.Random) -> Json:
    """Say of some details where they are for."""
    if isinstance(details, dict):
        return {name: _with_locations(one, dice) for name, one in details.items()}
    if not isinstance(details, list):
        return details
    return [_with_locations(one, dice) for one in details]


def _with_locations(detail: Json, dice: random.Random) -> Json:
    if not isinstance(detail, dict):
        return detail
    return detail | dice.choice(_LOCATIONS)
