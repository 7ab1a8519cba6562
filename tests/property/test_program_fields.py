"""The generated reader of fields reads what a plain loop over the declaration reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from hypothesis import event, example, given
from hypothesis import strategies as st

from policyd.json_types import Json
from policyd.language.types import Fact, Origin, Type
from policyd.program.fields import Field, FieldFault, Values, reading
from policyd.program.values import ILL_TYPED, Value, json_at, reader

NAMES = ["a", "b", "c", "first", "given", "read_0", "value_0", "class", "é", "__builtins__"]
#: Of each type, what is of it, and what only looks like it.
GIVEN: list[Json] = [
    None,
    "text",
    "\ud800",
    True,
    0,
    1.0,
    1.5,
    float("nan"),
    2**53,
    "2024-02-29T00:00:00Z",
    "10.0.0.1",
    "::1",
    "10.0.0.01",
    [],
    ["text", "10.0.0.1"],
    [1, 2.0],
    [None],
    {},
]

#: Those that say all of a value; a list's fields do not stand in its type.
TYPES = [one for one in Type if one is not Type.LIST]


@st.composite
def declarations(draw: st.DrawFn) -> list[Field]:
    names = draw(st.lists(st.sampled_from(NAMES), max_size=5, unique=True))
    types = [draw(st.sampled_from(TYPES)) for _ in names]
    return [
        Field(
            Fact(Origin.RESOURCE, name, type_),
            reader(type_),
            draw(st.booleans()),
            draw(st.sampled_from([None, partial(json_at, (name, "inner"))])),
            draw(st.booleans()),
        )
        for name, type_ in zip(names, types, strict=True)
    ]


def read_plainly(
    fields: Sequence[Field], first: Values, brought: Mapping[str, Json]
) -> Values | tuple[Fact, str]:
    """Return the facts, or the fact that is at fault and what is wrong with it."""
    facts: list[Value | None] = [*first]
    for fact, read, optional, fetch, absent in fields:
        if absent:
            facts.append(None)
            continue
        raw = brought.get(fact.name) if fetch is None else fetch(brought)
        value = None if raw is None else raw if raw is ILL_TYPED else read(raw)
        if value is ILL_TYPED:
            return fact, "INVALID"
        if value is None and not optional:
            return fact, "MISSING"
        facts.append(value)
    return tuple(facts)


def read_generated(
    fields: Sequence[Field], first: Values, brought: Mapping[str, Json]
) -> Values | tuple[Fact, str]:
    try:
        return reading(fields)(first, brought)
    except FieldFault as fault:
        return fault.fact, fault.fault


@given(
    declarations(),
    st.sampled_from([(), (None,), ("id",)]),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(GIVEN)),
)
@example([], ("id",), {"a": 1})
def test_fields_are_read_as_declared(
    fields: list[Field], first: Values, brought: dict[str, Json]
) -> None:
    found = read_generated(fields, first, brought)
    assert found == read_plainly(fields, first, brought)
    event("a fault" if found and isinstance(found[0], Fact) else "facts")
