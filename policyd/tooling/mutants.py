"""Small changes of a policy, each of which a test should notice.

Input: a checked API. Output: mutants: the same API with one thing changed.

- a rule is dropped, or applies always;
- a rule is for every action of its resource that has what it reads, or for one less; one on several
  resources, for one less of these;
- a part of `and` or `or`, or an `unless`, is left out;
- an operand is negated or, in an `or`, always true;
- a bound of `<` or `>` moves by one, a time limit doubles or halves;
- `has any` and `has all` take each other's place, and a list loses an entry;
- a declaration changes (`declaration_mutants`).

The changes are made in the checked policy, not in its text: each result is a policy that would
load. A change of a condition (`define`) affects all rules that use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import assert_never

import msgspec

from policyd.diagnostics import Label, Source, Span
from policyd.language import policy, walks
from policyd.language.parser import words
from policyd.tooling.declaration_mutants import of_declarations
from policyd.tooling.mutant import Mutant

#: The way from a formula to one of its parts, by the numbers of the operands.
_Path = tuple[int, ...]
_Make = Callable[[policy.Formula], policy.Formula]
_CLAUSES = ("when", "unless")


def mutants(api: policy.Api) -> Iterator[Mutant]:
    """Yield all mutants of an API: rule by rule, condition by condition, and then declarations."""
    for _, rules in groupby(api.rules, key=attrgetter("name")):
        yield from _of_rule(api, tuple(rules))
    for name, condition in sorted(_conditions(api).items()):
        for path, change in _changes(condition.formula, condition.source, condition.span):
            changed = _Rewriting(name, path, change.make).api(api)
            yield Mutant(changed, f"define {name}", change.label)
    yield from of_declarations(api)


# -- rules ---------------------------------------------------------------------------------------


def _of_rule(api: policy.Api, rules: Sequence[policy.Rule]) -> Iterator[Mutant]:
    """Yield the mutants of one rule, which is a `Rule` for each of its resources."""
    rule = rules[0]
    owner = f"{rule.effect} {rule.name}"
    heading = Span(rule.span.start, rule.source.text.index(":", rule.span.start))
    before = api.rules[: api.rules.index(rule)]
    after = api.rules[len(before) + len(rules) :]

    def mutant(label: Label, *changed: policy.Rule) -> Mutant:
        mutated = msgspec.structs.replace(api, rules=(*before, *changed, *after))
        return Mutant(mutated, owner, label)

    def of_actions(said: str, actions: Callable[[policy.Rule], Iterable[str]]) -> Mutant:
        changed = (
            msgspec.structs.replace(one, actions=tuple(sorted(actions(one)))) for one in rules
        )
        return mutant(Label(rule.source, heading, said), *changed)

    yield mutant(Label(rule.source, heading, "dropped"))
    every = {one.resource: _actions_for(api, one) for one in rules}
    if any(one.actions != tuple(sorted(every[one.resource])) for one in rules):
        yield of_actions("for every action", lambda one: every[one.resource])
    named = sorted({action for one in rules for action in one.actions})
    for action in named if len(named) > 1 else ():
        yield of_actions(f"not for `{action}`", partial(_without_action, action))
    for one in rules if len(rules) > 1 else ():
        others = (other for other in rules if other is not one)
        yield mutant(Label(rule.source, heading, f"not on `{one.resource}`"), *others)
    # The text is the same for each resource, and so are the places to change.
    changes = (_changes(one.formula, one.source, _clauses(one)) for one in rules)
    for alike in zip(*changes, strict=True):
        changed = (
            msgspec.structs.replace(one, formula=_replaced(one.formula, path, change.make))
            for one, (path, change) in zip(rules, alike, strict=True)
        )
        yield mutant(alike[0][1].label, *changed)


def _actions_for(api: policy.Api, rule: policy.Rule) -> list[str]:
    """Return the actions for which a rule may be: those that have the attributes that it reads."""
    resource = api.resources[rule.resource]
    read = walks.facts(rule.formula)
    limited = [one for one in resource.limited if one.fact in read]
    return [action for action in resource.actions if all(one.is_for(action) for one in limited)]


def _without_action(action: str, rule: policy.Rule) -> Iterator[str]:
    return (one for one in rule.actions if one != action)


def _clauses(rule: policy.Rule) -> Span:
    """Return the rule's text from its first `when` or `unless`."""
    clauses = (span for span, word in words(rule.source, rule.span) if word in _CLAUSES)
    return next(clauses).to(rule.span)


# -- formulas ------------------------------------------------------------------------------------


class _Change(msgspec.Struct, frozen=True):
    """What becomes of a part of a formula."""

    label: Label
    make: _Make


