"""The types of the tables' keys: what stands inside one, and how people call it."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec

from policyd.config.tables import Table

_WORDS: Mapping[object, str] = {
    bool: "`true` or `false`",
    int: "a whole number",
    float: "a number",
    str: "a text",
    object: "a value",
    dict: "a table",
}


def without_none(shape: object) -> object:
    """Return `X` of `X | None`, the only unions that tables have, and else the type itself."""
    if get_origin(shape) not in (UnionType, Union):  # of a type with bounds it is the second
        return shape
    (inner,) = (one for one in get_args(shape) if one is not NoneType)
    found: object = inner
    return found


def is_table(shape: object) -> bool:
    """Tell whether keys and their types are known: whether it is one of the tables."""
    return isinstance(shape, type) and issubclass(shape, Table)


def keys(table: object) -> dict[str, msgspec.structs.FieldInfo]:
    """Return the keys of one of the tables, by name."""
    assert isinstance(table, type)
    return {field.name: field for field in msgspec.structs.fields(table)}


def words(shape: object) -> str:
    """Return what to write, to go on after "write": `a whole number from 1 to 64`."""
    origin, arguments = get_origin(shape), get_args(shape)
    if origin is Annotated:
        kind, bounds = arguments
        return bounds.description or f"{words(kind)} {_range(bounds)}"
    if origin is Literal:
        *others, last = (f"`{str(one).lower()}`" for one in arguments)
        return f"{', '.join(others)} or {last}"
    if origin is tuple:
        return f"a list, each item {words(arguments[0])}"
    return _WORDS[dict if is_table(shape) else origin or shape]


def _range(bounds: msgspec.Meta) -> str:
    return f"of at least {bounds.ge}" if bounds.le is None else f"from {bounds.ge} to {bounds.le}"
