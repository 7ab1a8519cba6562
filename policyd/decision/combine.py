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
    if denies:
        return _outcome(False, denies)
    if allows:
        return _outcome(True, allows)
    return _NOTHING


def allows(verdict: Verdict) -> bool:
    """Tell what `combine` would say."""
    denies, allows = verdict
    return not denies and bool(allows)


_NOTHING = Outcome(allowed=False, rules=(), truncated=False)


def _outcome(allowed: bool, rules: list[str]) -> Outcome:
    rules.sort()
    if len(rules) > RULES_SHOWN:
        return Outcome(allowed, tuple(rules[:RULES_SHOWN]), True)
    return Outcome(allowed, tuple(rules), False)
