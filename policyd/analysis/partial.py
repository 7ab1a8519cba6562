"""What conditions may come to where some facts of a question are open.

A fact is *open* if the caller does not know its value: it may be in one of some states, and in
the state `known` have any value of its type. A test on an open fact stands for the set of truth
values that it may have, and `formulas.Possible` lifts these sets through `and`, `or` and `not`.
This is not Kleene's unknown: a missing value makes a `deny` apply for sure, an open one may turn
out either way.

Who asks says which states there are. An attribute that a caller has yet to learn is known, or if it
is optional perhaps missing; a fact that a log did not record may be ill-typed besides.

Invariants: whatever a condition can come to is in its set. The set of a test holds nothing else,
but for blocks that hold all addresses, and times at the ends of the calendar; so does the set of a
condition no open fact of which is read by two of its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from hashlib import sha256
from typing import Final, assert_never
from typing import Literal as OneOf

from policyd.analysis.formulas import (
    EITHER,
    FALSE,
    TRUE,
    UNKNOWN,
    Part,
    Possible,
    Truths,
    disjunction,
)
from policyd.language import policy, walks
from policyd.language.policy import Api, Operand, Truth
from policyd.language.types import TOKEN_FACTS, Fact, Origin, Type
from policyd.program.interpreter import Asked, Relation, World
from policyd.program.plain_values import Value

State = OneOf["known", "missing", "ill-typed"]
States = frozenset[State]

#: Stands for the kind of the subject, which is no fact with a name, among what is open.
SUBJECT_KIND: Final = Fact(Origin.TOKEN, "kind", Type.STRING)
KNOWN: Final[States] = frozenset({"known"})
ANY_STATE: Final[States] = frozenset({"known", "missing", "ill-typed"})
_IF_PRESENT: Final[Mapping[State, Truth]] = {"known": True, "missing": False, "ill-typed": None}
_ONLY: Final[Mapping[Truth, Truths]] = {True: TRUE, False: FALSE, None: UNKNOWN}
_NOTHING: Final[Truths] = frozenset()
_NO_HASHES: Final[Mapping[Fact, str]] = {}
_SCOPES: Final = TOKEN_FACTS["scopes"]

_GREATEST: Final = 2**53 - 1
#: The least and the greatest value of each ordered type.
_ENDS: Final[Mapping[Type, tuple[int, int]]] = {
    Type.INT: (-_GREATEST, _GREATEST),
    Type.DECIMAL: (-(2**53), 2**53),
    Type.TIME: (-62_135_596_800, 253_402_300_799),
}


class _Any:
    """Stands for any value of an operand's type."""


_ANY: Final = _Any()
_Values = Sequence[Value | _Any]


