"""The test runner: what an expectation comes to, and that nothing is taken on trust."""

from __future__ import annotations

from typing import NoReturn

import pytest

from policyd.decision import call, engine
from policyd.decision.combine import CombinedEffect
from policyd.decision.errors import InvalidRequest
from policyd.program.index import Verdict
from policyd.tooling import runner
from policyd.tooling.reports import failures
from policyd.tooling.runner import EvaluatorsDisagree
from tests.support.tooling import OPEN, POLICY, SEALED, run

READER = "token { scope: [read:patients] }"


def _problems(*lines: str, policy: str = POLICY) -> list[str]:
    return [
        problem for outcome in run(*lines, policy=policy).results for problem in outcome.problems
    ]


def test_expectations_that_hold() -> None:
    assert (
        _problems(
            'at "2026-11-22T10:00:00Z"',
            READER,
            f'allow read on patient "p1" {OPEN} by reads because ALLOWED',
            f"deny update on patient {OPEN} because NO_RULE_ALLOWS",
            f"deny read on patient {SEALED} by sealed because INSUFFICIENT_USER_AUTHENTICATION",
            "token {}",
            f"deny read on patient {OPEN} because INSUFFICIENT_SCOPE",
            f"deny read on patient {OPEN} missing read:patients because INSUFFICIENT_SCOPE",
        )
        == []
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"deny read on patient {OPEN}", "expected deny, got allow (ALLOWED)"),
        (f"allow update on patient {OPEN}", "expected allow, got deny (NO_RULE_ALLOWS)"),
        (
            f"deny update on patient {OPEN} because INSUFFICIENT_SCOPE",
            "expected the reason INSUFFICIENT_SCOPE, got NO_RULE_ALLOWS",
        ),
        (f"deny update on patient {OPEN} by sealed", "expected it by sealed, got none"),
        (f"allow read on patient {OPEN} by sealed", "expected it by sealed, got reads"),
        (
            f"deny update on patient {OPEN} missing write:patients, read:patients",
            "expected the missing scopes read:patients, write:patients, got none",
        ),
    ],
)
def test_expectations_that_do_not_hold(line: str, problem: str) -> None:
    assert _problems('at "2026-11-22T10:00:00Z"', READER, line) == [problem]


def test_clock_stands_where_the_test_sets_it() -> None:
    login = 'token { scope: [read:patients], acr: "strong", auth_time: "2026-11-22T10:00:00Z" }'
    assert (
        _problems(
            login,
            'at "2026-11-22T10:15:00Z"',
            f"allow read on patient {SEALED}",
            'at "2026-11-22T10:15:01Z"',
            f"deny read on patient {SEALED}",
        )
        == []
    )


DECLARED = """
claim tenant: string from "/org/id"
claim level:  int?   from "https://example.com/level"
userinfo town: string? from "/address/locality"
"""
FACTS = """
allow by-fact: update on patient
    when {condition}
"""