def _changes(root: policy.Formula, source: Source, around: Span) -> Iterator[tuple[_Path, _Change]]:
    """Yield the changes of a formula's own text, each with the way to where it is made.

    `around` is where that text stands.
    """
    if not isinstance(root, policy.Always):
        yield (), _Change(Label(source, _place(root, source, around), "always true"), _always)
    stack: list[tuple[_Path, policy.Formula, Span]] = [((), root, around)]
    while stack:
        path, formula, around = stack.pop()
        place = _place(formula, source, around)
        match formula:
            case policy.All(operands=operands) | policy.AnyOf(operands=operands):
                for number, operand in enumerate(operands):
                    at = _place(operand, source, place)
                    yield path, _Change(Label(source, at, "left out"), _Without(number))
                    if isinstance(formula, policy.AnyOf):
                        label = Label(source, at, "always true")
                        yield (*path, number), _Change(label, _always)
                    stack.append(((*path, number), operand, place))
            case policy.Not(operand=operand) if operand.span != formula.span:
                if isinstance(operand, policy.All | policy.AnyOf):
                    yield path, _Change(Label(source, place, "negated"), _negated)
                stack.append(((*path, 0), operand, _within(formula.span, around)))
            case policy.Always():
                pass
            case policy.HasSome(condition=inner):
                yield path, _Change(Label(source, place, "negated"), _negated)
                at = _place(inner, source, place)
                yield (*path, 0), _Change(Label(source, at, "true of each element"), _always)
                stack.append(((*path, 0), inner, place))
            case policy.Not() | policy.NamedCondition():
                yield path, _Change(Label(source, place, "negated"), _negated)
            case policy.Leaf():
                yield path, _Change(Label(source, place, "negated"), _negated)
                for said, other in _neighbours(formula):
                    yield path, _Change(Label(source, place, said), _Instead(other))
            case _:
                assert_never(formula)


def _place(formula: policy.Formula, source: Source, around: Span) -> Span:
    """Return where a part stands; the name of a condition is looked for among the words there."""
    match formula:
        case policy.NamedCondition(name=name):
            places = (span for span, word in words(source, around) if word == name)
            return next(places, around)
        case policy.Not(operand=operand) if operand.span != formula.span:
            return _place(operand, source, _within(formula.span, around))
        case policy.All() | policy.AnyOf() | policy.Not() | policy.HasSome() | policy.Leaf():
            return _within(formula.span, around)
        case _:
            assert_never(formula)


def _within(span: Span, around: Span) -> Span:
    return Span(max(span.start, around.start), min(span.end, around.end))


