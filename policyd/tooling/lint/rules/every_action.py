"""An `allow` that lists all of two or more actions of its resource, as `any` would."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        resource = view.api.resources[rule.checked.resource]
        actions = rule.node.actions
        if (
            rule.checked.effect == "allow"
            and actions
            and len(resource.actions) > 1
            and rule.checked.actions == resource.actions
        ):
            yield Finding(
                f"allow `{rule.checked.name}` lists every action of `{resource.name}`",
                rule.label(actions[0].span.to(actions[-1].span)),
                "grant reading and changing by rules of their own, each with its scope",
            )


RULE = LintRule("P3003", check)
