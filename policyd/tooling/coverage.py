"""Coverage of a policy by its tests: by rule, by operand, and by truth value.

Input are a checked policy set and the observations of a test run; output is a `Coverage`.

A rule is covered if tests show that it applies and that it does not. An operand, which is an atomic
part of a condition, is covered if tests show it true, false and, if a value that it reads may be
missing, unknown. An operand of a `define` counts once for all rules that use it. What stands within
a `has some` is shown by the elements of lists, and the `has some` is an operand beside. Coverage
does not require a claim of the wrong type, or a token without a time of issue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Literal as OneOf
from typing import assert_never

import msgspec

from policyd.diagnostics import Source, Span
from policyd.language import policy, walks
from policyd.language.parser import words
from policyd.language.policy import Truth
from policyd.language.types import Fact, Origin
from policyd.program.trace import Trace, Traces

Kind = OneOf["allow", "deny", "define"]

_BOTH: tuple[Truth, ...] = (True, False)
_ALL: tuple[Truth, ...] = (True, False, None)
#: What a token may lack although nobody declared it.
_MAY_LACK = frozenset({"subject", "sub", "jti", "client", "actor", "acr", "amr", "auth_time"})


class CoverageItem(msgspec.Struct, frozen=True):
    """A place in a policy: its possible values, and those seen. For a rule: whether it applies."""

    source: Source
    span: Span
    possible: tuple[Truth, ...]
    seen: frozenset[Truth]

    @property
    def text(self) -> str:
        """The text of the place in one line."""
        return " ".join(self.source.text[slice(*self.span)].split())

    @property
    def unseen(self) -> tuple[Truth, ...]:
        """What no test has shown: true, then false, then unknown."""
        return tuple(value for value in self.possible if value not in self.seen)


class Covered(msgspec.Struct, frozen=True):
    """A rule or a condition. `sides` is whether it applies, `None` for a condition.

    `span` is the whole rule, and of a condition what stands after `as`. `operands` are in the order
    of the source.
    """

    api: str
    kind: Kind
    name: str
    source: Source
    span: Span
    sides: CoverageItem | None
    operands: tuple[CoverageItem, ...]

    @property
    def items(self) -> tuple[CoverageItem, ...]:
        return self.operands if self.sides is None else (self.sides, *self.operands)

    @property
    def complete(self) -> bool:
        return not any(item.unseen for item in self.items)


class Coverage(msgspec.Struct, frozen=True):
    """All rules and conditions that rules use, by file and in the order of the source."""

    parts: tuple[Covered, ...]

    @property
    def possible(self) -> int:
        return sum(len(item.possible) for part in self.parts for item in part.items)

    @property
    def seen(self) -> int:
        unseen = sum(len(item.unseen) for part in self.parts for item in part.items)
        return self.possible - unseen

    @property
    def percentage(self) -> float:
        """How much of what can be seen was seen; 100 where there is nothing to see."""
        return 100 * self.seen / self.possible if self.possible else 100.0

    @property
    def rounded(self) -> float:
        """The percentage to one decimal, rounded down, so that only full coverage is 100."""
        return int(self.percentage * 10) / 10

    def of_api(self, name: str) -> Coverage:
        """Return the part of one API."""
        return Coverage(tuple(part for part in self.parts if part.api == name))


#: A place by the name of its source and its span; a rule by its API and its name.
_Place = tuple[str, Span] | tuple[str, str]


class Seen:
    """What was seen so far, by place. Plain data: it travels between processes."""

    def __init__(self) -> None:
        self._values: dict[_Place, frozenset[Truth]] = {}

    def at(self, place: _Place) -> frozenset[Truth]:
        """Return the values that were seen at a place."""
        return self._values.get(place, frozenset())

    def add(self, api: str, traces: Traces) -> None:
        """Take in what one question of an API shows."""
        for rule in traces.rules:
            self._put((api, rule.rule.name), {rule.applies})
            for leaf in _leaves(rule.trace):
                self._put((rule.rule.source.name, leaf.span), {leaf.value})
        for condition in traces.conditions:
            for leaf in _leaves(condition.trace):
                self._put((condition.source.name, leaf.span), {leaf.value})

    def update(self, other: Seen) -> None:
        """Take in what another has seen."""
        for place, values in other._values.items():
            self._put(place, values)

    def _put(self, place: _Place, values: Iterable[Truth]) -> None:
        self._values[place] = self.at(place).union(values)


def measure(policies: policy.PolicySet, seen: Seen) -> Coverage:
    """Return how much of the policies was seen."""
    parts = [part for api in policies.apis.values() for part in _parts(api, seen)]
    return Coverage(tuple(sorted(parts, key=lambda part: (part.source.name, part.span))))


def _leaves(trace: Trace) -> Iterator[Trace]:
    """Yield the operands; `a != b` and `a is missing` are one, though a `not` is within."""
    if trace.kind == "test" or (trace.kind == "not" and trace.parts[0].span == trace.span):
        yield trace
        return
    if trace.kind == "some":
        yield trace
    for part in trace.parts:
        yield from _leaves(part)


# -- what can be seen ----------------------------------------------------------------------------


def _parts(api: policy.Api, seen: Seen) -> Iterator[Covered]:
    conditions: dict[str, _Places] = {}
    named: dict[str, policy.NamedCondition] = {}
    for _, rules in groupby(api.rules, key=attrgetter("name")):
        alike = tuple(rules)
        for rule in alike:
            _add_conditions(api, rule, named, conditions)
        yield _rule(api, alike, seen)
    for name, one in named.items():
        operands = _items(one.source, conditions[name], seen)
        yield Covered(api.name, "define", name, one.source, one.span, None, operands)


class _Operand(msgspec.Struct, frozen=True):
    """An operand: where it stands, what it can come to, and what is shown of it, if not all."""

    span: Span
    possible: tuple[Truth, ...]
    head: Span | None = None


#: Operands by where they stand.
_Places = dict[Span, _Operand]


def _add_conditions(
    api: policy.Api,
    rule: policy.Rule,
    named: dict[str, policy.NamedCondition],
    conditions: dict[str, _Places],
) -> None:
    """Take in the conditions that a rule uses."""
    resource = api.resources[rule.resource]
    for formula in walks.walk(rule.formula):
        if isinstance(formula, policy.NamedCondition):
            named.setdefault(formula.name, formula)
            places = conditions.setdefault(formula.name, {})
            _widen(places, _Reading(api, resource, formula.source).operands(formula.formula))


def _widen(places: _Places, found: Iterable[_Operand]) -> None:
    """Take in what operands can come to on one more resource: what can be missing on one resource
    only can be missing."""
    for one in found:
        known = places.get(one.span, one)
        places[one.span] = max(known, one, key=lambda operand: len(operand.possible))


def _rule(api: policy.Api, rules: Sequence[policy.Rule], seen: Seen) -> Covered:
    """Return what is covered of one rule, which is a `Rule` for each of its resources."""
    places: _Places = {}
    for one in rules:
        reading = _Reading(api, api.resources[one.resource], one.source)
        _widen(places, reading.operands(one.formula))
    rule = rules[0]
    sides: tuple[Truth, ...] = (True,) if isinstance(rule.formula, policy.Always) else _BOTH
    applies = CoverageItem(rule.source, rule.span, sides, seen.at((api.name, rule.name)))
    operands = _items(rule.source, places, seen)
    return Covered(api.name, rule.effect, rule.name, rule.source, rule.span, applies, operands)


def _items(source: Source, places: _Places, seen: Seen) -> tuple[CoverageItem, ...]:
    return tuple(
        CoverageItem(source, one.head or span, one.possible, seen.at((source.name, span)))
        for span, one in sorted(places.items())
    )


class _Reading(msgspec.Struct, frozen=True):
    """How formulas read on a resource. `source` is where they stand; `of` is the list that they are
    about an element of."""

    api: policy.Api
    resource: policy.ResourceType
    source: Source
    of: Fact | None = None

    def operands(self, formula: policy.Formula) -> Iterator[_Operand]:
        """Yield each operand in a formula's own text, and what it can come to."""
        match formula:
            case policy.All(operands=operands) | policy.AnyOf(operands=operands):
                for operand in operands:
                    yield from self.operands(operand)
            case policy.Not(span=span, operand=operand) if operand.span == span:
                for one in self.operands(operand):
                    possible = tuple(value for value in _ALL if _negation(value) in one.possible)
                    yield _Operand(span, possible)
            case policy.Not(operand=operand):
                yield from self.operands(operand)
            case policy.NamedCondition():  # its operands are its own
                return
            case policy.HasSome(span=span, fact=fact, condition=inner):
                possible = _ALL if self._may_lack(fact) else _BOTH
                yield _Operand(span, possible, _head(self.source, span))
                yield from msgspec.structs.replace(self, of=fact).operands(inner)
            case policy.Leaf():
                yield _Operand(formula.span, self._possible(formula))
            case _:
                assert_never(formula)

    def _possible(self, test: policy.Test) -> tuple[Truth, ...]:
        match test:
            case policy.Always():
                return (True,)
            case policy.Granted():
                return _BOTH
            case policy.SubjectIs():
                return _ALL
            case policy.Present(fact=fact):
                return _BOTH if self._may_lack(fact) else (True,)
            case (
                policy.IsTrue()
                | policy.Equal()
                | policy.Less()
                | policy.In()
                | policy.HasAny()
                | policy.HasAll()
                | policy.StartsWith()
                | policy.EndsWith()
                | policy.WithinLast()
                | policy.WithinNext()
            ):
                lacks = any(self._may_lack(fact) for fact in walks.own_facts(test))
                return _ALL if lacks else _BOTH
            case _:
                assert_never(test)

    def _may_lack(self, fact: Fact) -> bool:
        """Tell whether a test can leave a fact out."""
        match fact.origin:
            case Origin.TOKEN:
                return fact.name in _MAY_LACK
            case Origin.CLAIM:
                return self.api.claims[fact.name].may_be_missing
            case Origin.USERINFO:
                return self.api.userinfo[fact.name].may_be_missing
            case Origin.RESOURCE:
                declared = [one for one in self.resource.attributes if one.fact == fact]
                return not declared or declared[0].optional  # `resource.id` is declared by nobody
            case Origin.CONTEXT:
                return any(entry.fact == fact and entry.optional for entry in self.api.context)
            case Origin.CLOCK:
                return False
            case Origin.ITEM:
                assert self.of is not None, "a field is one of an element"
                return self.of.record[self.of.field_number(fact)].optional


def _head(source: Source, span: Span) -> Span:
    """Return where `LIST has some` stands, without the condition in parentheses."""
    return span.to(next(place for place, word in words(source, span) if word == "some"))


def _negation(value: Truth) -> Truth:
    return None if value is None else not value
