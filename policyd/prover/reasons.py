"""Finds why allows keep a promise: parts of their conditions that suffice.

A rule's formula is true only if each of its conjuncts is true and the facts that they read are
present. If some of these parts contradict a broken promise, all rules with these parts keep the
promise, and need no question of their own. For a promise about scopes, a few reasons cover
thousands of rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from policyd.language.policy import Formula, Rule
from policyd.language.types import Fact
from policyd.language.walks import reads
from policyd.prover.axioms import Premises
from policyd.prover.circuit import Circuit
from policyd.prover.questions import Question
from policyd.prover.solver import Session, Undecided, solve
from policyd.prover.structure import Conjunct, Structures, conjuncts, presence
from policyd.prover.universe import Side

#: The most models; after that, the rest is not asked again.
_ROUNDS: Final = 32

#: The numbers of conjuncts that contradict a broken promise.
Reason = frozenset[int]


class Parts(NamedTuple):
    """What is true wherever a rule's formula is true, as numbers: its conjuncts, and the presence
    of the facts that they read."""

    conjuncts: Mapping[int, Conjunct]
    presence: Mapping[int, Conjunct]
    numbers: Reason

    @classmethod
    def of(cls, formula: Formula, structures: Structures) -> Parts:
        """Return the parts of a formula."""

        def numbered(parts: Iterable[Conjunct]) -> dict[int, Conjunct]:
            return {2 * structures.of(one.formula) + one.holds: one for one in parts}

        own = numbered(conjuncts(formula))
        there = numbered(presence(own.values()))
        return cls(own, there, frozenset((*own, *there)))

    @property
    def all(self) -> dict[int, Conjunct]:
        """Both."""
        return {**self.presence, **self.conjuncts}

    def about(self, read: AbstractSet[Fact]) -> Mapping[int, Conjunct]:
        """Return the conjuncts that read some of these facts; if there are none, all conjuncts."""
        found = {n: one for n, one in self.conjuncts.items() if reads(one.formula) & read}
        return found or self.conjuncts


class Reasons:
    """The known reasons for one promise."""

    def __init__(self) -> None:
        # By their highest number: the part that was met last, which the fewest rules have.
        self._by_highest: defaultdict[int, list[Reason]] = defaultdict(list)
        self._none_needed = False
        self.count = 0

    def add(self, reason: Reason) -> None:
        """Add a reason."""
        self.count += 1
        if reason:
            self._by_highest[max(reason)].append(reason)
        else:
            self._none_needed = True

    def cover(self, numbers: Reason) -> bool:
        """Return whether the parts of a rule include a known reason."""
        by_highest = self._by_highest
        return self._none_needed or any(
            reason <= numbers
            for number in numbers
            if number in by_highest
            for reason in by_highest[number]
        )


#: The result: reasons, and the allows that may break a promise by themselves.
Found = tuple[list[Reason], list[Rule]]


def find(
    side: Side, allows: Sequence[tuple[Rule, Parts]], promise: Rule, premises: Premises, budget: int
) -> Found:
    """Return reasons why allows keep a promise, each with the fewest parts that suffice.

    Each reason is proven by a question that contains nothing else.
    """
    found, met = Reasons(), dict[Reason, Mapping[int, Conjunct]]()
    alone: list[Rule] = []
    used = {number: one for _, parts in allows for number, one in parts.all.items()}
    question, broken, literals = _encoded(side, used, promise, premises)
    with Session([*question.circuit.clauses, (broken,)], budget) as session:
        for rule, parts in allows:
            if found.cover(parts.numbers):
                continue
            reason = _reason(session, literals, parts)
            if reason is None:
                alone.append(rule)
            else:
                found.add(reason)
                met[reason] = {number: used[number] for number in reason}
    if not _are_proven(side, met, promise, premises, budget):
        return [], [rule for rule, _ in allows]
    return list(met), alone


def find_at_once(
    side: Side, allows: Sequence[tuple[Rule, Parts]], promise: Rule, premises: Premises, budget: int
) -> Found:
    """Return reasons for allows that have no reason in common.

    One question asks about all of them together, each by the parts that read the same facts as the
    promise, because other parts seldom matter. Allows by which a model breaks the promise are left
    out, and the question is repeated a few times.
    """
    read = reads(promise.formula)
    relevant = {rule: parts.about(read) for rule, parts in allows}
    used = {number: one for each in relevant.values() for number, one in each.items()}
    question, broken, literals = _encoded(side, used, promise, premises)
    circuit = question.circuit
    left = {rule: circuit.all(literals[n] for n in each) for rule, each in relevant.items()}
    rounds = [circuit.new() for _ in range(_ROUNDS)]
    with Session([*circuit.clauses, (broken,)], budget) as session:
        for one_is_so in rounds:
            session.require(-one_is_so, *left.values())
            model = session.solve([one_is_so])
            if model is None:
                break
            left = {rule: literal for rule, literal in left.items() if not model[literal]}
    if not _never(circuit, broken, left.values(), budget):
        return [], [rule for rule, _ in allows]
    reasons = dict.fromkeys(frozenset(relevant[rule]) for rule in left)
    return list(reasons), [rule for rule, _ in allows if rule not in left]


def _encoded(
    side: Side, used: Mapping[int, Conjunct], promise: Rule, premises: Premises
) -> tuple[Question, int, dict[int, int]]:
    """Return a question, with the literals of the broken promise and of each conjunct."""
    whole = [one.formula for one in used.values()]
    question = Question([(side, ())], premises, [promise.formula, *whole])
    (opened,) = question.opened
    kept = opened.formulas.of(promise.formula).fails
    literals: dict[int, int] = {}
    for number, one in used.items():
        truths = opened.formulas.of(one.formula)
        literals[number] = truths.holds if one.holds else truths.fails
    question.close()
    broken = question.circuit.all((opened.token, opened.request, -kept))
    return question, broken, literals


def _reason(session: Session, literals: Mapping[int, int], parts: Parts) -> Reason | None:
    """Return parts of a rule that contradict the broken promise; presence alone is tried first."""

    def refutes(numbers: Iterable[int]) -> bool:
        return session.refutes([literals[one] for one in numbers])

    for numbers in (parts.presence, parts.numbers):
        if refutes(sorted(numbers)):
            core = set(session.core())
            return _least([one for one in sorted(numbers) if literals[one] in core], refutes)
    return None


def _least(numbers: list[int], refutes: Callable[[Iterable[int]], bool]) -> Reason:
    """Remove parts that are not needed: the fewer parts a reason has, the more rules it covers."""
    for one in reversed(numbers):
        fewer = [other for other in numbers if other != one]
        if refutes(fewer):
            numbers = fewer
    return frozenset(numbers)


def _are_proven(
    side: Side,
    met: Mapping[Reason, Mapping[int, Conjunct]],
    promise: Rule,
    premises: Premises,
    budget: int,
) -> bool:
    """Prove all reasons at once: the promise is not broken where one of them is true."""
    if not met:
        return True
    used = {number: one for each in met.values() for number, one in each.items()}
    question, broken, literals = _encoded(side, used, promise, premises)
    circuit = question.circuit
    each = [circuit.all(literals[one] for one in reason) for reason in met]
    return _never(circuit, broken, each, budget)


def _never(circuit: Circuit, broken: int, each: Iterable[int], budget: int) -> bool:
    """Return whether it is proven that the promise is never broken when one of some literals is
    true."""
    wanted = circuit.all((broken, circuit.any(each)))
    try:
        return solve([*circuit.clauses, (wanted,)], budget) is None
    except Undecided:
        return False
