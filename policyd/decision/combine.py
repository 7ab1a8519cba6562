"""The rules' values to one outcome: default deny, deny wins, the determining rules."""

from __future__ import annotations

import msgspec

from policyd.program.functions import RULES_SHOWN as RULES_SHOWN
from policyd.program.index import Verdict


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What the rules say. `rules` are the determining ones, sorted, `truncated` when cut."""

    allowed: bool
    rules: tuple[str, ...]
    truncated: bool


def combine(verdict: Verdict) -> Outcome:
    """Combine the denies that are not false and the allows that are true.

    One deny beats any number of allows. Without either nothing is allowed, and no rule determines.
    """
    denies, allows = verdict
    rules = denies or allows
    if not rules:
        return _NOTHING
    if len(rules) == 1:
        return Outcome(not denies, (rules[0],), False)
    rules.sort()
    return Outcome(not denies, tuple(rules[:RULES_SHOWN]), len(rules) > RULES_SHOWN)


def allows(verdict: Verdict) -> bool:
    """Tell what `combine` would say."""
    denies, allows = verdict
    return not denies and bool(allows)


_NOTHING = Outcome(allowed=False, rules=(), truncated=False)
