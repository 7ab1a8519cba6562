"""The rules that can apply to a question: found by the facts that tell them apart.

If a rule's formula is a conjunction with `fact == literal`, `fact in [literals]` or `scope NAME`,
that test *discriminates*. The rule has to be evaluated only

    if the fact has such a value: the test is true, and the rest of the conjunction decides;
    if the fact is unknown and the rule is a deny: it applies unless the rest is false.

Otherwise the conjunction is false or, for an allow, not true. So in both cases only the rest has to
be evaluated. Named conditions that are members of the conjunction are searched as well.

Input are clauses, sorted by the rules' names; output is a partition of them: indexes, each by one
fact, and the other clauses. The clauses alone determine these facts. The analysis of a clause is
cached for the next partition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import chain
from typing import NamedTuple, assert_never

from policyd.language.policy import (
    All,
    Always,
    AnyOf,
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
    Literal,
    NamedCondition,
    Not,
    Operand,
    Present,
    StartsWith,
    SubjectIs,
    WithinLast,
    WithinNext,
)
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Origin
from policyd.program import values
from policyd.program.memo import Memo

SCOPES = TOKEN_FACTS["scopes"]

#: An index is worth its while from this many rules, and values, on.
FEWEST = 8

#: A list with more literals discriminates too little for a rule to stand under each of them.
_LONGEST_LIST = 8

#: Conditions within conditions are seen through up to here.
_DEEPEST = 8


class Field(NamedTuple):
    """A field of the elements of a list, by its number."""

    of: Fact
    number: int

    @property
    def path(self) -> str:
        """The name by which fields are sorted."""
        return f"{self.of.path} {self.number}"


#: What tells rules apart.
Key = Fact | Field


class Clause(NamedTuple):
    """A rule, and what of its formula is left to evaluate."""

    rule: str
    formula: Formula


class Index(NamedTuple):
    """Clauses by the value of a fact, and those that stand when it is unknown.

    The fact is `token.scopes` for scopes: a clause then stands under one scope that it needs. Of a
    list it is a field: a clause then stands whole under the value that some element must have in
    it, and is unknown where the field is unknown in one element.
    """

    fact: Key
    by_value: Mapping[values.Value, Sequence[Clause]]
    unknown: Sequence[Clause]


class _Discriminator(NamedTuple):
    """A test that discriminates, and the named conditions that it stands in, outermost first."""

    values: tuple[values.Value, ...]
    test: Formula
    within: tuple[NamedCondition, ...]


class _Parts(NamedTuple):
    """What discriminates in a clause, and the clauses that are left without one of these tests."""

    clause: Clause
    found: dict[Key, _Discriminator]
    left: dict[Key, Clause]

    def without(self, fact: Key) -> Clause:
        """Return what is left to evaluate; the same object each time. Of a list that is all: what
        else is asked of an element is asked of the same one."""
        if isinstance(fact, Field):
            return self.clause
        left = self.left.get(fact)
        if left is None:
            formula = _without(self.clause.formula, self.found[fact])
            left = self.left[fact] = Clause(self.clause.rule, formula)
        return left


def _parts_of(clause: Clause) -> _Parts:
    return _Parts(clause, _discriminators(clause.formula), {})


class Partitions:
    """Makes partitions of clauses that come again and again, each the same object."""

    def __init__(self) -> None:
        self._known: Memo[_Parts] = Memo()

    def turn(self) -> None:
        """Forget the clauses that did not come since the last turn."""
        self._known.turn()

    def of(
        self,
        clauses: Sequence[Clause],
        *,
        deny: bool,
        fewest: int = FEWEST,
        known: frozenset[Key] = frozenset(),
    ) -> tuple[list[Index], list[Clause]]:
        """Return indexes for the clauses, and the clauses that stand in none.

        The fact that tells most values apart comes first, and takes all clauses that test it. By
        those that are `known` the clauses were found already.
        """
        if len(clauses) < fewest:
            return [], list(clauses)
        indexes: list[Index] = []
        rest = self._known.get_each(clauses, id, _parts_of)
        while (fact := _best([parts.found for parts in rest], fewest, known)) is not None:
            taken = [parts for parts in rest if fact in parts.found]
            rest = [parts for parts in rest if fact not in parts.found]
            indexes.append(_index(fact, taken, deny=deny))
        return indexes, [parts.clause for parts in rest]


def _index(fact: Key, taken: Sequence[_Parts], *, deny: bool) -> Index:
    by_value: dict[values.Value, list[Clause]] = {}
    unknown: list[Clause] = []
    for parts in taken:
        left = parts.without(fact)
        for value in parts.found[fact].values:
            by_value.setdefault(value, []).append(left)
        # Scopes are never unknown.
        if deny and fact != SCOPES:
            unknown.append(left)
    return Index(fact, by_value, unknown)


def _best(
    found: Sequence[Mapping[Key, _Discriminator]], fewest: int, known: frozenset[Key]
) -> Key | None:
    """Return the fact that tells most values apart, `None` where none is worth an index."""
    clauses: defaultdict[Key, list[tuple[values.Value, ...]]] = defaultdict(list)
    for each in found:
        for fact, discriminator in each.items():
            clauses[fact].append(discriminator.values)
    told_apart = {
        fact: len(set(chain.from_iterable(tested)))
        for fact, tested in clauses.items()
        if len(tested) >= fewest and fact not in known
    }
    worthy = [fact for fact, distinct in told_apart.items() if distinct >= fewest]
    return min(worthy, key=lambda fact: (-told_apart[fact], fact.path), default=None)


def _discriminators(formula: Formula) -> dict[Key, _Discriminator]:
    """Return the tests that discriminate in a formula, the first one for each fact."""
    found: dict[Key, _Discriminator] = {}
    for test, within in _conjuncts(formula):
        match test:
            case Granted(scope=scope):
                found.setdefault(SCOPES, _Discriminator((scope,), test, within))
            case Equal() | In():
                fact, told_apart = _told_apart(test)
                if fact is not None and fact != NOW:
                    found.setdefault(fact, _Discriminator(told_apart, test, within))
            case HasSome(fact=of, condition=condition):
                for field, value in _of_some_element(of, condition):
                    found.setdefault(field, _Discriminator((value,), test, within))
            case Always() | SubjectIs() | IsTrue() | Present() | Less() | HasAny() | HasAll():
                pass
            case StartsWith() | EndsWith() | WithinLast() | WithinNext():
                pass
            case All() | AnyOf() | Not() | NamedCondition():
                pass
            case _:
                assert_never(test)
    return found


def _told_apart(test: Equal | In) -> tuple[Fact | None, tuple[values.Value, ...]]:
    """Return the fact that must have one of some values for a test to be true, if there is one."""
    left, right = test.left, test.right
    if isinstance(left, Literal) and isinstance(test, Equal):
        left, right = right, left
    found = _values(right)
    return (left, found) if isinstance(left, Fact) and found is not None else (None, ())


def _of_some_element(of: Fact, condition: Formula) -> Iterator[tuple[Field, values.Value]]:
    """Yield the fields that must have one value in some element for the condition to be true."""
    for test, _ in _conjuncts(condition):
        if isinstance(test, Equal | In):
            fact, told_apart = _told_apart(test)
            if fact is not None and fact.origin is Origin.ITEM and len(told_apart) == 1:
                yield Field(of, of.field_number(fact)), told_apart[0]


def _values(operand: Operand) -> tuple[values.Value, ...] | None:
    """Return the values that a literal or a list of literals stands for, `None` for an operand
    that is no literal, or is a list of many, or of blocks of addresses."""
    if isinstance(operand, Fact):
        return None
    items = operand.value if isinstance(operand.value, tuple) else (operand.value,)
    blocks = any(isinstance(item, IPv4Network | IPv6Network) for item in items)
    if blocks or len(items) > _LONGEST_LIST:
        return None
    return tuple(dict.fromkeys(map(values.of_literal, items)))


def _conjuncts(formula: Formula) -> Iterator[tuple[Formula, tuple[NamedCondition, ...]]]:
    """Yield what a formula is a conjunction of, and the named conditions that it stands in."""
    seen: set[int] = set()
    todo: list[tuple[Formula, tuple[NamedCondition, ...]]] = [(formula, ())]
    while todo:
        one, within = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        match one:
            case All(operands=operands):
                todo.extend((operand, within) for operand in reversed(operands))
            case NamedCondition(formula=inner) if len(within) < _DEEPEST:
                todo.append((inner, (*within, one)))
            case AnyOf() | Not() | NamedCondition() | HasSome() | Leaf():
                yield one, within
            case _:
                assert_never(one)


def _without(formula: Formula, discriminator: _Discriminator) -> Formula:
    """Return a conjunction without one of its tests.

    Of named conditions only those that hold the test are taken apart. A part that stands twice in
    the conjunction is kept once: Kleene's `and` does not count.
    """
    kept: list[Formula] = []
    seen: set[int] = set()
    todo = [formula]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, All):
            todo.extend(reversed(one.operands))
        elif isinstance(one, NamedCondition) and one in discriminator.within:
            todo.append(one.formula)
        elif one is not discriminator.test:
            kept.append(one)
    if not kept:
        return Always(formula.span)
    return kept[0] if len(kept) == 1 else All(formula.span, tuple(kept))
