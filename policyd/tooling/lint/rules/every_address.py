"""A block of addresses that holds every address of its family."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from policyd.analysis.formulas import literals, parts
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        for part in parts(rule.checked):
            for fact, value in literals(part.formula):
                if isinstance(value, IPv4Network | IPv6Network) and value.prefixlen == 0:
                    yield Finding(
                        f'"{value}" holds every IPv{value.version} address',
                        part.label,
                        f"remove it; to test that an address is given, write `{fact.path} is "
                        "present`",
                    )


RULE = LintRule("P3014", check)