def _neighbours(test: policy.Test) -> Iterator[tuple[str, policy.Test]]:
    """Yield other tests that are nearly this one."""
    change = msgspec.structs.replace
    match test:
        case policy.Less(or_equal=or_equal):
            said = "without the bound itself" if or_equal else "with the bound itself"
            yield said, change(test, or_equal=not or_equal)
        case policy.WithinLast(seconds=seconds) | policy.WithinNext(seconds=seconds):
            yield "within twice the time", change(test, seconds=seconds * 2)
            yield "within half the time", change(test, seconds=seconds // 2)
        case policy.In():
            yield from _fewer(test)
        case policy.HasAny(span=span, left=left, right=right):
            if _several(right):
                yield "with `has all` instead", policy.HasAll(span, left, right)
            yield from _fewer(test)
        case policy.HasAll(span=span, left=left, right=right):
            if _several(right):
                yield "with `has any` instead", policy.HasAny(span, left, right)
            yield from _fewer(test)
        case policy.Always() | policy.Granted() | policy.SubjectIs() | policy.IsTrue():
            pass
        case policy.Present() | policy.Equal() | policy.StartsWith() | policy.EndsWith():
            pass
        case _:
            assert_never(test)


def _fewer(test: policy.In | policy.HasAny | policy.HasAll) -> Iterator[tuple[str, policy.Test]]:
    """Yield the test with one entry less in its list."""
    entries = test.right
    if isinstance(entries, policy.Literal) and isinstance(entries.value, tuple):
        items = entries.value
        for number, item in enumerate(items) if len(items) > 1 else ():
            fewer = policy.Literal(entries.type, items[:number] + items[number + 1 :])
            yield f"without `{item}` in the list", msgspec.structs.replace(test, right=fewer)


def _several(operand: policy.Operand) -> bool:
    """Tell whether `any` and `all` of an operand differ: not of a list with one entry."""
    match operand:
        case policy.Literal(value=tuple() as items):
            return len(items) > 1
    return True


def _always(formula: policy.Formula) -> policy.Formula:
    return policy.Always(formula.span)


def _negated(formula: policy.Formula) -> policy.Formula:
    return formula.operand if isinstance(formula, policy.Not) else _not(formula)


def _not(formula: policy.Formula) -> policy.Formula:
    return policy.Not(formula.span, formula)


class _Instead(msgspec.Struct, frozen=True):
    other: policy.Formula

    def __call__(self, _: policy.Formula) -> policy.Formula:
        return self.other


class _Without(msgspec.Struct, frozen=True):
    """Leaves out one operand."""

    number: int

    def __call__(self, formula: policy.Formula) -> policy.Formula:
        assert isinstance(formula, policy.All | policy.AnyOf), "only these have several operands"
        number = self.number
        operands = formula.operands[:number] + formula.operands[number + 1 :]
        return operands[0] if len(operands) == 1 else type(formula)(formula.span, operands)


# -- putting together ----------------------------------------------------------------------------


def _replaced(formula: policy.Formula, path: _Path, make: _Make) -> policy.Formula:
    """Return a formula with one part changed."""
    if not path:
        return make(formula)
    number, *rest = path
    match formula:
        case policy.All(operands=operands) | policy.AnyOf(operands=operands):
            part = _replaced(operands[number], tuple(rest), make)
            return type(formula)(formula.span, (*operands[:number], part, *operands[number + 1 :]))
        case policy.Not(span=span, operand=operand):
            return policy.Not(span, _replaced(operand, tuple(rest), make))
        case policy.HasSome(span=span, fact=fact, condition=condition):
            return policy.HasSome(span, fact, _replaced(condition, tuple(rest), make))
        case policy.NamedCondition() | policy.Leaf():
            raise AssertionError(f"there is no way into {type(formula).__name__}")
        case _:
            assert_never(formula)


def _conditions(api: policy.Api) -> Mapping[str, policy.NamedCondition]:
    """Return each condition that a rule uses, as it reads on one of the resources."""
    return {
        formula.name: formula
        for rule in api.rules
        for formula in walks.walk(rule.formula)
        if isinstance(formula, policy.NamedCondition)
    }


class _Rewriting:
    """Changes one condition wherever it is used; what is shared stays shared."""

    def __init__(self, name: str, path: _Path, make: _Make) -> None:
        self._name = name
        self._path = path
        self._make = make
        self._done: dict[int, policy.NamedCondition] = {}

    def api(self, api: policy.Api) -> policy.Api:
        """Return the API with the change."""
        rules = []
        for rule in api.rules:
            self._rewrite_conditions(rule.formula)
            rules.append(msgspec.structs.replace(rule, formula=self._formula(rule.formula)))
        return msgspec.structs.replace(api, rules=tuple(rules))

    def _rewrite_conditions(self, formula: policy.Formula) -> None:
        """Rewrite the conditions below a formula, each after those that it uses.

        With a stack, because conditions may build on each other in long chains.
        """
        stack = [(condition, False) for condition in _own_conditions(formula)]
        while stack:
            condition, ready = stack.pop()
            if id(condition) in self._done:
                continue
            if ready:
                self._done[id(condition)] = self._condition(condition)
                continue
            stack.append((condition, True))
            stack.extend((inner, False) for inner in _own_conditions(condition.formula))

    def _condition(self, condition: policy.NamedCondition) -> policy.NamedCondition:
        formula = self._formula(condition.formula)
        if condition.name == self._name:
            formula = _replaced(formula, self._path, self._make)
        return msgspec.structs.replace(condition, formula=formula)

    def _formula(self, formula: policy.Formula) -> policy.Formula:
        """Return a formula over the rewritten conditions."""
        match formula:
            case policy.All(span=span, operands=operands):
                return policy.All(span, tuple(map(self._formula, operands)))
            case policy.AnyOf(span=span, operands=operands):
                return policy.AnyOf(span, tuple(map(self._formula, operands)))
            case policy.Not(span=span, operand=operand):
                return policy.Not(span, self._formula(operand))
            case policy.HasSome(span=span, fact=fact, condition=condition):
                return policy.HasSome(span, fact, self._formula(condition))
            case policy.NamedCondition():
                return self._done[id(formula)]
            case policy.Leaf():
                return formula
            case _:
                assert_never(formula)


def _own_conditions(formula: policy.Formula) -> Iterator[policy.NamedCondition]:
    """Yield the conditions that a formula's own text names."""
    match formula:
        case policy.All(operands=operands) | policy.AnyOf(operands=operands):
            for operand in operands:
                yield from _own_conditions(operand)
        case policy.Not(operand=operand) | policy.HasSome(condition=operand):
            yield from _own_conditions(operand)
        case policy.NamedCondition():
            yield formula
        case policy.Leaf():
            pass
        case _:
            assert_never(formula)
