"""A new operator is named by the type checker wherever it has to be known.

mypy does that where a `match` over formulas ends in `assert_never`, so each has to. What a lint
rule looks for it names itself, and it finds nothing in the others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

import policyd
from policyd.language import policy

_PACKAGE = Path(policyd.__file__).parent
_LINT = _PACKAGE / "tooling" / "lint"
_FORMULAS = get_args(policy.Formula)


def _walks(module: ModuleType, tree: ast.AST) -> Iterator[ast.Match]:
    """Yield each `match` that names a class of formulas."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Match) and any(
            _class(module, pattern.cls) in (*_FORMULAS, policy.Leaf)
            for case in node.cases
            for pattern in ast.walk(case.pattern)
            if isinstance(pattern, ast.MatchClass)
        ):
            yield node


def _class(module: ModuleType, named: ast.expr) -> object:
    """Return what a name stands for in a module; nothing that a function defines itself."""
    match named:
        case ast.Name(id=name):
            return vars(module).get(name)
        case ast.Attribute(value=inner, attr=name):
            return getattr(_class(module, inner), name, None)
    return None


def _is_closed(walk: ast.Match) -> bool:
    """Tell whether what no case takes is given to `assert_never`."""
    last = walk.cases[-1]
    whole = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
    never = f"assert_never({ast.unparse(walk.subject)})"
    return whole and last.guard is None and "\n".join(map(ast.unparse, last.body)) == never


def _all_walks() -> Iterator[tuple[str, ast.Match]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        text = path.read_text()
        if _LINT in path.parents or "    match " not in text:
            continue
        parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        for walk in _walks(import_module(name), ast.parse(text)):
            yield f"{name}:{walk.lineno}", walk


_WALKS = dict(_all_walks())


@pytest.mark.parametrize("place", _WALKS)
def test_each_walk_ends_where_nothing_is_left(place: str) -> None:
    assert _is_closed(_WALKS[place]), f"end it with `case _: assert_never(…)`: {place}"


def test_the_walks_are_found() -> None:
    modules = {place.rpartition(":")[0] for place in _WALKS}
    assert modules >= {
        "policyd.analysis.formulas",
        "policyd.language.identity",
        "policyd.language.walks",
        "policyd.program.generator",
        "policyd.program.interpreter",
        "policyd.program.lowering",
        "policyd.program.reads",
        "policyd.program.shape",
        "policyd.tooling.coverage",
        "policyd.tooling.mutants",
    }


def test_the_union_holds_every_formula() -> None:
    declared = {
        value
        for value in vars(policy).values()
        if isinstance(value, type) and issubclass(value, policy.Leaf.__base__ or object)
    }
    assert declared - {policy.Leaf, policy.Leaf.__base__} == set(_FORMULAS)
    assert {one for one in _FORMULAS if issubclass(one, policy.Leaf)} == set(get_args(policy.Test))


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("match one:\n case policy.All(): pass\n case _: assert_never(one)", True),
        ("match one:\n case policy.All(): pass", False),
        ("match one:\n case policy.All(): pass\n case _: pass", False),
        ("match one:\n case policy.All(): pass\n case policy.Not(): assert_never(one)", False),
        ("match one:\n case policy.All(): pass\n case _ if one: assert_never(one)", False),
        ("match one:\n case policy.All(): pass\n case _: assert_never(other)", False),
    ],
)
def test_what_is_closed(text: str, closed: bool) -> None:
    (walk,) = _walks(import_module("policyd.language.identity"), ast.parse(text))
    assert _is_closed(walk) is closed
