"""Attributes and context entries to a Struct and back. What JSON lacks is named, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from google.protobuf.struct_pb2 import NULL_VALUE

from . import messages
from .json_values import DEEPEST, Unsupported, advice_on, kind_of, number_of, text_of
from .values import Json, QuestionInvalid

_JsonValue: TypeAlias = "messages.Value"


def struct_of(values: Mapping[str, Json], what: str, reason: str) -> messages.Struct:
    """Return the Struct of `values`. Raises `QuestionInvalid`, with the name of the attribute.

    `what` is how messages call an entry, such as "attribute"; `reason` is the failure's.
    """
    struct = messages.Struct()
    if not isinstance(values, Mapping):
        raise QuestionInvalid(f"a mapping of {what}s is needed, and no {kind_of(values)}", reason)
    for name, value in values.items():
        if not isinstance(name, str):
            raise QuestionInvalid(f"the name of an {what} is a {kind_of(name)}: {name!r}", reason)
        try:
            _fill(struct.fields[name], value, "", 1)
        except Unsupported as found:
            path = f"{name}{found.path}"
            raise QuestionInvalid(f"{what} `{path}` is {found.problem}", reason) from None
    return struct


def _fill(target: _JsonValue, value: object, path: str, depth: int) -> None:
    """Write `value` to `target`. Raises `Unsupported`."""
    if depth > DEEPEST:
        raise Unsupported("", f"nested deeper than {DEEPEST} levels")
    if value is None:
        target.null_value = NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = number_of(value, path)
    elif isinstance(value, str):
        target.string_value = text_of(value, path)
    elif isinstance(value, Mapping):
        target.struct_value.Clear()
        for name, inner in value.items():
            if not isinstance(name, str):
                raise Unsupported(path, f"an object with a {kind_of(name)} for a name: {name!r}")
            _fill(target.struct_value.fields[name], inner, f"{path}.{name}", depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        target.list_value.Clear()
        for position, inner in enumerate(value):
            _fill(target.list_value.values.add(), inner, f"{path}[{position}]", depth + 1)
    else:
        raise Unsupported(path, f"a {kind_of(value)}, which JSON does not have{advice_on(value)}")


def json_of(value: _JsonValue) -> Json:
    """Return a Value as JSON."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: json_of(inner) for name, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [json_of(inner) for inner in value.list_value.values]
    if kind == "number_value":
        number: float = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return bool(value.bool_value)
    return str(value.string_value) if kind == "string_value" else None
