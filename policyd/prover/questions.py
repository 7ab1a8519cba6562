"""Questions about all tokens and requests at once, and their answers.

The input is sides: declarations, with the rules for one action on one resource. Each question
becomes a set of clauses that has a model exactly if the question is true of some token and request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from typing import Literal as OneOf

import msgspec

from policyd.language.policy import Formula, Rule
from policyd.program.interpreter import interpret
from policyd.program.trace import RuleTrace
from policyd.prover import axioms, witness
from policyd.prover.axioms import Premises, reach
from policyd.prover.circuit import FALSE, Circuit
from policyd.prover.formulas import Formulas, quantified
from policyd.prover.judging import Judgement, Outcome, judge
from policyd.prover.solver import BUDGET, Model, Session, Undecided, solve
from policyd.prover.universe import Place, Side, Universe
from policyd.prover.witness import Witness

NO_PREMISES = Premises()


class Refuted(msgspec.Struct, frozen=True):
    """A token and a request for which the promise is broken.

    `confirmed` is whether both evaluators agree: the rules allow, as is the `judgement`, and with
    the promise as an additional deny they do not. `promised` is the interpreter's trace of that.
    """

    witness: Witness
    judgement: Judgement
    promised: RuleTrace
    confirmed: bool


class Unseen(NamedTuple):
    """Whether a question leaves some allows, or some denies, open."""

    allows: bool
    denies: bool


NONE_UNSEEN: Final = Unseen(allows=False, denies=False)

#: `None` means undecided: the budget is spent.
Answer = OneOf["proven"] | Refuted | None


class Opened(NamedTuple):
    """One side of a question: what it demands, and its rules, as circuits."""

    token: int
    request: int
    allowed: int
    formulas: Formulas

    def outcome(self, wanted: Outcome) -> tuple[int, ...]:
        """Return the literals that are all true exactly if the side's answer is an outcome."""
        match wanted:
            case "refused":
                return (-self.token,)
            case "mistake":
                return (self.token, -self.request)
            case "allow":
                return (self.token, self.request, self.allowed)
            case "deny":
                return (self.token, self.request, -self.allowed)


class Question:
    """Sides encoded together: the same token and the same request, read by each.

    With `unseen`, each side has further rules that are left open: they may allow, deny, or do
    neither. If such a question has no model, it has none with any such rules.
    """

    def __init__(
        self,
        sides: Sequence[tuple[Side, Sequence[Rule]]],
        premises: Premises = NO_PREMISES,
        more: Sequence[Formula] = (),
        unseen: Unseen = NONE_UNSEEN,
    ) -> None:
        self.circuit = Circuit()
        #: Whether an unseen rule allows, and whether one denies.
        self.allows, self.denies = (self.circuit.new() if one else FALSE for one in unseen)
        self._sides = tuple(side for side, _ in sides)
        counts: dict[Place, int] = {}
        for side, rules in sides:
            formulas = [*(rule.formula for rule in rules), *more]
            for place, number in quantified(side, formulas).items():
                counts[place] = counts.get(place, 0) + number
        self.universe = Universe(self.circuit, counts)
        self.opened = tuple(self._open(side, rules) for side, rules in sides)
        self._premises = premises

    def _open(self, side: Side, rules: Sequence[Rule]) -> Opened:
        formulas = Formulas(self.universe, side)
        token, request = reach(self.universe, side)
        allowed = formulas.allowed(rules, self.allows, self.denies)
        return Opened(token, request, allowed, formulas)

    def close(self) -> None:
        """Define the meaning of all tests. Nothing can be encoded afterwards."""
        axioms.require(self.universe, self._premises, self._sides)
        self.universe.close()
        axioms.finish(self.universe, self._premises, self._sides)

    def find(self, wanted: int, budget: int = BUDGET) -> Witness | None:
        """Return a witness of the wanted conditions, `None` if it is proven that there is none.

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
    side: Side,
    rules: Sequence[Rule],
    promise: Rule,
    premises: Premises = NO_PREMISES,
    unseen: Unseen = NONE_UNSEEN,
) -> tuple[Question, int]:
    """Return the question whether a promise can be broken, and the literal that says so."""
    question = Question([(side, rules)], premises, [promise.formula], unseen)
    (opened,) = question.opened
    kept = opened.formulas.of(promise.formula).fails
    question.close()
    return question, question.circuit.all((*opened.outcome("allow"), -kept))


def prove_never(
    side: Side,
    rules: Sequence[Rule],
    promise: Rule,
    premises: Premises = NO_PREMISES,
    budget: int = BUDGET,
    others: Sequence[Rule] = (),
) -> Answer:
    """Prove that nothing is allowed while the formula of a promise is true or unknown.

    `rules` are for the side's action; `promise` has the form of a deny, whose condition it is.
    Without the `others`, which are allows, it is proven; with them a counterexample is confirmed.
    Raises `SolverMissing`.
    """
    question, wanted = breach(side, rules, promise, premises)
    try:
        found = question.find(wanted, budget)
    except Undecided:
        return None
    return "proven" if found is None else _refuted(side, [*rules, *others], promise, found)


def denied(
    side: Side,
    denies: Sequence[Rule],
    promise: Rule,
    premises: Premises = NO_PREMISES,
    budget: int = BUDGET,
) -> bool:
    """Return whether it is proven that denies keep a promise, whatever is allowed."""
    unseen = Unseen(allows=True, denies=False)
    question, wanted = breach(side, denies, promise, premises, unseen)
    try:
        return solve([*question.circuit.clauses, (wanted,)], budget) is None
    except Undecided:
        return False


def _refuted(side: Side, rules: Sequence[Rule], promise: Rule, found: Witness) -> Refuted:
    """Confirm with the evaluators: the rules allow, and with the promise as a deny they do not."""
    allowed = judge(side, rules, found.world)
    barred = judge(side, [*rules, promise], found.world)
    confirmed = (
        allowed.agreed
        and barred.agreed
        and allowed.outcome == "allow"
        and barred.outcome == "deny"
        and barred.rules == (promise.name,)
    )
    (promised,) = interpret(side.api, [promise], found.world).rules
    return Refuted(found, allowed, promised, confirmed)
