"""The attributes and context entries of a request, converted to facts.

Input are the declarations and, for each request, a mapping of JSON values; output are the facts in
the order of the declarations. A value of the wrong type, or a required value that is missing, is an
error here. Undeclared values are ignored.

The reader of a declaration is generated, straight-line code. The code only depends on which fields
are optional; the names and readers of the fields are default values of its parameters.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Literal as OneOf
from typing import NamedTuple

from policyd.errors import PolicydError
from policyd.json_types import Json
from policyd.language.types import Fact
from policyd.program.syntax import (
    AT,
    assign,
    call,
    compare,
    compiled,
    constant,
    define,
    if_,
    is_known,
    method,
    name,
)
from policyd.program.values import ILL_TYPED, IllTyped, Reader, Value

Values = tuple[Value | None, ...]

#: Takes facts, and what was given; returns those facts and then the declared ones, or raises
#: `FieldFault`.
ReadFields = Callable[[Values, Mapping[str, Json]], Values]

#: Finds a value in what was given.
Fetch = Callable[[Mapping[str, Json]], Json | IllTyped]

#: How many shapes of declarations keep their code.
_REMEMBERED = 1024
_FIRST, _GIVEN = "first", "given"


class FieldFault(PolicydError):
    """An attribute or context entry is absent though demanded, or ill-typed."""

    def __init__(self, fact: Fact, fault: OneOf["MISSING", "INVALID"]) -> None:
        super().__init__(f"{fact.path} is {fault.lower()}")
        self.fact = fact
        self.fault = fault


class Field(NamedTuple):
    """A declared attribute or entry, and what reads its values.

    `fetch` is what finds the value where it does not stand under the fact's own name; it returns
    `ILL_TYPED` where something other than an object is in the way. What is `absent` is missing,
    whatever was given.
    """

    fact: Fact
    read: Reader
    optional: bool
    fetch: Fetch | None = None
    absent: bool = False


def reading(fields: Sequence[Field]) -> ReadFields:
    """Return what reads the fields, in their order."""
    held: list[object] = []
    for field in fields:
        if not field.absent:
            held += (field.fetch or field.fact.name, field.read, field.fact)
    code = _code(
        tuple(
            None if field.absent else (field.optional, field.fetch is not None) for field in fields
        )
    )
    return FunctionType(code, _GLOBALS, code.co_name, tuple(held))


@lru_cache(_REMEMBERED)
def _code(kinds: tuple[tuple[bool, bool] | None, ...]) -> CodeType:
    """Generate the code for fields, each of which may be optional, and may be fetched from
    elsewhere than under its name: here the second of two is optional. `None` is one that is absent.

    value_0 = given.get(name_0)                        value_1 = given.get(name_1)
    if value_0 is None:                                if value_1 is not None:
        raise FieldFault(fact_0, "MISSING")                value_1 = read_1(value_1)
    value_0 = read_0(value_0)                              if value_1 is ILL_TYPED:
    if value_0 is ILL_TYPED:                                   raise FieldFault(fact_1, "INVALID")
        raise FieldFault(fact_0, "INVALID")            return first + (value_0, value_1)

    What is fetched is `name_0(given)`; a reader makes `ILL_TYPED` of `ILL_TYPED`, as of all that is
    not of its type.
    """
    parameters = [_FIRST, _GIVEN]
    body: list[ast.stmt] = []
    values: list[ast.expr] = []
    for number, kind in enumerate(kinds):
        if kind is None:
            values.append(constant(None))
            continue
        may_be_absent, is_fetched = kind
        values.append(name(f"value_{number}"))
        value, key, read, fact = (f"{part}_{number}" for part in ("value", "name", "read", "fact"))
        parameters += (key, read, fact)
        under_its_name = method(name(_GIVEN), "get", name(key))
        found = call(name(key), name(_GIVEN)) if is_fetched else under_its_name
        body.append(assign(value, found))
        ill_typed = compare(name(value), ast.Is(), name("ILL_TYPED"))
        checked = (
            assign(value, call(name(read), name(value))),
            if_(ill_typed, _fault(fact, "INVALID")),
        )
        if may_be_absent:
            body.append(if_(is_known(name(value)), *checked))
        else:
            absent = compare(name(value), ast.Is(), constant(None))
            body += (if_(absent, _fault(fact, "MISSING")), *checked)
    facts = ast.BinOp(name(_FIRST), ast.Add(), ast.Tuple(values, ast.Load(), **AT), **AT)
    return compiled(define("read", parameters, [*body, ast.Return(facts, **AT)]))


def _fault(fact: str, fault: OneOf["MISSING", "INVALID"]) -> ast.stmt:
    return ast.Raise(call(name("FieldFault"), name(fact), constant(fault)), None, **AT)


_GLOBALS: dict[str, object] = {
    "FieldFault": FieldFault,
    "ILL_TYPED": ILL_TYPED,
    "__builtins__": {},
}