class PartialTruths:
    """What conditions of rules for one resource may come to in a world with open facts.

    Of the open facts in `hashed` the SHA-256 is known, in hexadecimal: it tells what they equal.
    `spend` is told how many steps are taken: parts looked at, and values tried. It may raise.
    """

    def __init__(
        self,
        api: Api,
        resource: str,
        world: World,
        opened: Mapping[Fact, States],
        spend: Callable[[int], None] = lambda _: None,
        hashed: Mapping[Fact, str] = _NO_HASHES,
    ) -> None:
        self._asked = Asked(api, world, resource)
        self._open = opened
        self._spend = spend
        self._hashed = hashed
        self._possible = Possible(self._given)
        self._any_element = False  # whether fields are those of any element that there may be

    def of(self, rule: policy.Rule) -> Truths:
        """Return the values that the condition of a rule may take."""
        return self._possible.of(_whole(rule))

    def deciding(self, rule: policy.Rule) -> frozenset[Fact]:
        """Return the open facts on which it depends what the condition of a rule comes to.

        They are those of the tests that may come out in several ways, in parts that may too.
        """
        found: set[Fact] = set()
        seen: set[tuple[int, bool]] = set()
        waiting = [_whole(rule)]
        while waiting:
            part = waiting.pop()
            key = (id(part.formula), part.positive)
            if key in seen or len(self._possible.of(part)) == 1:
                continue
            seen.add(key)
            if isinstance(part.formula, policy.HasSome):
                found |= walks.facts(part.formula) & self._open.keys()
                continue
            own = walks.own_facts(part.formula)
            if isinstance(part.formula, policy.Granted):
                own = (_SCOPES,)
            found |= self._open.keys() & own
            waiting.extend(part.inner())
        return frozenset(found)

    # -- parts -----------------------------------------------------------------------------------

    def _given(self, part: Part) -> Truths | None:
        self._spend(1)
        formula = part.formula
        if isinstance(formula, policy.HasSome):
            return self._some(formula, part)
        return self._test(formula) if isinstance(formula, policy.Leaf) else None

    def _some(self, formula: policy.HasSome, part: Part) -> Truths:
        """The disjunction over the elements; an open list may have any."""
        condition = Part(formula.condition, part.source, part.positive)
        states = self._open.get(formula.fact)
        if states is None:
            elements = self._asked.each_element(formula.fact)
            if elements is None:
                return UNKNOWN
            return reduce(disjunction, [self._of_element(condition) for _ in elements], FALSE)
        found = _NOTHING if states == KNOWN else UNKNOWN
        if "known" in states:
            self._any_element = True
            found |= FALSE | self._of_element(condition)
            self._any_element = False
        return found

    def _of_element(self, condition: Part) -> Truths:
        """What a condition may come to of one element, whatever it came to of another."""
        return Possible(self._given_of_element).of(condition)

    def _given_of_element(self, part: Part) -> Truths | None:
        if isinstance(part.formula, policy.NamedCondition):  # which reads no element
            return self._possible.of(part)
        return self._given(part)

    # -- tests -----------------------------------------------------------------------------------

    def _states(self, operand: Operand) -> States | None:
        """Return the states of an open operand, `None` of one that is not open."""
        if not isinstance(operand, Fact):
            return None
        if operand.origin is Origin.ITEM:
            return ANY_STATE if self._any_element else None
        return self._open.get(operand)

    def _test(self, test: policy.Test) -> Truths:
        match test:
            case policy.SubjectIs() if SUBJECT_KIND in self._open:
                return EITHER if self._open[SUBJECT_KIND] == KNOWN else EITHER | UNKNOWN
            case policy.Granted() if _SCOPES in self._open:
                return EITHER
            case policy.Always() | policy.Granted() | policy.SubjectIs():
                return _ONLY[self._asked.truth(test)]
            case policy.Present(fact=fact):
                states = self._states(fact)
                if states is None:
                    return _ONLY[self._asked.truth(test)]
                return frozenset(_IF_PRESENT[state] for state in states)
            case policy.IsTrue() | policy.StartsWith() | policy.EndsWith():
                return self._relation(test)
            case policy.WithinLast() | policy.WithinNext() | policy.Less() | policy.Equal():
                return self._relation(test)
            case policy.In() | policy.HasAny() | policy.HasAll():
                return self._relation(test)
            case _:
                assert_never(test)

    def _relation(self, test: Relation) -> Truths:
        """A test is unknown where one of its operands is not known."""
        operands = walks.operands(test)
        values: list[Value | _Any] = []
        surely = perhaps = True  # whether all operands are known
        for operand in operands:
            states = self._states(operand)
            if states is None:
                value = self._asked.value(operand)
                if value is None:
                    return UNKNOWN
                values.append(value)
            else:
                values.append(_ANY)
                surely = surely and states == KNOWN
                perhaps = perhaps and "known" in states
        found = _NOTHING if surely else UNKNOWN
        return found | self._of_known(test, operands, values) if perhaps else found

    def _of_known(self, test: Relation, operands: Sequence[Operand], values: _Values) -> Truths:
        """What a test may come to where its operands are known; they are of such values."""
        known = [value for value in values if not isinstance(value, _Any)]
        if len(known) == len(values):
            return _ONLY[self._asked.relation(test, *known)]
        if len(operands) > 1 and operands[0] == operands[1]:
            return _of_one_twice(test)
        if known and (told := self._by_hash(test, operands, known[0])) is not None:
            return told
        (place, *more) = (place for place, value in enumerate(values) if value is _ANY)
        domain = None if more else _domain(operands[place])
        if domain is None:
            return _of_any(test, operands, values)
        self._spend(len(domain))
        found: set[Truth] = set()
        for one in domain:
            tried = [one if isinstance(value, _Any) else value for value in values]
            found.add(self._asked.relation(test, *tried))
        return frozenset(found)

    def _by_hash(self, test: Relation, operands: Sequence[Operand], known: Value) -> Truths | None:
        """What a test comes to on a fact of which the hash is known, if that tells."""
        hashed = [one for one in operands if isinstance(one, Fact) and one in self._hashed]
        if not hashed or not isinstance(test, policy.Equal | policy.In):
            return None
        texts = known if isinstance(known, frozenset) else {known}
        wanted = self._hashed[hashed[0]]
        return _ONLY[any(sha256(str(one).encode()).hexdigest() == wanted for one in texts)]


