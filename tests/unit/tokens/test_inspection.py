"""Inspecting: every step that can run is judged, and the first failure is what serving says."""

from __future__ import annotations

import pytest

from policyd.tokens.inspection import QUESTIONS, Inspection, inspect
from policyd.tokens.model import Json
from policyd.tokens.pipeline import PIPELINE
from tests.support.tokens import (
    BILLING,
    HEALTH,
    NOW,
    accepted_claims,
    issuer,
    key,
    reason,
    token,
    without,
)


def look(text: str) -> Inspection:
    return inspect(text, NOW, issuers=[issuer()], api=HEALTH)


def verdicts(inspection: Inspection) -> dict[str, str]:
    return {step.name: step.verdict for step in inspection.steps}


def test_every_step_has_its_question() -> None:
    assert list(QUESTIONS) == [step.name for step in PIPELINE]


def test_an_accepted_token_passes_every_step() -> None:
    seen = look(token())

    assert set(verdicts(seen).values()) == {"passed"}
    assert seen.reason is None
    assert seen.token is not None
    assert seen.token.subject == "auth0|123456"
    assert seen.claims == accepted_claims()
    assert seen.header is not None
    assert seen.header["alg"] == "RS256"


def test_all_that_is_wrong_shows_at_once() -> None:
    seen = look(token(accepted_claims(exp=1, aud="x", cnf={}), by=key(name="stranger")))
    found = verdicts(seen)

    assert [name for name, verdict in found.items() if verdict == "failed"] == [
        "key",
        "time",
        "audience",
    ]
    assert [name for name, verdict in found.items() if verdict == "skipped"] == [
        "signature",
        "facts",
        "binding",
        "revocation",
    ]
    assert seen.reason == "KEY_UNKNOWN"
    assert seen.token is None


@pytest.mark.parametrize(
    "claims",
    [
        accepted_claims(iss="https://other.example/"),
        accepted_claims(at_hash="x"),
        accepted_claims(exp=1),
        accepted_claims(aud="x"),
        accepted_claims(sub=""),
        accepted_claims(cnf={}),
        without(accepted_claims(), "azp"),
    ],
)
def test_the_reason_is_what_serving_would_say(claims: dict[str, Json]) -> None:
    text = token(claims)

    assert look(text).reason == reason(text)


def test_without_configuration_the_bytes_are_judged() -> None:
    seen = inspect(token(), NOW)

    passed = [name for name, verdict in verdicts(seen).items() if verdict == "passed"]
    assert passed == ["segments", "base64url", "header", "payload"]
    assert seen.steps[4].text == "no issuers are given"
    assert seen.claims == accepted_claims()
    assert seen.token is None
    assert seen.reason is None


def test_without_an_api_the_rest_is_judged() -> None:
    seen = inspect(token(), NOW, issuers=[issuer()])

    assert [step.name for step in seen.steps if step.verdict == "skipped"] == [
        "api",
        "audience",
        "facts",
        "binding",
        "revocation",
    ]
    assert inspect(token(), NOW, issuers=[issuer()], api=BILLING).reason == "AUDIENCE_MISMATCH"


@pytest.mark.parametrize("text", ["", "opaque", "a.b", "....", "a.b.c.d.e", "\ud800.\u00e9.x"])
def test_no_text_is_too_strange(text: str) -> None:
    seen = look(text)

    assert seen.reason == reason(text)
    assert (seen.header, seen.claims, seen.token) == (None, None, None)
