"""Tests in several processes come to what they come to in one."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.errors import InternalError
from policyd.language import load, load_tests
from policyd.tooling.parallel import run_share, run_tests_in_parallel
from policyd.tooling.runner import ExpectationResult, run_tests
from tests.support.tooling import OPEN, POLICY, SEALED

TESTS = "api health\n" + "".join(
    f"""
test "number {number}" {{
    at "2026-11-22T10:00:00Z"
    token {{ scope: [{"read:patients" if number % 2 else ""}] }}
    allow read on patient "p{number}" {OPEN}
    deny  read on patient "p{number}" {SEALED}
}}
"""
    for number in range(7)
)


@pytest.mark.slow
def test_same_outcomes_in_the_same_order_with_the_traces_of_failures() -> None:
    sources = [Source("health.policy", POLICY), Source("health_test.policy", TESTS)]
    policies = load(sources[:1]).policies
    assert policies is not None
    cases = load_tests(sources[1:], policies).tests
    alone = run_tests(policies, cases)
    together = run_tests_in_parallel(policies, cases, sources, jobs=2)
    assert len(alone.failed) == 4
    assert together.coverage == alone.coverage
    assert [_plain(one) for one in together.results] == [_plain(one) for one in alone.results]
    for outcome in together.results:
        assert bool(outcome.traces.rules) is not outcome.passed


def _plain(outcome: ExpectationResult) -> tuple[object, ...]:
    decision = outcome.decision
    assert decision is not None
    said = (decision.allowed, decision.reason, decision.rules, decision.missing_scopes)
    return (outcome.case, outcome.expectation, outcome.problems, *said)


def test_a_share_is_some_of_the_tests() -> None:
    results, seen = run_share([("health.policy", POLICY), ("health_test.policy", TESTS)], (1, 3))
    problems = [len(problems) for _, problems in results]
    assert problems == [0, 0, 1, 0]
    assert seen.at(("health", "reads")) == {True, False}


def test_texts_that_do_not_load_are_a_defect() -> None:
    with pytest.raises(InternalError, match="does not load again"):
        run_share([("health.policy", "api health\n")], (0, 1))
