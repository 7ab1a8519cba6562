"""Prove that the tests notice: break the code in one place at a time, and see a test fail.

Comes in: `scripts/mutants.toml`, which names what to break, how, and the tests that must notice;
and which mutants are equivalent to the original, each with its reason. Goes out: a line for each
mutant that no test killed, and a summary; exit code 1 when one survived or an equivalent is no
longer there, 2 when the tests fail without any mutation.

Two kinds of mutation:
- `drop` leaves out one thing: a call that stands alone, a guard (an `if` that only leaves), an
  `else`-less step, an entry of a tuple or a list, an operand of `and` or `or`.
- `flip` turns one thing into its opposite: `and` and `or`, `not`, the comparisons, `True`, `False`
  and `None`, `+` and `-`, the condition of an `if`, and functions that have an opposite: `any` and
  `all`, `ast.And` and `ast.Or` in a compiler, and the like (`OPPOSITES`).

Each worker owns a copy of the tree, so the work tree is never touched. A syntax tree is changed in
place, written out with `ast.unparse`, and changed back.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from queue import SimpleQueue
from typing import Literal, NamedTuple

import msgspec

ROOT = Path(__file__).resolve().parent.parent
PLAN = ROOT / "scripts" / "mutants.toml"
COPIED = ("policyd", "tests", "policies", "proto", "docs", "scripts", "pyproject.toml")
TIMEOUT = 300  # seconds

Kind = Literal["drop", "flip"]
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
FLIPPED_CONSTANTS: dict[object, tuple[bool | None, ...]] = {
    True: (False, None),
    False: (True, None),
    None: (True, False),
}


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to break: `names` are patterns of qualified names in `module`, a path."""

    module: str
    kinds: tuple[Kind, ...]
    tests: tuple[str, ...]
    names: tuple[str, ...] = ("*",)


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that means the same as the original, and why."""

    module: str
    name: str
    change: str
    reason: str


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target: tuple[Target, ...]
    equivalent: tuple[Equivalent, ...] = ()


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
    for name, root in _definitions(tree, ""):
        if not any(fnmatchcase(name, pattern) for pattern in target.names):
            continue
        for node in _walk(root):
            for change in _changes(node, target.kinds):
                before = getattr(change.node, change.field)
                setattr(change.node, change.field, change.value)
                text = ast.unparse(ast.fix_missing_locations(tree))
                setattr(change.node, change.field, before)
                line = getattr(change.node, "lineno", getattr(root, "lineno", 0))
                yield Mutant(target, name, line, change.text, text)


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
    """Yield the fields that can be broken: no types, no decorators, no parameters."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list"}:
            continue
        if not isinstance(value, ast.arguments):
            yield field, value


def _changes(node: ast.AST, kinds: tuple[Kind, ...]) -> Iterator[Change]:
    if "drop" in kinds:
        yield from _drops(node)
    if "flip" in kinds:
        yield from _flips(node)


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
            ast.Assign(value=ast.Tuple() | ast.List() | ast.Set() as entries)
            | ast.AnnAssign(value=ast.Tuple() | ast.List() | ast.Set() as entries)
        ):
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
    for field, value in _fields(node):
        yield from _flipped_values(node, field, value)


def _flipped_values(node: ast.AST, field: str, value: object) -> Iterator[Change]:
    """Yield the flips that put another expression in the place of one."""
    if isinstance(node, ast.Compare):
        return
    children = value if isinstance(value, list) else [value]
    for i, child in enumerate(children):
        for other in _others(child):
            new = [*children[:i], other, *children[i + 1 :]] if isinstance(value, list) else other
            yield Change(node, field, new, f"`{_text(child)}` -> `{_text(other)}` in {_of(node)}")


def _others(node: object) -> Iterator[ast.expr]:
    match node:
        case ast.Constant(value=bool() | None as value):
            for other in FLIPPED_CONSTANTS[value]:
                yield ast.Constant(other)
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


class Worker:
    """A copy of the tree in which one mutant at a time is tested."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self.output = ""
        for name in COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, folder / name)

    def passes(self, tests: tuple[str, ...]) -> bool:
        """Run the tests, and tell whether all pass. A run without end is one that fails."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-m", "not slow", *tests]
        # An empty value lets compiled code be kept: most modules are the same each time.
        environment = os.environ | {"HYPOTHESIS_PROFILE": "mutants", "PYTHONDONTWRITEBYTECODE": ""}
        try:
            done = subprocess.run(
                command,
                cwd=self._root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        self.output = done.stdout
        if done.returncode not in {0, 1, 2}:
            sys.exit(f"pytest could not run {' '.join(tests)}:\n{self.output}")
        return done.returncode == 0

    def survives(self, mutant: Mutant) -> bool:
        """Put the mutant in place of its module, and tell whether all tests still pass."""
        path = self._root / mutant.target.module
        original = path.read_text(encoding="utf-8")
        try:
            self._write(path, mutant.text)
            return self.passes(mutant.target.tests)
        finally:
            self._write(path, original)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Compiled code counts as fresh when time and size are equal, which two mutants can be.
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


def main() -> None:
    options = _options()
    plan = msgspec.toml.decode(PLAN.read_bytes(), type=Plan)
    known = {(same.module, same.name, same.change): same for same in plan.equivalent}
    found: list[Mutant] = []
    for target in plan.target:
        source = (ROOT / target.module).read_text(encoding="utf-8")
        for mutant in mutants(target, source):
            if any(part in str(mutant) for part in options.only or [""]):
                found.append(mutant)
    keys = {(mutant.target.module, mutant.name, mutant.change) for mutant in found}
    stale = [known[key] for key in known if key not in keys and not options.only]
    tested = [m for m in found if (m.target.module, m.name, m.change) not in known]
    if options.list:
        print(*tested, sep="\n")
        return
    begin = time.monotonic()
    survivors = 0
    for mutant in _survivors(tested, options.jobs):
        survivors += 1
        print(f"survived: {mutant}", flush=True)
    for same in stale:
        print(f"no longer there: {same.module}: {same.name}: {same.change}")
    print(
        f"{len(tested)} mutants, {len(tested) - survivors} killed, {survivors} survived, "
        f"{len(found) - len(tested)} equivalent, in {time.monotonic() - begin:.0f} s"
    )
    sys.exit(bool(survivors or stale))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Break the code, and see whether a test fails.")
    parser.add_argument("only", nargs="*", help="only mutants whose line holds one of these")
    parser.add_argument("--list", action="store_true", help="show the mutants and test none")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _survivors(tested: list[Mutant], jobs: int) -> Iterator[Mutant]:
    """Test each mutant, `jobs` at a time, after the tests have passed on the code as it is."""
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(jobs) as pool,
    ):
        idle: SimpleQueue[Worker] = SimpleQueue()
        for number in range(jobs):
            idle.put(Worker(Path(folder) / str(number)))

        def survives(mutant: Mutant) -> bool:
            worker = idle.get()
            try:
                return worker.survives(mutant)
            finally:
                idle.put(worker)

        first = idle.get()
        for tests in dict.fromkeys(mutant.target.tests for mutant in tested):
            if not first.passes(tests):
                print(first.output, "the tests fail without any mutation", file=sys.stderr)
                sys.exit(2)
        idle.put(first)
        verdicts = pool.map(survives, tested)
        yield from (mutant for mutant, alive in zip(tested, verdicts, strict=True) if alive)


if __name__ == "__main__":
    main()
