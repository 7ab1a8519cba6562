"""`within last` more than 30 days, which is a lifetime rather than a window."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import parts
from policyd.language import policy
from policyd.tooling.lint.model import Finding, LintRule, View

_DAY = 24 * 60 * 60
_LONGEST = 30


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        for part in parts(rule.checked):
            match part.formula:
                case policy.WithinLast(seconds=seconds) if seconds > _LONGEST * _DAY:
                    yield Finding(
                        f"the window is more than {_LONGEST} days long",
                        part.label,
                        "ask for something more recent: a login or an event this old says little "
                        "about now",
                    )


RULE = LintRule("P3013", check)
