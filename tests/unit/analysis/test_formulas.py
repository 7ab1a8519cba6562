"""Parts of formulas, what they may come to, and which of them are one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import pytest

from policyd.analysis import formulas
from policyd.analysis.formulas import (
    EITHER,
    FALSE,
    NEVER,
    TRUE,
    UNKNOWN,
    Keys,
    Part,
    Possible,
    Truths,
    conjuncts,
    disjunction,
    is_unequal,
    literals,
    parts,
    possible,
)
from policyd.language import policy
from policyd.language.policy import Formula, Rule
from tests.support.program import policies

POLICY = """
api things
audience "https://api.example/"
scope a "A"
scope b "B"
claim level: string?
claim number: int?
claim flag: bool?
claim groups: set<string>?
resource thing {{
    owner: string
    size: int
    lines: list? {{
        sku: string
        price: int?
    }}
    actions look
}}
define granted as scope a
define either as scope a or scope b
define flagged as token.flag
define never as not granted
{rules}
"""


@cache
def rules(*conditions: str) -> tuple[Rule, ...]:
    written = "\n".join(
        f"allow r{number:02}: look on thing\n    when {one}"
        for number, one in enumerate(conditions)
    )
    return policies(POLICY.format(rules=written)).apis["things"].rules


def formula(condition: str) -> Formula:
    (made,) = rules(condition)
    return made.formula


def text(part: Part) -> str:
    label = part.label
    return label.source.text[label.span.start : label.span.end]


def texts(found: list[Part]) -> list[tuple[str, bool]]:
    return [(text(one), one.positive) for one in found]


# -- parts ----------------------------------------------------------------------------------------


def test_parts_come_from_the_outside_in_each_with_its_sign() -> None:
    (made,) = rules("not (scope a and not scope b) or token.flag")
    assert texts(list(parts(made))) == [
        ("not (scope a and not scope b) or token.flag", True),
        ("not (scope a and not scope b)", True),
        ("scope a and not scope b", False),
        ("scope a", False),
        ("not scope b", False),
        ("scope b", True),
        ("token.flag", True),
    ]


def test_what_is_shared_comes_once_a_sign_and_from_its_own_place() -> None:
    (made,) = rules("granted and (not granted or granted)")
    shown = [(type(one.formula), one.positive) for one in parts(made) if text(one) == "scope a"]
    assert sorted(shown, key=str) == [
        (kind, positive)
        for kind in (policy.Granted, policy.NamedCondition)
        for positive in (False, True)
    ]


def test_the_condition_on_elements_is_a_part() -> None:
    (made,) = rules('not (resource.lines has some (item.sku == "book" and item.price < 5))')
    assert texts(list(parts(made)))[-2:] == [
        ('item.sku == "book"', False),
        ("item.price < 5", False),
    ]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ('token.level == "x"', [("level", "x")]),
        ('token.level in ["x", "y"]', [("level", "x"), ("level", "y")]),
        ('token.groups has any ["x"]', [("groups", "x")]),
        ("token.number < 5", []),  # a bound is not looked for
        ('token.level starts with "x"', []),
        ("token.level == resource.owner", []),
        ("scope a", []),
        ("scope a and token.number == 5", []),  # the parts have them
    ],
)
def test_the_literals_that_a_test_looks_for(
    condition: str, found: list[tuple[str, object]]
) -> None:
    assert [(fact.name, value) for fact, value in literals(formula(condition))] == found


def test_an_inequality_is_told_from_a_negation() -> None:
    assert is_unequal(formula('token.level != "x"'))
    for other in (
        "token.level is missing",
        'not token.level == "x"',
        'token.level == "x"',
        "token.number > 5",
        "not scope a",
    ):
        assert not is_unequal(formula(other))


# -- what may come of a formula -------------------------------------------------------------------

VALUES = (TRUE, FALSE, UNKNOWN, NEVER, EITHER, TRUE | UNKNOWN, EITHER | UNKNOWN)


def test_sets_hold_what_their_names_say() -> None:
    assert [*map(set, (TRUE, FALSE, UNKNOWN, NEVER, EITHER))] == [
        {True}, {False}, {None}, {False, None}, {True, False},
    ]  # fmt: skip


def given_by_scope(**said: Truths) -> Callable[[Part], Truths | None]:
    def given(part: Part) -> Truths | None:
        one = part.formula
        return said.get(one.scope) if isinstance(one, policy.Granted) else None

    return given


def of(condition: str, **said: Truths) -> Truths:
    (made,) = rules(condition)
    return possible(made.formula, given_by_scope(**said), made.source)


@pytest.mark.parametrize(("a", "b"), [*itertools.product(VALUES, VALUES)])
def test_sets_of_values_are_joined_as_values_are(a: Truths, b: Truths) -> None:
    def kleene(join: Callable[[float, float], float]) -> Truths:
        ranks = {False: 0.0, None: 0.5, True: 1.0}
        back = {rank: value for value, rank in ranks.items()}
        return frozenset(back[join(ranks[one], ranks[other])] for one in a for other in b)

    assert of("scope a and scope b", a=a, b=b) == kleene(min)
    assert of("scope a or scope b", a=a, b=b) == disjunction(a, b) == kleene(max)
    assert of("not scope a", a=a) == frozenset(None if one is None else not one for one in a)


def test_a_test_of_which_nothing_is_said_is_true_or_false() -> None:
    assert of("scope a") == EITHER
    assert of("true") == TRUE
    assert of("granted") == EITHER
    assert of("granted and flagged", a=TRUE) == EITHER
    assert of("never and token.flag", a=TRUE) == FALSE


def test_of_a_list_without_elements_no_condition_holds() -> None:
    condition = 'resource.lines has some (item.sku == "book" and granted)'
    assert of(condition, a=TRUE) == EITHER
    assert of(condition, a=FALSE) == FALSE
    assert of(condition, a=UNKNOWN) == NEVER | UNKNOWN


def test_what_is_said_of_a_part_may_depend_on_its_sign() -> None:
    """As where what is unknown counts against the caller, in an allow and in a deny."""

    def given(part: Part) -> Truths | None:
        if not isinstance(part.formula, policy.Granted):
            return None
        return TRUE if part.positive else FALSE

    for condition in ("granted and not granted", "not granted and granted", "granted"):
        (made,) = rules(condition)
        assert possible(made.formula, given, made.source) == TRUE


def test_each_part_is_looked_at_once_and_none_that_can_change_nothing() -> None:
    looked: list[tuple[type[Formula], str]] = []

    def given(part: Part) -> Truths | None:
        looked.append((type(part.formula), text(part)))
        if isinstance(part.formula, policy.Granted):
            return FALSE if part.formula.scope == "a" else TRUE
        return None

    (first, second, third) = rules(
        "granted and granted and token.flag", "scope b or token.flag", "scope b and token.flag"
    )
    assert Possible(given).of(Part(first.formula, first.source, positive=True)) == FALSE
    assert looked.count((policy.Granted, "scope a")) == 1
    assert looked.count((policy.NamedCondition, "scope a")) == 1
    assert (policy.IsTrue, "token.flag") not in looked
    assert Possible(given).of(Part(second.formula, second.source, positive=True)) == TRUE
    assert (policy.IsTrue, "token.flag") not in looked
    assert Possible(given).of(Part(third.formula, third.source, positive=True)) == EITHER
    assert (policy.IsTrue, "token.flag") in looked


# -- conjunctions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "number"),
    [
        ("scope a", 1),
        ("scope a and scope b and token.flag", 3),
        ("granted and (scope b and flagged)", 3),
        ("scope a and (scope b or token.flag)", 2),
        ("not (scope a and scope b)", 1),
        ("true", 0),
    ],
)
def test_what_a_conjunction_is_of(condition: str, number: int) -> None:
    found = conjuncts(formula(condition))
    assert len(found) == number
    assert not any(isinstance(one, policy.All | policy.NamedCondition) for one in found)


# -- which formulas are one -----------------------------------------------------------------------

SAME = [
    ("scope a and scope b", "scope b and scope a"),
    ("scope a and scope b", "scope b and (scope a and scope b)"),
    ("scope a and scope a", "scope a"),
    ("scope a or scope b", "scope b or scope a"),
    ("scope a or scope a", "scope a"),
    ("granted and flagged", "token.flag and scope a"),
    ("either", "scope b or scope a"),
    ("never", "not scope a"),
    ("token.level == resource.owner", "resource.owner == token.level"),
    ('token.level != "x"', 'not (token.level == "x")'),
    ('token.level in ["x", "y"]', 'token.level in ["y", "x"]'),
    ("token.number > 5", "5 < token.number"),
    (
        'resource.lines has some (item.sku == "a" and item.price < 5)',
        'resource.lines has some (item.price < 5 and item.sku == "a")',
    ),
]
DIFFERENT = [
    ("scope a", "scope b"),
    ("scope a", "not scope a"),
    ("scope a and scope b", "scope a or scope b"),
    ("scope a and scope b", "scope a"),
    ("token.number < 5", "token.number <= 5"),
    ("token.number < 5", "5 < token.number"),
    ("token.number == 5", 'token.level == "5"'),
    ('token.level == "x"', 'resource.owner == "x"'),
    ('token.level in ["x", "y"]', 'token.level in ["x"]'),
    ('token.groups has any ["x", "y"]', 'token.groups has all ["x", "y"]'),
    ('token.level starts with "x"', 'token.level ends with "x"'),
    ('token.level starts with "x"', 'token.level starts with "y"'),
    ("token.level is present", "token.flag is present"),
    ("subject is user", "subject is application"),
    (
        "resource.lines has some (item.price < 5)",
        "resource.lines has some (item.price < 6)",
    ),
]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [*((*pair, True) for pair in SAME), *((*pair, False) for pair in DIFFERENT)],
)
def test_which_formulas_have_one_number(one: str, other: str, same: bool) -> None:
    first, second = rules(one, other)
    keys = Keys()
    assert (keys.of(first.formula) == keys.of(second.formula)) is same
    assert isinstance(keys.of(first.formula), int)
    assert keys.of(first.formula) == keys.of(first.formula)
    negated = rules(f"not ({one})", f"not ({other})")
    assert (keys.of(negated[0].formula) == keys.of(negated[1].formula)) is same
    assert keys.of(negated[0].formula) != keys.of(first.formula)


def test_a_formula_that_is_gone_gives_its_number_to_no_other() -> None:
    """Identities of objects come again once nothing refers to them."""
    keys, numbers = Keys(), set()
    for number in range(50):
        numbers.add(keys.of(policy.Granted(formulas.Part, f"s{number}")))  # type: ignore[arg-type]
    assert len(numbers) == 50


def test_the_numbers_of_a_conjunction_are_those_of_its_parts() -> None:
    whole, a, b = rules("granted and scope b", "scope a", "scope b")
    keys = Keys()
    assert keys.conjuncts(whole.formula) == {keys.of(a.formula), keys.of(b.formula)}
