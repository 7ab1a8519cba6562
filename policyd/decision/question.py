"""A question as the rules see it: a plan, and the facts in its slots."""

from __future__ import annotations

import msgspec

from policyd.decision.combine import allows
from policyd.program.index import FactSlot, Plan
from policyd.program.layout import Facts
from policyd.program.values import Value


class Uncertain(Exception):
    """What is asked for depends on facts that are open."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """A plan and the facts that it was asked with."""

    plan: Plan
    token: Facts
    resource: Facts
    context: Facts
    now: int

    def allows(self, token: Facts) -> bool:
        """Tell whether the rules allow, with these facts of the token. May raise `Uncertain`."""
        verdict = self.plan.evaluate(token, self.resource, self.context, self.now)
        return allows(verdict)

    def at(self, place: FactSlot) -> Value | None:
        """Return the fact at a place, `None` where there is none. May raise `Uncertain`."""
        return (self.token, self.resource, self.context)[place.group][place.slot]
