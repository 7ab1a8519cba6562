"""The facts that rules read: found once at load, by walking their formulas.

They determine the slots that a program needs, the times at which a decision can change, and the
scopes and logins that can help a caller. A scope *helps* if granting it can only make an allow true
or a deny false, and *hurts* if it can only do the opposite; in different places it may do both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TypeVar, assert_never

import msgspec

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
    Rule,
    Scalar,
    StartsWith,
    SubjectIs,
    Test,
    WithinLast,
    WithinNext,
)
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Origin

V = TypeVar("V")

SCOPES = TOKEN_FACTS["scopes"]
ACR = TOKEN_FACTS["acr"]
AMR = TOKEN_FACTS["amr"]
AUTH_TIME = TOKEN_FACTS["auth_time"]

#: `T within last D` and `T within next D` allow for clocks that differ by this many seconds.
AHEAD = 60


class Reads(msgspec.Struct, frozen=True):
    """What some rules read. Tuples are sorted.

    `moments` are instants at which a test can change its value: a time plus seconds. Those of
    `item_moments` depend on a field of each element of a list, by its number, and those of
    `fixed_moments` on nothing.

    `acr` are the values that rules name as literals, `acr_parts` prefixes and suffixes of some,
    `acr_facts` the attributes and context entries compared with it; likewise for the methods in
    `amr`, which help or hurt as scopes do. `max_age` is the smallest D of `token.auth_time within
    last D`. `login` tells whether acr, amr or auth_time is read at all.
    """

    facts: frozenset[Fact]
    presence: frozenset[Fact]
    moments: tuple[tuple[Fact, int], ...]
    item_moments: tuple[tuple[Fact, int, int], ...]
    fixed_moments: tuple[int, ...]
    helping_scopes: frozenset[str]
    hurting_scopes: frozenset[str]
    acr: tuple[str, ...]
    acr_parts: tuple[str, ...]
    acr_facts: tuple[Fact, ...]
    helping_amr: frozenset[str]
    helping_amr_facts: tuple[Fact, ...]
    hurting_amr: frozenset[str]
    hurting_amr_facts: tuple[Fact, ...]
    max_age: int | None

    @property
    def login(self) -> bool:
        return not self.facts.isdisjoint((ACR, AMR, AUTH_TIME))


def reads(rules: Iterable[Rule], declared_scopes: Iterable[str]) -> Reads:
    """Walk the rules' formulas; linear in their size, shared conditions counted once."""
    walk = _Walk(tuple(declared_scopes))
    for rule in rules:
        walk.through(rule.formula, rule.effect == "allow")
    return walk.result()


def combined(parts: Iterable[Reads]) -> Reads:
    """Return what the rules of all parts read."""
    all_ = tuple(parts)

    def union(field: Callable[[Reads], Iterable[V]]) -> frozenset[V]:
        return frozenset(chain.from_iterable(map(field, all_)))

    return Reads(
        facts=union(lambda read: read.facts),
        presence=union(lambda read: read.presence),
        moments=_by_path(union(lambda read: read.moments)),
        item_moments=_by_path_and_field(union(lambda read: read.item_moments)),
        fixed_moments=tuple(sorted(union(lambda read: read.fixed_moments))),
        helping_scopes=union(lambda read: read.helping_scopes),
        hurting_scopes=union(lambda read: read.hurting_scopes),
        acr=tuple(sorted(union(lambda read: read.acr))),
        acr_parts=tuple(sorted(union(lambda read: read.acr_parts))),
        acr_facts=_sorted(union(lambda read: read.acr_facts)),
        helping_amr=union(lambda read: read.helping_amr),
        helping_amr_facts=_sorted(union(lambda read: read.helping_amr_facts)),
        hurting_amr=union(lambda read: read.hurting_amr),
        hurting_amr_facts=_sorted(union(lambda read: read.hurting_amr_facts)),
        max_age=min((read.max_age for read in all_ if read.max_age is not None), default=None),
    )


def _by_path(moments: Iterable[tuple[Fact, int]]) -> tuple[tuple[Fact, int], ...]:
    return tuple(sorted(moments, key=lambda each: (each[0].path, each[1])))


def _by_path_and_field(
    moments: Iterable[tuple[Fact, int, int]],
) -> tuple[tuple[Fact, int, int], ...]:
    return tuple(sorted(moments, key=lambda each: (each[0].path, *each[1:])))


