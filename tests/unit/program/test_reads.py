"""What rules read: slots, moments, scopes that help or hurt, logins."""

from __future__ import annotations

import pytest

from policyd.language.policy import (
    All,
    AnyOf,
    Equal,
    Formula,
    Granted,
    HasAll,
    HasAny,
    In,
    IsTrue,
    Less,
    Literal,
    NamedCondition,
    Not,
    Present,
    StartsWith,
    WithinLast,
    WithinNext,
)
from policyd.language.types import NOW, Type
from policyd.program.reads import ACR, AMR, AUTH_TIME, SCOPES, Reads, reads
from tests.support.program import ATTRIBUTES, CLAIMS, ENTRIES, NOW_SECONDS, SOURCE, SPAN, rule

DECLARED = ("a", "b", "c")
A, B = Granted(SPAN, "a"), Granted(SPAN, "b")
TIME = ATTRIBUTES[Type.TIME]
TEXTS = ATTRIBUTES[Type.SET_OF_STRING]
LIST = Literal(Type.SET_OF_STRING, ("a", "b"))


def allow(formula: Formula) -> Reads:
    return reads([rule("r", "allow", formula)], DECLARED)


def deny(formula: Formula) -> Reads:
    return reads([rule("r", "deny", formula)], DECLARED)


def scopes(read: Reads) -> tuple[str, str]:
    return "".join(sorted(read.helping_scopes)), "".join(sorted(read.hurting_scopes))


@pytest.mark.parametrize(
    ("formula", "helping", "hurting"),
    [
        (A, "a", ""),
        (Not(SPAN, A), "", "a"),
        (Not(SPAN, Not(SPAN, A)), "a", ""),
        (All(SPAN, (A, Not(SPAN, B))), "a", "b"),
        (AnyOf(SPAN, (A, Not(SPAN, A))), "a", "a"),
        (Not(SPAN, AnyOf(SPAN, (A, Not(SPAN, B)))), "b", "a"),
        (In(SPAN, Literal(Type.STRING, "b"), SCOPES), "b", ""),
        (In(SPAN, TEXTS, SCOPES), "abc", ""),
        (HasAny(SPAN, SCOPES, LIST), "ab", ""),
        (HasAll(SPAN, SCOPES, LIST), "ab", ""),
        (HasAll(SPAN, SCOPES, TEXTS), "abc", ""),
        (HasAny(SPAN, TEXTS, SCOPES), "abc", ""),
        (HasAll(SPAN, TEXTS, SCOPES), "", "abc"),
        (HasAll(SPAN, SCOPES, SCOPES), "abc", "abc"),
        (Not(SPAN, HasAll(SPAN, TEXTS, SCOPES)), "abc", ""),
        (IsTrue(SPAN, CLAIMS[Type.BOOL]), "", ""),
    ],
)
def test_scopes_help_or_hurt(formula: Formula, helping: str, hurting: str) -> None:
    assert scopes(allow(formula)) == (helping, hurting)
    assert scopes(deny(formula)) == (hurting, helping)


def test_a_shared_condition_counts_in_each_way_that_it_is_used() -> None:
    shared = NamedCondition(SPAN, "shared", SOURCE, A)
    assert scopes(allow(All(SPAN, (shared, shared)))) == ("a", "")
    assert scopes(allow(All(SPAN, (shared, Not(SPAN, shared))))) == ("a", "a")
    rules = [rule("r", "allow", shared), rule("d", "deny", shared)]
    assert scopes(reads(rules, DECLARED)) == ("a", "a")


def test_facts_and_presence() -> None:
    text, number = CLAIMS[Type.STRING], ENTRIES[Type.INT]
    read = allow(
        All(
            SPAN,
            (
                Present(SPAN, text),
                Equal(SPAN, number, Literal(Type.INT, 1)),
                StartsWith(SPAN, ATTRIBUTES[Type.STRING], "x"),
            ),
        )
    )
    assert read.facts == {text, number, ATTRIBUTES[Type.STRING]}
    assert read.presence == {text}
    assert not read.login


@pytest.mark.parametrize(
    ("formula", "moments"),
    [
        (WithinLast(SPAN, TIME, 90), ((TIME, -60), (TIME, 91))),
        (WithinLast(SPAN, NOW, 90), ()),
        (WithinNext(SPAN, TIME, 90), ((TIME, -90), (TIME, 61))),
        (Less(SPAN, NOW, TIME, False), ((TIME, 0), (TIME, 1))),
        (Less(SPAN, TIME, NOW, True), ((TIME, 0), (TIME, 1))),
        (Equal(SPAN, NOW, TIME), ((TIME, 0), (TIME, 1))),
        (Equal(SPAN, NOW, NOW), ()),
        (Equal(SPAN, TIME, TIME), ()),
    ],
)
def test_moments_at_which_a_test_can_change(
    formula: Formula, moments: tuple[tuple[object, int], ...]
) -> None:
    assert allow(formula).moments == moments
    assert allow(formula).fixed_moments == ()


def test_moments_that_a_policy_names() -> None:
    literal = Literal(Type.TIME, NOW_SECONDS)
    read = allow(Less(SPAN, NOW, literal, False))
    assert (read.moments, read.fixed_moments) == ((), (NOW_SECONDS, NOW_SECONDS + 1))


def test_logins_that_are_named() -> None:
    read = allow(
        AnyOf(
            SPAN,
            (
                Equal(SPAN, ACR, Literal(Type.STRING, "z")),
                Equal(SPAN, Literal(Type.STRING, "y"), ACR),
                In(SPAN, ACR, LIST),
                StartsWith(SPAN, ACR, "part"),
                Equal(SPAN, ACR, ATTRIBUTES[Type.STRING]),
                Equal(SPAN, ACR, CLAIMS[Type.STRING]),
                HasAll(SPAN, AMR, LIST),
                In(SPAN, ENTRIES[Type.STRING], AMR),
                HasAll(SPAN, TEXTS, AMR),
                Not(SPAN, In(SPAN, Literal(Type.STRING, "c"), AMR)),
                HasAny(SPAN, CLAIMS[Type.SET_OF_STRING], AMR),
                WithinLast(SPAN, AUTH_TIME, 900),
                WithinLast(SPAN, AUTH_TIME, 90),
                WithinLast(SPAN, TIME, 9),
            ),
        )
    )
    assert read.login
    assert read.acr == ("a", "b", "y", "z")
    assert read.acr_parts == ("part",)
    assert read.acr_facts == (ATTRIBUTES[Type.STRING],)
    assert read.helping_amr == {"a", "b"}
    assert read.helping_amr_facts == (ENTRIES[Type.STRING],)
    assert read.hurting_amr == {"c"}
    assert read.hurting_amr_facts == (TEXTS,)
    assert read.max_age == 90
    assert allow(Present(SPAN, AUTH_TIME)).login
    assert allow(Present(SPAN, AUTH_TIME)).max_age is None
