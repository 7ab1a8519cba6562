"""What the linter says of a text, for tests."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from policyd.diagnostics import Diagnostic, Severity, Source, has_errors
from policyd.language import load, load_tests
from policyd.tooling.lint import DEFAULT, lint
from tests.support.catalogue import preamble


def linted(
    text: str, *, tests: str | None = None, selected: Collection[str] = DEFAULT
) -> tuple[Diagnostic, ...]:
    """Lint one policy file, and its test file if there is one."""
    policies = Source("example.policy", text)
    loaded = load([policies])
    assert loaded.policies is not None, [found.headline for found in loaded.diagnostics]
    if tests is None:
        return lint(loaded.policies, [policies], None, selected)
    test_file = Source("example_test.policy", tests)
    checked = load_tests([test_file], loaded.policies)
    assert not has_errors(checked.diagnostics), [found.headline for found in checked.diagnostics]
    return lint(loaded.policies, [policies, test_file], checked.tests, selected)


def below_preamble(text: str, code: str, *, tests: str | None = None) -> list[Diagnostic]:
    """What one rule finds in declarations below those of the catalogue, which it may find too."""
    start = len(preamble())
    return [
        found
        for found in linted(f"{preamble()}\n{text}", tests=tests, selected={code})
        if found.primary is not None and found.primary.span.start > start
    ]


def pointed(found: Diagnostic) -> str:
    """The text that a finding points at."""
    assert found.primary is not None
    return found.primary.source.text[slice(*found.primary.span)]


SCOPE = "scope read:patients"


class Case(NamedTuple):
    """A name that begins with a code, declarations below those of the catalogue, and the texts that
    the rule of this code points at."""

    name: str
    text: str
    found: tuple[str, ...] = ()


def assert_found(case: Case) -> None:
    """Assert that the rule finds what the case says, and that it only warns."""
    found = below_preamble(case.text, case.name.split()[0])
    assert tuple(map(pointed, found)) == case.found
    assert {one.severity for one in found} <= {Severity.WARNING}


def allow(condition: str, *, name: str = "one", actions: str = "read") -> str:
    """An `allow` on the catalogue's patient."""
    return f"allow {name}: {actions} on patient\n    when {condition}\n"


def deny(condition: str, unless: str = "", *, name: str = "one", actions: str = "any") -> str:
    """A `deny` on the catalogue's patient."""
    exception = f"    unless {unless}\n" if unless else ""
    return f'deny {name}: {actions} on patient\n    when {condition}\n{exception}    because "n"\n'
