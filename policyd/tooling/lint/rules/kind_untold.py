"""A rule that asks for a user, where an issuer's tokens may not tell that it is one."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language.policy import SubjectIs
from policyd.language.walks import walk
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    untold = sorted(name for name, row in view.dialects.items() if not row.marks_users)
    names = ", ".join(f"`{name}`" for name in untold)
    for rule in view.rules if untold else ():
        asked = (part for part in walk(rule.checked.formula) if isinstance(part, SubjectIs))
        if any(part.kind == "user" for part in asked):
            yield Finding(
                f"`{rule.checked.name}` asks for a user, whom tokens of {names} tell by `auth_time`"
                " alone",
                rule.name_label,
                "have the issuer put `auth_time` into access tokens, or test for what only users "
                "have; a test with `token from …` shows which",
                notes=("without it, `subject is user` is unknown, and no `allow` applies by it",),
            )


RULE = LintRule("P3105", check)
