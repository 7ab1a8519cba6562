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

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from types import FunctionType
from typing import Literal as OneOf
from typing import NamedTuple, assert_never

from policyd.language.policy import All, AnyOf, Formula, HasSome, Leaf, NamedCondition, Not, Rule
from policyd.program.discrimination import FEWEST, SCOPES, Clause, Field, Index, Key, Partitions
from policyd.program.layout import Facts
from policyd.program.lowering import HELPERS, FormulaLowering, Slots, condition_local
from policyd.program.memo import Memo
from policyd.program.shape import (
    CLOCK,
    CONTEXT,
    RESOURCE,
    TOKEN,
    Abstract,
    Abstraction,
    Constant,
    Locals,
    Shape,
)
from policyd.program.syntax import (
    AT,
    assign,
    call,
    compare,
    compiled,
    constant,
    define,
    extend,
    for_,
    if_,
    is_known,
    item,
    locals_,
    method,
    name,
    negation,
    unpack,
)

#: How many rules an answer names at most.
RULES_SHOWN = 100

#: Returns the names of the rules that apply, in any order, each once. Where more than `RULES_SHOWN`
#: do, not all need be there, but the first by code point, one more than `RULES_SHOWN`. The last
#: argument is the `BoundFunction` itself.
Function = Callable[[Facts, Facts, Facts, int, tuple[object, ...]], list[str]]

#: A function and the data that it works on.
BoundFunction = tuple[Function, *tuple[object, ...]]

#: How many facts an index may go by, one after the other. Each doubles the places of a deny.
_DEEPEST = 2

_FOUND = "found"
_HELD = "held"
_ARGUMENTS = (TOKEN, RESOURCE, CONTEXT, CLOCK)


class Compiled(NamedTuple):
    """A function that names the clauses that apply, and the most steps it takes: a step is a test,
    or a clause that is looked at. `layout` and `clauses` are what it was compiled from."""

    layout: object
    clauses: Sequence[Clause]
    function: BoundFunction
    steps: int


class _Part(NamedTuple):
    """Clauses of one shape. A row is names, and constants."""

    abstract: Abstract
    kind: OneOf["test", "table", "long table"]
    rows: Sequence[tuple[tuple[str, ...], *tuple[Constant, ...]]]


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
            generator = _Generator(names, abstraction.number, deny=deny)
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

    def _parts(self, clauses: Sequence[Clause], abstraction: Abstraction) -> list[_Part]:
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


def _part(clauses: list[tuple[str, Abstract]]) -> _Part:
    rows = []
    named = 0
    for constants, alike in groupby(clauses, key=lambda clause: clause[1].constants):
        names = tuple(map(itemgetter(0), alike))[: RULES_SHOWN + 1]
        named += len(names)
        rows.append((names, *constants))
    kind: OneOf["test", "table", "long table"] = "test" if named == 1 else "table"
    if named > RULES_SHOWN:
        kind = "long table"
    return _Part(clauses[0][1], kind, rows)


_GLOBALS: dict[str, object] = {**HELPERS, "__builtins__": {}}


