"""Compares the rules of two revisions for an action: those that both have, and those of one alone.

Rules are alike if they have the same effect and the same formula, which reads the same places;
names do not matter. A question about the difference needs only a few of the rules that both have.
These are *admitted* to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from policyd.language.policy import Rule
from policyd.program.interpreter import World
from policyd.prover.judging import Applying, Evaluators, Judgement, Outcome
from policyd.prover.questions import Unseen
from policyd.prover.structure import Numbers, Structures
from policyd.prover.universe import Side

#: The number of rules admitted first, and the factor by which it grows each time.
_FIRST: Final = 16
_MORE: Final = 4


class Revision(msgspec.Struct, frozen=True, eq=False):
    """An action on a resource in one revision: the declarations, and the rules for it."""

    side: Side
    rules: tuple[Rule, ...]


class _Likeness(NamedTuple):
    """What alike rules have in common: the effect, and the number of the formula."""

    effect: str
    number: int


_Rules = dict[_Likeness, list[Rule]]


class Comparison:
    """Two revisions side by side."""

    def __init__(self, old: Revision, new: Revision) -> None:
        self._sides = (old.side, new.side)
        numbers: Numbers = {}
        each = tuple(_alike(one, numbers) for one in (old, new))
        both = each[0].keys() & each[1].keys()
        # In the order of the rules in the text, so that the questions are the same each time.
        self._unseen = dict.fromkeys(one for one in each[1] if one in both)
        self._admitted: list[_Likeness] = []
        self._most = _FIRST
        self._shared = tuple({one: rules[one] for one in self._unseen} for rules in each)
        self._own = tuple(
            [rule for one, alike in rules.items() if one not in both for rule in alike]
            for rules in each
        )
        self._evaluators = tuple(map(Evaluators, self._sides, self._own))
        self._of_shared = tuple(map(Evaluators, self._sides, map(_flat, self._shared)))

    # -- what a question is about ----------------------------------------------------------------

    def asked(self) -> list[tuple[Side, list[Rule]]]:
        """Return the sides, each with its own rules and the admitted ones."""
        return [
            (side, [*own, *(shared[one][0] for one in self._admitted)])
            for side, own, shared in zip(self._sides, self._own, self._shared, strict=True)
        ]

    @property
    def unseen(self) -> Unseen:
        """Whether there are rules that are not admitted."""
        effects = {one.effect for one in self._unseen}
        return Unseen("allow" in effects, "deny" in effects)

    def admit(self, hit: Iterable[_Likeness], *, allows: bool) -> bool:
        """Admit some of the rules that apply to a model, and some of the `allows` if needed.

        Return whether there were any.
        """
        wanted = [one for one in hit if one in self._unseen][: self._most]
        if allows:
            others = (one for one in self._unseen if one.effect == "allow")
            wanted += [one for one, _ in zip(others, range(self._most), strict=False)]
        for one in dict.fromkeys(wanted):
            del self._unseen[one]
            self._admitted.append(one)
        self._most *= _MORE
        return bool(wanted)

    # -- what the evaluators say -----------------------------------------------------------------

    def judge(self, world: World) -> tuple[Judgement, Judgement, Sequence[_Likeness]]:
        """Answer a question by both evaluators of both revisions, and return which of the common
        rules apply.

        If the question reaches the rules of both revisions, the interpreter reads the common rules
        of the old one, and the compiled program those of the new one.
        """
        verdicts = [one.compiled(world) for one in self._evaluators]
        reached = [n for n, one in enumerate(verdicts) if isinstance(one, Applying)]
        hit: list[_Likeness] = []
        agreed = True
        if reached:
            hit = self._among(reached[0], world)
            compiled = self._of_shared[reached[-1]].compiled(world)
            agreed = compiled == self._named(reached[-1], hit)
        old, new = (
            self._judged(n, one, world, hit, agreed=agreed) for n, one in enumerate(verdicts)
        )
        return old, new, hit

    def _among(self, number: int, world: World) -> list[_Likeness]:
        applying = {id(rule) for rule in self._of_shared[number].interpreted(world)}
        shared = self._shared[number]
        return [one for one, alike in shared.items() if any(id(each) in applying for each in alike)]

    def _named(self, number: int, hit: Iterable[_Likeness]) -> Applying:
        shared = self._shared[number]
        return Applying.of(rule for one in hit for rule in shared[one])

    def _judged(
        self,
        number: int,
        verdict: Applying | Outcome,
        world: World,
        hit: Iterable[_Likeness],
        *,
        agreed: bool,
    ) -> Judgement:
        if not isinstance(verdict, Applying):
            return Judgement(verdict, (), agreed=True)
        agreed = agreed and verdict == Applying.of(self._evaluators[number].interpreted(world))
        return verdict.and_also(self._named(number, hit)).judgement(agreed=agreed)


def _alike(revision: Revision, numbers: Numbers) -> _Rules:
    """Return the rules of a revision, grouped by likeness."""
    structures = Structures(revision.side, numbers)
    found: _Rules = {}
    for rule in revision.rules:
        found.setdefault(_Likeness(rule.effect, structures.of(rule.formula)), []).append(rule)
    return found


def _flat(rules: _Rules) -> list[Rule]:
    return [rule for alike in rules.values() for rule in alike]
