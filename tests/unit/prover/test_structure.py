"""What is alike to the prover: the same question, however it is written, and nothing else."""

from __future__ import annotations

import pytest

from policyd.language.policy import Formula
from policyd.language.types import TOKEN_FACTS
from policyd.language.walks import own_facts
from policyd.prover.structure import Numbers, Structures, conjuncts, presence
from policyd.prover.universe import Side
from tests.support.program import policies
from tests.support.promises import HEAD

DIFFERENT = (
    "scope some",
    "scope all",
    "subject is user",
    "subject is application",
    "resource.flag",
    "not resource.flag",
    "resource.flag is present",
    "resource.text is present",
    "resource.text is missing",
    'resource.text == "a"',
    'resource.text == "b"',
    'token.text == "a"',
    "token.text == resource.text",
    "token.other == resource.text",
    'resource.text in ["a", "b"]',
    'resource.text in ["a", "c"]',
    'resource.text starts with "a"',
    'resource.text ends with "a"',
    'resource.text starts with "ab"',
    "resource.number < 1",
    "resource.number <= 1",
    "resource.number > 1",
    "resource.number == 1",
    "resource.amount == 1",
    "resource.number < token.number",
    "token.number < resource.number",
    "resource.time within last 1s",
    "resource.time within last 1m",
    "resource.time within next 1s",
    'token.texts has any ["a"]',
    'token.texts has all ["a"]',
    "token.texts has all token.more",
    "token.more has all token.texts",
    'token.kinds has any ["a"]',
    "token.list has some (item.flag)",
    'token.list has some (item.text == "a")',
    'token.list has some (item.name == "a")',
    "scope some and resource.flag",
    "scope some or resource.flag",
    "not (scope some and resource.flag)",
    "scope some and not resource.flag",
    "scope all and resource.flag",
)
SAME = (
    ("scope some and resource.flag", "resource.flag  and  scope some"),
    ("scope some or resource.flag or scope all", "scope all or (resource.flag) or scope some"),
    ("token.list has some (item.flag)", "token.list has some ( item.flag )"),
    ("not (scope some and resource.flag)", "not (resource.flag and scope some)"),
)


def formulas(*conditions: str, head: str = HEAD) -> tuple[Side, list[Formula]]:
    rules = (f"allow r{n:03}: do on thing\n    when {one}\n" for n, one in enumerate(conditions))
    api = policies(head + "\n".join(rules)).apis["things"]
    return Side(api, api.resources["thing"], "do"), [one.formula for one in api.rules]


def test_what_differs_has_another_number() -> None:
    side, each = formulas(*DIFFERENT)
    structures = Structures(side, {})
    assert len({structures.of(one) for one in each}) == len(DIFFERENT)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_is_the_same_has_one_number(one: str, other: str) -> None:
    side, each = formulas(one, other)
    structures = Structures(side, {})
    assert len({structures.of(formula) for formula in each}) == 1


@pytest.mark.parametrize(
    ("before", "after", "condition"),
    [
        ('from "/theirs"', 'from "/others"', 'token.theirs == "a"'),
        ('of "https://one.example/"', 'of "https://two.example/"', "token.theirs is present"),
        ("includes some", "", "scope some"),
        ("includes some", "", 'token.scopes has any ["some"]'),
        ('"a", "b", "c"', '"a", "b"', 'token.kind == "a"'),
        ('"a", "b", "c"', '"a", "b"', 'token.kinds has any ["a"]'),
        ("claim number:  int?", "claim number:  decimal?", "token.number > 1"),
        ("(from key)", "", 'token.list has some (item.text == "a")'),
        ("/things", "/others", 'token.authorization_details has some (item.type == "a")'),
    ],
)
def test_what_is_read_in_another_way_has_another_number(
    before: str, after: str, condition: str
) -> None:
    numbers: Numbers = {}
    assert before in HEAD
    old, (one,) = formulas(condition)
    new, (other,) = formulas(condition, head=HEAD.replace(before, after))
    again, (alike,) = formulas(condition)
    assert Structures(old, numbers).of(one) != Structures(new, numbers).of(other)
    assert Structures(old, numbers).of(one) == Structures(again, numbers).of(alike)


def test_conjuncts_are_those_that_are_so_wherever_the_whole_is() -> None:
    said = "scope some and not (resource.flag or not scope all) and (scope all or resource.flag)"
    _, (formula,) = formulas(f"{said}\n    unless resource.number < 1 and scope some")
    found = list(conjuncts(formula))
    kinds = [(type(one.formula).__name__, one.holds) for one in found]
    assert kinds == [
        ("Granted", True),
        ("IsTrue", False),
        ("Granted", True),
        ("AnyOf", True),
        ("All", False),
    ]


def test_what_tests_read_is_there() -> None:
    _, (formula,) = formulas(
        "token.text == resource.text and resource.flag is missing and (resource.flag or scope some)"
    )
    there = [own_facts(one.formula) for one in presence(conjuncts(formula))]
    assert [fact.path for (fact,) in there] == ["token.text", "resource.text"]
    assert TOKEN_FACTS["scopes"] not in [fact for (fact,) in there]
