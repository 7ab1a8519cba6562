"""Stolen tokens and stolen proofs: each differs in one respect from a twin that is accepted.

Here is what a token is bound to, and what is shown again; `test_sender_constraint_proofs` has the
proofs themselves.
"""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.model import NO_PROOF
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import (
    DpopNonceNeeded,
    DpopProofInvalid,
    DpopProofsExhausted,
    TokenBindingInvalid,
)
from policyd.tokens.validator import Validator
from tests.support.proofs import (
    CERTIFICATE,
    LEFT_OUT,
    URI,
    accept,
    bound_token,
    certified_token,
    jkt,
    proof,
    public,
    refuse,
    sender,
    sent,
    verifying,
)
from tests.support.tokens import (
    HEALTH,
    NOW,
    accepted_claims,
    issuer,
    token,
    validator,
    verify,
)

STRANGER = sender(name="stranger")
PROOF = DpopProofInvalid
BINDING = TokenBindingInvalid


@pytest.fixture(autouse=True)
def the_twins_are_accepted() -> None:
    assert accept(bound_token(), sent(proof())).binding is not None
    assert (
        accept(certified_token(), sent(client_certificate_sha256=CERTIFICATE)).binding is not None
    )
    assert accept(token(), NO_PROOF).binding is None


# --- what a token is bound to -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confirmation", "detail"),
    [
        (None, "must be an object"),
        ("x", "must be an object"),
        ([], "must be an object"),
        ({}, "found none"),
        ({"jkt": jkt(), "x5t#S256": CERTIFICATE}, "found 'jkt', 'x5t#S256'"),
        ({"jkt": jkt(), "kid": "k"}, "found 'jkt', 'kid'"),
        ({"kid": "k"}, "has 'kid'; known are"),
        ({"jwk": public(sender())}, "has 'jwk'; known are"),
        ({"x5t": CERTIFICATE}, "has 'x5t'; known are"),
        ({"JKT": jkt()}, "has 'JKT'; known are"),
        ({"jkt": jkt() + "="}, "no base64url of 32 bytes"),
        ({"jkt": jkt()[:-1]}, "no base64url of 32 bytes"),
        ({"jkt": jkt() + "A"}, "no base64url of 32 bytes"),
        ({"jkt": jkt()[:-1] + "B"}, "no base64url of 32 bytes"),
        ({"jkt": jkt()[:-1] + "é"}, "no base64url of 32 bytes"),
        ({"jkt": ""}, "no base64url of 32 bytes"),
        ({"jkt": 1}, "no base64url of 32 bytes"),
        ({"jkt": None}, "no base64url of 32 bytes"),
        ({"jkt": [jkt()]}, "no base64url of 32 bytes"),
        ({"x5t#S256": ":".join(["AB"] * 14) + "A"}, "no base64url of 32 bytes"),
    ],
)
@pytest.mark.parametrize("certified", [False, True])
def test_a_token_bound_to_what_cannot_be_checked(
    confirmation: Json, detail: str, certified: bool
) -> None:
    """No token of these is taken for a bearer token, whatever comes along, nor told otherwise."""
    text = token(accepted_claims(cnf=confirmation))
    assert detail in str(refuse(text, sent(proof(text))))
    came = sent(client_certificate_sha256=CERTIFICATE) if certified else NO_PROOF
    refusal = refuse(text, came)
    assert detail in str(refusal)
    assert (refusal.reason, refusal.error_code) == ("TOKEN_BINDING_INVALID", "invalid_token")
    assert refusal.token is not None
    assert refusal.token.subject == "auth0|123456"


@pytest.mark.parametrize("second", ["kid", "x5t#S256", "jwk", "unheard-of"])
def test_a_proof_does_not_help_a_token_bound_to_what_cannot_be_checked(second: str) -> None:
    """With the proof and without, the same is said."""
    text = token(accepted_claims(cnf={"jkt": jkt(), second: "k"}))
    refusals = [refuse(text, NO_PROOF), refuse(text, sent(proof(text)))]

    assert {type(refusal) for refusal in refusals} == {BINDING}
    assert len({str(refusal) for refusal in refusals}) == 1
    assert "`cnf` must have one member" in str(refusals[0])


# --- a token alone ------------------------------------------------------------------------------


def test_a_bound_token_as_bearer_token() -> None:
    """RFC 9449, section 7.2: downgraded."""
    for came in (NO_PROOF, sent(), sent(client_certificate_sha256=CERTIFICATE)):
        refusal = refuse(bound_token(), came)
        assert type(refusal) is BINDING
        assert "the request has no proof" in str(refusal)