class _Generator:
    """The code of one shape."""

    def __init__(
        self, names: Locals, number: Callable[[NamedCondition], int], *, deny: bool
    ) -> None:
        self._names = names
        self._number = number
        self._deny = deny
        self._slots = Slots(names)
        self._held: list[str] = []

    def function(
        self, indexes: Sequence[Index], parts: Sequence[_Part], conditions: Sequence[Abstract]
    ) -> ast.FunctionDef:
        """Generate the function. What it works on are the constants of the conditions, what each
        index holds, and what each part holds."""
        body = self._conditions(conditions, [part.abstract.formula for part in parts])
        for index in indexes:
            body += self._index(index.fact)
        for part in parts:
            body += self._test(part) if part.kind == "test" else self._table(part)
        facts = [assign(local, _slot(local)) for local in self._slots.used()]
        start = assign(_FOUND, ast.List([], ast.Load(), **AT))
        held = unpack(["_function", *self._held], name(_HELD))
        return define(
            "function",
            (*_ARGUMENTS, _HELD),
            [held, *facts, start, *body, ast.Return(name(_FOUND), **AT)],
        )

    def _hold(self) -> str:
        """Return the local of the next thing to work on."""
        local = f"{_HELD}_{len(self._held)}"
        self._held.append(local)
        return local

    def _conditions(self, all_: Sequence[Abstract], formulas: list[Formula]) -> list[ast.stmt]:
        lowerings = [
            FormulaLowering(each, [self._hold() for _ in each.constants], self._slots, self._number)
            for each in all_
        ]
        body = []
        for condition, truth in conditions_in_order(formulas, not self._deny):
            number = self._number(condition)
            body.append(assign(condition_local(number, truth), lowerings[number].known(truth)))
        return body

    def _index(self, key: Key) -> list[ast.stmt]:
        """Look the fact up, and ask what is found there.

        there = held.get(token_3)                  for scope in token_0 & held_scopes:
        if there is not None:                          there = held.get(scope)
            found += there[0](token, …, there)         found += there[0](token, …, there)

        for a field of a list the loop is over `keys_among(token_3, 2, held)`
        """
        held, there, scope = name(self._hold()), "there", "scope"
        fact = self._slots.fact(key.of if isinstance(key, Field) else key)
        arguments = [name(argument) for argument in (*_ARGUMENTS, there)]
        ask = extend(_FOUND, call(item(there, 0), *arguments))
        if isinstance(key, Field) or key == SCOPES:
            if isinstance(key, Field):
                common = call(name("keys_among"), fact, constant(key.number), held)
            else:
                common = ast.BinOp(fact, ast.BitAnd(), name(self._hold()), **AT)
            look_up = assign(there, method(held, "get", name(scope)))
            return [for_(ast.Name(scope, ast.Store(), **AT), common, [look_up, ask])]
        return [assign(there, method(held, "get", fact)), if_(is_known(name(there)), ask)]

    def _test(self, part: _Part) -> list[ast.stmt]:
        only = self._hold()
        constants = [self._hold() for _ in part.abstract.constants]
        hit = ast.Expr(method(name(_FOUND), "append", name(only)), **AT)
        return [if_(self._applies(part, constants), hit)]

    def _table(self, part: _Part) -> list[ast.stmt]:
        """Loop over the rows, up to one more hit than an answer names.

        most = len(found) + 100
        for names, constant_0, … in held:
            if …:
                found += names
                if len(found) > most: break
        """
        rows = self._hold()
        constants = [f"constant_{number}" for number in range(len(part.abstract.constants))]
        target = locals_(["names", *constants])
        hit: list[ast.stmt] = [extend(_FOUND, name("names"))]
        before: list[ast.stmt] = []
        if part.kind == "long table":
            length = call(name("len"), name(_FOUND))
            most = ast.BinOp(length, ast.Add(), constant(RULES_SHOWN), **AT)
            before = [assign("most", most)]
            hit.append(if_(compare(length, ast.Gt(), name("most")), ast.Break(**AT)))
        return [*before, for_(target, name(rows), [if_(self._applies(part, constants), *hit)])]

    def _applies(self, part: _Part, constants: Sequence[str]) -> ast.expr:
        lowering = FormulaLowering(part.abstract, constants, self._slots, self._number)
        return negation(lowering.fails()) if self._deny else lowering.holds()


def conditions_in_order(
    formulas: Sequence[Formula], truth: bool
) -> Iterator[tuple[NamedCondition, bool]]:
    """Yield each named condition that formulas need to be known as `truth`, with the polarity,
    after those it needs."""
    done: set[tuple[int, bool]] = set()
    for formula in formulas:
        stack = [(condition, polarity, False) for condition, polarity in _uses(formula, truth)]
        while stack:
            condition, polarity, ready = stack.pop()
            key = (id(condition), polarity)
            if key in done:
                continue
            if ready:
                done.add(key)
                yield condition, polarity
            else:
                stack.append((condition, polarity, True))
                needed = _uses(condition.formula, polarity)
                stack.extend((inner, inner_polarity, False) for inner, inner_polarity in needed)


def _uses(formula: Formula, truth: bool) -> list[tuple[NamedCondition, bool]]:
    """Return the named conditions that stand in a formula's text, with the polarity needed."""
    found: list[tuple[NamedCondition, bool]] = []
    todo = [(formula, truth)]
    while todo:
        formula, truth = todo.pop()
        match formula:
            case All(operands=operands) | AnyOf(operands=operands):
                todo.extend((operand, truth) for operand in reversed(operands))
            case Not(operand=operand):
                todo.append((operand, not truth))
            case HasSome(condition=inner):
                todo.append((inner, truth))
            case NamedCondition():
                found.append((formula, truth))
            case Leaf():
                pass
            case _:
                assert_never(formula)
    return found


def _slot(local: str) -> ast.expr:
    """Return what reads the slot that a local is named after."""
    argument, _, slot = local.partition("_")
    return item(argument, int(slot))
