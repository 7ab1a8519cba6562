"""Shapes: equal exactly where formulas differ in nothing but constants."""

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
    Less,
    Literal,
    NamedCondition,
    Not,
    Present,
    StartsWith,
    SubjectIs,
)
from policyd.language.types import TOKEN_FACTS, Type
from policyd.program.layout import context_layout, resource_layout, token_layout
from policyd.program.shape import Abstraction, Locals, Shape
from tests.support.program import ATTRIBUTES, BLOCKS, ENTRIES, LITERALS, SOURCE, SPAN, api_of

READ, WRITE = Granted(SPAN, "read:x"), Granted(SPAN, "write:x")
TEXT, NUMBER, ADDRESS = ATTRIBUTES[Type.STRING], ATTRIBUTES[Type.INT], ATTRIBUTES[Type.IP]
ENTRY, CLIENT = ENTRIES[Type.STRING], TOKEN_FACTS["client"]


def names() -> Locals:
    api = api_of([])
    return Locals(
        token_layout(api, [CLIENT], [CLIENT]),
        resource_layout(api.resources["thing"].attributes),
        context_layout(api.context),
    )


def shapes(*formulas: Formula) -> list[Shape]:
    abstraction = Abstraction(names())
    return [abstraction.abstract(formula).shape for formula in formulas]


def text(value: str) -> Literal:
    return Literal(Type.STRING, value)


def number(value: int) -> Literal:
    return Literal(Type.INT, value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (READ, WRITE),
        (SubjectIs(SPAN, "user"), SubjectIs(SPAN, "application")),
        (Equal(SPAN, TEXT, text("a")), Equal(SPAN, TEXT, text("b"))),
        (Less(SPAN, NUMBER, number(1), True), Less(SPAN, NUMBER, number(2), True)),
        (StartsWith(SPAN, TEXT, "a"), StartsWith(SPAN, TEXT, "bc")),
        (Not(SPAN, All(SPAN, (READ, WRITE))), Not(SPAN, All(SPAN, (WRITE, READ)))),
        (
            In(SPAN, TEXT, Literal(Type.SET_OF_STRING, ("a",))),
            In(SPAN, TEXT, Literal(Type.SET_OF_STRING, ("a", "b"))),
        ),
        (
            In(SPAN, ADDRESS, Literal(Type.SET_OF_IP, BLOCKS)),
            In(SPAN, ADDRESS, Literal(Type.SET_OF_IP, LITERALS[Type.IP])),
        ),
    ],
)
def test_constants_are_no_part_of_a_shape(one: Formula, other: Formula) -> None:
    assert len(set(shapes(one, other))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (All(SPAN, (READ, WRITE)), AnyOf(SPAN, (READ, WRITE))),
        (All(SPAN, (READ, WRITE)), All(SPAN, (READ, READ))),
        (READ, Not(SPAN, READ)),
        (READ, SubjectIs(SPAN, "user")),
        (Equal(SPAN, TEXT, text("a")), Equal(SPAN, text("a"), TEXT)),
        (Equal(SPAN, TEXT, text("a")), Equal(SPAN, ENTRY, text("a"))),
        (Equal(SPAN, TEXT, text("a")), Equal(SPAN, TEXT, ENTRY)),
        (Less(SPAN, NUMBER, number(1), True), Less(SPAN, NUMBER, number(1), False)),
        (Present(SPAN, TEXT), Present(SPAN, CLIENT)),
        (
            HasAny(SPAN, ATTRIBUTES[Type.SET_OF_IP], ENTRIES[Type.SET_OF_IP]),
            HasAny(SPAN, ATTRIBUTES[Type.SET_OF_IP], Literal(Type.SET_OF_IP, BLOCKS)),
        ),
        (
            HasAny(SPAN, ATTRIBUTES[Type.SET_OF_IP], Literal(Type.SET_OF_IP, BLOCKS)),
            HasAll(SPAN, ATTRIBUTES[Type.SET_OF_IP], Literal(Type.SET_OF_IP, BLOCKS)),
        ),
        (
            All(SPAN, (AnyOf(SPAN, (READ, WRITE)), Not(SPAN, READ), WRITE)),
            All(SPAN, (AnyOf(SPAN, (READ, WRITE, Not(SPAN, READ))), WRITE)),
        ),
        (
            NamedCondition(SPAN, "same", SOURCE, READ),
            NamedCondition(SPAN, "same", SOURCE, READ),
        ),
    ],
)
def test_all_else_is(one: Formula, other: Formula) -> None:
    assert len(set(shapes(one, other))) == 2


def test_constants_come_in_the_order_of_the_tests_once_each() -> None:
    test = Equal(SPAN, TEXT, text("a"))
    formula = All(SPAN, (test, Not(SPAN, READ), test, Less(SPAN, number(3), number(4), False)))
    abstract = Abstraction(names()).abstract(formula)
    assert abstract.constants == ("a", "read:x", 3, 4)
    assert [abstract.places[id(operand)] for operand in (test, READ)] == [0, 1]


def test_conditions_are_abstracted_once_each_with_those_that_they_use() -> None:
    inner = NamedCondition(SPAN, "inner", SOURCE, READ)
    outer = NamedCondition(SPAN, "outer", SOURCE, All(SPAN, (inner, WRITE, inner)))
    abstraction = Abstraction(names())
    abstraction.abstract(AnyOf(SPAN, (outer, outer)))
    assert [each.constants for each in abstraction.conditions()] == [("write:x",), ("read:x",)]
    assert abstraction.number(outer) == 0
    assert abstraction.number(inner) == 1
