"""Which tests discriminate, what is left of a rule then, and which facts rules are found by."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from policyd.decision.engine import Engine
from policyd.decision.model import Decision, Request
from policyd.json_types import Json
from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Equal,
    Formula,
    Granted,
    In,
    IsTrue,
    Literal,
    NamedCondition,
    Not,
)
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Type
from policyd.program.discrimination import FEWEST, SCOPES, Clause, Index, Partitions
from tests.support.program import (
    ATTRIBUTES,
    BLOCKS,
    ENTRIES,
    LITERALS,
    SOURCE,
    SPAN,
    FixedValidator,
    engine,
    policies,
    token,
)

TENANT, KIND, SEALED = TOKEN_FACTS["client"], ATTRIBUTES[Type.STRING], ATTRIBUTES[Type.BOOL]
ADDRESS, ADDRESSES = ATTRIBUTES[Type.IP], ENTRIES[Type.SET_OF_IP]
OPEN = Not(SPAN, IsTrue(SPAN, SEALED))


def equal(fact: Fact, value: str) -> Formula:
    return Equal(SPAN, fact, Literal(Type.STRING, value))


def any_of(fact: Fact, *values: str) -> Formula:
    return In(SPAN, fact, Literal(Type.SET_OF_STRING, values))


def both(*operands: Formula) -> Formula:
    return All(SPAN, operands)


def named(formula: Formula) -> NamedCondition:
    return NamedCondition(SPAN, "named", SOURCE, formula)


def only_index(formula: Formula, *, deny: bool = False) -> Index:
    """Return the index that a rule is put into."""
    (index,), rest = Partitions().of([Clause("rule", formula)], deny=deny, fewest=1)
    assert rest == []
    return index


@pytest.mark.parametrize(
    ("formula", "fact", "values"),
    [
        (equal(KIND, "a"), KIND, ["a"]),
        (Equal(SPAN, Literal(Type.STRING, "a"), KIND), KIND, ["a"]),
        (any_of(KIND, "a", "b"), KIND, ["a", "b"]),
        (Granted(SPAN, "read:x"), SCOPES, ["read:x"]),
        (
            Equal(SPAN, ADDRESS, Literal(Type.IP, LITERALS[Type.IP][0])),
            ADDRESS,
            [(4, b"\x0a\x00\x00\x01")],
        ),
        (both(OPEN, both(OPEN, equal(KIND, "a"))), KIND, ["a"]),
        (named(both(OPEN, named(equal(KIND, "a")))), KIND, ["a"]),
    ],
)
def test_what_discriminates(formula: Formula, fact: Fact, values: list[object]) -> None:
    index = only_index(formula)
    assert index.fact == fact
    assert list(index.by_value) == values


@pytest.mark.parametrize(
    "formula",
    [
        OPEN,
        Not(SPAN, equal(KIND, "a")),
        AnyOf(SPAN, (equal(KIND, "a"), equal(KIND, "b"))),
        both(OPEN, AnyOf(SPAN, (equal(KIND, "a"), OPEN))),
        Equal(SPAN, KIND, TENANT),
        Equal(SPAN, NOW, Literal(Type.TIME, 0)),
        In(SPAN, ADDRESS, Literal(Type.SET_OF_IP, BLOCKS)),
        In(SPAN, ADDRESS, ADDRESSES),
        In(SPAN, Literal(Type.IP, LITERALS[Type.IP][0]), ADDRESSES),
        any_of(KIND),
        any_of(KIND, *map(str, range(9))),
    ],
)
def test_what_does_not(formula: Formula) -> None:
    clauses = [Clause("rule", formula)]
    assert Partitions().of(clauses, deny=True, fewest=1) == ([], clauses)


@pytest.mark.parametrize(
    ("formula", "left"),
    [
        (equal(KIND, "a"), None),
        (both(OPEN, equal(KIND, "a")), [OPEN]),
        (both(both(equal(KIND, "a"), OPEN), IsTrue(SPAN, SEALED)), 2),
        (named(equal(KIND, "a")), None),
        (both(named(both(equal(KIND, "a"), OPEN)), OPEN), [OPEN]),
    ],
)
def test_what_is_left_is_the_rest_of_the_conjunction(
    formula: Formula, left: list[Formula] | int | None
) -> None:
    ((clause,),) = only_index(formula).by_value.values()
    match clause.formula:
        case Always():
            assert left is None
        case All(operands=operands):
            assert len(operands) == left
        case other:
            assert [other] == left


def test_a_condition_that_holds_no_discriminating_test_stays_whole() -> None:
    whole = named(both(OPEN, IsTrue(SPAN, SEALED)))
    ((clause,),) = only_index(both(whole, equal(KIND, "a"))).by_value.values()
    assert clause.formula is whole


def test_what_is_unknown_matters_to_denies_only_and_scopes_are_known() -> None:
    assert [each.rule for each in only_index(equal(KIND, "a"), deny=True).unknown] == ["rule"]
    assert only_index(equal(KIND, "a"), deny=False).unknown == []
    assert only_index(Granted(SPAN, "read:x"), deny=True).unknown == []


def test_a_condition_that_doubles_itself_is_walked_once() -> None:
    formula: Formula = equal(KIND, "a")
    for _ in range(200):
        formula = named(both(formula, formula))
    clauses = [Clause("rule", formula)]
    assert Partitions().of(clauses, deny=False, fewest=1) == ([], clauses)


def clauses_of(formulas: Sequence[Formula]) -> list[Clause]:
    return [Clause(f"{number:03}", formula) for number, formula in enumerate(formulas)]


def test_an_index_needs_some_rules_and_as_many_values() -> None:
    many = [equal(KIND, str(number)) for number in range(FEWEST)]
    assert len(Partitions().of(clauses_of(many), deny=False)[0]) == 1
    assert Partitions().of(clauses_of(many[1:]), deny=False)[0] == []
    assert Partitions().of(clauses_of(many[1:] * 2), deny=False)[0] == []


def test_the_fact_that_tells_most_apart_comes_first_and_the_others_follow() -> None:
    """Both facts, the tenant only, the kind only, and neither."""
    two = [both(equal(KIND, str(n % 10)), equal(TENANT, str(n))) for n in range(20)]
    one = [equal(KIND, str(number)) for number in range(10)]
    clauses = clauses_of([*two, *one, OPEN])
    indexes, rest = Partitions().of(clauses, deny=False)
    assert [index.fact for index in indexes] == [TENANT, KIND]
    assert [len(index.by_value) for index in indexes] == [20, 10]
    assert rest == clauses[-1:]


LISTS = """api a