def _whole(rule: policy.Rule) -> Part:
    return Part(rule.formula, rule.source, positive=True)


def _domain(operand: Operand) -> Collection[Value] | None:
    """Return all values of an operand that can be tried one by one, `None` where they cannot."""
    if operand.type is Type.BOOL:
        return (True, False)
    if isinstance(operand, Fact) and operand.type is Type.STRING and operand.vocabulary:
        return operand.vocabulary.values
    return None


def _of_one_twice(test: Relation) -> Truths:
    """What a test may come to on one fact that stands on both sides."""
    match test:
        case policy.Equal() | policy.HasAll():
            return TRUE
        case policy.Less(or_equal=or_equal):
            return TRUE if or_equal else FALSE
        case policy.HasAny():  # an empty set has nothing in common with itself
            return EITHER
        case policy.IsTrue() | policy.StartsWith() | policy.EndsWith() | policy.In():
            raise TypeError("the test has no two sides of one type")
        case policy.WithinLast() | policy.WithinNext():
            raise TypeError("the test has one side")
        case _:
            assert_never(test)


def _of_any(test: Relation, operands: Sequence[Operand], values: _Values) -> Truths:
    """What a test may come to where some operands may have any value of a large type."""
    match test:
        case policy.IsTrue() | policy.Equal() | policy.WithinLast() | policy.WithinNext():
            return EITHER
        case policy.StartsWith(prefix=affix) | policy.EndsWith(suffix=affix):
            return EITHER if affix else TRUE
        case policy.Less(or_equal=or_equal):
            return _of_less(operands, values, or_equal=or_equal)
        case policy.In():
            return FALSE if values[1] == frozenset() else EITHER
        case policy.HasAny():
            return FALSE if frozenset() in values else EITHER
        case policy.HasAll():
            return TRUE if values[1] == frozenset() or _is_all(operands[1], values[0]) else EITHER
        case _:
            assert_never(test)


def _is_all(entries: Operand, had: Value | _Any) -> bool:
    """Tell whether a set holds whatever the entries of another may be."""
    if not isinstance(entries, Fact) or entries.vocabulary is None:
        return False
    return isinstance(had, frozenset) and had >= entries.vocabulary.values


def _of_less(operands: Sequence[Operand], values: _Values, *, or_equal: bool) -> Truths:
    (left_least, left_most), (right_least, right_most) = map(_range, operands, values)
    found: set[Truth] = set()
    if left_least < right_most or (or_equal and left_least == right_most):
        found.add(True)
    if left_most > right_least or (not or_equal and left_most == right_least):
        found.add(False)
    return frozenset(found)


def _range(operand: Operand, value: Value | _Any) -> tuple[int | Decimal, int | Decimal]:
    """Return the least and the greatest value that an operand may have."""
    if isinstance(value, _Any):
        return _ENDS[operand.type]
    assert isinstance(value, int | Decimal), "the checker compares numbers only"
    return value, value