def test_a_bound_token_without_its_certificate() -> None:
    for came in (NO_PROOF, sent()):
        assert "the request has none" in str(refuse(certified_token(), came))


@pytest.mark.parametrize("text", [token(), certified_token()])
def test_a_proof_beside_a_token_that_is_not_bound_to_its_key(text: str) -> None:
    """RFC 9449, section 4.3, check 12: there is nothing that the key could match."""
    refusal = refuse(text, sent(proof(text), client_certificate_sha256=CERTIFICATE))
    assert type(refusal) is BINDING
    assert "not bound to its key" in str(refusal)


def test_a_certificate_beside_a_token_that_is_not_bound_to_it_says_nothing() -> None:
    certified = sent(client_certificate_sha256=CERTIFICATE)
    assert accept(token(), certified).binding is None
    also_proven = sent(proof(), client_certificate_sha256="x")
    assert accept(bound_token(), also_proven).binding is not None


# --- certificates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("presented", "detail"),
    [
        (jkt(), "the token is bound to"),
        (CERTIFICATE[:5].swapcase() + CERTIFICATE[5:], "the token is bound to"),
        (CERTIFICATE + "=", "without padding"),
        (CERTIFICATE[:-1], "without padding"),
        (" " + CERTIFICATE[1:], "without padding"),
        (CERTIFICATE[:-1] + "é", "without padding"),
        (jws.decode_segment(CERTIFICATE.encode(), "x").hex(), "without padding"),
    ],
    ids=["key", "other", "padded", "cut", "space", "letter", "hex"],
)
def test_another_certificate(presented: str, detail: str) -> None:
    refusal = refuse(certified_token(), sent(client_certificate_sha256=presented))
    assert type(refusal) is BINDING
    assert detail in str(refusal)


# --- shown again --------------------------------------------------------------------------------


def test_a_proof_that_is_shown_again() -> None:
    of = verifying()
    came = sent(proof())
    accept(bound_token(), came, of)
    refusal = refuse(bound_token(), came, of)
    assert type(refusal) is PROOF
    assert "was shown before" in str(refusal)
    accept(bound_token(), sent(proof(jti="proof-2")), of)


def test_a_proof_made_anew_under_a_name_that_was_used() -> None:
    """One use for key and `jti`, whatever else is in the proof."""
    of = verifying()
    accept(bound_token(), sent(proof()), of)
    fresh = sent(proof(iat=NOW + 1))
    assert "was shown before" in str(refuse(bound_token(), fresh, of, NOW + 1))


def test_names_of_other_senders_are_their_own() -> None:
    of = verifying()
    accept(bound_token(), sent(proof()), of)
    text = bound_token(STRANGER)
    accept(text, sent(proof(text, by=STRANGER)), of)


def test_a_proof_that_is_shown_again_within_its_request() -> None:
    """One HTTP request may need several answers, and a call may be made again."""
    of = verifying()
    for _ in range(3):
        accept(bound_token(), sent(proof(), request_id="request-1"), of)
    for other in ("request-2", ""):
        again = sent(proof(), request_id=other)
        assert "was shown before" in str(refuse(bound_token(), again, of))
    accept(bound_token(), sent(proof(), request_id="request-1"), of)


def test_a_proof_is_remembered_for_as_long_as_it_could_count() -> None:
    of = verifying()
    came = sent(proof(iat=NOW + 5))
    accept(bound_token(), came, of)
    for second in range(65):
        assert "was shown before" in str(refuse(bound_token(), came, of, NOW + second + 0.9))
    assert "made 60 s ago" in str(refuse(bound_token(), came, of, NOW + 65))


@pytest.mark.parametrize(
    "spoiled", [proof(htm="GET"), proof(htu=URI + "x"), proof(iat=0), proof(ath="x")]
)
def test_a_proof_that_is_refused_takes_no_place(spoiled: str) -> None:
    of = verifying(replay_entries=1)
    assert type(refuse(bound_token(), sent(spoiled), of)) is PROOF
    assert type(refuse(bound_token(), sent(proof(by=STRANGER)), of)) is BINDING
    forged = proof(by=STRANGER, header={"jwk": public(sender())})
    assert type(refuse(bound_token(), sent(forged), of)) is PROOF
    accept(bound_token(), sent(proof()), of)


def test_where_there_is_no_room_proofs_are_refused() -> None:
    of = verifying(replay_entries=3)
    for number in range(3):
        accept(bound_token(), sent(proof(jti=str(number), iat=NOW + number)), of, NOW + number)
    refusal = refuse(bound_token(), sent(proof(jti="more")), of, NOW + 3)
    assert type(refusal) is DpopProofsExhausted
    assert "3 DPoP proofs are remembered" in str(refusal)
    assert (refusal.reason, refusal.error_code) == (
        "TOKEN_BINDING_INVALID",
        "temporarily_unavailable",
    )
    assert refusal.retry_after is not None
    # What was shown is still known, and nobody else's place is given away.
    assert "was shown before" in str(refuse(bound_token(), sent(proof(jti="0")), of, NOW + 3))
    later = NOW + 3 + refusal.retry_after
    accept(bound_token(), sent(proof(jti="more", iat=later)), of, later)


