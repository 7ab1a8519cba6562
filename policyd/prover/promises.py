"""Checks the promises of policies (`prove`).

Input: checked policies. Output: a finding for each promise that is broken, that the solver could
not decide, or that was not checked because the solver is not installed. `policyd check` and the
daemon use the same function. Proofs are remembered by rule, so that a reload proves only what
changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from policyd.diagnostics import Diagnostic, Label
from policyd.language.policy import Api, PolicySet, Proof, Rule
from policyd.prover.axioms import Premises
from policyd.prover.counterexample import as_test, written
from policyd.prover.judging import unknown_facts
from policyd.prover.questions import NO_PREMISES, Refuted, breaking, holds, prove_never
from policyd.prover.solver import BUDGET, SolverMissing
from policyd.prover.universe import Side

#: The rules and the promise of a question that was proven, by identity, and the attributes that the
#: action has; and they themselves, so that no others take their identities.
_Key = tuple[object, ...]
_Kept = tuple[object, ...]


class Found(Diagnostic, frozen=True):
    """A finding about a promise; `counterexample` is a file of tests that shows that it is broken,
    where one can be written."""

    counterexample: str = ""
    promise: str = ""


class Prover:
    """Proves the promises of one set of policies after another. Not for two threads at a time."""

    def __init__(
        self,
        premises: Premises = NO_PREMISES,
        budget: int = BUDGET,
        before: Callable[[Side, Proof], None] = lambda _side, _promise: None,
    ) -> None:
        """`before` is told of each promise and action before it is looked at."""
        self.premises = premises
        self._before = before
        self._budget = budget
        self._proven: dict[_Key, _Kept] = {}
        self._used: dict[_Key, _Kept] = {}
        #: The number of questions for the last set; remembered proofs take none.
        self.asked = 0

    def prove(self, policies: PolicySet) -> tuple[Found, ...]:
        """Return the findings about the promises of all APIs, sorted."""
        self.asked, self._used = 0, {}
        found = [one for api in policies.apis.values() for one in self._api(api)]
        self._proven = self._used
        return tuple(sorted(found, key=lambda one: one.sort_key))

    def _api(self, api: Api) -> Iterator[Found]:
        if not api.proofs:
            return
        rules: defaultdict[tuple[str, str], list[Rule]] = defaultdict(list)
        for rule in api.rules:
            for action in rule.actions:
                rules[rule.resource, action].append(rule)
        for promise in api.proofs:
            for action in promise.actions:
                side = Side(api, api.resources[promise.resource], action)
                self._before(side, promise)
                try:
                    found = self._one(side, rules[promise.resource, action], promise)
                except SolverMissing as problem:
                    yield unproven(promise, str(problem))
                    return
                if found is not None:
                    yield found
                    break  # one counterexample for each promise and resource is enough

    def _one(self, side: Side, rules: Sequence[Rule], promise: Proof) -> Found | None:
        """Prove a promise for one action.

        Each allow is first checked by itself: such a proof does not depend on other rules, and
        stays valid when they change. Only the allows that break the promise by themselves are
        checked together with all denies.
        """
        alone = self._breaking(side, [one for one in rules if one.effect == "allow"], promise)
        if not alone:
            return None
        denies = [one for one in rules if one.effect == "deny"]
        together = [*alone, *denies]
        key = self._key(side, promise, *together)
        if denies and not self._is_known(key):
            self.asked += 1
            if holds(side, together, promise, self.premises, self._budget):
                self._used[key] = (promise, *together)
        if key in self._used:
            return None
        self.asked += 1
        answer = prove_never(side, together, promise, self.premises, self._budget)
        if isinstance(answer, Refuted):
            return _broken(side, promise, answer)
        return _undecided(side, promise, self._budget)

    def _breaking(self, side: Side, allows: Sequence[Rule], promise: Proof) -> list[Rule]:
        """Return the allows that may break a promise by themselves; remember the others."""
        new = [one for one in allows if not self._is_known(self._key(side, promise, one))]
        if not new:
            return []
        self.asked += 1
        found = breaking(side, new, promise, self.premises, self._budget)
        broken = {id(one) for one in found}
        for one in new:
            if id(one) not in broken:
                self._used[self._key(side, promise, one)] = (promise, one)
        return found

    def _key(self, side: Side, promise: Proof, *rules: Rule) -> _Key:
        return (tuple(one.fact.name for one in side.attributes), id(promise), *map(id, rules))

    def _is_known(self, key: _Key) -> bool:
        """Tell whether a proof is remembered from this set or the previous one, and keep it."""
        kept = self._used.get(key) or self._proven.get(key)
        if kept is not None:
            self._used[key] = kept
        return kept is not None


def _label(promise: Proof) -> Label:
    return Label(promise.source, promise.span)


def _what(side: Side) -> str:
    return f"`{side.action}` on `{side.resource.name}`"


def _broken(side: Side, promise: Proof, answer: Refuted) -> Found:
    by = answer.judgement.rules
    said = written(side, answer.witness.world, "allow", by)
    named = ", ".join(f"`{name}`" for name in by)
    notes = [f"{_what(side)} is then allowed by {named}" if named else f"{_what(side)} is allowed"]
    traces = [one for one in answer.judgement.traces.rules if one.rule is promise]
    notes += [
        f"the condition of the promise is unknown: `{fact.path}` is {state}"
        for fact, state in unknown_facts(traces)
        if traces[0].value is None
    ]
    notes += said.unsaid
    if not answer.confirmed:
        notes.append("not confirmed: the evaluators answer this example in another way")
    notes.append("a counterexample, as a test:\n" + "\n".join(f"    {one}" for one in said.lines))
    title = f"breaks the promise {promise.name}: {side.action} on {side.resource.name}"
    example = "" if said.unsaid else as_test(title, side.api.name, said.lines)
    return Found(
        "P7001",
        f"the promise `{promise.name}` is broken",
        _label(promise),
        notes=tuple(notes),
        help=_help(traces[0].value is None if traces else False),
        counterexample=example,
        promise=promise.name,
    )


def _help(is_unknown: bool) -> str:
    if is_unknown:
        return "where a fact may be missing, add `… is present and …` to the promise, or a deny"
    return "change the rules, or the promise"


def _undecided(side: Side, promise: Proof, budget: int) -> Found:
    return undecided(promise, f"{_what(side)}: undecided after {budget:,} conflicts of the solver")


def undecided(promise: Proof, why: str) -> Found:
    """Return the finding that a promise could not be decided."""
    return Found(
        "P7002",
        f"the promise `{promise.name}` could not be decided",
        _label(promise),
        notes=(why,),
        help="promise less at once: fewer actions, or conditions that compare fewer facts",
        promise=promise.name,
    )


def unproven(promise: Proof, problem: str) -> Found:
    """Return the finding that promises could not be checked, and why."""
    return Found(
        "P7003",
        "promises cannot be proven here",
        _label(promise),
        notes=(problem,),
        help="see that python-sat is installed: no promise is believed without a proof",
        promise=promise.name,
    )
