"""Finds all ways in which an action is allowed: each is a minimal list of tests that together allow
it.

Input: an action's declarations and rules. Output: ways, each with a witness. It is proven that a
way's tests allow the action, whatever the other facts are. If the list is complete, it is also
proven that there is no other way.

Kleene's logic is monotonic: more knowledge never changes a known result. So the tests that hold and
those that fail decide whether the action is allowed, and a way need not mention unknown tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from policyd.language.policy import Formula, HasSome, Leaf, Rule, Test
from policyd.language.walks import walk
from policyd.program.interpreter import World
from policyd.prover import witness
from policyd.prover.axioms import Premises
from policyd.prover.circuit import FALSE, TRUE, Circuit
from policyd.prover.formulas import Formulas
from policyd.prover.judging import Judgement, judge
from policyd.prover.questions import NO_PREMISES, Question
from policyd.prover.solver import BUDGET, Session, Undecided, solve
from policyd.prover.universe import Side
from policyd.prover.witness import Witness

#: The most ways that are listed.
MOST: Final = 100


class Condition(NamedTuple):
    """A test, and whether it must hold or fail."""

    test: Test | HasSome
    holds: bool


class Way(msgspec.Struct, frozen=True):
    """Tests that together allow an action, none of which can be left out.

    The witness satisfies these tests; if it is `confirmed`, both evaluators allow it.
    """

    conditions: tuple[Condition, ...]
    witness: Witness
    judgement: Judgement
    confirmed: bool


class Ways(msgspec.Struct, frozen=True):
    """The ways in which an action is allowed; there may be more if it is not `complete`."""

    ways: tuple[Way, ...]
    complete: bool


def ways(
    side: Side,
    rules: Sequence[Rule],
    premises: Premises = NO_PREMISES,
    most: int = MOST,
    ask: Callable[[World], Judgement] | None = None,
    budget: int = BUDGET,
) -> Ways:
    """Return the ways in which an action is allowed.

    `ask` returns the evaluators' answer to a witness; by default, they decide by `rules`. Raises
    `SolverMissing`.
    """
    search = _Search(side, rules, premises, ask or partial(judge, side, rules), budget)
    found: list[Way] = []
    try:
        for way in search.each():
            if len(found) == most:
                return Ways(tuple(found), complete=False)
            found.append(way)
    except Undecided:
        return Ways(tuple(found), complete=False)
    return Ways(tuple(found), complete=True)


class _Search:
    def __init__(
        self,
        side: Side,
        rules: Sequence[Rule],
        premises: Premises,
        ask: Callable[[World], Judgement],
        budget: int,
    ) -> None:
        self._audiences, self._ask, self._budget = side.api.audiences, ask, budget
        self._question = Question([(side, rules)], premises)
        (opened,) = self._question.opened
        self._tests = _tests(opened.formulas, rules)
        self._question.close()
        circuit = self._circuit
        reached = circuit.all((opened.token, opened.request))
        self._allowed = circuit.all((reached, opened.allowed))
        self._refused = circuit.all((reached, -opened.allowed))
        witness.prepare(self._question.universe)

    @property
    def _circuit(self) -> Circuit:
        return self._question.circuit

    def each(self) -> Iterator[Way]:
        """Yield one way after another. Raises `Undecided`."""
        blocks: list[tuple[int, ...]] = []
        clauses = self._circuit.clauses
        with (
            Session([*clauses, (self._allowed,)], self._budget) as allowing,
            Session([*clauses, (self._refused,)], self._budget) as refusing,
            Session([*clauses, (self._allowed,)], self._budget) as showing,
        ):
            while True:
                model = allowing.find(())
                if model is None:
                    break
                least = self._least([one for one in self._tests if model[one]], refusing)
                yield self._way(least, showing)
                block = tuple(-one for one in least)
                blocks.append(block)
                if not block:
                    return  # it is always allowed
                allowing.require(*block)
        # A separate proof, whose certificate is checked, shows that no way is left.
        if solve([*clauses, *blocks, (self._allowed,)], self._budget) is not None:
            raise Undecided("the solver found a way that it did not find before")

    def _least(self, literals: list[int], refusing: Session) -> list[int]:
        """Remove tests as long as the others still allow the action."""
        if not refusing.refutes(literals):
            raise Undecided("whether these tests allow the action")
        core = set(refusing.core())
        left = [one for one in literals if one in core]
        for one in reversed(left):
            fewer = [other for other in left if other != one]
            if refusing.refutes(fewer):
                left = fewer
        proven = [*self._circuit.clauses, (self._refused,), *((one,) for one in left)]
        if solve(proven, self._budget) is not None:
            raise Undecided("whether these tests allow the action")
        return left

    def _way(self, literals: Sequence[int], showing: Session) -> Way:
        universe = self._question.universe
        model = showing.find(literals)
        if model is None:
            raise Undecided("a token and a request that go this way")
        model = witness.readable(universe, showing, model, literals)
        shown = witness.decode(universe, model, self._audiences)
        judgement = self._ask(shown.world)
        confirmed = judgement.agreed and judgement.outcome == "allow"
        return Way(tuple(self._tests[one] for one in literals), shown, judgement, confirmed)


def _tests(formulas: Formulas, rules: Iterable[Rule]) -> dict[int, Condition]:
    """Return the tests of some rules, by the literals that are true if they hold or fail.

    A quantifier over a list is one test: it is about an element that need not be named.
    """
    found: dict[int, Condition] = {}
    for rule in sorted(rules, key=lambda one: (one.effect, one.name)):
        for part in walk(rule.formula, _is_open):
            if isinstance(part, HasSome | Leaf):
                truths = formulas.of(part)
                found.setdefault(truths.holds, Condition(part, holds=True))
                found.setdefault(truths.fails, Condition(part, holds=False))
    found.pop(TRUE, None)
    found.pop(FALSE, None)
    return found


def _is_open(formula: Formula) -> bool:
    return not isinstance(formula, HasSome)
