"""Conditions as Python expressions: Kleene's three values by two-valued code.

For a condition c there are two expressions: `holds`, that c is true, and `fails`, that c is false;
c is unknown when neither is. They follow each other through the connectives,

    a and b   holds when both hold,     fails when one fails
    a or b    holds when one holds,     fails when both fail
    not a     holds when a fails,       fails when a holds

and end at tests, whose operands may be unknown (`None`):

    a test    holds when its operands are known and it is so,
              fails when its operands are known and it is not so

Nothing is simplified: `c or not c` must stay unknown when `c` is. The expressions are `ast` nodes,
never source text; their depth is that of the formula, between one named condition and the next.
"""

from __future__ import annotations

import ast
from typing import TypedDict

from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Condition,
    EndsWith,
    Equal,
    Formula,
    Granted,
    HasAll,
    HasAny,
    In,
    IsTrue,
    Less,
    Literal,
    Not,
    Operand,
    Present,
    StartsWith,
    SubjectIs,
    WithinLast,
)
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Origin, Type
from policyd.program import values
from policyd.program.layout import KIND_SLOT, FieldLayout, TokenLayout
from policyd.program.reads import AHEAD


class Position(TypedDict):
    """What `ast` demands of every node."""

    lineno: int
    col_offset: int


#: A policy's own spans say more than positions in generated code.
AT: Position = {"lineno": 1, "col_offset": 0}

#: Arguments of a generated function.
TOKEN, RESOURCE, CONTEXT, CLOCK = "token", "resource", "context", "now"

#: What generated code may call.
HELPERS = {
    function.__name__: function
    for function in (values.in_blocks, values.any_in_blocks, values.all_blocks_hit)
}


class Names:
    """The local variables of one generated function: a slot read, or a named condition."""

    def __init__(self, token: TokenLayout, resource: FieldLayout, context: FieldLayout) -> None:
        self._token = token
        self._resource = resource
        self._context = context
        self._slots: dict[str, tuple[str, int]] = {}
        self._conditions: dict[int, int] = {}

    def slots(self) -> list[tuple[str, str, int]]:
        """Return (local, argument, slot) for each slot that was asked for."""
        return [(local, argument, slot) for local, (argument, slot) in self._slots.items()]

    def fact(self, fact: Fact) -> str:
        match fact.origin:
            case Origin.CLOCK:
                return CLOCK
            case Origin.RESOURCE:
                return self._slot(RESOURCE, self._resource.slots[fact])
            case Origin.CONTEXT:
                return self._slot(CONTEXT, self._context.slots[fact])
            case Origin.TOKEN | Origin.CLAIM:
                return self._slot(TOKEN, self._token.slots[fact])

    def presence(self, fact: Fact) -> str | None:
        """Return the local that says whether a fact is present, if it has one."""
        slot = self._token.presence.get(fact)
        return None if slot is None else self._slot(TOKEN, slot)

    def kind(self) -> str:
        return self._slot(TOKEN, KIND_SLOT)

    def condition(self, condition: Condition, truth: bool) -> str:
        number = self._conditions.setdefault(id(condition), len(self._conditions))
        return f"condition_{number}_{'holds' if truth else 'fails'}"

    def _slot(self, argument: str, slot: int) -> str:
        local = f"{argument}_{slot}"
        self._slots[local] = (argument, slot)
        return local


