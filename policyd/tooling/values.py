"""`name=value` words of a command line as JSON values, typed by the policy's declarations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from policyd.errors import PolicydError
from policyd.json_types import Json, put
from policyd.language.policy import Attribute
from policyd.language.types import Type


class ValueUnusable(PolicydError):
    """A word is not `name=value`, or its value does not have the declared type."""


def read_values(words: Iterable[str], declared: Sequence[Attribute]) -> dict[str, Json]:
    """Read `sealed=true`, `amount=5`, `groups=["a","b"]`, each by its declaration.

    What is not declared is text. What is declared with a path stands there. Raises `ValueUnusable`.
    """
    known = {attribute.fact.name: attribute for attribute in declared}
    named: set[str] = set()
    values: dict[str, Json] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ValueUnusable(f"{word!r} is not NAME=VALUE")
        if name in named:
            raise ValueUnusable(f"{name} is given twice")
        named.add(name)
        attribute = known.get(name)
        if attribute is None:
            values[name] = text
        else:
            put(values, attribute.path, _read(name, text, attribute.fact.type))
    return values


def _read(name: str, text: str, type_: Type) -> Json:
    if type_ in (Type.STRING, Type.IP, Type.DECIMAL):
        return text
    # A time may be a number of seconds or text.
    if type_ is Type.TIME and not text.lstrip("-").isdigit():
        return text
    try:
        value: Json = msgspec.json.decode(text, type=_JSON_TYPES[type_])
    except msgspec.MsgspecError:
        raise ValueUnusable(f"{name} is a {type_}, as in {name}={_EXAMPLES[type_]}") from None
    return value


_JSON_TYPES: dict[Type, object] = {
    Type.BOOL: bool,
    Type.INT: int,
    Type.TIME: int,
    Type.SET_OF_STRING: list[str],
    Type.SET_OF_INT: list[int],
    Type.SET_OF_IP: list[str],
    Type.LIST: list[dict[str, object]] | dict[str, dict[str, object]],
}
_EXAMPLES = {
    Type.BOOL: "true",
    Type.INT: "5",
    Type.TIME: "2026-11-22T10:00:00Z",
    Type.SET_OF_STRING: '["a","b"]',
    Type.SET_OF_INT: "[1,2]",
    Type.SET_OF_IP: '["192.0.2.1"]',
    Type.LIST: '[{"kind":"a"}]',
}
