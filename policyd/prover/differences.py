"""Finds the tokens and requests that two revisions of a policy answer differently.

Input: the same action on the same resource, as each of two revisions declares and rules it. Output:
a witness for each pair of different answers; the answers are allow, deny, refused (the token) and
mistake (the caller's). If a pair has no witness, it is proven that none exists.
"""

from __future__ import annotations

from itertools import permutations
from typing import Final

import msgspec

from policyd.language.policy import Rule
from policyd.prover import witness
from policyd.prover.axioms import Premises
from policyd.prover.judging import Judgement, Outcome, judge
from policyd.prover.questions import NO_PREMISES, Question
from policyd.prover.solver import BUDGET, Session, solve
from policyd.prover.universe import Side
from policyd.prover.witness import Witness

#: The pairs of answers, the most important change first.
OUTCOMES: Final[tuple[Outcome, ...]] = ("allow", "deny", "refused", "mistake")


class Revision(msgspec.Struct, frozen=True, eq=False):
    """An action on a resource in one revision: the declarations, and the rules for it."""

    side: Side
    rules: tuple[Rule, ...]


class Difference(msgspec.Struct, frozen=True):
    """A token and a request, and what each revision answers.

    `confirmed` is whether both evaluators of both revisions agree.
    """

    before: Judgement
    after: Judgement
    witness: Witness
    confirmed: bool

    @property
    def gains(self) -> bool:
        """Whether something is allowed that was not."""
        return self.after.outcome == "allow" != self.before.outcome

    @property
    def loses(self) -> bool:
        """Whether something is not allowed any more."""
        return self.before.outcome == "allow" != self.after.outcome


def differences(
    old: Revision, new: Revision, premises: Premises = NO_PREMISES, budget: int = BUDGET
) -> tuple[Difference, ...]:
    """Return a witness for each pair of different answers that some token and request get.

    Raises `Undecided`, `SolverMissing`.
    """
    question = Question([(old.side, old.rules), (new.side, new.rules)], premises)
    question.close()
    circuit, (before, after) = question.circuit, question.opened
    one = {wanted: before.outcome(circuit, wanted) for wanted in OUTCOMES}
    other = {wanted: after.outcome(circuit, wanted) for wanted in OUTCOMES}
    same = circuit.all(circuit.same(one[wanted], other[wanted]) for wanted in OUTCOMES)
    if solve([*circuit.clauses, (-same,)], budget) is None:
        return ()
    found: list[Difference] = []
    groups = (
        (circuit.all((other["allow"], -one["allow"])), _pairs(to="allow")),
        (circuit.all((one["allow"], -other["allow"])), _pairs(since="allow")),
        (circuit.all((-same, -one["allow"], -other["allow"])), _pairs()),
    )
    for wanted, pairs in groups:
        if solve([*circuit.clauses, (wanted,)], budget) is not None:
            for since, to in pairs:
                found += _witnessed(question, one[since], other[to], (since, to), old, new)
    return tuple(found)


def _pairs(
    since: Outcome | None = None, to: Outcome | None = None
) -> list[tuple[Outcome, Outcome]]:
    """Return the pairs of different answers from one, or to one, or else without an allow."""
    pairs = [(a, b) for a, b in permutations(OUTCOMES, 2)]
    if to is not None:
        return [pair for pair in pairs if pair[1] == to]
    if since is not None:
        return [pair for pair in pairs if pair[0] == since]
    return [pair for pair in pairs if "allow" not in pair]


def _witnessed(
    question: Question,
    before: int,
    after: int,
    wanted: tuple[Outcome, Outcome],
    old: Revision,
    new: Revision,
) -> list[Difference]:
    """Return the witness of a pair of answers, none where there is none."""
    universe = question.universe
    witness.prepare(universe)
    with Session([*question.circuit.clauses, (before,), (after,)]) as session:
        model = session.solve()
        if model is None:
            return []
        model = witness.readable(universe, session, model)
    shown = witness.decode(universe, model, new.side.api.audiences)
    was = judge(old.side, old.rules, shown.world)
    is_now = judge(new.side, new.rules, shown.world)
    agreed = was.agreed and is_now.agreed and (was.outcome, is_now.outcome) == wanted
    return [Difference(was, is_now, shown, agreed)]
