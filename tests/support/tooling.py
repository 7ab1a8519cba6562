"""Policies and tests in a directory, for the tools that read files."""

from __future__ import annotations

from pathlib import Path

from policyd.diagnostics import Source, has_errors
from policyd.language import load, load_tests
from policyd.tooling.runner import Run, run_tests
from tests.support.catalogue import preamble

RULES = """
define strong_login as token.acr == "strong" and token.auth_time within last 15m

/// Any application that was granted the scope may read.
allow reads: read on patient
    when scope read:patients

deny sealed: any on patient
    when resource.sealed
    unless strong_login
    because "a sealed record needs a strong login"
"""
POLICY = f"{preamble()}{RULES}"
OPEN = '{ org_id: "org_red", sealed: false, visits: 0 }'
SEALED = '{ org_id: "org_red", sealed: true, visits: 0 }'


def in_a_test(*lines: str, title: str = "an example") -> str:
    """Return the text of a test file with one test."""
    inside = "".join(f"    {line}\n" for line in lines)
    return f'api health\n\ntest "{title}" {{\n{inside}}}\n'


def run(*lines: str, policy: str = POLICY) -> Run:
    """Run a test made of these lines against a policy."""
    loaded = load([Source("health.policy", policy)])
    assert loaded.policies is not None, [found.headline for found in loaded.diagnostics]
    tests = load_tests([Source("health_test.policy", in_a_test(*lines))], loaded.policies)
    assert not has_errors(tests.diagnostics), [found.headline for found in tests.diagnostics]
    return run_tests(loaded.policies, tests.tests)


def write(folder: Path, **texts: str) -> Path:
    """Write `NAME.policy` for each text, and return the folder."""
    for name, text in texts.items():
        (folder / f"{name}.policy").write_text(text, encoding="utf-8")
    return folder


#: An API whose only rule asks about the elements of a list.
ORDERS = """api health
audience "urn:orders"
claim orders: list? {
    key:  string (from key)
    kind: string
    size: int?
}
resource order {
    actions read
}
allow reads: read on order
    when token.orders has some (
        item.kind == "a"
        and item.size > 3
    )
"""
