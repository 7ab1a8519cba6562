"""Tokens of tests that are stated claim by claim: read by the pipeline, but for the signature."""

from __future__ import annotations

import pytest

from tests.support.catalogue import preamble
from tests.support.tooling import OPEN, run

POLICY = f"""{preamble()}
allow reads: read on patient
    when scope read:patients and subject is user and "clinician" in token.roles
"""
USER = 'sub: "auth0|ann", scope: "openid read:patients", "https://example.com/roles": ["clinician"]'


def _problems(dialect: str, claims: str, expectation: str) -> tuple[str, ...]:
    lines = ('at "2026-11-22T10:00:00Z"', f"token from {dialect} {{ {claims} }}", expectation)
    return run(*lines, policy=POLICY).results[0].problems


@pytest.mark.parametrize(
    ("dialect", "claims"),
    [
        ("auth0", f'{USER}, azp: "app"'),
        ("auth0-rfc9068", f'{USER}, client_id: "app", jti: "1"'),
        ("rfc9068", f'{USER}, client_id: "app", jti: "1", auth_time: 1795341000'),
        ("oidc", f"{USER}, auth_time: 1795341000"),
        ("okta", f'{USER}, cid: "app", uid: "00u1", scp: ["openid", "read:patients"]'),
        (
            "entra",
            f'{USER}, azp: "app", azpacr: "1", tid: "t", oid: "o", scp: "read:patients"',
        ),
        ("keycloak", f'{USER}, azp: "app", typ: "Bearer", auth_time: 1795341000'),
        ("cognito", f'{USER}, client_id: "app", token_use: "access", username: "ann"'),
    ],
)
def test_each_dialect_reads_what_it_writes(dialect: str, claims: str) -> None:
    assert _problems(dialect, claims, f"allow read on patient {OPEN} by reads") == ()


@pytest.mark.parametrize(
    ("dialect", "claims", "reason"),
    [
        ("auth0", f'{USER}, azp: "app", nonce: "n"', "ID_TOKEN"),
        ("auth0", f'{USER}, azp: "app", token_use: "id"', "ID_TOKEN"),
        ("auth0", USER, "TOKEN_TYPE"),
        ("auth0", f'{USER}, azp: "app", exp: 1795340000', "TOKEN_EXPIRED"),
        ("auth0", f'{USER}, azp: "app", nbf: 1895340000', "TOKEN_NOT_YET_VALID"),
        ("auth0", f'{USER}, azp: "app", aud: ["https://other.example"]', "AUDIENCE_MISMATCH"),
        ("auth0", f'{USER}, azp: "app", cnf: {{ jkt: "x" }}', "TOKEN_BINDING_INVALID"),
        ("rfc9068", f'{USER}, client_id: "app"', "CLAIM_MISSING"),
        ("auth0", 'sub: "auth0|ann", azp: "app", scope: ["read:patients"]', "CLAIM_INVALID"),
        ("auth0", 'sub: "app@clients", azp: "app", scope: "read:patients"', "NO_RULE_ALLOWS"),
    ],
)
def test_what_is_no_access_token_is_refused(dialect: str, claims: str, reason: str) -> None:
    assert _problems(dialect, claims, f"deny read on patient {OPEN} because {reason}") == ()


def test_an_unknown_dialect_is_said_with_those_that_there_are() -> None:
    (problem,) = _problems("auth", USER, f"deny read on patient {OPEN}")
    assert problem.startswith("there is no dialect `auth`: there are auth0, ")
