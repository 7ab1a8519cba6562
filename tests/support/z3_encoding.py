"""Whether a promise can be broken, by z3: an encoding that shares nothing with the prover's.

Texts are z3's own strings, sets its arrays, numbers its integers. Left out are addresses, lists and
claims that share a path. z3 is a dependency of development: where it is not installed, what needs
it is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import assert_never

import pytest

from policyd.language import policy
from policyd.language.policy import Formula, Operand, Rule, Scalar
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Origin, Type
from policyd.language.walks import operands, walk
from policyd.prover.universe import Side

z3 = pytest.importorskip("z3")

_BARRED = frozenset((Type.IP, Type.SET_OF_IP, Type.LIST))
_NAMES = frozenset(("sub", "subject", "client", "actor", "jti", "iss"))
_ALWAYS = frozenset(("scopes", "permissions", "audience", "iss", "expires_at"))
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


def covers(formula: Formula) -> bool:
    """Tell whether z3 is asked about a formula."""
    parts = list(walk(formula))
    if any(isinstance(part, policy.HasSome) for part in parts):
        return False
    return all(one.type not in _BARRED for part in parts for one in _reads(part))


def _reads(formula: Formula) -> Sequence[Operand]:
    return operands(formula) if isinstance(formula, policy.Leaf) else ()


def can_be_broken(side: Side, rules: Sequence[Rule], promise: Rule) -> bool:
    """Tell whether something is allowed while the promise's formula is true or unknown."""
    return _Encoder(side).satisfiable(rules, promise)


