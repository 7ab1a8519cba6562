"""The oracle: evaluates rules by walking their formulas, and traces them.

Input is the policy and a question in JSON values; output is a trace of each rule. It shares nothing
with the compiled program, not even the conversion of values, so that each can check the other. It
is written for readability; the daemon does not decide with it.

`None` is the truth value *unknown* throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import assert_never

import msgspec

from policyd.json_types import Json
from policyd.language import walks
from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Api,
    Attribute,
    ClaimDeclaration,
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
from policyd.program.obstacles import obstacle
from policyd.program.plain_values import Record, Value, addressed, canonical, records, value_of
from policyd.program.trace import ConditionTrace, RuleTrace, Seen, Trace, Traces
from policyd.tokens.model import VerifiedToken

#: A test on the values of its operands.
_Within = WithinLast | WithinNext
Relation = IsTrue | Equal | Less | StartsWith | EndsWith | _Within | In | HasAny | HasAll


class World(msgspec.Struct, frozen=True):
    """A question about one resource, as it was asked. `now` is whole seconds since the epoch.

    `userinfo` is what the issuer tells of the user; empty when it tells nothing.
    """

    token: VerifiedToken
    resource_id: str
    attributes: Mapping[str, Json]
    context: Mapping[str, Json]
    now: int
    userinfo: Mapping[str, Json] = {}


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
        self._api = api
        self._world = world
        self._conditions: dict[int, ConditionTrace] = {}
        self._context = _paths(api.context)
        self._attributes: Mapping[str, tuple[str, ...]] = {}
        self._element: tuple[Fact, str | None, dict[str, Json]] | None = None
        self._scopes: set[str] | None = None

    def conditions(self) -> tuple[ConditionTrace, ...]:
        return tuple(sorted(self._conditions.values(), key=lambda traced: traced.name))

    def turn_to(self, resource: str) -> None:
        """Read the attributes of a resource type from here on."""
        self._attributes = _paths(self._api.resources[resource].attributes)

    def rule(self, rule: Rule) -> RuleTrace:
        """Evaluate a rule. All rules that one interpreter evaluates are for one resource."""
        self.turn_to(rule.resource)
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
                seen = self._look(fact)
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
        keys = self.each_element(fact)
        if keys is None:
            return None
        found: list[Trace] = []
        for number, key in enumerate(keys, 1):
            part = self._trace(condition)
            name = str(number) if key is None else f'"{key}"'
            found.append(Trace("element", part.span, part.value, (part,), name))
        return tuple(found)

    def each_element(self, fact: Fact) -> Iterator[str | None] | None:
        """Turn to one element of a list after the other, and yield the name under which it stands;
        `None` where there is no list."""
        elements = self._elements(fact)
        return None if elements is None else self._turn_to_each(fact, elements)

    def _turn_to_each(self, fact: Fact, elements: Iterable[Record]) -> Iterator[str | None]:
        for key, element in elements:
            self._element = (fact, key, element)
            yield key
        self._element = None

    def _elements(self, fact: Fact) -> list[Record] | None:
        raw = self._raw(fact)
        if raw is _UNREACHABLE:
            return None
        if fact.origin is Origin.CLAIM and self._api.claims[fact.name].is_details:
            raw = addressed(raw, self._api.audiences)
        return records(raw, fact)

    def test(self, test: Test) -> Truth:
        """Evaluate a test."""
        return self._test(test)[0]

    def _test(self, test: Test) -> tuple[Truth, tuple[Seen, ...]]:
        token = self._world.token
        match test:
            case Always():
                return True, ()
            case Granted(scope=scope):
                return scope in self._granted_scopes(), ()
            case SubjectIs(kind=kind):
                return (None if token.kind is None else token.kind == kind), ()
            case Present(fact=fact):
                seen = self._look(fact)
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
        looked_at = tuple(self._look(fact) for fact in operands if isinstance(fact, Fact))
        values = [value for operand in operands if (value := self.value(operand)) is not None]
        if len(values) < len(operands):
            return None, looked_at
        return self.relation(test, *values), looked_at

    def relation(self, test: Relation, left: Value, right: Value = "") -> bool:
        """Evaluate a test on known operands."""
        now = self._world.now
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

    # -- values --------------------------------------------------------------------------------

    def value(self, operand: Operand) -> Value | None:
        """Return what an operand stands for, `None` when it is missing or ill-typed."""
        if isinstance(operand, Fact):
            raw = self._raw(operand)
            return None if raw is _UNREACHABLE else value_of(raw, self._placed(operand))
        if isinstance(operand.value, tuple):
            return frozenset(canonical(item) for item in operand.value)
        return canonical(operand.value)

    def _look(self, fact: Fact) -> Seen:
        raw = self._raw(fact)
        of = self._element[0] if self._element and fact.origin is Origin.ITEM else None
        if raw is None:
            return Seen(fact, "missing", None, of=of)
        if raw is _UNREACHABLE:
            return Seen(fact, "ill-typed", None, self._obstacle(fact), of)
        known = value_of(raw, self._placed(fact)) is not None
        return Seen(fact, "known" if known else "ill-typed", raw, of=of)

    def _placed(self, fact: Fact) -> Fact:
        """Return a field as a fact of where its list stands: what is foreign to a vocabulary in a
        claim is so in a list of it."""
        if self._element is None or fact.origin is not Origin.ITEM:
            return fact
        return msgspec.structs.replace(fact, origin=self._element[0].origin)

    def _raw(self, fact: Fact) -> Json:
        """Return the JSON value of a fact, `None` when it is missing."""
        world = self._world
        match fact.origin:
            case Origin.CLOCK:
                return world.now
            case Origin.RESOURCE if fact.name == "id":
                return world.resource_id or None
            case Origin.RESOURCE:
                return _at(world.attributes, self._attributes[fact.name])
            case Origin.CONTEXT:
                return _at(world.context, self._context[fact.name])
            case Origin.CLAIM:
                return self._claim(self._api.claims[fact.name], world.token.claims)
            case Origin.USERINFO:
                return self._claim(self._api.userinfo[fact.name], world.userinfo)
            case Origin.TOKEN if fact.name == "scopes":
                return [*sorted(self._granted_scopes())]
            case Origin.TOKEN:
                return _token_fact(world.token, fact.name)
            case Origin.ITEM:
                assert self._element is not None, "a field is one of an element"
                of, key, element = self._element
                path = next(one.path for one in of.record if one.fact == fact)
                return key if path is None else _at(element, path)

    def _claim(self, declared: ClaimDeclaration, payload: Mapping[str, Json]) -> Json:
        """Return what a payload holds of a claim; one of another issuer is missing."""
        if declared.issuer not in (None, self._world.token.issuer):
            return None
        return _at(payload, declared.path)

    def _obstacle(self, fact: Fact) -> str:
        """Say what stands in the way to a fact that cannot be reached."""
        world, api = self._world, self._api
        match fact.origin:
            case Origin.CLAIM:
                return obstacle(world.token.claims, api.claims[fact.name].path)
            case Origin.USERINFO:
                return obstacle(world.userinfo, api.userinfo[fact.name].path)
            case Origin.RESOURCE:
                return obstacle(world.attributes, self._attributes[fact.name])
            case Origin.CONTEXT:
                return obstacle(world.context, self._context[fact.name])
        return ""  # a field of an element

    def _granted_scopes(self) -> set[str]:
        """Return the token's scopes, and those that they include."""
        if self._scopes is None:
            self._scopes = self._including_scopes()
        return self._scopes

    def _including_scopes(self) -> set[str]:
        found: set[str] = set()
        todo = list(self._world.token.scopes)
        while todo:
            scope = todo.pop()
            if scope not in found:
                found.add(scope)
                declared = self._api.scopes.get(scope)
                todo.extend(() if declared is None else declared.includes)
        return found


