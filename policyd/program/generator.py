"""Parts of a function to its code, as a tree: nothing is pasted together from texts.

A function begins by unpacking what it works on, reads the slots that it needs, and evaluates the
named conditions that its parts use. Then each part adds the names of the rules that apply.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Literal as OneOf
from typing import NamedTuple, assert_never

from policyd.language.policy import All, AnyOf, Formula, HasSome, Leaf, NamedCondition, Not
from policyd.program.discrimination import SCOPES, Field, Index, Key
from policyd.program.lowering import FormulaLowering, Slots, condition_local
from policyd.program.shape import CLOCK, CONTEXT, RESOURCE, TOKEN, Abstract, Constant, Locals
from policyd.program.syntax import (
    AT,
    assign,
    call,
    compare,
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

_FOUND = "found"
_HELD = "held"
_ARGUMENTS = (TOKEN, RESOURCE, CONTEXT, CLOCK)


class Part(NamedTuple):
    """Clauses of one shape. A row is names, and constants."""

    abstract: Abstract
    kind: OneOf["test", "table", "long table"]
    rows: Sequence[tuple[tuple[str, ...], *tuple[Constant, ...]]]


class Generator:
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
        self, indexes: Sequence[Index], parts: Sequence[Part], conditions: Sequence[Abstract]
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

    def _test(self, part: Part) -> list[ast.stmt]:
        only = self._hold()
        constants = [self._hold() for _ in part.abstract.constants]
        hit = ast.Expr(method(name(_FOUND), "append", name(only)), **AT)
        return [if_(self._applies(part, constants), hit)]

    def _table(self, part: Part) -> list[ast.stmt]:
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

    def _applies(self, part: Part, constants: Sequence[str]) -> ast.expr:
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
