"""The code that is generated for a policy, and what it works on, as text to be read.

`python -m tests.support.listing` writes the expected files of `tests/golden/plans` anew.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from unittest.mock import patch

from policyd.language import load
from policyd.language.text import read
from policyd.program import functions
from policyd.program.compiler import Compiler
from policyd.program.functions import BoundFunction, Function
from policyd.program.index import ApiProgram, Plan
from policyd.program.layout import KIND_SLOT
from policyd.program.syntax import compiled

FOLDER = Path(__file__).parents[1] / "golden" / "plans"


def listing(path: Path) -> str:
    """Return what stands in `NAME.py` beside a policy `NAME.policy`, which holds one API.

    First come the slots of all facts, then each function, and last what it works on by action.
    """
    sources: dict[int, ast.FunctionDef] = {}

    def keep(definition: ast.FunctionDef) -> CodeType:
        code = compiled(definition)
        sources[id(code)] = definition
        return code

    policies = load([read(path.name, path.read_bytes()).source]).policies
    assert policies is not None, "the policy is wrong"
    with patch.object(functions, "compiled", keep):
        program = Compiler().compile(policies)
    (api,) = program.apis.values()
    return "\n".join(_Listing(sources).lines(api)) + "\n"


class _Listing:
    def __init__(self, sources: dict[int, ast.FunctionDef]) -> None:
        self._sources = sources
        self._names: dict[Function, str] = {}

    def lines(self, api: ApiProgram) -> Iterator[str]:
        yield from _slots(api)
        data = [line for each in _plans(api) for line in self._plan(*each)]
        for function, name in self._names.items():
            definition = self._sources[id(function.__code__)]
            definition.name = name
            yield from ("", "", *ast.unparse(definition).splitlines())
        yield from ("", *data)

    def _plan(self, title: str, plan: Plan) -> Iterator[str]:
        for effect, bound in (("deny", plan.denies), ("allow", plan.allows)):
            if len(bound) > 1:
                yield from ("", f"# {effect} {title}", *self._bound(bound, "# "))

    def _bound(self, bound: BoundFunction, indent: str) -> Iterator[str]:
        function, *held = bound
        name = self._names.setdefault(function, f"rules_{len(self._names)}")
        yield f"{indent}{name}, which holds"
        for number, value in enumerate(held):
            yield from self._held(f"held_{number} = ", value, indent + "    ")

    def _held(self, name: str, value: object, indent: str) -> Iterator[str]:
        match value:
            case dict():
                yield f"{indent}{name}a look-up"
                for key, found in value.items():
                    yield f"{indent}    {key!r}:"
                    yield from self._bound(found, indent + "        ")
            case [tuple(), *_]:
                yield f"{indent}{name}rows"
                yield from (f"{indent}    {_shown(row)}" for row in value)
            case _:
                yield f"{indent}{name}{_shown(value)}"


def _slots(api: ApiProgram) -> Iterator[str]:
    """Yield what each local of the functions stands for."""
    token = {slot: fact.path for fact, slot in api.token.slots.items()}
    token[KIND_SLOT] = "whether the subject is a user or an application"
    token |= {slot: f"whether {fact.path} is there" for fact, slot in api.token.presence.items()}
    for slot, said in sorted(token.items()):
        yield f"# token_{slot}: {said}"
    for name, resource in sorted(api.resources.items()):
        names = next(iter(resource.plans.values())).names
        assert names is not None, "a plan that rules were compiled for has them"
        for fact, slot in names.resource.slots.items():
            yield f"# resource_{slot}: {fact.path}, of {name}"
    for fact, slot in api.context.slots.items():
        yield f"# context_{slot}: {fact.path}"


def _plans(api: ApiProgram) -> Iterator[tuple[str, Plan]]:
    for name, resource in sorted(api.resources.items()):
        for action, plan in sorted(resource.plans.items()):
            yield f"{action} on {name}", plan


def _shown(value: object) -> str:
    """Return a value as Python writes it, sets in order."""
    if isinstance(value, frozenset):
        return "{" + ", ".join(sorted(map(repr, value))) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shown, value)) + ("," * (len(value) == 1)) + ")"
    return repr(value)


if __name__ == "__main__":
    for policy in sorted(FOLDER.glob("*.policy")):
        policy.with_suffix(".py").write_text(listing(policy), encoding="utf-8")