class Asked:
    """One question, of which the tests of rules for one resource are asked one at a time."""

    def __init__(self, api: Api, world: World, resource: str) -> None:
        self._interpreter = _Interpreter(api, world)
        self._interpreter.turn_to(resource)
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
            return self._interpreter.value(operand)
        if operand not in self._values:
            self._values[operand] = self._interpreter.value(operand)
        return self._values[operand]

    def each_element(self, fact: Fact) -> Iterator[str | None] | None:
        """Turn to one element of a list after the other; `None` where there is no list."""
        return self._interpreter.each_element(fact)


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


# -- where facts come from -----------------------------------------------------------------------


#: Stands for a value that cannot be reached. No type has it.
_UNREACHABLE: Json = {}


def _paths(declared: Iterable[Attribute]) -> Mapping[str, tuple[str, ...]]:
    return {one.fact.name: one.path for one in declared}


def _at(claims: Mapping[str, Json], path: tuple[str, ...]) -> Json:
    """Return the claim at a path, `None` when it is missing.

    A value of no declared type stands for one that cannot be reached, because something else than
    an object is in the way: the claim is then ill-typed, not missing.
    """
    found: Json = dict(claims)
    for name in path:
        if found is None:
            return None
        if not isinstance(found, dict):
            return _UNREACHABLE
        found = found.get(name)
    return found


def _token_fact(token: VerifiedToken, name: str) -> Json:
    match name:
        case "permissions":
            return list(token.permissions)
        case "audience":
            return list(token.audience)
        case "subject":
            return token.subject
        case "client":
            return token.client
        case "actor":
            return token.actor
        case "iss":
            return token.issuer
        case "jti":
            return token.token_id
        case "issued_at":
            return token.issued_at
        case "expires_at":
            return token.expires_at
        case _:  # sub, acr, amr, auth_time: as the token has them
            return token.claims.get(name)
