"""What reads the fields of requests: code that declarations of one shape share, and nothing else.

That it reads what is declared is `tests/property/test_program_fields.py`.
"""

from __future__ import annotations

from functools import partial
from types import FunctionType

import pytest

from policyd.json_types import Json
from policyd.language.types import Fact, Origin, Type
from policyd.program.fields import Field, FieldFault, ReadFields, reading
from policyd.program.values import json_at, reader


def field(name: str, type_: Type, *, optional: bool = False) -> Field:
    return Field(Fact(Origin.RESOURCE, name, type_), reader(type_), optional)


def code(read: ReadFields) -> object:
    assert isinstance(read, FunctionType)
    return read.__code__


def test_declarations_of_one_shape_share_code_and_nothing_else() -> None:
    owner, level = reading([field("owner", Type.STRING)]), reading([field("level", Type.INT)])
    assert code(owner) is code(level)
    given: dict[str, Json] = {"owner": "ann", "level": 1.0}
    assert (owner((), given), level(("id",), given)) == (("ann",), ("id", 1))
    assert code(reading([field("owner", Type.STRING, optional=True)])) is not code(owner)


def test_the_first_field_at_fault_is_named() -> None:
    read = reading([field("a", Type.INT, optional=True), field("b", Type.INT)])
    with pytest.raises(FieldFault, match=r"resource\.b is missing"):
        read((), {})
    with pytest.raises(FieldFault, match=r"resource\.a is invalid"):
        read((), {"a": "1", "b": "2"})
    with pytest.raises(FieldFault, match=r"resource\.b is invalid"):
        read((), {"a": None, "b": True})


def test_a_hundred_fields_are_read_in_their_order() -> None:
    fields = [field(f"f{number}", Type.INT) for number in range(100)]
    given = {f"f{number}": number for number in reversed(range(100))}
    assert reading(fields)(("id",), given) == ("id", *range(100))


def test_a_field_that_stands_elsewhere_is_fetched() -> None:
    fact = Fact(Origin.RESOURCE, "owner", Type.STRING)
    read = reading([Field(fact, reader(Type.STRING), False, partial(json_at, ("owner", "id")))])
    assert read((), {"owner": {"id": "ann"}}) == ("ann",)
    none: list[dict[str, Json]] = [{}, {"owner": None}, {"owner": {}}]
    for absent in none:
        with pytest.raises(FieldFault, match="missing"):
            read((), absent)
    ill: list[dict[str, Json]] = [{"owner": "ann"}, {"owner": {"id": 1}}]
    for wrong in ill:
        with pytest.raises(FieldFault, match="invalid"):
            read((), wrong)
