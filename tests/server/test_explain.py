"""Explain of the real daemon: where it is offered, and that it agrees with Check."""

from __future__ import annotations

import grpc
import pytest

from policyd.v1 import authorization_pb2, explanation_pb2
from tests.support.daemon import Caller, Site, access_token, check_request, resource

EXPLAIN = "/policyd.v1.ExplanationService/Explain"


def explain(
    caller: Caller, request: authorization_pb2.CheckRequest
) -> explanation_pb2.ExplainResponse:
    asked = explanation_pb2.ExplainRequest(request=request)
    data = caller.raw(EXPLAIN, asked.SerializeToString())
    return explanation_pb2.ExplainResponse.FromString(data)


def test_a_listener_that_is_not_configured_for_it_has_no_explanations(caller: Caller) -> None:
    failed = caller.failure(EXPLAIN, b"")
    assert failed.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("action", ["read", "update"])
def test_decides_as_check_does(explain_caller: Caller, action: str, sealed: bool) -> None:
    asked = check_request(action=action, resource=resource("patient", "p1", sealed=sealed))
    explained, checked = explain(explain_caller, asked).response, explain_caller.check(asked)
    for answer in (explained, checked):
        answer.ClearField("decision_id")
        answer.ClearField("cacheable_until")
    assert explained == checked


def test_shows_rules_conditions_and_facts(explain_caller: Caller) -> None:
    asked = check_request(resource=resource("patient", "p1", sealed=True, colour="red"))
    asked.context.update({"weather": "fine"})
    shown = explain(explain_caller, asked)
    assert [(rule.rule, rule.applies) for rule in shown.rules] == [
        ("reads", True),
        ("sealed", True),
    ]
    sealed = shown.rules[1]
    assert sealed.effect == explanation_pb2.EFFECT_DENY
    assert sealed.value == explanation_pb2.TRUTH_UNKNOWN
    assert sealed.location.file == "health.policy"
    assert sealed.steps[0].depth == 0
    facts = {fact.path: fact for step in sealed.steps for fact in step.facts}
    assert facts["resource.sealed"].state == explanation_pb2.SeenFact.STATE_KNOWN
    assert facts["resource.sealed"].value.bool_value
    assert [condition.condition for condition in shown.conditions] == ["strong_login"]
    login = {fact.path: fact for step in shown.conditions[0].steps for fact in step.facts}
    assert login["token.acr"].state == explanation_pb2.SeenFact.STATE_MISSING
    assert not login["token.acr"].HasField("value")
    assert list(shown.ignored_attributes) == ["colour"]
    assert list(shown.ignored_context) == ["weather"]
    assert list(shown.step_up.acr_values) == ["urn:example:mfa"]
    assert shown.step_up.max_age_seconds == 900


def test_lists_the_scopes_that_would_do(explain_caller: Caller) -> None:
    shown = explain(explain_caller, check_request(access_token(scope="openid")))
    assert [list(one.scopes) for one in shown.missing_scope_alternatives] == [["read:patients"]]


def test_says_what_is_wrong_with_a_token(explain_caller: Caller) -> None:
    shown = explain(explain_caller, check_request("a.b.c"))
    assert shown.response.reason == "TOKEN_MALFORMED"
    assert shown.detail
    assert not shown.rules


def test_the_callers_mistakes_are_errors(explain_caller: Caller) -> None:
    malformed = explain_caller.failure(EXPLAIN, b"\xff")
    assert malformed.reason == "MESSAGE_MALFORMED"
    asked = explanation_pb2.ExplainRequest(request=check_request(action="reed"))
    misspelt = explain_caller.failure(EXPLAIN, asked.SerializeToString())
    assert list(misspelt.violations) == ["request.action"]


def test_masked_values_stay_out(site: Site) -> None:
    site.configure(
        'explain_listen = ["127.0.0.1:0"]', 'path = "decisions.ndjson"\nmask = ["resource.sealed"]'
    )
    with site.start() as daemon, Caller(daemon.addresses[1]) as caller:
        shown = explain(caller, check_request(resource=resource("patient", "p1", sealed=True)))
    facts = [fact for rule in shown.rules for step in rule.steps for fact in step.facts]
    masked = [fact for fact in facts if fact.path == "resource.sealed"]
    assert masked
    assert all(fact.masked and not fact.HasField("value") for fact in masked)
