"""Finds the tokens and requests that two revisions of a policy answer differently.

Input: the same action on the same resource, as each of two revisions declares and rules it. Output:
a witness for each pair of different answers; the answers are allow, deny, refused (the token) and
mistake (the caller's). If a pair has no witness, it is proven that none exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Final

import msgspec

from policyd.prover import witness
from policyd.prover.axioms import Premises
from policyd.prover.circuit import FALSE
from policyd.prover.comparison import Comparison
from policyd.prover.comparison import Revision as Revision
from policyd.prover.judging import Judgement, Outcome
from policyd.prover.questions import NO_PREMISES, Question
from policyd.prover.solver import BUDGET, Session, Undecided, solve
from policyd.prover.witness import Witness

#: The pairs of answers, the most important change first.
OUTCOMES: Final[tuple[Outcome, ...]] = ("allow", "deny", "refused", "mistake")


#: The answers of two revisions.
Pair = tuple[Outcome, Outcome]


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
    return _Search(old, new, premises, budget).found()


#: The pairs that are searched for together: gains, losses, and the others.
_GROUPS: Final[tuple[tuple[Pair, ...], ...]] = (
    tuple(pair for pair in permutations(OUTCOMES, 2) if pair[1] == "allow"),
    tuple(pair for pair in permutations(OUTCOMES, 2) if pair[0] == "allow"),
    tuple(pair for pair in permutations(OUTCOMES, 2) if "allow" not in pair),
)


class _Search:
    """Searches for differences with the rules of one revision alone, and with as few of the common
    rules as suffice.

    The other common rules are left open. So if there is no model, there is no difference. A model
    is a difference if the evaluators, which use all rules, confirm it. If they do not, an open rule
    applies to it, and is admitted to the next round.
    """

    def __init__(self, old: Revision, new: Revision, premises: Premises, budget: int) -> None:
        self._compared = Comparison(old, new)
        self._audiences = new.side.api.audiences
        self._premises, self._budget = premises, budget
        self._settled: dict[Pair, Difference | None] = {}

    def found(self) -> tuple[Difference, ...]:
        """Return all differences."""
        while not self._round():
            pass
        each = (self._settled[pair] for group in _GROUPS for pair in group)
        return tuple(one for one in each if one is not None)

    def _round(self) -> bool:
        """Settle pairs; return whether all are settled, and admit rules if not."""
        question = Question(self._compared.asked(), self._premises, unseen=self._compared.unseen)
        before, after = question.opened
        circuit = question.circuit
        asked = {
            pair: circuit.all((*before.outcome(pair[0]), *after.outcome(pair[1])))
            for group in _GROUPS
            for pair in group
            if pair not in self._settled
        }
        self._settled |= {pair: None for pair, wanted in asked.items() if wanted == FALSE}
        groups = [[pair for pair in group if pair not in self._settled] for group in _GROUPS]
        if not any(groups):
            return True
        question.close()
        some = [circuit.any(asked[pair] for pair in group) for group in groups]
        witness.prepare(question.universe)
        # One solver looks for all witnesses. The proof that there is none uses a solver of its own.
        with Session(circuit.clauses, self._budget) as session:
            for group, wanted in zip(groups, some, strict=True):
                if session.find([wanted]) is None and self._is_proven(question, wanted):
                    self._settled |= dict.fromkeys(group)
                    continue
                for pair in group:
                    if not self._settle(pair, question, session, asked[pair]):
                        return False
        return True

    def _is_proven(self, question: Question, wanted: int) -> bool:
        """Return whether it is proven that some literals are never all true."""
        return solve([*question.circuit.clauses, (wanted,)], self._budget) is None

    def _settle(self, pair: Pair, question: Question, session: Session, wanted: int) -> bool:
        """Settle a pair, or admit rules that it needs and return `False`."""
        for held in self._held(question, wanted):
            model = session.find(held)
            if model is not None:
                break
        else:
            if not self._is_proven(question, wanted):
                raise Undecided("the solver found a difference that it did not find before")
            self._settled[pair] = None
            return True
        model = witness.readable(question.universe, session, model, held)
        shown = witness.decode(question.universe, model, self._audiences)
        was, is_now, hit = self._compared.judge(shown.world)
        agreed = (was.outcome, is_now.outcome) == pair
        if not agreed and self._compared.admit(hit, allows=model[question.allows]):
            return False
        self._settled[pair] = Difference(
            was, is_now, shown, agreed and was.agreed and is_now.agreed
        )
        return True

    @staticmethod
    def _held(question: Question, wanted: int) -> Iterator[tuple[int, ...]]:
        """Yield what to search for: first differences in which no open rule has a part."""
        yield wanted, -question.allows, -question.denies
        if (question.allows, question.denies) != (FALSE, FALSE):
            yield (wanted,)