class Lowering:
    """Formulas to expressions over the locals of `names`."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def holds(self, formula: Formula) -> ast.expr:
        """Return the expression for: the formula is true."""
        return self.lower(formula, True)

    def fails(self, formula: Formula) -> ast.expr:
        """Return the expression for: the formula is false."""
        return self.lower(formula, False)

    def lower(self, formula: Formula, truth: bool) -> ast.expr:
        """Return the expression for: the formula is known, and is `truth`."""
        match formula:
            case All(operands=operands):
                joined = [self.lower(operand, truth) for operand in operands]
                return both(joined) if truth else either(joined)
            case AnyOf(operands=operands):
                joined = [self.lower(operand, truth) for operand in operands]
                return either(joined) if truth else both(joined)
            case Not(operand=operand):
                return self.lower(operand, not truth)
            case Condition():
                return name(self._names.condition(formula, truth))
            case _:
                known, relation = self._test(formula)
                return both([*known, relation if truth else negation(relation)])

    def _test(self, test: Formula) -> tuple[list[ast.expr], ast.expr]:
        """Return what says that the operands of a test are known, and the test on known ones."""
        match test:
            case Always():
                return [], constant(True)
            case Granted(scope=scope):
                scopes = self._operand(TOKEN_FACTS["scopes"])
                return [], compare(constant(scope), ast.In(), scopes)
            case SubjectIs(kind=kind):
                local = self._names.kind()
                return [is_known(name(local))], compare(name(local), ast.Eq(), constant(kind))
            case Present(fact=fact):
                presence = self._names.presence(fact)
                if presence is None:
                    return [], is_known(self._operand(fact))
                return [is_known(name(presence))], name(presence)
            case IsTrue(fact=fact):
                return self._known(fact), self._operand(fact)
            case StartsWith(fact=fact, prefix=text):
                return self._known(fact), self._method(fact, "startswith", text)
            case EndsWith(fact=fact, suffix=text):
                return self._known(fact), self._method(fact, "endswith", text)
            case WithinLast(fact=fact, seconds=seconds):
                return self._known(fact), self._within(fact, seconds)
            case Equal(left=left, right=right):
                relation = compare(self._operand(left), ast.Eq(), self._operand(right))
                return self._known(left, right), relation
            case Less(left=left, right=right, or_equal=or_equal):
                operator = ast.LtE() if or_equal else ast.Lt()
                relation = compare(self._operand(left), operator, self._operand(right))
                return self._known(left, right), relation
            case In(left=left, right=right):
                return self._known(left, right), self._in(left, right)
            case HasAny(left=left, right=right):
                return self._known(left, right), self._has_any(left, right)
            case HasAll(left=left, right=right):
                return self._known(left, right), self._has_all(left, right)
        raise TypeError(f"no such test: {type(test).__name__}")

    # -- operands ----------------------------------------------------------------------------

    def _known(self, *operands: Operand) -> list[ast.expr]:
        """Return what says that operands are known; a literal and the clock always are."""
        return [
            is_known(self._operand(operand))
            for operand in operands
            if isinstance(operand, Fact) and operand != NOW
        ]

    def _operand(self, operand: Operand) -> ast.expr:
        if isinstance(operand, Fact):
            return name(self._names.fact(operand))
        value = operand.value
        if isinstance(value, tuple):
            return constant(frozenset(values.of_literal(item) for item in value))
        return constant(values.of_literal(value))

    # -- tests on known operands -------------------------------------------------------------

    def _method(self, fact: Fact, method: str, text: str) -> ast.expr:
        function = ast.Attribute(self._operand(fact), method, ast.Load(), **AT)
        return ast.Call(function, [constant(text)], [], **AT)

    def _within(self, fact: Fact, seconds: int) -> ast.expr:
        earliest = ast.BinOp(name(CLOCK), ast.Sub(), constant(seconds), **AT)
        latest = ast.BinOp(name(CLOCK), ast.Add(), constant(AHEAD), **AT)
        middle = self._operand(fact)
        return ast.Compare(earliest, [ast.LtE(), ast.LtE()], [middle, latest], **AT)

    def _in(self, left: Operand, right: Operand) -> ast.expr:
        blocks = _blocks(right)
        if blocks is not None:
            return _call(values.in_blocks.__name__, self._operand(left), values.merged(blocks))
        return compare(self._operand(left), ast.In(), self._operand(right))

    def _has_any(self, left: Operand, right: Operand) -> ast.expr:
        blocks = _blocks(right)
        if blocks is not None:
            return _call(values.any_in_blocks.__name__, self._operand(left), values.merged(blocks))
        disjoint = ast.Attribute(self._operand(left), "isdisjoint", ast.Load(), **AT)
        return negation(ast.Call(disjoint, [self._operand(right)], [], **AT))

    def _has_all(self, left: Operand, right: Operand) -> ast.expr:
        blocks = _blocks(right)
        if blocks is not None:
            return _call(values.all_blocks_hit.__name__, self._operand(left), blocks)
        return compare(self._operand(left), ast.GtE(), self._operand(right))


def _blocks(operand: Operand) -> values.Blocks | None:
    """Return the blocks of a literal list of addresses, `None` for any other operand."""
    if (
        isinstance(operand, Literal)
        and operand.type is Type.SET_OF_IP
        and isinstance(operand.value, tuple)
    ):
        return tuple(values.block(item) for item in operand.value)
    return None


# -- expressions ---------------------------------------------------------------------------------


def both(operands: list[ast.expr]) -> ast.expr:
    """Return the conjunction of one or more expressions."""
    return operands[0] if len(operands) == 1 else ast.BoolOp(ast.And(), operands, **AT)


def either(operands: list[ast.expr]) -> ast.expr:
    """Return the disjunction of one or more expressions."""
    return operands[0] if len(operands) == 1 else ast.BoolOp(ast.Or(), operands, **AT)


def negation(operand: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), operand, **AT)


def name(local: str) -> ast.expr:
    return ast.Name(local, ast.Load(), **AT)


def constant(value: object) -> ast.expr:
    """Return a constant: text, number, truth value, or a tuple or frozenset of such."""
    # The stubs know no tuples and frozensets here; the compiler does.
    return ast.Constant(value, **AT)  # type: ignore[arg-type]


def compare(left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.expr:
    return ast.Compare(left, [operator], [right], **AT)


def is_known(operand: ast.expr) -> ast.expr:
    return compare(operand, ast.IsNot(), constant(None))


def _call(function: str, operand: ast.expr, blocks: values.Blocks) -> ast.expr:
    return ast.Call(name(function), [operand, constant(blocks)], [], **AT)
