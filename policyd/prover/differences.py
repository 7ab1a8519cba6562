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
from policyd.prover.circuit import Circuit
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
    groups = (
        (circuit.all((other["allow"], -one["allow"])), _pairs(to="allow")),
        (circuit.all((one["allow"], -other["allow"])), _pairs(since="allow")),
        (circuit.all((-same, -one["allow"], -other["allow"])), _pairs()),
    )
    witness.prepare(question.universe)
    found: list[Difference] = []
    # One solver looks for all witnesses. That there is none has a proof, with a solver of its own.
    with Session(circuit.clauses, budget) as session:
        if session.find([-same]) is None and _is_proven(circuit, -same, budget):
            return ()
        for wanted, pairs in groups:
            if session.find([wanted]) is None and _is_proven(circuit, wanted, budget):
                continue
            for since, to in pairs:
                asked = (one[since], other[to])
                found += _witnessed(question, session, asked, (since, to), old, new)
    return tuple(found)


def _is_proven(circuit: Circuit, wanted: int, budget: int) -> bool:
    """Tell whether something surely never is."""
    return solve([*circuit.clauses, (wanted,)], budget) is None


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
    session: Session,
    asked: tuple[int, int],
    wanted: tuple[Outcome, Outcome],
    old: Revision,
    new: Revision,
) -> list[Difference]:
    """Return the witness of a pair of answers, none where there is none."""
    model = session.find(asked)
    if model is None:
        return []
    model = witness.readable(question.universe, session, model, asked)
    shown = witness.decode(question.universe, model, new.side.api.audiences)
    was = judge(old.side, old.rules, shown.world)
    is_now = judge(new.side, new.rules, shown.world)
    agreed = was.agreed and is_now.agreed and (was.outcome, is_now.outcome) == wanted
    return [Difference(was, is_now, shown, agreed)]
