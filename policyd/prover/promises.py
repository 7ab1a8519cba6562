"""Checks the promises of policies (`prove`).

Input: checked policies. Output: a finding for each promise that is broken, that the solver could
not decide, or that was not checked because the solver is not installed. `policyd check` and the
daemon use the same function. Proofs are remembered by rule, so that a reload proves only what
changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Final

from policyd.diagnostics import Diagnostic, Label
from policyd.language.policy import Api, PolicySet, Proof, Rule
from policyd.program.memo import Memo
from policyd.prover.axioms import Premises
from policyd.prover.counterexample import as_test, written
from policyd.prover.judging import unknown_facts
from policyd.prover.questions import NO_PREMISES, Refuted, denied, prove_never
from policyd.prover.reasons import Parts, Reasons, find, find_at_once
from policyd.prover.solver import BUDGET, SolverMissing
from policyd.prover.structure import Numbers, Structures
from policyd.prover.universe import Side

#: The number of allows that are searched for common reasons, and then the number at once.
_FEW: Final = 32
_MANY: Final = 200
#: The number of structures that are remembered, in addition to four times those of a set.
_SPARE: Final = 10_000


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
        """`before` is called with each promise and action before it is proven."""
        self.premises = premises
        self._before = before
        self._budget = budget
        self._memory = Memory()
        #: The number of questions for the last set; remembered proofs take none.
        self.asked = 0

    def prove(self, policies: PolicySet) -> tuple[Found, ...]:
        """Return the findings about the promises of all APIs, sorted."""
        self.asked = 0
        found = [one for api in policies.apis.values() for one in self._api(api)]
        self._memory = self._memory.turned()
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

        Each allow is first proven by itself: such a proof does not depend on other rules, and stays
        valid when they change. Only if an allow breaks the promise by itself are the denies used:
        first all denies whatever is allowed, and then with these allows.
        """
        memory = self._memory
        denies = tuple(one for one in rules if one.effect == "deny")
        kept = memory.kept(side, promise, denies)
        if kept.by_denies:
            return None
        reasons = memory.reasons(side, promise)
        # Later allows are examined when all reasons of earlier ones are known.
        left = (
            (one, parts)
            for one, parts in memory.parts(side, (one for one in rules if one.effect == "allow"))
            if not (reasons.cover(parts.numbers) or kept.is_known(one))
        )
        search, most = find, _FEW
        while some := list(islice(left, most)):
            self.asked += 1
            found, alone = search(side, some, promise, self.premises, self._budget)
            for reason in found:
                reasons.add(reason)
            if alone:
                broken = self._together(side, rules, alone, denies, promise, kept)
                if broken is not None or kept.by_denies:
                    return broken
            search, most = find_at_once, _MANY
        return None

    def _together(
        self,
        side: Side,
        rules: Sequence[Rule],
        alone: Sequence[Rule],
        denies: Sequence[Rule],
        promise: Proof,
        kept: Kept,
    ) -> Found | None:
        """Prove a promise for allows that break it without the denies."""
        if denies and not kept.were_asked:
            self.asked += 1
            kept.were_asked = True
            kept.by_denies = denied(side, denies, promise, self.premises, self._budget)
            if kept.by_denies:
                return None
        self.asked += 1
        together = [*alone, *denies]
        looked_at = {id(one) for one in together}
        others = [one for one in rules if id(one) not in looked_at]
        answer = prove_never(side, together, promise, self.premises, self._budget, others)
        if isinstance(answer, Refuted):
            return _broken(side, promise, answer)
        if answer is None:
            return _undecided(side, promise, self._budget)
        kept.add(alone)
        return None


class Kept:
    """What some denies are proven to keep: the promise for everything, or for some allows."""

    def __init__(self, promise: Proof, denies: Sequence[Rule]) -> None:
        # Kept alive, so that no others get their identities.
        self._named = (promise, denies)
        self._allows: dict[int, Rule] = {}
        #: Whether it is proven that they keep it whatever is allowed.
        self.were_asked = self.by_denies = False

    def add(self, allows: Iterable[Rule]) -> None:
        """Add allows for which the promise is proven."""
        self._allows |= {id(one): one for one in allows}

    def is_known(self, allow: Rule) -> bool:
        """Return whether the promise is proven for an allow."""
        return id(allow) in self._allows

    @property
    def size(self) -> int:
        return len(self._allows)


class Memory:
    """What was proven of the last set, and the structures of its rules.

    A promise is unchanged if it is the same object: then all declarations are the same, and the
    reasons remain valid. The same holds for a rule.
    """

    def __init__(self) -> None:
        self._numbers: Numbers = {}
        self._structures: dict[tuple[int, int], Structures] = {}
        self._parts: Memo[tuple[Rule, Parts]] = Memo()
        self._reasons: Memo[tuple[Proof, Reasons]] = Memo()
        self._kept: Memo[Kept] = Memo()
        self._basis = 0

    def turned(self) -> Memory:
        """Return the memory for the next set, without what this set did not need."""
        self._basis = self._basis or len(self._numbers)
        if len(self._numbers) > 4 * self._basis + _SPARE:
            return Memory()
        self._structures = {}
        for memo in (self._parts, self._reasons, self._kept):
            memo.turn()
        return self

    def parts(self, side: Side, allows: Iterable[Rule]) -> Iterator[tuple[Rule, Parts]]:
        """Yield rules lazily, each with its parts."""
        key = (id(side.api), id(side.resource))
        structures = self._structures.get(key)
        if structures is None:
            structures = self._structures[key] = Structures(side, self._numbers)
        for rule in allows:
            make = partial(_with_parts, rule, structures)
            yield self._parts.get(id(rule), make)

    def reasons(self, side: Side, promise: Proof) -> Reasons:
        """Return the known reasons for a promise."""
        return self._reasons.get(_key(side, promise), lambda: (promise, Reasons()))[1]

    def kept(self, side: Side, promise: Proof, denies: tuple[Rule, ...]) -> Kept:
        """Return what denies are proven to keep of a promise."""
        key = (*_key(side, promise), *map(id, denies))
        return self._kept.get(key, lambda: Kept(promise, denies))


def _with_parts(rule: Rule, structures: Structures) -> tuple[Rule, Parts]:
    return rule, Parts.of(rule.formula, structures)


def _key(side: Side, promise: Proof) -> tuple[Hashable, ...]:
    return (tuple(one.fact.name for one in side.attributes), id(promise))


def _label(promise: Proof) -> Label:
    return Label(promise.source, promise.span)


def _what(side: Side) -> str:
    return f"`{side.action}` on `{side.resource.name}`"


def _broken(side: Side, promise: Proof, answer: Refuted) -> Found:
    by = answer.judgement.rules
    said = written(side, answer.witness.world, "allow", by)
    named = ", ".join(f"`{name}`" for name in by)
    notes = [f"{_what(side)} is then allowed by {named}" if named else f"{_what(side)} is allowed"]
    is_unknown = answer.promised.value is None
    notes += [
        f"the condition of the promise is unknown: `{fact.path}` is {state}"
        for fact, state in unknown_facts((answer.promised,))
        if is_unknown
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
        help=_help(is_unknown),
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
