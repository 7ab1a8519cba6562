"""The oracle: evaluates rules by walking their formulas, and traces them.

Input is the policy and a question in JSON values; output is a trace of each rule. It shares nothing
with the compiled program, not even the conversion of values, so that each can check the other. It
is written for readability; the daemon does not decide with it.

`None` is the truth value *unknown* throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import assert_never

from policyd.language import walks
from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Api,
    EndsWith,
    Equal,
    Formula,
    Granted,
    HasAll,
    HasAny,
    HasSome,
    In,
    IsTrue,
    Leaf,
    Less,
    NamedCondition,
    Not,
    Operand,
    Present,
    Rule,
    Scalar,
    StartsWith,
    SubjectIs,
    Test,
    Truth,
    WithinLast,
    WithinNext,
)
from policyd.language.types import Fact, Origin
from policyd.program.plain_values import Record, Value
from policyd.program.trace import ConditionTrace, RuleTrace, Seen, Trace, Traces
from policyd.program.world import World as World
from policyd.program.world import WorldReader

#: A test on the values of its operands.
_Within = WithinLast | WithinNext
Relation = IsTrue | Equal | Less | StartsWith | EndsWith | _Within | In | HasAny | HasAll


def interpret(api: Api, rules: Iterable[Rule], world: World) -> Traces:
    """Evaluate rules, in the order of their names."""
    interpreter = _Interpreter(api, world)
    traced = tuple(interpreter.rule(rule) for rule in sorted(rules, key=lambda rule: rule.name))
    return Traces(rules=traced, conditions=interpreter.conditions())


# -- Kleene's strong three-valued logic ----------------------------------------------------------


def conjunction(values: Iterable[Truth]) -> Truth:
    """False if one is false; otherwise unknown if one is unknown; otherwise true."""
    seen = list(values)
    if False in seen:
        return False
    return None if None in seen else True


def disjunction(values: Iterable[Truth]) -> Truth:
    """True if one is true; otherwise unknown if one is unknown; otherwise false."""
    seen = list(values)
    if True in seen:
        return True
    return None if None in seen else False


def negation(value: Truth) -> Truth:
    """Unknown stays unknown."""
    return None if value is None else not value


# -- formulas ------------------------------------------------------------------------------------


class _Interpreter:
    def __init__(self, api: Api, world: World) -> None:
        self.facts = WorldReader(api, world)
        self._token = world.token
        self._now = world.now
        self._conditions: dict[int, ConditionTrace] = {}

    def conditions(self) -> tuple[ConditionTrace, ...]:
        return tuple(sorted(self._conditions.values(), key=lambda traced: traced.name))

    def rule(self, rule: Rule) -> RuleTrace:
        """Evaluate a rule. All rules that one interpreter evaluates are for one resource."""
        self.facts.turn_to(rule.resource)
        self._evaluate_conditions(rule.formula)
        trace = self._trace(rule.formula)
        applies = trace.value is True if rule.effect == "allow" else trace.value is not False
        return RuleTrace(rule=rule, value=trace.value, applies=applies, trace=trace)

    def _evaluate_conditions(self, formula: Formula) -> None:
        """Evaluate the named conditions below a formula, each after those that it uses.

        With a stack, because conditions may build on each other in long chains.
        """
        stack = [(condition, False) for condition in _conditions_in(formula)]
        while stack:
            condition, ready = stack.pop()
            if id(condition) in self._conditions:
                continue
            if not ready:
                stack.append((condition, True))
                stack.extend((inner, False) for inner in _conditions_in(condition.formula))
                continue
            trace = self._trace(condition.formula)
            self._conditions[id(condition)] = ConditionTrace(
                name=condition.name, source=condition.source, value=trace.value, trace=trace
            )

    def _trace(self, formula: Formula) -> Trace:
        span = formula.span
        match formula:
            case All(operands=operands):
                parts = tuple(self._trace(operand) for operand in operands)
                return Trace("and", span, conjunction(part.value for part in parts), parts)
            case AnyOf(operands=operands):
                parts = tuple(self._trace(operand) for operand in operands)
                return Trace("or", span, disjunction(part.value for part in parts), parts)
            case Not(operand=operand):
                part = self._trace(operand)
                return Trace("not", span, negation(part.value), (part,))
            case NamedCondition(name=name):
                value = self._conditions[id(formula)].value
                return Trace("condition", span, value, name=name)
            case HasSome(fact=fact, condition=inner):
                seen = self.facts.look(fact)
                elements = self._each(fact, inner)
                value = None if elements is None else disjunction(one.value for one in elements)
                return Trace("some", span, value, elements or (), seen=(seen,))
            case Leaf():
                value, looked_at = self._test(formula)
                return Trace("test", span, value, seen=looked_at)
            case _:
                assert_never(formula)

    def _each(self, fact: Fact, condition: Formula) -> tuple[Trace, ...] | None:
        """Trace a condition of each element; `None` where there is no list."""
        elements = self.facts.each_element(fact)
        if elements is None:
            return None
        found: list[Trace] = []
        for element in elements:
            part = self._trace(condition)
            found.append(Trace("element", part.span, part.value, (part,), element.name))
        return tuple(found)

    def test(self, test: Test) -> Truth:
        """Evaluate a test."""
        return self._test(test)[0]

    def _test(self, test: Test) -> tuple[Truth, tuple[Seen, ...]]:
        token = self._token
        match test:
            case Always():
                return True, ()
            case Granted(scope=scope):
                return scope in self.facts.granted_scopes(), ()
            case SubjectIs(kind=kind):
                return (None if token.kind is None else token.kind == kind), ()
            case Present(fact=fact):
                seen = self.facts.look(fact)
                return {"known": True, "missing": False, "ill-typed": None}[seen.state], (seen,)
            case IsTrue() | StartsWith() | EndsWith() | WithinLast() | WithinNext():
                return self._relate(test)
            case Equal() | Less() | In() | HasAny() | HasAll():
                return self._relate(test)
            case _:
                assert_never(test)

    def _relate(self, test: Relation) -> tuple[Truth, tuple[Seen, ...]]:
        """Evaluate a test, which is unknown unless all its operands are known."""
        operands = walks.operands(test)
        looked_at = tuple(self.facts.look(fact) for fact in operands if isinstance(fact, Fact))
        values = [value for operand in operands if (value := self.facts.value(operand)) is not None]
        if len(values) < len(operands):
            return None, looked_at
        return self.relation(test, *values), looked_at

    def relation(self, test: Relation, left: Value, right: Value = "") -> bool:
        """Evaluate a test on known operands."""
        now = self._now
        match test:
            case IsTrue():
                return left is True
            case Equal():
                return left == right
            case Less(or_equal=or_equal):
                return _number(left) < _number(right) or (or_equal and left == right)
            case StartsWith(prefix=prefix):
                return str(left)[: len(prefix)] == prefix
            case EndsWith(suffix=suffix):
                return str(left)[-len(suffix) :] == suffix
            case WithinLast(seconds=seconds):
                return now - seconds <= _number(left) and _number(left) <= now + 60
            case WithinNext(seconds=seconds):
                return now - 60 <= _number(left) and _number(left) <= now + seconds
            case In():
                return any(_matches(left, entry) for entry in _elements(right))
            case HasAny():
                return any(_has(left, entry) for entry in _elements(right))
            case HasAll():
                return all(_has(left, entry) for entry in _elements(right))
            case _:
                assert_never(test)


class Asked:
    """One question, of which the tests of rules for one resource are asked one at a time."""

    def __init__(self, api: Api, world: World, resource: str) -> None:
        self._interpreter = _Interpreter(api, world)
        self._facts = self._interpreter.facts
        self._facts.turn_to(resource)
        self._values: dict[Fact, Value | None] = {}

    def truth(self, test: Test) -> Truth:
        """Evaluate a test."""
        return self._interpreter.test(test)

    def relation(self, test: Relation, left: Value, right: Value = "") -> bool:
        """Evaluate a test on known operands, in place of its own."""
        return self._interpreter.relation(test, left, right)

    def value(self, operand: Operand) -> Value | None:
        """Return what an operand stands for, `None` when it is missing or ill-typed."""
        if not isinstance(operand, Fact) or operand.origin is Origin.ITEM:
            return self._facts.value(operand)
        if operand not in self._values:
            self._values[operand] = self._facts.value(operand)
        return self._values[operand]

    def each_element(self, fact: Fact) -> Iterator[Record] | None:
        """Turn to one element of a list after the other; `None` where there is no list."""
        return self._facts.each_element(fact)


def _conditions_in(formula: Formula) -> list[NamedCondition]:
    """Return the named conditions in a formula's own text."""
    found: list[NamedCondition] = []
    todo = [formula]
    while todo:
        one = todo.pop()
        match one:
            case All(operands=operands) | AnyOf(operands=operands):
                todo.extend(operands)
            case Not(operand=operand) | HasSome(condition=operand):
                todo.append(operand)
            case NamedCondition():
                found.append(one)
            case Leaf():
                pass
            case _:
                assert_never(one)
    return found


# -- relations -----------------------------------------------------------------------------------


def _number(value: Value) -> int | Decimal:
    assert isinstance(value, int | Decimal), "the checker compares numbers only"
    return value


def _elements(value: Value) -> frozenset[Scalar]:
    assert isinstance(value, frozenset), "the checker lets sets only stand here"
    return value


def _has(values: Value, entry: Scalar) -> bool:
    """Tell whether a set has an entry: the value itself or, of a block, some address in it."""
    return any(_matches(value, entry) for value in _elements(values))


def _matches(value: Value, entry: Scalar) -> bool:
    if isinstance(entry, IPv4Network):
        return isinstance(value, IPv4Address) and value in entry
    if isinstance(entry, IPv6Network):
        return isinstance(value, IPv6Address) and value in entry
    return value == entry
