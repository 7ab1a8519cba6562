from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.language.policy import Attribute
from policyd.language.types import Fact, Origin, Type
from policyd.tooling.values import ValueUnusable, read_values


def _declared(type_: Type) -> list[Attribute]:
    return [Attribute(Fact(Origin.RESOURCE, "x", type_), optional=True, docs=(), path=("x",))]


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (Type.STRING, "true", "true"),
        (Type.STRING, "a=b", "a=b"),
        (Type.STRING, "", ""),
        (Type.BOOL, "true", True),
        (Type.INT, "-5", -5),
        (Type.TIME, "1700000000", 1_700_000_000),
        (Type.TIME, "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        (Type.IP, "192.0.2.1", "192.0.2.1"),
        (Type.SET_OF_STRING, '["a", "b"]', ["a", "b"]),
        (Type.SET_OF_INT, "[1]", [1]),
        (Type.SET_OF_IP, "[]", []),
    ],
)
def test_values_are_typed_by_the_declaration(type_: Type, text: str, value: Json) -> None:
    read = read_values([f"x={text}"], _declared(type_))["x"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("type_", "word"),
    [
        (Type.BOOL, "x=yes"),
        (Type.BOOL, "x=1"),
        (Type.INT, "x=1.5"),
        (Type.INT, "x=true"),
        (Type.INT, "x="),
        (Type.SET_OF_STRING, "x=a"),
        (Type.SET_OF_STRING, "x=[1]"),
        (Type.STRING, "x"),
        (Type.STRING, "=1"),
    ],
)
def test_values_of_another_type_are_refused(type_: Type, word: str) -> None:
    with pytest.raises(ValueUnusable):
        read_values([word], _declared(type_))


def test_undeclared_values_are_text_and_none_is_given_twice() -> None:
    assert read_values(["y=5"], _declared(Type.INT)) == {"y": "5"}
    with pytest.raises(ValueUnusable, match="twice"):
        read_values(["x=1", "x=2"], _declared(Type.INT))
