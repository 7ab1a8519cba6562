"""Python's syntax tree in a few words, for the modules that generate code.

Nodes, and never source text: nothing that a policy says can become code.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from types import CodeType
from typing import TypedDict


class Position(TypedDict):
    """What `ast` demands of every node."""

    lineno: int
    col_offset: int


#: A policy's own spans say more than positions in generated code.
AT: Position = {"lineno": 1, "col_offset": 0}


# -- expressions ---------------------------------------------------------------------------------


def name(local: str) -> ast.expr:
    return ast.Name(local, ast.Load(), **AT)


def constant(value: int | str | None) -> ast.expr:
    return ast.Constant(value, **AT)


def item(local: str, number: int) -> ast.expr:
    return ast.Subscript(name(local), constant(number), ast.Load(), **AT)


def locals_(names: Sequence[str]) -> ast.expr:
    """Return what a sequence is taken apart into."""
    stored: list[ast.expr] = [ast.Name(local, ast.Store(), **AT) for local in names]
    return ast.Tuple(stored, ast.Store(), **AT)


def both(operands: list[ast.expr]) -> ast.expr:
    """Return the conjunction of one or more expressions."""
    return operands[0] if len(operands) == 1 else ast.BoolOp(ast.And(), operands, **AT)


def either(operands: list[ast.expr]) -> ast.expr:
    """Return the disjunction of one or more expressions."""
    return operands[0] if len(operands) == 1 else ast.BoolOp(ast.Or(), operands, **AT)


def negation(operand: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), operand, **AT)


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [operator], [right], **AT)


def for_each(local: str, values: ast.expr, result: ast.expr) -> ast.expr:
    """Return the results for each of some values, one after the other."""
    target = ast.Name(local, ast.Store(), **AT)
    return ast.GeneratorExp(result, [ast.comprehension(target, values, [], 0)], **AT)


def is_known(operand: ast.expr) -> ast.expr:
    return compare(operand, ast.IsNot(), constant(None))


def call(function: ast.expr, *arguments: ast.expr) -> ast.expr:
    return ast.Call(function, list(arguments), [], **AT)


def method(operand: ast.expr, called: str, argument: ast.expr) -> ast.expr:
    return call(ast.Attribute(operand, called, ast.Load(), **AT), argument)


# -- statements ----------------------------------------------------------------------------------


def assign(local: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(local, ast.Store(), **AT)], value, **AT)


def unpack(names: Sequence[str], value: ast.expr) -> ast.stmt:
    return ast.Assign([locals_(names)], value, **AT)


def extend(local: str, items: ast.expr) -> ast.stmt:
    return ast.AugAssign(ast.Name(local, ast.Store(), **AT), ast.Add(), items, **AT)


def if_(test: ast.expr, *body: ast.stmt) -> ast.stmt:
    return ast.If(test, list(body), [], **AT)


def for_(target: ast.expr, values: ast.expr, body: list[ast.stmt]) -> ast.stmt:
    return ast.For(target, values, body, [], **AT)


def define(called: str, parameters: Sequence[str], body: list[ast.stmt]) -> ast.FunctionDef:
    declared = [ast.arg(parameter, **AT) for parameter in parameters]
    arguments = ast.arguments([], declared, None, [], [], None, [])
    return ast.FunctionDef(called, arguments, body, [], **AT)


def compiled(definition: ast.FunctionDef) -> CodeType:
    """Return the code of a function."""
    module = compile(ast.Module([definition], []), "<policy>", "exec", dont_inherit=True)
    return next(code for code in module.co_consts if isinstance(code, CodeType))