def _sorted(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(sorted(facts, key=lambda fact: fact.path))


class _Walk:
    def __init__(self, declared_scopes: tuple[str, ...]) -> None:
        self._declared = declared_scopes
        self._seen: set[tuple[int, bool]] = set()
        self._facts: set[Fact] = set()
        self._presence: set[Fact] = set()
        self._moments: set[tuple[Fact, int]] = set()
        self._item_moments: set[tuple[Fact, int, int]] = set()
        self._list: Fact | None = None  # around what is walked
        self._fixed_moments: set[int] = set()
        self._helping: set[str] = set()
        self._hurting: set[str] = set()
        self._acr = _Named()
        self._acr_parts: set[str] = set()
        self._helping_amr = _Named()
        self._hurting_amr = _Named()
        self._ages: set[int] = set()

    def result(self) -> Reads:
        return Reads(
            facts=frozenset(one for one in self._facts if one.origin is not Origin.ITEM),
            presence=frozenset(one for one in self._presence if one.origin is not Origin.ITEM),
            moments=_by_path(self._moments),
            item_moments=_by_path_and_field(self._item_moments),
            fixed_moments=tuple(sorted(self._fixed_moments)),
            helping_scopes=frozenset(self._helping),
            hurting_scopes=frozenset(self._hurting),
            acr=tuple(sorted(self._acr.texts)),
            acr_parts=tuple(sorted(self._acr_parts)),
            acr_facts=self._acr.sorted_facts(),
            helping_amr=frozenset(self._helping_amr.texts),
            helping_amr_facts=self._helping_amr.sorted_facts(),
            hurting_amr=frozenset(self._hurting_amr.texts),
            hurting_amr_facts=self._hurting_amr.sorted_facts(),
            max_age=min(self._ages, default=None),
        )

    def through(self, formula: Formula, helps: bool) -> None:
        """Walk a formula; `helps` is whether its being true speaks for allowing."""
        todo = [(formula, helps)]
        while todo:
            formula, helps = todo.pop()
            match formula:
                case All(operands=operands) | AnyOf(operands=operands):
                    todo.extend((operand, helps) for operand in operands)
                case Not(operand=operand):
                    todo.append((operand, not helps))
                case NamedCondition(formula=inner):
                    if (id(formula), helps) not in self._seen:
                        self._seen.add((id(formula), helps))
                        todo.append((inner, helps))
                case HasSome(fact=fact, condition=inner):
                    self._facts.add(fact)
                    self._list = fact
                    self.through(inner, helps)
                    self._list = None
                case Leaf():
                    self._test(formula, helps)
                case _:
                    assert_never(formula)

    def _test(self, test: Test, helps: bool) -> None:
        match test:
            case Always() | SubjectIs():
                pass
            case Granted(scope=scope):
                self._scopes([scope], helps)
            case IsTrue(fact=fact):
                self._facts.add(fact)
            case Present(fact=fact):
                self._facts.add(fact)
                self._presence.add(fact)
            case StartsWith(fact=fact, prefix=text) | EndsWith(fact=fact, suffix=text):
                self._facts.add(fact)
                if fact == ACR:
                    self._acr_parts.add(text)
            case WithinLast(fact=fact, seconds=seconds):
                self._facts.add(fact)
                self._moment(fact, -AHEAD)
                self._moment(fact, seconds + 1)
                if fact == AUTH_TIME:
                    self._ages.add(seconds)
            case WithinNext(fact=fact, seconds=seconds):
                self._facts.add(fact)
                self._moment(fact, -seconds)
                self._moment(fact, AHEAD + 1)
            case Equal(left=left, right=right) | Less(left=left, right=right):
                self._operands(left, right)
                self._comparison_moments(left, right)
                self._login(left, right)
            case In(left=left, right=right) | HasAny(left=left, right=right):
                self._operands(left, right)
                self._login(left, right)
                self._granted_set(left, right, helps)
                self._granted_set(right, left, helps)
            case HasAll(left=left, right=right):
                self._operands(left, right)
                # `S has all X` is likelier true with more in S, `X has all S` with less.
                self._granted_set(left, right, helps)
                self._granted_set(right, left, not helps)
            case _:
                assert_never(test)

    def _operands(self, *operands: Operand) -> None:
        self._facts.update(operand for operand in operands if isinstance(operand, Fact))

    # -- scopes, and methods of login ----------------------------------------------------------

    def _scopes(self, scopes: Iterable[str], helps: bool) -> None:
        (self._helping if helps else self._hurting).update(scopes)

    def _granted_set(self, mine: Operand, other: Operand, helps: bool) -> None:
        """Note what a test on `token.scopes` or `token.amr` names by its other operand; for scopes
        that is, unless literal, all that are declared."""
        if mine == SCOPES:
            self._scopes(_texts(other) if isinstance(other, Literal) else self._declared, helps)
        elif mine == AMR:
            (self._helping_amr if helps else self._hurting_amr).add(other)

    # -- time --------------------------------------------------------------------------------

    def _comparison_moments(self, left: Operand, right: Operand) -> None:
        """Note when `now` passes the other operand: as it comes, and a second later."""
        for clock, other in ((left, right), (right, left)):
            if clock == NOW:
                self._moment(other, 0)
                self._moment(other, 1)

    def _moment(self, base: Operand, delay: int) -> None:
        if isinstance(base, Fact):
            if base.origin is Origin.ITEM:
                assert self._list is not None, "an element is one of a list"
                number = self._list.field_number(base)
                self._item_moments.add((self._list, number, delay))
            elif base != NOW:
                self._moments.add((base, delay))
        elif isinstance(base.value, int):
            self._fixed_moments.add(base.value + delay)

    # -- how the user logged in --------------------------------------------------------------

    def _login(self, left: Operand, right: Operand) -> None:
        if left == ACR:
            self._acr.add(right)
        elif right == ACR:
            self._acr.add(left)


class _Named:
    """Values that rules name: by literals, and by attributes and context entries."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self._facts: set[Fact] = set()

    def add(self, operand: Operand) -> None:
        if isinstance(operand, Literal):
            self.texts.update(_texts(operand))
        elif operand.origin in (Origin.RESOURCE, Origin.CONTEXT):
            self._facts.add(operand)

    def sorted_facts(self) -> tuple[Fact, ...]:
        return _sorted(self._facts)


def _texts(literal: Literal) -> list[str]:
    value = literal.value
    items: tuple[Scalar, ...] = value if isinstance(value, tuple) else (value,)
    return [item for item in items if isinstance(item, str)]
