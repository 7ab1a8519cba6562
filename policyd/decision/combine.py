"""The combining algorithm: deny overrides, default deny, and the determining rules."""

from __future__ import annotations

import msgspec

from policyd.program.generator import RULES_SHOWN as RULES_SHOWN
from policyd.program.index import Verdict


class CombinedEffect(msgspec.Struct, frozen=True, gc=False):
    """The effect of all rules together. `rules` are the determining ones, sorted; `truncated` when
    some are left out."""

    allowed: bool
    rules: tuple[str, ...]
    truncated: bool


def combine(verdict: Verdict) -> CombinedEffect:
    """Combine the denies that are not false and the allows that are true.

    One deny overrides any number of allows. Without either, the decision is deny, and there is no
    determining rule.
    """
    denies, allows = verdict
    rules = denies or allows
    if not rules:
        return _NOTHING
    if len(rules) == 1:
        return CombinedEffect(not denies, (rules[0],), False)
    rules.sort()
    return CombinedEffect(not denies, tuple(rules[:RULES_SHOWN]), len(rules) > RULES_SHOWN)


def allows(verdict: Verdict) -> bool:
    """Tell whether `combine` would allow."""
    denies, allows = verdict
    return not denies and bool(allows)


_NOTHING = CombinedEffect(allowed=False, rules=(), truncated=False)