def test_one_sender_cannot_use_up_the_room_of_others() -> None:
    of = verifying(replay_per_key=2)
    for number in range(2):
        accept(bound_token(), sent(proof(jti=str(number))), of)
    refusal = refuse(bound_token(), sent(proof(jti="more")), of)
    assert type(refusal) is DpopProofsExhausted
    assert "2 DPoP proofs by this key" in str(refusal)
    text = bound_token(STRANGER)
    accept(text, sent(proof(text, by=STRANGER)), of)


# --- nonces (check 10) --------------------------------------------------------------------------


def test_a_proof_without_a_nonce_that_counts() -> None:
    of = verifying(nonce=True, nonce_secret=b"s" * 32)
    others = verifying(nonce=True, nonce_secret=b"t" * 32)
    good, foreign = nonce(of), nonce(others)
    accept(bound_token(), sent(proof(nonce=good)), of)
    for number, bad in enumerate((LEFT_OUT, None, "", 5, foreign, good + "x", "é")):
        refusal = refuse(bound_token(), sent(proof(nonce=bad, jti=str(number))), of)
        assert type(refusal) is DpopNonceNeeded
        assert refusal.error_code == "use_dpop_nonce"


def test_a_nonce_of_long_ago() -> None:
    of = verifying(nonce=True, nonce_secret=b"s" * 32, nonce_lifetime=300)
    old = nonce(of)
    for after, number in ((0, "a"), (300, "b")):
        now = NOW + after
        accept(bound_token(), sent(proof(nonce=old, iat=now, jti=number)), of, now)
    now = NOW + 600
    refusal = refuse(bound_token(), sent(proof(nonce=old, iat=now, jti="c")), of, now)
    assert type(refusal) is DpopNonceNeeded
    assert "too old or not ours" in str(refusal)


def test_daemons_that_share_a_secret_take_each_others_nonces() -> None:
    secret = b"s" * 32
    one, other = (verifying(nonce=True, nonce_secret=secret) for _ in range(2))
    accept(bound_token(), sent(proof(nonce=nonce(one))), other)
    alone = verifying(nonce=True), verifying(nonce=True)
    assert type(refuse(bound_token(), sent(proof(nonce=nonce(alone[0]))), alone[1])) is (
        DpopNonceNeeded
    )


def test_without_nonces_none_is_given_out() -> None:
    assert SenderConstraints().dpop_nonce(NOW) is None


def test_a_nonce_that_nobody_asked_for_says_nothing() -> None:
    accept(bound_token(), sent(proof(nonce="whatever")))


def test_a_nonce_does_not_make_a_proof_younger() -> None:
    of = verifying(nonce=True)
    stale = sent(proof(nonce=nonce(of), iat=NOW - 60))
    assert "made 60 s ago" in str(refuse(bound_token(), stale, of))


def nonce(of: Validator) -> str:
    made = of.candidate("", HEALTH, NOW).trust.constraints.dpop_nonce(NOW)
    assert made is not None
    return made


# --- issuers that have to bind ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("required", "welcome"),
    [("dpop", ["dpop"]), ("mtls", ["mtls"]), ("any", ["dpop", "mtls"])],
)
def test_a_token_that_is_not_bound_as_its_issuer_is_set_to(
    required: str, welcome: list[str]
) -> None:
    of = {
        "none": (token(), sent()),
        "dpop": (bound_token(), sent(proof())),
        "mtls": (certified_token(), sent(client_certificate_sha256=CERTIFICATE)),
    }
    for method, (text, came) in of.items():
        strict = validator(issuer(require_binding=required))
        if method in welcome:
            accept(text, came, strict)
        else:
            refusal = refuse(text, came, strict)
            assert type(refusal) is BINDING
            assert f"`require_binding` is '{required}'" in str(refusal)


def test_a_remembered_token_needs_a_proof_each_time() -> None:
    of = verifying()
    for number in range(3):
        accept(bound_token(), sent(proof(jti=str(number))), of)
    assert "the request has no proof" in str(refuse(bound_token(), NO_PROOF, of))
    unbound = token()
    assert verify(unbound, of) is verify(unbound, of)
    assert "not bound to its key" in str(refuse(unbound, sent(proof(unbound)), of))
