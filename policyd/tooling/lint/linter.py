"""Runs the rules over a checked policy set.

Input: the policies, the texts that they were loaded from, and their tests if there are any.
Output: findings, all of them warnings, sorted by place, without those that a comment suppresses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from policyd.diagnostics import Diagnostic, Source
from policyd.language import nodes, parse
from policyd.language.cases import TestCase
from policyd.language.parser import TEST_SUFFIX
from policyd.language.policy import PolicySet
from policyd.tokens.settings.dialect import Dialect
from policyd.tooling.lint import suppressions
from policyd.tooling.lint.model import LintRule, TestsOfApi, View
from policyd.tooling.lint.rules import RULES
from policyd.tooling.runner import run_tests

#: Every code of the linter with its name, sorted by code.
NAMES: dict[str, str] = {**{rule.code: rule.name for rule in RULES}, **suppressions.NAMES}
#: The codes that are looked for where nothing else is selected.
DEFAULT: frozenset[str] = frozenset(NAMES) - {rule.code for rule in RULES if not rule.default}

#: The dialects of the issuers of each API, by its name and theirs.
DialectsOfApis = Mapping[str, Mapping[str, Dialect]]
_NO_DIALECTS: DialectsOfApis = {}


def lint(
    policies: PolicySet,
    sources: Sequence[Source],
    tests: Sequence[TestCase] | None = None,
    selected: Collection[str] = DEFAULT,
    dialects: DialectsOfApis = _NO_DIALECTS,
) -> tuple[Diagnostic, ...]:
    """Return what the selected rules find.

    `sources` are the files that `policies` and `tests` were loaded from, without an error. `tests`
    is `None` where none were looked for, which is not the same as an API without tests. `dialects`
    are those of the issuers of each API, where a configuration says which.
    """
    files = [parsed.file for parsed in map(parse, sources) if parsed.file is not None]
    rules = [
        rule for rule in RULES if rule.code in selected and not (rule.needs_tests and tests is None)
    ]
    if not any(rule.needs_tests for rule in rules):
        tests = None
    found = _found(rules, _views(policies, files, tests, dialects))
    wrong: list[Diagnostic] = []
    suppressed: list[suppressions.Suppression] = []
    for file in files:
        its, problems = suppressions.find(file, [rule.code for rule in RULES])
        suppressed += its
        wrong += problems
    left = suppressions.apply(found, suppressed, {rule.code for rule in rules})
    return tuple(
        sorted(
            (one for one in (*left, *wrong) if one.code in selected),
            key=lambda one: one.sort_key,
        )
    )


def _found(rules: Sequence[LintRule], views: Sequence[View]) -> list[Diagnostic]:
    """A condition is read once for each rule that names it; what is found there is said once."""
    found: dict[tuple[object, ...], Diagnostic] = {}
    for view in views:
        for rule in rules:
            for finding in rule.check(view):
                place = (finding.label.source.name, finding.label.span)
                found.setdefault((rule.code, *place), finding.diagnostic(rule.code))
    return list(found.values())


def _views(
    policies: PolicySet,
    files: Sequence[nodes.File],
    tests: Sequence[TestCase] | None,
    dialects: DialectsOfApis,
) -> list[View]:
    of_api: defaultdict[str, list[nodes.File]] = defaultdict(list)
    for file in sorted(files, key=lambda one: one.source.name):
        if not file.source.name.endswith(TEST_SUFFIX):
            of_api[file.api.text].append(file)
    applied = _applied(policies, tests)
    return [
        View(
            api,
            tuple(of_api[name]),
            None
            if tests is None
            else TestsOfApi(
                tuple(case for case in tests if case.api == name),
                frozenset(rule for owner, rule in applied if owner == name),
            ),
            dialects.get(name, {}),
        )
        for name, api in policies.apis.items()
    ]


def _applied(policies: PolicySet, tests: Sequence[TestCase] | None) -> set[tuple[str, str]]:
    """The rules that the tests show where they apply, by API and name."""
    if not tests:
        return set()
    parts = run_tests(policies, tests).coverage.parts
    return {(one.api, one.name) for one in parts if one.sides and True in one.sides.seen}
