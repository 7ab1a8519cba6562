"""A question as the rules see it: a plan, and the facts in its slots."""

from __future__ import annotations

import msgspec

from policyd.decision.combine import allows
from policyd.program.index import Plan
from policyd.program.layout import Facts


class Question(msgspec.Struct, frozen=True, gc=False):
    """A plan and the facts that it was asked with."""

    plan: Plan
    token: Facts
    resource: Facts
    context: Facts
    now: int

    def allows(self, token: Facts) -> bool:
        """Tell whether the rules allow, with these facts of the token."""
        verdict = self.plan.evaluate(token, self.resource, self.context, self.now)
        return allows(verdict)
