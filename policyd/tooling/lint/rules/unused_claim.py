"""A claim, of the token or of the userinfo, that is declared and that no rule reads."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Source
from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    for claim in view.declarations(nodes.Claim):
        yield from _unused(view, claim.node, claim.source, "claim", "token")
    for userinfo in view.declarations(nodes.Userinfo):
        yield from _unused(view, userinfo.node, userinfo.source, "userinfo claim", "userinfo")


def _unused(
    view: View, node: nodes.Claim | nodes.Userinfo, source: Source, kind: str, root: str
) -> Iterator[Finding]:
    if f"{root}.{node.name.text}" not in view.read_by_rules:
        yield Finding(
            f"no rule reads the {kind} `{node.name.text}`",
            label_of(source, node.name),
            "use it in a rule, or remove it",
            notes=()
            if node.type.optional
            else ("without `?` it is demanded: a token that lacks it is refused all the same",),
        )


RULE = LintRule("P3022", check)
