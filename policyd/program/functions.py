"""Clauses of one effect to a function that names the clauses that apply, and to its data.

A function takes the facts of a question in slots (see `layout`) and the time in whole seconds. It
raises nothing, and its time is linear in the clauses that it evaluates. It consists of

    indexes   for the clauses that a fact discriminates: one look-up, then a call of the function
              that was made in the same way of the clauses found there;
    tables    for clauses of one shape: a loop over rows of constants, in the order of the names.
              Adjacent clauses with equal constants are one row, which names them all;
    tests     for a single clause.

The code of a function contains only the shape of these parts. Their data is in the tuple that
begins with the function, and is passed to it at each call. So a few functions work on the data of a
hundred thousand rules: they are quick to make, and a question reads little memory that other
questions do not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from types import FunctionType
from typing import Literal as OneOf
from typing import NamedTuple

from policyd.language.policy import Rule
from policyd.program.discrimination import FEWEST, SCOPES, Clause, Field, Index, Key, Partitions
from policyd.program.generator import RULES_SHOWN, Generator, Part
from policyd.program.layout import Facts
from policyd.program.lowering import HELPERS
from policyd.program.memo import Memo
from policyd.program.shape import (
    Abstract,
    Abstraction,
    Locals,
    Shape,
)
from policyd.program.syntax import (
    compiled,
)

#: Returns the names of the rules that apply, in any order, each once. Where more than `RULES_SHOWN`
#: do, not all need be there, but the first by code point, one more than `RULES_SHOWN`. The last
#: argument is the `BoundFunction` itself.
Function = Callable[[Facts, Facts, Facts, int, tuple[object, ...]], list[str]]

#: A function and the data that it works on.
BoundFunction = tuple[Function, *tuple[object, ...]]

#: How many facts an index may go by, one after the other. Each doubles the places of a deny.
_DEEPEST = 2

_GLOBALS: dict[str, object] = {**HELPERS, "__builtins__": {}}


class Compiled(NamedTuple):
    """A function that names the clauses that apply, and the most steps it takes: a step is a test,
    or a clause that is looked at. `layout` and `clauses` are what it was compiled from."""

    layout: object
    clauses: Sequence[Clause]
    function: BoundFunction
    steps: int


class _Environment(NamedTuple):
    """What a function depends on besides its clauses: the enclosing indexes and the slot names of
    the API. `known` are the fields of lists by which these go: what they find stands there whole.

    `layout` is one object for equal names.
    """

    names: Locals
    layout: object
    deny: bool
    depth: int
    known: frozenset[Key] = frozenset()


class Functions:
    """Makes functions, one for each shape, and their data. Both are cached until `turn` drops them:
    the same rules in the same slots give the same objects.

    `fewest` is the least number of rules, and of values, for which an index is made.
    """

    def __init__(self, fewest: int = FEWEST) -> None:
        self._fewest = fewest
        self._partitions = Partitions()
        self._clauses: Memo[tuple[Rule, Clause]] = Memo()
        self._layouts: Memo[object] = Memo()
        self._made: Memo[Compiled] = Memo()
        self._functions: dict[Shape, Function] = {}
        self._shapes: dict[Shape, int] = {}

    def turn(self) -> None:
        """Drop everything that was not used since the last turn."""
        for memo in (self._partitions, self._clauses, self._layouts, self._made):
            memo.turn()
        self._functions.clear()
        self._shapes.clear()

    def of(self, rules: Sequence[Rule], names: Locals, *, deny: bool) -> Compiled:
        """Return the function that names the allows that are true, or the denies that are not
        false. `rules` are all rules of that effect, sorted by name."""
        clauses = [clause for _, clause in self._clauses.get_each(rules, id, _clause)]
        layout = self._layouts.get(names.key, object)
        return self._compiled(clauses, _Environment(names, layout, deny=deny, depth=0))

    def _compiled(self, clauses: Sequence[Clause], environment: _Environment) -> Compiled:
        if not clauses:
            return _NOTHING
        key = (
            id(environment.layout),
            environment.deny,
            environment.depth,
            environment.known,
            *map(id, clauses),
        )
        return self._made.get(key, partial(self._make, clauses, environment))

    def _make(self, clauses: Sequence[Clause], environment: _Environment) -> Compiled:
        names, deny = environment.names, environment.deny
        fewest = self._fewest if environment.depth < _DEEPEST else len(clauses) + 1
        indexes, rest = self._partitions.of(
            clauses, deny=deny, fewest=fewest, known=environment.known
        )
        abstraction = Abstraction(names)
        parts = self._parts(rest, abstraction)
        conditions = abstraction.conditions()
        shape: Shape = (
            deny,
            *(_key(index, names) for index in indexes),
            *((self._shapes[part.abstract.shape], part.kind) for part in parts),
            *(condition.shape for condition in conditions),
        )
        function = self._functions.get(shape)
        if function is None:
            generator = Generator(names, abstraction.number, deny=deny)
            code = compiled(generator.function(indexes, parts, conditions))
            function = self._functions[shape] = FunctionType(code, _GLOBALS)
        held: list[object] = [value for each in conditions for value in each.constants]
        steps = 1 + sum(1 + len(each.constants) for each in conditions)
        for index in indexes:
            known = environment.known.union({index.fact} if isinstance(index.fact, Field) else ())
            behind = environment._replace(depth=environment.depth + 1, known=known)
            found = self._found(index, behind)
            held.append({value: inner.function for value, inner in found.items()})
            each_takes = [inner.steps for inner in found.values()]
            if isinstance(index.fact, Field):
                steps += sum(each_takes)  # there may be an element for each
            elif index.fact == SCOPES:
                held.append(frozenset(found))
                steps += sum(each_takes)  # all of them may be granted
            else:
                steps += max(each_takes)
        for part in parts:
            names_of_row, *constants = part.rows[0]
            held += (*names_of_row, *constants) if part.kind == "test" else (part.rows,)
            steps += len(part.rows) * (1 + len(constants))
        return Compiled(environment.layout, clauses, (function, *held), steps)

    def _found(self, index: Index, environment: _Environment) -> dict[object, Compiled]:
        """Return the function for each value of a fact; `environment` is behind the index."""
        found: dict[object, Compiled] = {
            value: self._compiled(clauses, environment) for value, clauses in index.by_value.items()
        }
        if index.unknown:
            # What is unknown is `None` in a slot.
            found[None] = self._compiled(index.unknown, environment)
        return found

    def _parts(self, clauses: Sequence[Clause], abstraction: Abstraction) -> list[Part]:
        """Return the clauses by shape, in an order that does not depend on their names."""
        found: dict[int, list[tuple[str, Abstract]]] = {}
        for clause in clauses:
            abstract = abstraction.abstract(clause.formula)
            number = self._shapes.setdefault(abstract.shape, len(self._shapes))
            found.setdefault(number, []).append((clause.rule, abstract))
        return [_part(found[number]) for number in sorted(found)]


def _key(index: Index, names: Locals) -> object:
    """Return what of an index its code depends on."""
    key = index.fact
    return (names.fact(key.of), key.number) if isinstance(key, Field) else names.fact(key)


def _clause(rule: Rule) -> tuple[Rule, Clause]:
    return rule, Clause(rule.name, rule.formula)


def _nothing(
    _token: Facts, _resource: Facts, _context: Facts, _now: int, _held: tuple[object, ...]
) -> list[str]:
    return []


_NOTHING = Compiled(None, (), (_nothing,), 0)


def _part(clauses: list[tuple[str, Abstract]]) -> Part:
    rows = []
    named = 0
    for constants, alike in groupby(clauses, key=lambda clause: clause[1].constants):
        names = tuple(map(itemgetter(0), alike))[: RULES_SHOWN + 1]
        named += len(names)
        rows.append((names, *constants))
    kind: OneOf["test", "table", "long table"] = "test" if named == 1 else "table"
    if named > RULES_SHOWN:
        kind = "long table"
    return Part(clauses[0][1], kind, rows)
