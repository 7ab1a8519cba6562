"""Random filters, and resources to select by them: what a database selects is what is allowed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from hypothesis import strategies as st

from policyd.client import messages
from policyd.client.filtering import Filter, read_filter
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.language.policy import (
    All,
    AnyOf,
    Api,
    EndsWith,
    Equal,
    Formula,
    HasAll,
    HasAny,
    In,
    IsTrue,
    Less,
    NamedCondition,
    Not,
    Operand,
    Present,
    StartsWith,
    WithinLast,
    WithinNext,
)
from policyd.language.types import RESOURCE_ID, Fact, Origin
from policyd.program.plain_values import Value, value_of
from policyd.server.wire.convert_filter import filter_response
from tests.support.program import (
    ACTIONS,
    ATTRIBUTES,
    NOW_SECONDS,
    FixedValidator,
    apis,
    good_of,
    leaves,
    payload,
    policy_set,
    rule,
)
from tests.support.random_questions import random_questions

#: The columns of a table: the attributes' facts by the columns' names.
COLUMNS: Mapping[str, Fact] = {"id": RESOURCE_ID, **{f.name: f for f in ATTRIBUTES.values()}}
_OTHERS = (Origin.CLAIM, Origin.USERINFO, Origin.CONTEXT, Origin.TOKEN)
_IDS = ("", "a", "b", "read:x")


class Row(NamedTuple):
    """A resource: its values as they are asked about, and as a column holds them."""

    asked: Mapping[str, Json]
    held: Mapping[str, Value | None]


class Case(NamedTuple):
    """A filter, and for each of some rows whether a check allows it."""

    filter: Filter
    rows: Sequence[Row]
    allowed: Sequence[bool]


@st.composite
def about_resources(draw: st.DrawFn) -> Api:
    """Make an API whose rules read the resource more than all else."""
    api = draw(apis())
    dice = random.Random(draw(st.integers(0, 2**32 - 1)))
    rules = [msgspec.structs.replace(one, formula=_turned(one.formula, dice)) for one in api.rules]
    leaf = draw(leaves(presence=True))
    rules.append(rule("zz", "allow", _turned(leaf, dice), actions=ACTIONS))
    return msgspec.structs.replace(api, rules=tuple(rules))


def _turned(formula: Formula, dice: random.Random) -> Formula:
    """Return a formula that reads the resource in place of much else."""

    def operand(one: Operand) -> Operand:
        same = [
            fact
            for fact in ATTRIBUTES.values()
            if isinstance(one, Fact) and (fact.type, fact.vocabulary) == (one.type, one.vocabulary)
        ]
        outer = isinstance(one, Fact) and one.origin in _OTHERS
        return dice.choice(same) if same and outer and dice.random() < 0.8 else one

    match formula:
        case All(operands=operands) | AnyOf(operands=operands):
            parts = tuple(_turned(one, dice) for one in operands)
            return type(formula)(formula.span, parts)
        case Not(operand=inner):
            return Not(formula.span, _turned(inner, dice))
        case NamedCondition(formula=inner):
            return msgspec.structs.replace(formula, formula=_turned(inner, dice))
        case Equal() | Less() | In() | HasAny() | HasAll():
            left, right = operand(formula.left), operand(formula.right)
            return msgspec.structs.replace(formula, left=left, right=right)
        case IsTrue() | Present() | StartsWith() | EndsWith() | WithinLast() | WithinNext():
            return msgspec.structs.replace(formula, fact=operand(formula.fact))
    return formula


def rows(dice: random.Random, number: int) -> list[Row]:
    """Make resources, some values of which are missing."""
    made: list[Row] = []
    for _ in range(number):
        asked: dict[str, Json] = {"id": dice.choice(_IDS)}
        for name, fact in COLUMNS.items():
            if name != "id" and dice.random() < 0.85:
                asked[name] = dice.choice(good_of(fact))
        held = {name: value_of(asked.get(name), fact) for name, fact in COLUMNS.items()}
        made.append(Row(asked, held))
    return made


def cases(api: Api, dice: random.Random, tokens: int, number: int) -> Iterator[Case]:
    """Make filters of an API, each for another token."""
    validator = FixedValidator(AssertionError("no token yet"))
    engine = Engine(validator, lambda: NOW_SECONDS + 0.5)
    engine.load(policy_set(api))
    demanded = {one.fact.name for one in api.resources["thing"].attributes if not one.optional}
    for token, asked in random_questions(api, dice, tokens):
        validator.outcome = token
        made = filter_response((engine.filter(asked), "id"))
        found = read_filter(messages.FilterResponse.FromString(made))
        there = rows(dice, number)
        allowed = [
            demanded <= row.asked.keys() and engine.check(_about(asked, row)).allowed
            for row in there
        ]
        yield Case(found, there, allowed)


def _about(asked: Request, row: Row) -> Request:
    """Return the question about a resource. One without a mandatory attribute cannot be asked."""
    attributes = payload({name: one for name, one in row.asked.items() if name != "id"})
    return msgspec.structs.replace(asked, resource_id=str(row.asked["id"]), attributes=attributes)
