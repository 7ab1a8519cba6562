"""Questions about all tokens and requests at once, and their answers.

Input are sides: declarations, with the rules for one action on one resource. Each question becomes
a set of clauses that has a model exactly when there is a token and a request of which it is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from typing import Literal as OneOf

import msgspec

from policyd.language.policy import Formula, Rule
from policyd.prover import axioms, witness
from policyd.prover.axioms import Premises, reach
from policyd.prover.circuit import Circuit
from policyd.prover.formulas import Formulas, quantified
from policyd.prover.judging import Judgement, Outcome, judge
from policyd.prover.solver import BUDGET, Model, Session, Undecided, solve
from policyd.prover.universe import Place, Side, Universe
from policyd.prover.witness import Witness

NO_PREMISES = Premises()
#: The most questions that `breaking` asks before it gives up.
_ROUNDS: Final = 8


class Refuted(msgspec.Struct, frozen=True):
    """A token and a request for which the promise is broken.

    `confirmed` is whether both evaluators agree; `judgement` is their answer with the promise as an
    additional deny.
    """

    witness: Witness
    judgement: Judgement
    confirmed: bool


#: `None` means undecided: the budget is spent.
Answer = OneOf["proven"] | Refuted | None


class _Open(NamedTuple):
    """One side of a question: what it demands, and its rules, as circuits."""

    token: int
    request: int
    allowed: int
    formulas: Formulas

    def outcome(self, circuit: Circuit, wanted: Outcome) -> int:
        """Return whether the side's answer is an outcome."""
        match wanted:
            case "refused":
                return -self.token
            case "mistake":
                return circuit.all((self.token, -self.request))
            case "allow":
                return circuit.all((self.token, self.request, self.allowed))
            case "deny":
                return circuit.all((self.token, self.request, -self.allowed))


class Question:
    """Sides encoded together: the same token and the same request, read by each."""

    def __init__(
        self,
        sides: Sequence[tuple[Side, Sequence[Rule]]],
        premises: Premises = NO_PREMISES,
        more: Sequence[Formula] = (),
    ) -> None:
        self.circuit = Circuit()
        self._sides = tuple(side for side, _ in sides)
        counts: dict[Place, int] = {}
        for side, rules in sides:
            formulas = [*(rule.formula for rule in rules), *more]
            for place, number in quantified(side, formulas).items():
                counts[place] = counts.get(place, 0) + number
        self.universe = Universe(self.circuit, counts)
        self.opened = tuple(self._open(side, rules) for side, rules in sides)
        self._premises = premises

    def _open(self, side: Side, rules: Sequence[Rule]) -> _Open:
        formulas = Formulas(self.universe, side)
        token, request = reach(self.universe, side)
        return _Open(token, request, formulas.allowed(rules), formulas)

    def close(self) -> None:
        """Define the meaning of all tests. Nothing can be encoded afterwards."""
        axioms.require(self.universe, self._premises, self._sides)
        self.universe.close()
        axioms.finish(self.universe, self._premises, self._sides)

    def find(self, wanted: int, budget: int = BUDGET) -> Witness | None:
        """Return a witness of the wanted conditions, `None` if it is proven that none exists.

        Raises `Undecided`, `SolverMissing`.
        """
        model = solve([*self.circuit.clauses, (wanted,)], budget)
        return None if model is None else self._written(model, wanted)

    def _written(self, model: Model, wanted: int) -> Witness:
        witness.prepare(self.universe)
        with Session([*self.circuit.clauses, (wanted,)]) as session:
            found = session.solve() or model  # the same question, with all circuits of wishes
            better = witness.readable(self.universe, session, found)
        return witness.decode(self.universe, better, self._sides[-1].api.audiences)


def breach(
    side: Side, rules: Sequence[Rule], promise: Rule, premises: Premises = NO_PREMISES
) -> tuple[Question, int]:
    """Return the question whether a promise can be broken, and the literal that says so."""
    question = Question([(side, rules)], premises, [promise.formula])
    (opened,) = question.opened
    kept = opened.formulas.of(promise.formula).fails
    allowed = opened.outcome(question.circuit, "allow")
    question.close()
    return question, question.circuit.all((allowed, -kept))


def prove_never(
    side: Side,
    rules: Sequence[Rule],
    promise: Rule,
    premises: Premises = NO_PREMISES,
    budget: int = BUDGET,
) -> Answer:
    """Prove that nothing is allowed while the formula of a promise is true or unknown.

    `rules` are for the side's action; `promise` has the form of a deny, whose condition it is.
    Raises `SolverMissing`.
    """
    question, wanted = breach(side, rules, promise, premises)
    try:
        found = question.find(wanted, budget)
    except Undecided:
        return None
    return "proven" if found is None else _refuted(side, rules, promise, found)


def breaking(
    side: Side,
    allows: Sequence[Rule],
    promise: Rule,
    premises: Premises = NO_PREMISES,
    budget: int = BUDGET,
) -> list[Rule]:
    """Return the allows that may break a promise by themselves; it is proven that all others do
    not.

    It finds them with a few questions about all allows together. If many break the promise, for
    example because one deny keeps it for all, it gives up and returns all.
    """
    question = Question([(side, ())], premises, [promise.formula, *(one.formula for one in allows)])
    (opened,) = question.opened
    kept = opened.formulas.of(promise.formula).fails
    truths = [opened.formulas.of(one.formula).holds for one in allows]
    question.close()
    circuit = question.circuit
    broken = circuit.all((opened.token, opened.request, -kept))
    left = dict(zip(allows, truths, strict=True))
    for _ in range(_ROUNDS):
        wanted = circuit.all((broken, circuit.any(left.values())))
        try:
            model = solve([*circuit.clauses, (wanted,)], budget)
        except Undecided:
            break
        if model is None:
            return [one for one in allows if one not in left]
        left = {one: truth for one, truth in left.items() if not model[truth]}
    return [*allows]


def holds(
    side: Side,
    rules: Sequence[Rule],
    promise: Rule,
    premises: Premises = NO_PREMISES,
    budget: int = BUDGET,
) -> bool:
    """Tell whether a promise is proven; if not, it is broken or undecided."""
    question, wanted = breach(side, rules, promise, premises)
    try:
        return solve([*question.circuit.clauses, (wanted,)], budget) is None
    except Undecided:
        return False


def _refuted(side: Side, rules: Sequence[Rule], promise: Rule, found: Witness) -> Refuted:
    """Confirm with the evaluators: the rules allow, and with the promise as a deny they do not."""
    allowed = judge(side, rules, found.world)
    denied = judge(side, [*rules, promise], found.world)
    confirmed = (
        allowed.agreed
        and denied.agreed
        and allowed.outcome == "allow"
        and denied.outcome == "deny"
        and denied.rules == (promise.name,)
    )
    judgement = denied._replace(outcome=allowed.outcome, rules=allowed.rules)
    return Refuted(found, judgement, confirmed)