class _Encoder:
    def __init__(self, side: Side) -> None:
        self._side = side
        self._solver = z3.Solver()
        self._solver.set("timeout", 60_000)
        self._facts: dict[tuple[str, str], tuple[object, object, object]] = {}
        self._user, self._application = z3.Bools("user application")
        self._solver.add(z3.Not(z3.And(self._user, self._application)))

    def satisfiable(self, rules: Sequence[Rule], promise: Rule) -> bool:
        self._demanded()
        for name in ("expires_at", "issued_at", "audience"):
            self._fact(TOKEN_FACTS[name])
        allows, denies = [z3.BoolVal(False)], []
        for rule in rules:
            holds, fails = self._truths(rule.formula)
            if rule.effect == "allow":
                allows.append(holds)
            else:
                denies.append(fails)
        kept = self._truths(promise.formula)[1]
        self._solver.add(z3.Or(allows), *denies, z3.Not(kept))
        self._times()
        answer = self._solver.check()
        assert answer != z3.unknown, "z3 gave up"
        return bool(answer == z3.sat)

    def _times(self) -> None:
        now = self._fact(NOW)[2]
        expires = self._fact(TOKEN_FACTS["expires_at"])[2]
        known, _, issued = self._fact(TOKEN_FACTS["issued_at"])
        self._solver.add(now >= 0, expires >= 0, now < expires + 60)
        self._solver.add(z3.Implies(known, z3.And(issued >= 0, issued <= now + 60)))
        audience = self._fact(TOKEN_FACTS["audience"])[2]
        named = [z3.IsMember(z3.StringVal(one), audience) for one in self._side.api.audiences]
        empty = z3.EmptySet(z3.StringSort())
        self._solver.add(z3.Or(*named, audience == empty))

    def _demanded(self) -> None:
        api = self._side.api
        for declared in (*api.claims.values(), *api.userinfo.values()):
            if not declared.optional and declared.fact.type not in _BARRED:
                self._solver.add(self._fact(declared.fact)[0])
        for field in (*self._side.attributes, *api.context):
            if field.fact.type not in _BARRED:
                known, missing, _ = self._fact(field.fact)
                self._solver.add(known if not field.optional else z3.Or(known, missing))

    # -- formulas --------------------------------------------------------------------------------

    def _truths(self, formula: Formula) -> tuple[object, object]:
        match formula:
            case policy.All(operands=parts) | policy.AnyOf(operands=parts):
                each = [self._truths(one) for one in parts]
                holding, failing = [one[0] for one in each], [one[1] for one in each]
                if isinstance(formula, policy.All):
                    return z3.And(holding), z3.Or(failing)
                return z3.Or(holding), z3.And(failing)
            case policy.Not(operand=operand):
                holds, fails = self._truths(operand)
                return fails, holds
            case policy.NamedCondition(formula=inner):
                return self._truths(inner)
            case policy.Always():
                return z3.BoolVal(True), z3.BoolVal(False)
            case policy.Granted(scope=scope):
                granted = z3.IsMember(z3.StringVal(scope), self._fact(TOKEN_FACTS["scopes"])[2])
                return granted, z3.Not(granted)
            case policy.SubjectIs(kind=kind):
                pair = (self._user, self._application)
                return pair if kind == "user" else pair[::-1]
            case policy.Present(fact=fact):
                known, missing, _ = self._fact(fact)
                return known, missing
            case policy.HasSome():
                raise NotImplementedError
            case policy.Leaf():
                known = [self._fact(one)[0] for one in _reads(formula) if isinstance(one, Fact)]
                truth = self._relation(formula)
                return z3.And(*known, truth), z3.And(*known, z3.Not(truth))
            case _:
                assert_never(formula)

    def _relation(self, test: policy.Test) -> object:
        value = self._value
        match test:
            case policy.IsTrue(fact=fact):
                return value(fact)
            case policy.Equal(left=left, right=right):
                return value(left) == value(right)
            case policy.Less(left=left, right=right, or_equal=or_equal):
                a, b = value(left), value(right)
                return a <= b if or_equal else a < b
            case policy.StartsWith(fact=fact, prefix=prefix):
                return z3.PrefixOf(z3.StringVal(prefix), value(fact))
            case policy.EndsWith(fact=fact, suffix=suffix):
                return z3.SuffixOf(z3.StringVal(suffix), value(fact))
            case policy.WithinLast(fact=fact, seconds=seconds):
                return z3.And(value(NOW) - seconds <= value(fact), value(fact) <= value(NOW) + 60)
            case policy.WithinNext(fact=fact, seconds=seconds):
                return z3.And(value(NOW) - 60 <= value(fact), value(fact) <= value(NOW) + seconds)
            case policy.In(left=left, right=right):
                return z3.IsMember(value(left), value(right))
            case policy.HasAny(left=left, right=right):
                both = z3.SetIntersect(value(left), value(right))
                return both != z3.EmptySet(value(left).domain())
            case policy.HasAll(left=left, right=right):
                return z3.IsSubset(value(right), value(left))
        raise NotImplementedError

    # -- facts: known, missing, value ------------------------------------------------------------

    def _value(self, operand: Operand):  # type: ignore[no-untyped-def]  # z3 has no types
        if isinstance(operand, Fact):
            return self._fact(operand)[2]
        if isinstance(operand.value, tuple):
            made = z3.EmptySet(_sort(operand.type))
            for one in operand.value:
                made = z3.SetAdd(made, _constant(one))
            return made
        return _constant(operand.value)

    def _fact(self, fact: Fact):  # type: ignore[no-untyped-def]
        key = (str(fact.origin), fact.name)
        if key not in self._facts:
            self._facts[key] = self._declared(fact)
        return self._facts[key]

    def _declared(self, fact: Fact):  # type: ignore[no-untyped-def]
        name = f"{fact.origin}.{fact.name}"
        known, missing = z3.Bools(f"{name}.known {name}.missing")
        sort = _sort(fact.type)
        value = z3.Const(name, sort if fact.type.element is None else z3.SetSort(sort))
        add = self._solver.add
        add(z3.Not(z3.And(known, missing)))
        in_token = fact.origin is Origin.TOKEN and fact.name not in ("acr", "amr", "auth_time")
        if in_token or fact.origin is Origin.CLOCK or fact.name == "id":
            add(z3.Or(known, missing))
        if fact.origin is Origin.CLOCK or (in_token and fact.name in _ALWAYS):
            add(known)
        if (in_token and fact.name in _NAMES) or fact.path == "resource.id":
            add(z3.Implies(known, value != z3.StringVal("")))
        low, high = _BOUNDS.get(fact.type, (None, None))
        if low is not None:
            add(value >= low, value <= high)
        if fact.vocabulary is not None:
            value = self._closed(fact, known, value)
        if fact.origin is Origin.TOKEN and fact.name == "scopes":
            value = self._included(value)
        return known, missing, value

    def _closed(self, fact: Fact, known, value):  # type: ignore[no-untyped-def]
        assert fact.vocabulary is not None
        values = sorted(fact.vocabulary.values)
        if fact.type.element is None:
            self._solver.add(z3.Implies(known, z3.Or([value == z3.StringVal(v) for v in values])))
            return value
        every = z3.EmptySet(z3.StringSort())
        for one in values:
            every = z3.SetAdd(every, z3.StringVal(one))
        if fact.drops_foreign:
            return z3.SetIntersect(value, every)
        self._solver.add(z3.Implies(known, z3.IsSubset(value, every)))
        return value

    def _included(self, value: object) -> object:
        """Add the scopes that granted ones include, whatever they are."""
        self._solver.add(z3.Not(z3.IsMember(z3.StringVal(""), value)))
        found = value
        for scope, granted in sorted(self._side.api.inclusion.granted.items()):
            more = found
            for one in sorted(granted):
                more = z3.SetAdd(more, z3.StringVal(one))
            found = z3.If(z3.IsMember(z3.StringVal(scope), value), more, found)
        return found


_MAX_INT = 2**53 - 1
_BOUNDS = {
    Type.INT: (-_MAX_INT, _MAX_INT),
    Type.DECIMAL: (-(2**53) * 10_000, 2**53 * 10_000),
    Type.TIME: (_FIRST, _LAST),
}


def _sort(type_: Type):  # type: ignore[no-untyped-def]
    match type_.element or type_:
        case Type.STRING:
            return z3.StringSort()
        case Type.BOOL:
            return z3.BoolSort()
    return z3.IntSort()


def _constant(value: Scalar):  # type: ignore[no-untyped-def]
    if isinstance(value, bool):
        return z3.BoolVal(value)
    if isinstance(value, str):
        return z3.StringVal(value)
    assert isinstance(value, int | Decimal)
    return z3.IntVal(int(value * 10_000) if isinstance(value, Decimal) else value)
