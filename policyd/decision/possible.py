"""Rules some facts of which are open: which apply whatever these facts are, and which perhaps do.

The compiled plan tells of the rules that read nothing open, and `analysis.partial` of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final, Protocol
from typing import Literal as OneOf

import msgspec

from policyd.analysis.formulas import Truths
from policyd.analysis.partial import States
from policyd.decision.combine import RULES_SHOWN
from policyd.decision.effort import EffortSpent
from policyd.decision.model import Outcome
from policyd.decision.question import Question
from policyd.language.policy import Rule
from policyd.language.types import Fact

_BOTH: Final = frozenset({True, False})

Open = Mapping[Fact, States]


class Found(msgspec.Struct, frozen=True):
    """The names of rules that apply whatever the open facts are, and the rules that perhaps do;
    `cut` says that more apply for sure than are named."""

    surely: list[str]
    perhaps: list[Rule]
    cut: bool


class RuleTruths(Protocol):
    """What tells of a rule; `PartialTruths` does, and may raise `EffortSpent`."""

    def of(self, rule: Rule) -> Truths: ...

    def deciding(self, rule: Rule) -> frozenset[Fact]: ...


class Rules:
    """The rules of a plan, and what becomes of them; `stopped` once some are not looked at."""

    def __init__(self, question: Question, opened: Open, truths: RuleTruths) -> None:
        self._question = question
        self._opened = opened
        self._truths = truths
        self._open = {rule.name: rule for fact in opened for rule in question.plan.read_by(fact)}
        self.stopped = False

    def of(self, effect: OneOf["deny", "allow"]) -> Found:
        """Return which rules of an effect apply."""
        asked = self._question
        function = asked.plan.denies if effect == "deny" else asked.plan.allows
        names = function[0](asked.token, asked.resource, asked.context, asked.now, function)
        surely = [name for name in names if name not in self._open]
        # Where too many apply to name them all, some that read nothing open may be left out.
        cut = len(names) > RULES_SHOWN
        looked_at: Iterable[Rule] = sorted(self._open.values(), key=attrgetter("name"))
        if cut and not surely:
            looked_at = asked.plan.rules
        perhaps: list[Rule] = []
        for rule in looked_at:
            if rule.effect == effect:
                applies = self._applies(rule)
                if applies == {True}:
                    surely.append(rule.name)
                elif True in applies:
                    perhaps.append(rule)
        return Found(sorted(surely), perhaps, cut)

    def _applies(self, rule: Rule) -> frozenset[bool]:
        if self.stopped:
            return _BOTH
        try:
            found = self._truths.of(rule)
        except EffortSpent:
            self.stopped = True
            return _BOTH
        if rule.effect == "deny":
            return frozenset(value is not False for value in found)
        return frozenset(value is True for value in found)

    def deciding(self, rules: Iterable[Rule]) -> set[Fact]:
        """Return the open facts on which it depends whether these rules apply."""
        found: set[Fact] = set()
        for rule in rules:
            try:
                found |= self._truths.deciding(rule)
            except EffortSpent:
                found |= {
                    fact for fact in self._opened if rule in self._question.plan.read_by(fact)
                }
        return found


def certain(denies: Found, allows: Found) -> Outcome:
    """Return what is certain, given the denies and the allows that apply, surely or perhaps."""
    if denies.surely or not (allows.surely or allows.perhaps):
        return "deny"
    return "allow" if allows.surely and not denies.perhaps else "maybe"
