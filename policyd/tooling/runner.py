"""Runs policy tests: each expectation through the engine, checked against the interpreter.

Input: a checked policy set and its tests. Output: a `Run` with an `ExpectationResult` for each
expectation, in the order of the files, and the coverage of the policies. If the two evaluators
disagree, that is no failed test but a defect of policyd: `EvaluatorsDisagree`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal as OneOf

import msgspec

from policyd.decision.combine import RULES_SHOWN
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.explain import Explanation
from policyd.decision.model import Decision, Request
from policyd.errors import InternalError
from policyd.language.cases import TestCase, TestClaims, TestExpectation, TestToken
from policyd.language.policy import Api, PolicySet
from policyd.program.trace import RuleTrace, Traces
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import TokenRefused
from policyd.tooling.coverage import Coverage, Seen, measure
from policyd.tooling.issuing import Issuing
from policyd.tooling.subjects import TakenForGranted, UnknownDialect, passed, stated_token, userinfo

#: The clock of a test whose rules do not read it, in seconds since the epoch.
_ANY_TIME = 1_000_000_000
#: Traces where there is nothing to show.
NOTHING = Traces((), ())
_DEFAULTS = Issuing()


class EvaluatorsDisagree(InternalError):
    """The compiled program and the interpreter come to different decisions."""


class ExpectationResult(msgspec.Struct, frozen=True):
    """The result of one expectation. `problems` is empty if it held.

    `decision` is `None` if the request was invalid; then `problems` says why. `traces` are kept if
    the expectation did not hold.
    """

    case: TestCase
    expectation: TestExpectation
    decision: Decision | None
    problems: tuple[str, ...]
    traces: Traces = NOTHING

    @property
    def passed(self) -> bool:
        return not self.problems


class Run(msgspec.Struct, frozen=True):
    """All results in order, and what they show of the policies."""

    results: tuple[ExpectationResult, ...]
    coverage: Coverage

    @property
    def failed(self) -> tuple[ExpectationResult, ...]:
        return tuple(result for result in self.results if not result.passed)


def run_tests(policies: PolicySet, cases: Iterable[TestCase], issuing: Issuing = _DEFAULTS) -> Run:
    """Run the tests. Raises `EvaluatorsDisagree`."""
    runner = Runner(policies, issuing)
    results = tuple(
        runner.evaluate(case, expectation) for case in cases for expectation in case.expectations
    )
    return Run(results, measure(policies, runner.seen))


class Runner:
    """An engine whose clock and token stand still until the next expectation sets them.

    `seen` is what all expectations so far have shown. `issuing` is how issuers write the tokens
    that tests state as these do.
    """

    def __init__(self, policies: PolicySet, issuing: Issuing = _DEFAULTS) -> None:
        self.seen = Seen()
        self._policies = policies
        self._issuing = issuing
        self._validator = TakenForGranted()
        self._now = _ANY_TIME
        self._engine = Engine(self._validator, lambda: self._now)
        self._engine.load(policies)

    def evaluate(self, case: TestCase, expected: TestExpectation) -> ExpectationResult:
        """Ask what one expectation expects. Raises `EvaluatorsDisagree`."""
        try:
            explanation = self._engine.explain(self._prepare(case, expected))
        except InvalidRequest as mistake:
            return ExpectationResult(case, expected, None, (f"INVALID_ARGUMENT: {mistake}",))
        except UnknownDialect as mistake:
            return ExpectationResult(case, expected, None, (str(mistake),))
        _compare(case, explanation)
        self.seen.add(case.api, explanation.traces)
        problems = tuple(_problems(expected, explanation.decision))
        traces = explanation.traces if problems else NOTHING
        return ExpectationResult(case, expected, explanation.decision, problems, traces)

    def holds(self, case: TestCase, expected: TestExpectation) -> bool:
        """Tell whether one expectation holds, by the compiled program alone."""
        request = self._prepare(case, expected)
        try:
            decision = self._engine.check(request)
        except InvalidRequest:
            return False
        return not any(_problems(expected, decision))

    def _prepare(self, case: TestCase, expected: TestExpectation) -> Request:
        """Set token and clock, and return the request."""
        api = self._policies.apis[case.api]
        self._now = _ANY_TIME if expected.now is None else expected.now
        self._validator.token = _token(expected.token, api, self._now, self._issuing)
        self._validator.userinfo_claims = userinfo(expected.userinfo, api)
        return Request(
            access_token="",
            api=case.api,
            action=expected.action,
            resource_type=expected.resource_type,
            resource_id=expected.resource_id,
            attributes=passed(
                expected.attributes, api.resources[expected.resource_type].attributes
            ),
            context=passed(expected.context, api.context),
        )


def _token(
    stated: TestToken | TestClaims, api: Api, now: int, issuing: Issuing
) -> VerifiedToken | TokenRefused:
    """Return the token that a test states, or why it is refused at `now`."""
    if isinstance(stated, TestToken):
        return stated_token(stated, api, now)
    # Loads what verifies tokens, cryptography too; few tests state what an issuer writes.
    from policyd.tooling.claims import read_claims

    try:
        return read_claims(stated, api, now, issuing)
    except TokenRefused as refusal:
        return refusal


def _compare(case: TestCase, explanation: Explanation) -> None:
    """Decide once more, from the interpreter's traces alone."""
    decision = explanation.decision
    applying = [trace.rule for trace in explanation.traces.rules if trace.applies]
    denies = [rule.name for rule in applying if rule.effect == "deny"]
    rules = denies or [rule.name for rule in applying]
    allowed = bool(rules) and not denies
    if (allowed, tuple(sorted(rules)[:RULES_SHOWN])) != (decision.allowed, decision.rules):
        raise EvaluatorsDisagree(
            f'test "{case.title}" of API {case.api}: the program says '
            f"{_effect(decision.allowed)} by {list(decision.rules)}, the interpreter "
            f"{_effect(allowed)} by {sorted(rules)}"
        )


def _problems(expected: TestExpectation, decision: Decision) -> Iterable[str]:
    if _effect(decision.allowed) != expected.effect:
        yield f"expected {expected.effect}, got {_effect(decision.allowed)} ({decision.reason})"
    elif expected.reason is not None and decision.reason != expected.reason:
        yield f"expected the reason {expected.reason}, got {decision.reason}"
    if expected.by and decision.rules != expected.by:
        yield f"expected it by {', '.join(expected.by)}, got {', '.join(decision.rules) or 'none'}"
    if expected.missing and tuple(sorted(decision.missing_scopes)) != expected.missing:
        missing = ", ".join(sorted(decision.missing_scopes)) or "none"
        yield f"expected the missing scopes {', '.join(expected.missing)}, got {missing}"


def _effect(allowed: bool) -> OneOf["allow", "deny"]:
    return "allow" if allowed else "deny"


def relevant_rules(result: ExpectationResult) -> tuple[RuleTrace, ...]:
    """Return the rules that tell why an expectation did not hold.

    Those are the rules that it names and those that decided; or else all that were looked at.
    """
    if result.decision is None:
        return ()
    rules = result.traces.rules
    named = {*result.expectation.by, *result.decision.rules}
    return tuple(trace for trace in rules if trace.rule.name in named) or rules
