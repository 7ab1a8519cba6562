"""What `make mutants` can break in a module, and how.

Three kinds of mutation:
- `drop` leaves out one thing: a call that stands alone, a guard (an `if` that only leaves), an
  `else`-less step, an entry of a tuple or a list, an operand of `and` or `or`.
- `flip` turns one thing into its opposite: `and` and `or`, `not`, the comparisons, `True` and
  `False`, `None` to `True`, `+` and `-`, the condition of an `if`, and functions that have an
  opposite: `any` and `all`, `ast.And` and `ast.Or` in a compiler, and the like (`OPPOSITES`).
- `unknown` exchanges `True` and `False` with `None`, where there are three truth values. Elsewhere
  the type checker notices, or nobody can: `None` is as false as `False`.

A syntax tree is changed in place, written out with `ast.unparse`, and changed back.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import msgspec

Kind = Literal["drop", "flip", "unknown"]
FLIPPED_OPERATORS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPPOSITES = (
    *(("any", "all"), ("min", "max"), ("And", "Or"), ("Eq", "NotEq"), ("Add", "Sub")),
    *(("Lt", "LtE"), ("Gt", "GtE"), ("Is", "IsNot"), ("In", "NotIn"), ("both", "either")),
)
FLIPPED_NAMES = {a: b for pair in OPPOSITES for a, b in (pair, reversed(pair))}
FLIPPED_CONSTANTS: dict[Kind, dict[object, bool | None]] = {
    "flip": {True: False, False: True, None: True},
    "unknown": {True: None, False: None, None: False},
}


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to break: `names` are patterns of qualified names in `module`, a path."""

    module: str
    kinds: tuple[Kind, ...]
    tests: tuple[str, ...]
    names: tuple[str, ...] = ("*",)


class Change(NamedTuple):
    """One change of a tree: `node.field` becomes `value`. `text` says it to a reader."""

    node: ast.AST
    field: str
    value: object
    text: str


class Mutant(NamedTuple):
    """One broken module: where, what, and its whole new text."""

    target: Target
    name: str
    line: int
    change: str
    text: str

    def __str__(self) -> str:
        return f"{self.target.module}:{self.line}: {self.name}: {self.change}"


def mutants(target: Target, source: str) -> Iterator[Mutant]:
    """Yield each mutant of a module's source, in the order of its lines."""
    tree = ast.parse(source)
    for name, line, change in changes(target, tree):
        before = getattr(change.node, change.field)
        setattr(change.node, change.field, change.value)
        text = ast.unparse(ast.fix_missing_locations(tree))
        setattr(change.node, change.field, before)
        yield Mutant(target, name, line, change.text, text)


def changes(target: Target, tree: ast.Module) -> Iterator[tuple[str, int, Change]]:
    """Yield (qualified name, line, change) of each mutant."""
    for name, root in _definitions(tree, ""):
        if any(fnmatchcase(name, pattern) for pattern in target.names):
            for node in _walk(root):
                for change in _changes(node, target.kinds):
                    yield name, getattr(change.node, "lineno", getattr(root, "lineno", 0)), change


def _definitions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield (qualified name, node) of each function and each assigned name outside functions."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name, child
            case ast.ClassDef(name=name):
                yield from _definitions(child, f"{prefix}{name}.")
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr())
            ):
                yield prefix + name, child


def _walk(root: ast.AST) -> Iterator[ast.AST]:
    yield root
    for _, value in _fields(root):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    """Yield the fields that can be broken: no types, decorators or parameters, and no cause of an
    exception, of which anything but `None` is an error of its own."""
    if isinstance(node, ast.Subscript) and _text(node.value) == "Callable":
        return
    for field, value in ast.iter_fields(node):
        is_type = field in {"annotation", "returns"} or isinstance(value, ast.arguments)
        if not is_type and field not in {"decorator_list", "cause"}:
            yield field, value


def _changes(node: ast.AST, kinds: tuple[Kind, ...]) -> Iterator[Change]:
    if "drop" in kinds:
        yield from _drops(node)
    if "flip" in kinds:
        yield from _flips(node)
    for field, value in _fields(node):
        yield from _flipped_values(node, field, value, kinds)


