"""Inspecting: every step that can run is judged, and the first failure is what serving says."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.inspection import (
    QUESTIONS,
    Inspection,
    StepReport,
    Surroundings,
    inspect,
    named_audience,
)
from policyd.tokens.model import ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.pipeline import PIPELINE
from policyd.tokens.refusals import TokenRevoked
from tests.support.asking import FakeAsk, asked_issuer
from tests.support.proofs import CERTIFICATE, bound_token, certified_token, proof, sent
from tests.support.tokens import (
    BILLING,
    HEALTH,
    NOW,
    USERINFO,
    Clock,
    accepted_claims,
    issuer,
    key,
    reason,
    rfc9068_claims,
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
    assert seen.steps[4].text.startswith("no issuers are given")
    assert (seen.issuer, seen.facts, seen.could_be) == (None, None, ("auth0", "oidc"))
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


def step(inspection: Inspection, name: str) -> StepReport:
    return next(one for one in inspection.steps if one.name == name)


def test_facts_are_told_whether_they_are_proven_or_not() -> None:
    proven, claimed = look(token(accepted_claims(exp=1))), look(token(by=key(name="stranger")))
    for seen, is_signed in ((proven, True), (claimed, False)):
        assert seen.token is None
        assert seen.facts is not None
        assert seen.facts.subject == "auth0|123456"
        assert seen.is_signed is is_signed
    assert look(token(accepted_claims(scope=1))).facts is None


def test_steps_that_cannot_run_name_the_one_that_began_it() -> None:
    seen = look(token(accepted_claims(iss="https://other.example/")))
    skipped = {one.text for one in seen.steps if one.verdict == "skipped"}
    assert skipped == {"cannot run without `issuer`"}


def test_suggests_the_dialect_whose_mark_it_bears() -> None:
    keycloak = accepted_claims(typ="Bearer", aud=[*HEALTH.audiences, "my_client_id"])
    assert look(token(keycloak)).reason == "ID_TOKEN"
    assert look(token(keycloak)).suggested == ("keycloak",)
    rfc9068 = token(rfc9068_claims(), header={"typ": "at+jwt"})
    seen = inspect(rfc9068, NOW, issuers=[issuer(dialect="keycloak")], api=HEALTH)
    assert seen.reason == "TOKEN_TYPE"
    assert "rfc9068" in seen.suggested


def test_suggests_any_dialect_for_what_looks_like_no_id_token() -> None:
    seen = inspect(token(), NOW, issuers=[issuer(dialect="keycloak")], api=HEALTH)
    assert (seen.reason, seen.suggested) == ("TOKEN_TYPE", ("auth0", "oidc"))


def test_what_looks_like_an_id_token_needs_a_decisive_mark() -> None:
    claims = rfc9068_claims(aud=[*HEALTH.audiences], nonce="x", azp="other")
    text = token(claims, header={"typ": "at+jwt"})
    seen = inspect(text, NOW, issuers=[issuer(dialect="entra")], api=HEALTH)
    assert seen.reason == "ID_TOKEN"
    assert {"rfc9068", "auth0-rfc9068"}.issubset(seen.suggested)
    assert "oidc" in seen.could_be
    assert "oidc" not in seen.suggested


@pytest.mark.parametrize(
    "claims", [accepted_claims(nonce="x"), accepted_claims(aud="my_client_id", name="Jo")]
)
def test_suggests_no_dialect_for_an_id_token(claims: dict[str, Json]) -> None:
    seen = look(token(claims))
    assert (seen.reason, seen.suggested) == ("ID_TOKEN", ())


def test_suggests_no_dialect_where_it_is_right() -> None:
    assert look(token()).suggested == ()
    assert look(token(accepted_claims(exp=1))).suggested == ()


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (token(), "signed"),
        ("a.b.c", "signed"),
        ("a.b.c.d.e", "encrypted"),
        ("kJ8dhwlk2hd98h2d", "opaque"),
        ("", "unreadable"),
        ("a b", "unreadable"),
        ("a.b", "unreadable"),
        ("\x1b[2J", "unreadable"),
        ("\u00e9", "unreadable"),
        ("x" * 100_000, "opaque"),
        (f"{token()}{'A' * 100_000}", "signed"),
    ],
)
def test_tells_what_the_text_is(text: str, form: str) -> None:
    assert look(text).form == form


def test_asks_nobody_about_an_opaque_token() -> None:
    ask = FakeAsk()
    seen = inspect("opaque", NOW, issuers=[asked_issuer(ask, Clock())], api=HEALTH)
    assert seen.steps[0].verdict == "skipped"
    assert "by introspection" in seen.steps[0].text
    assert (seen.reason, seen.form, ask.requests) == (None, "opaque", [])


def test_keys_that_are_not_at_hand_are_no_failure() -> None:
    around = Surroundings(without_keys={issuer().settings.issuer: "at a URL"})
    seen = inspect(token(), NOW, issuers=[issuer()], api=HEALTH, around=around)
    assert (step(seen, "key").verdict, step(seen, "key").text) == ("skipped", "at a URL")
    assert (seen.reason, seen.token) == (None, None)


def test_a_doubt_keeps_a_step_from_passing_and_not_from_failing() -> None:
    around = Surroundings(doubts={"revocation": "the rest of the list", "time": "the clock"})
    seen = inspect(
        token(accepted_claims(exp=1)), NOW, issuers=[issuer()], api=HEALTH, around=around
    )
    assert step(seen, "time").reason == "TOKEN_EXPIRED"
    seen = inspect(token(), NOW, issuers=[issuer()], api=HEALTH, around=around)
    assert step(seen, "time").text == "the clock"
    assert (seen.token, seen.reason) == (None, None)


class AllRevoked:
    def check(self, token: VerifiedToken, now: float) -> None:
        raise TokenRevoked("everything is")


def test_revocations_are_looked_at() -> None:
    around = Surroundings(revocations=AllRevoked())
    assert inspect(token(), NOW, issuers=[issuer()], api=HEALTH, around=around).reason == (
        "TOKEN_REVOKED"
    )


@pytest.mark.parametrize(
    ("text", "came", "verdict", "reason"),
    [
        (bound_token(), sent(), "skipped", None),
        (bound_token(), sent(proof()), "passed", None),
        (bound_token(), sent(proof(htm="GET")), "failed", "TOKEN_BINDING_INVALID"),
        (certified_token(), sent(), "skipped", None),
        (certified_token(), sent(client_certificate_sha256=CERTIFICATE), "passed", None),
        (certified_token(), sent(client_certificate_sha256="x"), "failed", "TOKEN_BINDING_INVALID"),
        (token(), sent(proof()), "failed", "TOKEN_BINDING_INVALID"),
    ],
)
def test_proofs_of_the_sender(
    text: str, came: SenderProof, verdict: str, reason: str | None
) -> None:
    around = Surroundings(proof=came)
    seen = inspect(text, NOW, issuers=[issuer()], api=HEALTH, around=around)
    assert (step(seen, "binding").verdict, seen.reason) == (verdict, reason)


def test_the_audience_is_read_from_any_text() -> None:
    assert named_audience(token()) == {*HEALTH.audiences, USERINFO}
    assert named_audience(token(accepted_claims(aud=[1, "x"]))) == {"x"}
    assert named_audience(token(without(accepted_claims(), "aud"))) == set()
    assert named_audience("opaque") == set()


def test_the_audience_of_a_token_without_one_is_what_its_scopes_name() -> None:
    claims = without(accepted_claims(token_use="access", client_id="c", scope="api/read"), "aud")
    seen = inspect(token(claims), NOW, issuers=[issuer(dialect="cognito")])
    assert seen.audience == set()  # the step needs an API
    api = ResourceServer("x", frozenset({"api"}))
    seen = inspect(token(claims), NOW, issuers=[issuer(dialect="cognito")], api=api)
    assert seen.audience == {"api"}
