"""Questions by the thousand, for tests that ask one policy many of them.

`tests.support.program.questions` draws one with care, and shrinks; this makes them quickly, from
the same values and out of a `random.Random`, so that a seed tells them all. Each reaches the rules:
what the policy demands is there, and attributes and context are of their types. Claims often are
not, for a claim of another type is what makes conditions unknown.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.language.policy import Api
from policyd.language.types import TOKEN_FACTS, Fact
from policyd.tokens.model import SubjectKind, VerifiedToken
from tests.support.program import (
    ACTIONS,
    ATTRIBUTES,
    CLAIMS,
    ENTRIES,
    NOW_SECONDS,
    SCOPES,
    TOLD,
    TOLD_CLAIMS,
    bad_of,
    good_of,
    payload,
    token,
)

_Members = list[tuple[str, list[tuple[Json, ...]]]]
_LOGIN = [TOKEN_FACTS[name] for name in ("sub", "acr", "amr", "auth_time")]
_KINDS: tuple[SubjectKind | None, ...] = ("user", "application", None)
_TEXTS = (None, "a", "b")


def random_questions(
    api: Api, dice: random.Random, number: int
) -> Iterator[tuple[VerifiedToken, Request]]:
    """Make questions about the one resource of `tests.support.program`."""
    fields = (*api.context, *api.resources["thing"].attributes)
    demanded = {claim.fact for claim in api.claims.values() if not claim.optional}
    demanded |= {claim.fact for claim in api.userinfo.values() if not claim.optional}
    demanded |= {field.fact for field in fields if not field.optional}
    claims = _members([*CLAIMS.values(), *_LOGIN], demanded, ill_typed=True)
    told = _members(list(TOLD_CLAIMS.values()), demanded, ill_typed=True)
    attributes = _members(list(ATTRIBUTES.values()), demanded, ill_typed=False)
    entries = _members(list(ENTRIES.values()), demanded, ill_typed=False)
    for _ in range(number):
        made = token(
            _some(dice, SCOPES),
            {**payload(_drawn(dice, claims)), TOLD: payload(_drawn(dice, told))},
            kind=dice.choice(_KINDS),
            permissions=_some(dice, SCOPES),
            subject=dice.choice(_TEXTS),
            client=dice.choice(_TEXTS),
            actor=dice.choice(_TEXTS),
            issued_at=dice.choice((None, NOW_SECONDS - 90)),
            token_id=dice.choice(_TEXTS),
        )
        request = Request(
            access_token="a.b.c",
            api=api.name,
            action=dice.choice(ACTIONS),
            resource_type="thing",
            resource_id=dice.choice(("", "a", "b")),
            attributes=payload(_drawn(dice, attributes)),
            context=payload(_drawn(dice, entries)),
        )
        yield made, request


def _members(facts: Sequence[Fact], demanded: set[Fact], *, ill_typed: bool) -> _Members:
    """Return the choices for each fact; none, null and ill-typed only where nobody demands it."""
    members: _Members = []
    for fact in facts:
        choices: list[tuple[Json, ...]] = [(value,) for value in good_of(fact)]
        if fact not in demanded:
            choices += [(), (), (None,)]
            choices += [(value,) for value in bad_of(fact)] if ill_typed else []
        members.append((fact.name, choices))
    return members


def _drawn(dice: random.Random, members: _Members) -> dict[str, Json]:
    return {name: value for name, choices in members for value in dice.choice(choices)}


def _some(dice: random.Random, names: Sequence[str]) -> list[str]:
    return [name for name in names if dice.random() < 0.5]
