from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from policyd.decision.engine import Engine
from policyd.decision.explain import Explanation
from policyd.decision.model import Request, StepUp
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.language.cases import TestToken as StatedToken
from policyd.tokens.model import ResourceServer
from policyd.tooling.evaluation import decision_json, decision_text
from policyd.tooling.subjects import TakenForGranted, stated_token
from tests.support.tooling import POLICY


def _explain(
    *,
    claims: dict[str, Json] | None = None,
    context: dict[str, Json] | None = None,
    **attributes: Json,
) -> Explanation:
    policies = load([Source("health.policy", POLICY)]).policies
    assert policies is not None
    token = stated_token(
        StatedToken(None, {"scope": ["read:patients"]}), policies.apis["health"], 0
    )
    token = replace(token, claims={**token.claims, **(claims or {})})
    engine = Engine(TakenForGranted(token), lambda: 0)
    engine.load(policies)
    required: dict[str, Json] = {"org_id": "o", "sealed": False, "visits": 0}
    return engine.explain(
        Request(
            "",
            "health",
            "read",
            "patient",
            attributes={**required, **attributes},
            context=context or {},
        )
    )


def _facts(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines())
    return {name: value.strip() for name, value in pairs}


def test_allow_as_text() -> None:
    facts = _facts(decision_text(_explain(), trace=False))
    assert (facts["decision"], facts["reason"], facts["rules"]) == ("allow", "ALLOWED", "reads")
    assert "message" not in facts


def test_step_up_and_ignored_attributes_as_text() -> None:
    facts = _facts(decision_text(_explain(sealed=True, odd=1), trace=True))
    assert facts["decision"] == "deny"
    assert facts["message"] == "a sealed record needs a strong login"
    assert facts["step-up"] == "acr strong, a login at most 900 s ago"
    assert facts["ignored"] == "undeclared attributes: odd"
    assert facts["HTTP status"] == "401"


def test_ill_typed_claim_in_a_trace() -> None:
    shown = decision_text(_explain(claims={"acr": 5}, sealed=True), trace=True)
    assert 'token.acr == "strong"   token.acr is 5, which is not a value of type string' in shown


def test_what_is_cut_says_so() -> None:
    explanation = _explain(context={"odd": 1})
    decision = replace(explanation.decision, rules_truncated=True)
    alternatives = replace(explanation.missing_scopes, sets=(("a", "b"), ("c",)), stopped=True)
    cut = replace(explanation, decision=decision, missing_scopes=alternatives)
    shown = decision_text(cut, trace=False)
    assert "rules:            reads …\n" in shown
    assert "missing scopes:   a b\nmissing scopes:   c\nmissing scopes:   … and" in shown
    assert "undeclared context: odd\n" in shown


def test_login_that_no_rule_names() -> None:
    explanation = replace(_explain(sealed=True), step_up=StepUp())
    assert _facts(decision_text(explanation, trace=False))["step-up"] == "another login"


def test_trace_follows_the_facts() -> None:
    assert "\n\nallow reads: true, so it applies\n" in decision_text(_explain(), trace=True)
    assert "allow reads" not in decision_text(_explain(), trace=False)


def test_json() -> None:
    document = json.loads(decision_json(_explain(sealed=True), trace=True))
    assert document["allowed"] is False
    assert document["reason"] == "INSUFFICIENT_USER_AUTHENTICATION"
    assert document["rules"] == ["sealed"]
    reads, sealed = document["trace"]["rules"]
    assert reads["condition"] == {"kind": "test", "value": True, "text": "scope read:patients"}
    assert sealed["condition"]["parts"][0]["facts"] == {
        "resource.sealed": {"state": "known", "value": True}
    }
    assert sealed["condition"]["parts"][1]["parts"][0]["name"] == "strong_login"
    assert document["trace"]["conditions"]["strong_login"]["value"] is None
    assert "trace" not in json.loads(decision_json(_explain(), trace=False))


def test_no_token_to_take_for_granted() -> None:
    with pytest.raises(LookupError):
        TakenForGranted().verify("", ResourceServer("health", frozenset()), 0)