def _drops(node: ast.AST) -> Iterator[Change]:
    for field in ("body", "orelse"):
        statements = getattr(node, field, None)
        if not isinstance(statements, list):
            continue
        for i, statement in enumerate(statements):
            if _can_go(statement) and not (isinstance(node, ast.If) and _can_go(node)):
                rest = [*statements[:i], *statements[i + 1 :]] or [ast.Pass()]
                yield Change(node, field, rest, f"without `{_headline(statement)}`")
    match node:
        case ast.BoolOp(values=values):
            for i, operand in enumerate(values):
                rest = [*values[:i], *values[i + 1 :]]
                yield Change(node, "values", rest, f"`{_text(node)}` without `{_text(operand)}`")
        case (
            ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Tuple() | ast.List() | ast.Set() as entries
            )
            | ast.AnnAssign(
                target=ast.Name(id=name), value=ast.Tuple() | ast.List() | ast.Set() as entries
            )
        ) if name != "__slots__":
            for i, entry in enumerate(entries.elts):
                rest = [*entries.elts[:i], *entries.elts[i + 1 :]]
                yield Change(entries, "elts", rest, f"without the entry `{_text(entry)}`")


def _can_go(statement: ast.stmt) -> bool:
    """Tell whether a statement can be left out and leave a program that still makes sense."""
    match statement:
        case ast.Expr(value=ast.Call()):
            return True
        case ast.If(body=[*_, ast.Raise() | ast.Return() | ast.Continue()], orelse=[]):
            return True
        case ast.Raise() | ast.AugAssign():
            return True
    return False


def _flips(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield _replaced(node, "op", other)
        case ast.Compare(ops=ops):
            for i, comparison in enumerate(ops):
                for flipped in FLIPPED_OPERATORS[type(comparison)]:
                    yield _replaced(node, "ops", [*ops[:i], flipped(), *ops[i + 1 :]])
        case ast.BinOp(op=ast.Add()):
            yield _replaced(node, "op", ast.Sub())
        case ast.BinOp(op=ast.Sub()):
            yield _replaced(node, "op", ast.Add())
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if not isinstance(test, ast.Compare):  # whose own flip says the same
                yield _replaced(node, "test", _negated(test))
        case ast.Call(func=ast.Name(id=name)) if name in FLIPPED_NAMES:
            yield _replaced(node, "func", ast.Name(FLIPPED_NAMES[name], ast.Load()))


def _flipped_values(
    node: ast.AST, field: str, value: object, kinds: tuple[Kind, ...]
) -> Iterator[Change]:
    """Yield the flips that put another expression in the place of one."""
    if isinstance(node, ast.Compare):
        return
    children = value if isinstance(value, list) else [value]
    for i, child in enumerate(children):
        for other in _others(child, kinds):
            new = [*children[:i], other, *children[i + 1 :]] if isinstance(value, list) else other
            yield Change(node, field, new, f"`{_text(child)}` -> `{_text(other)}` in {_of(node)}")


def _others(node: object, kinds: tuple[Kind, ...]) -> Iterator[ast.expr]:
    match node:
        case ast.Constant(value=bool() | None as value):
            for kind in kinds:
                if kind in FLIPPED_CONSTANTS:
                    yield ast.Constant(FLIPPED_CONSTANTS[kind][value])
        case _ if "flip" not in kinds:
            return
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Attribute(value=ast.Name(id="ast") as module, attr=name) if name in FLIPPED_NAMES:
            yield ast.Attribute(module, FLIPPED_NAMES[name], ast.Load())


def _replaced(node: ast.AST, field: str, value: object) -> Change:
    before = _text(node)
    original = getattr(node, field)
    setattr(node, field, value)
    after = _text(node)
    setattr(node, field, original)
    return Change(node, field, value, f"`{before}` -> `{after}`")


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(ast.Not(), test)


def _text(node: object) -> str:
    assert isinstance(node, ast.AST)
    return _headline(node) if isinstance(node, ast.stmt) else ast.unparse(node)


def _headline(statement: ast.AST) -> str:
    """Return the first line of a statement, or its test and its way out."""
    lines = ast.unparse(statement).splitlines()
    return f"{lines[0]} {lines[-1].strip()}" if len(lines) > 1 else lines[0]


def _of(node: ast.AST) -> str:
    text = ast.unparse(node) if isinstance(node, ast.expr | ast.keyword) else _headline(node)
    return f"`{text if len(text) <= 90 else text[:87] + '...'}`"
