"""The rules' values to one outcome: default deny, deny wins, the determining rules."""

from __future__ import annotations

import msgspec

from policyd.program.index import Verdict

#: How many determining rules an answer names at most.
RULES_SHOWN = 100


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What the rules say. `rules` are the determining ones, sorted, `truncated` when cut."""

    allowed: bool
    rules: tuple[str, ...]
    truncated: bool


def combine(verdict: Verdict) -> Outcome:
    """Combine the denies that are not false and the allows that are true, each sorted by name.

    One deny beats any number of allows. Without either nothing is allowed, and no rule determines.
    """
    denies, allows = verdict
    if denies:
        return _outcome(False, denies)
    if allows:
        return _outcome(True, allows)
    return _NOTHING


_NOTHING = Outcome(allowed=False, rules=(), truncated=False)


def _outcome(allowed: bool, rules: list[str]) -> Outcome:
    if len(rules) > RULES_SHOWN:
        return Outcome(allowed, tuple(rules[:RULES_SHOWN]), True)
    return Outcome(allowed, tuple(rules), False)