@pytest.mark.parametrize(
    ("token", "condition"),
    [
        ("token {{ {tenant} }}", 'token.tenant == "t1"'),
        ("token {{ {tenant}, level: 3 }}", "token.level > 2"),
        ('token {{ {tenant}, sub: "u1" }}', 'token.subject == "u1" and token.sub == "u1"'),
        ('token {{ {tenant}, subject: "u1" }}', 'token.subject == "u1" and token.sub == "u1"'),
        (
            'token {{ {tenant}, subject: "u1", sub: "x" }}',
            'token.subject == "u1" and token.sub == "x"',
        ),
        ('token {{ {tenant}, client: "app" }}', 'token.client == "app"'),
        ('token {{ {tenant}, actor: "svc" }}', 'token.actor == "svc"'),
        ('token {{ {tenant}, jti: "j" }}', 'token.jti == "j"'),
        ('token {{ {tenant}, iss: "https://i/" }}', 'token.iss == "https://i/"'),
        ("token {{ {tenant} }}", "token.iss is present"),
        ("token {{ {tenant} }}", '"https://example.com/health-api" in token.audience'),
        ('token {{ {tenant}, audience: ["a"] }}', 'token.audience has all ["a"]'),
        ("token {{ {tenant}, permissions: [p] }}", '"p" in token.permissions'),
        ('token {{ {tenant}, amr: ["mfa"] }}', '"mfa" in token.amr'),
        ('token {{ {tenant}, acr: "a" }}', 'token.acr == "a"'),
        ("token user {{ {tenant} }}", "subject is user"),
        ("token application {{ {tenant} }}", "subject is application"),
        ("token {{ {tenant} }}", "token.client is missing and token.level is missing"),
        ('token {{ {tenant} }}\n    userinfo {{ town: "Bern" }}', 'userinfo.town == "Bern"'),
        ("token {{ {tenant} }}\n    userinfo {{ }}", "userinfo.town is missing"),
        ("token {{ {tenant} }}", "userinfo.town is missing"),
        (
            'token {{ {tenant}, issued_at: "2026-11-22T09:00:00Z" }}',
            'token.issued_at == "2026-11-22T09:00:00Z"',
        ),
        (
            'token {{ {tenant}, expires_at: "2026-11-22T11:30:00+01:00" }}',
            'token.expires_at == "2026-11-22T10:30:00Z"',
        ),
    ],
)
def test_token_holds_what_the_test_says(token: str, condition: str) -> None:
    policy = POLICY + DECLARED + FACTS.format(condition=condition)
    said = token.format(tenant='tenant: "t1"')
    lines = ('at "2026-11-22T10:00:00Z"', said, f"allow update on patient {OPEN} by by-fact")
    assert _problems(*lines, policy=policy) == []


def test_required_claim_is_required() -> None:
    lines = (READER, f"deny update on patient {OPEN} because CLAIM_MISSING")
    assert _problems(*lines, policy=POLICY + DECLARED) == []


def test_required_userinfo_is_required() -> None:
    policy = f"{POLICY}\nuserinfo level: int\n"
    lines = (READER, f"deny read on patient {OPEN} because CLAIM_MISSING", "userinfo { level: 3 }")
    assert _problems(*lines, f"allow read on patient {OPEN}", policy=policy) == []


def test_claims_below_each_other() -> None:
    claims = 'claim org: string? from "org"\nclaim org_name: string? from "/org/name"\n'
    lines = ('token { org: "x", org_name: "y" }', f"deny update on patient {OPEN}")
    assert _problems(*lines, policy=POLICY + claims) == []


def test_request_that_cannot_be_asked_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise InvalidRequest("resource.id", "is no text", "RESOURCE_ID_INVALID")

    monkeypatch.setattr(engine.Engine, "explain", refuse)
    (outcome,) = run(READER, f"deny update on patient {OPEN}").results
    assert outcome.problems == ("INVALID_ARGUMENT: resource.id: is no text",)
    assert outcome.decision is None
    assert runner.relevant_rules(outcome) == ()


def test_disagreement_of_the_evaluators_is_no_failed_test(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: Verdict) -> CombinedEffect:
        return CombinedEffect(allowed=False, rules=(), truncated=False)

    monkeypatch.setattr(call, "combine", nobody)
    with pytest.raises(EvaluatorsDisagree, match="the interpreter allow by"):
        run(READER, f"allow read on patient {OPEN}")


def test_failure_shows_the_rules_that_tell_why() -> None:
    failed = run('at "2026-11-22T10:00:00Z"', READER, f"allow read on patient {SEALED}")
    finding = failures(failed)[0]
    assert finding.code == "P4010"
    assert finding.primary is not None
    assert finding.primary.message == "expected allow, got deny (INSUFFICIENT_USER_AUTHENTICATION)"
    assert finding.notes[-1].splitlines() == [
        "deny sealed: unknown, so it applies",
        "  unknown  and",
        "  true       resource.sealed   resource.sealed is true",
        "  unknown    not",
        "  unknown      strong_login",
        "strong_login",
        "  unknown  and",
        '  unknown    token.acr == "strong"   token.acr is missing',
        "  unknown    token.auth_time within last 15m   token.auth_time is missing",
    ]


def test_failure_without_determining_rules_shows_all() -> None:
    failed = run(READER, f"allow update on patient {OPEN}")
    names = [trace.rule.name for trace in runner.relevant_rules(failed.results[0])]
    assert names == ["sealed"]