audience "https://a.example"

claim details: list? {
    type:  string
    limit: int?
}

resource r {
    actions x
}

"""


def asked(rules: str, claims: dict[str, Json]) -> Decision:
    made = engine(policies(LISTS + rules), token(claims=claims))
    return made.check(Request("t", "a", "x", "r", "", {}, {}))


def test_rules_are_found_by_the_values_that_elements_have() -> None:
    rules = "".join(
        f'allow a{number}: x on r when token.details has some (item.type == "{number}")\n'
        for number in range(20)
    )
    elements: list[Json] = [{"type": "3"}, {"type": "7"}, {"type": "none"}, {"type": "3"}, {}]
    assert asked(rules, {"details": elements}).rules == ("a3", "a7")
    without: list[dict[str, Json]] = [
        {}, {"details": []}, {"details": None}, {"details": [1]}, {"details": [{}]}
    ]  # fmt: skip
    for nothing in without:
        assert asked(rules, nothing).rules == ()


def test_a_deny_stands_where_a_field_is_unknown_in_one_element() -> None:
    rules = "".join(
        f'deny d{number}: x on r when token.details has some (item.type == "{number}"'
        " and item.limit > 5)\n"
        for number in range(20)
    )
    denied = tuple(sorted(f"d{number}" for number in range(20)))
    known: list[Json] = [{"type": "3", "limit": 6}, {"type": "4", "limit": 5}, {"type": "5"}]
    assert asked(rules, {"details": known}).rules == ("d3", "d5")
    assert asked(rules, {"details": [*known, {"limit": 6}]}).rules == denied
    assert asked(rules, {"details": [*known, {"limit": 1}]}).rules == ("d3", "d5")
    assert asked(rules, {}).rules == denied
    assert asked(rules, {"details": []}).rules == ()


@pytest.mark.parametrize(
    "condition",
    [
        'item.type == "#" and item.limit > 5',
        '"#" == item.type and item.limit > 5',
        'item.type in ["#"] and item.limit > 5',
        'item.type in ["#", "other-#"] and item.limit > 5',
        'item.limit > 5 and token.client == "c#"',
        'item.type == "#" and token.client == "c#"',
        'not (item.type == "#") and item.limit > 5',
        'item.type == "#" or item.limit > 50',
        'item.type starts with "#" and item.limit == #',
    ],
)
def test_rules_that_are_found_by_an_index_are_those_that_apply(condition: str) -> None:
    """Whatever stands in the condition: asked alone, without an index, each rule is the same."""

    def rule(number: int, effect: str) -> str:
        when = f"token.details has some ({condition})".replace("#", str(number))
        return f"{effect} {effect}{number}: x on r when {when}\n"

    questions: list[dict[str, Json]] = [
        {},
        {"details": []},
        {"details": [{"type": "3", "limit": 6}, {"type": "4", "limit": 5}, {"type": "5"}]},
        {"details": [{"type": "other-3", "limit": 7}, {"limit": 60}]},
        {"details": [{"type": "3", "limit": "x"}, {"type": 7, "limit": 9}]},
    ]

    def rules_of(text: str) -> list[tuple[str, ...]]:
        """Return which rules apply, by question."""
        verified = FixedValidator(token())
        made = Engine(verified, lambda: 0.0)
        made.load(policies(LISTS + text))
        found = []
        for claims in questions:
            verified.outcome = token(client="c3", claims=claims)
            found.append(made.check(Request("t", "a", "x", "r", "", {}, {})).rules)
        return found

    for effect in ("deny", "allow"):
        each = [rule(number, effect) for number in range(FEWEST + 1)]
        alone = [rules_of(one) for one in each]
        expected = [
            {name for names in found for name in names} for found in zip(*alone, strict=True)
        ]
        assert [set(found) for found in rules_of("".join(each))] == expected


def test_rules_are_found_by_the_field_of_the_list_that_they_ask() -> None:
    text = LISTS.replace("resource r", "claim others: list? {\n    type: string\n}\n\nresource r")
    rules = "".join(
        f'allow {name}{number}: x on r when token.{name} has some (item.type == "{number}")\n'
        for number in range(20)
        for name in ("details", "others")
    )
    claims: dict[str, Json] = {"details": [{"type": "3"}], "others": [{"type": "4"}]}
    made = engine(policies(text + rules), token(claims=claims))
    decision = made.check(Request("t", "a", "x", "r", "", {}, {}))
    assert decision.rules == ("details3", "others4")
