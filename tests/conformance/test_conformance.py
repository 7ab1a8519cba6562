"""Every conformance case, by the compiled program and by the interpreter."""

from __future__ import annotations

import re

import pytest

from policyd.client.values import AuthorizationFailed
from policyd.decision.errors import InvalidRequest
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.reasons import Reason
from tests.support import conformance as cases
from tests.support.conformance import (
    DecisionCase,
    LoadCase,
    PartialCase,
    Question,
    TruthCase,
)

# The reasons that the rules give; every other one is the token's.
_BY_RULES = (
    Reason.ALLOWED,
    Reason.NO_RULE_ALLOWS,
    Reason.DENIED_BY_RULE,
    Reason.INSUFFICIENT_SCOPE,
    Reason.INSUFFICIENT_USER_AUTHENTICATION,
    Reason.INSUFFICIENT_AUTHORIZATION_DETAILS,
)
_CLAUSE = re.compile(r"[1-7]|2\.([1-9]|1[0-3])|(TOKENS|SEMANTICS), [a-z]+")


@pytest.mark.parametrize("case", cases.truth_cases(), ids=lambda case: case.name)
def test_condition(case: TruthCase) -> None:
    (asked,) = cases.trace(case.asked)
    assert asked.value is case.truth, "the interpreter"

    # An allow applies when true, a deny unless false: together they tell the values apart (2.6).
    assert cases.decide(case.asked).allowed is (case.truth is True), "the allow"
    assert cases.ask_embedded(case.asked).allowed is (case.truth is True), "the allow, embedded"
    assert cases.decide(case.refused).allowed is (case.truth is False), "the deny"


@pytest.mark.parametrize("case", cases.decision_cases(), ids=lambda case: case.name)
def test_decision(case: DecisionCase) -> None:
    expected = case.entry
    if expected.decision == "invalid":
        with pytest.raises(InvalidRequest):
            cases.decide(case.question)
        return

    decision = cases.decide(case.question)

    assert decision.allowed is (expected.decision == "allow")
    assert decision.reason == (expected.reason or decision.reason)
    if expected.rules is not None:
        assert decision.rules == expected.rules
    if expected.message is not None:
        assert decision.message == expected.message
    if expected.missing_scopes is not None:
        assert decision.missing_scopes == expected.missing_scopes
    if expected.missing_scopes_one_of is not None:
        assert decision.missing_scopes in expected.missing_scopes_one_of
    if decision.reason in _BY_RULES:
        traces = cases.trace(case.question)
        assert cases.determine(traces) == (decision.allowed, decision.rules), "the interpreter"
        _check_missing_scopes(case.question, frozenset(decision.missing_scopes))


@pytest.mark.parametrize("case", cases.decision_cases(), ids=lambda case: case.name)
def test_embedded_answers_as_the_engine_decides(case: DecisionCase) -> None:
    """Plain values there and back change nothing."""
    if case.entry.decision == "invalid":
        with pytest.raises(InvalidRequest) as mistake:
            cases.decide(case.question)
        with pytest.raises(AuthorizationFailed) as failed:
            cases.ask_embedded(case.question)
        assert failed.value.reason == mistake.value.code
        return
    decision = cases.decide(case.question)
    answer = cases.ask_embedded(case.question)
    for name in ("allowed", "reason", "rules", "message", "missing_scopes", "unknown_facts"):
        assert getattr(answer, name) == getattr(decision, name), name
    assert (answer.http_status, answer.www_authenticate) == (
        decision.http_status,
        decision.www_authenticate,
    )


def _check_missing_scopes(question: Question, missing: frozenset[str]) -> None:
    """With what is said to be missing the rules allow, and with less they do not (2.12)."""
    if not missing:
        return
    assert cases.determine(cases.trace(question, missing))[0], "they would be enough"
    for scope in missing:
        without = cases.determine(cases.trace(question, missing - {scope}))
        assert not without[0], f"`{scope}` is needed"


@pytest.mark.parametrize("case", cases.partial_cases(), ids=lambda case: case.name)
def test_what_is_certain(case: PartialCase) -> None:
    expected = case.entry
    decision = cases.decide_partially(case.question, expected.unknown)
    embedded = cases.ask_embedded_partially(case.question, expected.unknown)
    assert (embedded.outcome, embedded.depends_on) == (expected.outcome, expected.depends_on)

    assert decision.partial is not None
    assert (decision.partial.outcome, decision.partial.depends_on) == (
        expected.outcome,
        expected.depends_on,
    )
    assert decision.allowed is (expected.outcome == "allow")
    if expected.rules is not None:
        assert decision.rules == expected.rules
    assert decision.reason == (expected.reason or decision.reason)
    assert decision.missing_scopes == expected.missing_scopes
    for allowed, question in ((True, case.allowed), (False, case.denied)):
        if question is not None:
            assert cases.decide(question).allowed is allowed
            assert cases.determine(cases.trace(question))[0] is allowed, "the interpreter"
            assert expected.outcome in ("maybe", "allow" if allowed else "deny")
            if expected.missing_scopes:
                assert cases.decide(question).missing_scopes == expected.missing_scopes
                _check_missing_scopes(question, frozenset(expected.missing_scopes))


@pytest.mark.parametrize("case", cases.load_cases(), ids=lambda case: case.name)
def test_load(case: LoadCase) -> None:
    assert case.bad is not None or case.good is not None
    if case.good is not None:
        assert [one.headline for one in cases.errors(case.good, case.issuers)] == []
    if case.bad is not None:
        found = cases.errors(case.bad, case.issuers)
        assert found
        if case.code is not None:
            assert {one.code for one in found} == {case.code}


def test_the_order_of_files_does_not_matter() -> None:
    several = {
        case.question.files
        for case in cases.decision_cases()
        if len(case.question.files.policies) > 1
    }
    assert several
    for files in several:
        forwards = load(cases.sources(files)).policies
        backwards = load(cases.sources(files)[::-1]).policies
        assert forwards is not None
        assert backwards is not None
        assert forwards.revision == backwards.revision
        assert _outline(forwards) == _outline(backwards)


def _outline(policies: PolicySet) -> list[tuple[str, list[str]]]:
    return [(name, [rule.name for rule in api.rules]) for name, api in policies.apis.items()]


def test_every_case_is_named_once_and_cites_its_clause() -> None:
    named = [
        *((case.name, case.clause) for case in cases.truth_cases()),
        *((case.name, case.entry.clause) for case in cases.decision_cases()),
        *((case.name, case.entry.clause) for case in cases.partial_cases()),
        *((case.name, case.clause) for case in cases.load_cases()),
    ]

    assert len({name for name, _ in named}) == len(named)
    assert [clause for _, clause in named if _CLAUSE.fullmatch(clause) is None] == []
    assert len(named) >= 300
