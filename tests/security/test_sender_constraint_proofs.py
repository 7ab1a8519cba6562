"""DPoP proofs that are not for this request: each differs in one respect from a twin that is.

The numbers are those of the checks in RFC 9449, section 4.3.
"""

from __future__ import annotations

import json

import pytest

from policyd.json_types import Json
from policyd.tokens.claims.times import LATEST
from policyd.tokens.minting import sign_bytes
from policyd.tokens.model import NO_PROOF
from policyd.tokens.proof.dpop import DpopVerifier
from policyd.tokens.refusals import (
    DpopProofInvalid,
    TokenBindingInvalid,
)
from policyd.tokens.settings.dpop import DpopSettings
from tests.support.proofs import (
    CERTIFICATE,
    LEFT_OUT,
    METHOD,
    URI,
    accept,
    ath,
    bound_token,
    certified_token,
    jkt,
    proof,
    proof_claims,
    public,
    refuse,
    sender,
    sent,
    signed,
    verifying,
)
from tests.support.tokens import (
    NOW,
    encoded,
    segments,
    token,
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


# --- how many, and what form (checks 1 and 2) ---------------------------------------------------


def test_two_proofs() -> None:
    both = sent(proof(), proof(jti="proof-2"))
    assert str(refuse(bound_token(), both)).startswith("2 DPoP proofs in the request")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "not one JWT"),
        ("x", "not one JWT"),
        (proof() + ".", "not one JWT"),
        (proof() + ".a.b", "not one JWT"),
        (proof() + "," + proof(), "not one JWT"),
        (" " + proof(), "cannot be read: the header is not base64url"),
        (proof() + "=", "cannot be read: the signature is not base64url"),
        (proof() + "é", "not one JWT"),
        (json.dumps({"payload": "x"}), "not one JWT"),
        ("a" * 4096 + "." + "a" * 4096 + ".", "the limit is 8192"),
    ],
)
def test_no_proof_at_all(text: str, detail: str) -> None:
    refusal = refuse(bound_token(), sent(text))
    assert type(refusal) is PROOF
    assert detail in str(refusal)


def test_a_proof_may_have_8192_characters() -> None:
    padded = (
        proof(pad="x" * size, jti="x" * more) for size in range(5600, 5800) for more in (1, 2)
    )
    longest = next(text for text in padded if len(text) == 8192)
    accept(bound_token(), sent(longest))
    assert "the limit is 8192" in str(refuse(bound_token(), sent(longest + "A")))


def test_a_payload_that_strict_json_does_not_know() -> None:
    header = json.dumps({"typ": "dpop+jwt", "alg": "ES256", "jwk": public(sender())}).encode()
    claims = json.dumps(proof_claims())
    good = claims.encode()
    twice = claims.replace('"htm"', '"jti": "x", "htm"').encode()
    accept(bound_token(), sent(sign_bytes(sender(), header, good)))
    for payload, detail in (
        (twice, "has the member 'jti' twice"),
        (b"[" + good + b"]", "not a JSON object"),
        (good.replace(b"1800000000", b"NaN"), "holds NaN"),
        (claims.encode("utf-16"), "not UTF-8"),
    ):
        refusal = refuse(bound_token(), sent(sign_bytes(sender(), header, payload)))
        assert type(refusal) is PROOF
        assert detail in str(refusal)


# --- header, key and signature (checks 4 to 7, 12 b) --------------------------------------------


@pytest.mark.parametrize("type_", ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt"])
def test_the_type_is_a_media_type(type_: str) -> None:
    accept(bound_token(), sent(proof(header={"typ": type_})))


@pytest.mark.parametrize("type_", ["JWT", "at+jwt", "dpop", "jwt+dpop", "", LEFT_OUT])
def test_another_type(type_: object) -> None:
    refusal = refuse(bound_token(), sent(proof(header={"typ": type_})))
    assert type(refusal) is PROOF
    assert "`typ` must be dpop+jwt" in str(refusal)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES512", "es256", "RS1", ""])
def test_another_algorithm(algorithm: str) -> None:
    of = verifying(algorithms=("ES256", "RS256"))
    accept(bound_token(), sent(proof()), of)
    refusal = refuse(bound_token(), sent(proof(header={"alg": algorithm})), of)
    assert type(refusal) is PROOF
    assert "allowed are ES256, RS256" in str(refusal)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256"])
def test_every_algorithm_that_is_allowed(algorithm: str) -> None:
    by = sender(algorithm)
    text = bound_token(by)
    assert accept(text, sent(proof(text, by=by))).binding is not None
    others = verifying(algorithms=("RS512",))
    assert "allowed are RS512" in str(refuse(text, sent(proof(text, by=by)), others))


def test_the_algorithm_of_ed25519_by_either_name() -> None:
    by = sender("EdDSA")
    text = bound_token(by)
    for of in (verifying(algorithms=("Ed25519",)), verifying(algorithms=("EdDSA",))):
        for number, name in enumerate(("Ed25519", "EdDSA")):
            came = sent(proof(text, by=by, header={"alg": name}, jti=str(number)))
            accept(text, came, of)


@pytest.mark.parametrize("parameter", ["crit", "b64", "zip", "enc"])
def test_a_header_that_changes_how_the_proof_is_read(parameter: str) -> None:
    refusal = refuse(bound_token(), sent(proof(header={parameter: []})))
    assert f"has `{parameter}`" in str(refusal)


@pytest.mark.parametrize(
    ("jwk", "detail"),
    [
        (LEFT_OUT, "has no key"),
        (None, "has no key"),
        ("x", "has no key"),
        ([public(sender())], "has no key"),
        ({}, "is no key for ES256"),
        ({**public(sender()), "x": "AAAA"}, "is no key for ES256"),
        ({**public(sender()), "y": public(STRANGER)["y"]}, "is no key for ES256"),
        ({**public(sender()), "crv": "P-384"}, "is no key for ES256"),
        ({**public(sender()), "crv": "secp256k1"}, "is no key for ES256"),
        ({**public(sender()), "alg": "ES384"}, "is no key for ES256"),
        ({**public(sender()), "use": "enc"}, "is no key for ES256"),
        ({**public(sender()), "key_ops": ["sign"]}, "is no key for ES256"),
        ({"kty": "oct", "k": "AAAA"}, "gives its private key away"),
        ({"kty": "oct"}, "is no key for ES256"),
        (public(sender("EdDSA")), "is no key for ES256"),
        (public(sender("RS256")), "is no key for ES256"),
    ],
)
def test_another_key_in_the_header(jwk: object, detail: str) -> None:
    refusal = refuse(bound_token(), sent(proof(header={"jwk": jwk})))
    assert type(refusal) is PROOF
    assert detail in str(refusal)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_a_key_that_is_given_away(member: str) -> None:
    """Check 7: whoever saw this proof can make others."""
    refusal = refuse(bound_token(), sent(proof(header={"jwk": {**public(sender()), member: "AA"}})))
    assert type(refusal) is PROOF
    assert f"gives its private key away (`{member}`)" in str(refusal)


def test_a_weak_key() -> None:
    by = sender("RS256")
    weak = {**public(by), "n": "u" + "A" * 170 + "Q"}
    accept(bound_token(by), sent(proof(bound_token(by), by=by)))
    refusal = refuse(bound_token(by), sent(proof(bound_token(by), by=by, header={"jwk": weak})))
    assert "RSA keys need 2048 to 8192" in str(refusal)


def test_the_proof_of_another_sender() -> None:
    """Check 12 b: a stolen token, with a proof that is right in everything but the key."""
    refusal = refuse(bound_token(), sent(proof(by=STRANGER)))
    assert type(refusal) is BINDING
    assert f"bound to {jkt()}" in str(refusal)


def test_the_key_of_the_sender_and_the_signature_of_another() -> None:
    """Check 6."""
    forged = proof(by=STRANGER, header={"jwk": public(sender())})
    refusal = refuse(bound_token(), sent(forged))
    assert type(refusal) is PROOF
    assert "signature is not by the key" in str(refusal)


def test_a_proof_that_was_changed() -> None:
    header, _, signature = segments(proof())
    payload = encoded(json.dumps(proof_claims(jti="proof-2")).encode())
    refusal = refuse(bound_token(), sent(f"{header}.{payload}.{signature}"))
    assert "signature is not by the key" in str(refusal)


# --- claims (checks 3, 8, 9, 11, 12 a) ----------------------------------------------------------


@pytest.mark.parametrize("proof_id", [LEFT_OUT, None, "", 1, ["x"], "x" * 257])
def test_a_proof_without_a_name(proof_id: object) -> None:
    refusal = refuse(bound_token(), sent(proof(jti=proof_id)))
    assert type(refusal) is PROOF
    assert "`jti` must be text of 1 to 256 characters" in str(refusal)


def test_a_name_may_have_256_characters() -> None:
    accept(bound_token(), sent(proof(jti="x" * 256)))


@pytest.mark.parametrize("method", [LEFT_OUT, None, "", "GET", "post", "POST ", ["POST"]])
def test_a_proof_for_another_method(method: object) -> None:
    refusal = refuse(bound_token(), sent(proof(htm=method)))
    assert type(refusal) is PROOF
    assert "is for the method" in str(refusal)


@pytest.mark.parametrize(
    "uri",
    [
        LEFT_OUT,
        None,
        "",
        5,
        [URI],
        URI + "/",
        URI.replace("patients", "Patients"),
        URI.replace("p1", "p%31"),
        URI.replace("/p1", "/x/../p1"),
        URI.replace("https", "http"),
        URI.replace("api.", "api2."),
        URI.replace("example.com", "example.com.evil.example"),
        URI.replace("example.com", "example.com:8443"),
        URI.replace("https://", "https://user@"),
        URI.replace("https://", "//"),
        "/patients/p1",
        URI + "\n",
        " " + URI,
        URI.replace("patients", "pat\tients"),
        URI.replace("patients", "pätients"),
        URI.replace("https://", "https://evil.example\\@"),
        URI.replace("https://api.example.com", "http\u017f://api.example.com:443"),
    ],
)
def test_a_proof_for_another_uri(uri: object) -> None:
    refusal = refuse(bound_token(), sent(proof(htu=uri)))
    assert type(refusal) is PROOF
    assert "is for the URI" in str(refusal)


@pytest.mark.parametrize("missing", ["http_method", "http_uri"])
def test_an_enforcement_point_that_does_not_say_what_was_requested(missing: str) -> None:
    method = "" if missing == "http_method" else METHOD
    uri = "" if missing == "http_uri" else URI
    came = sent(proof(htm=method, htu=uri), http_method=method, http_uri=uri)
    refusal = refuse(bound_token(), came)
    assert type(refusal) is BINDING
    assert "the enforcement point gave no" in str(refusal)


def test_an_enforcement_point_that_gives_no_uri() -> None:
    refusal = refuse(bound_token(), sent(proof(htu="/patients/p1"), http_uri="/patients/p1"))
    assert type(refusal) is BINDING
    assert "no absolute http or https URI" in str(refusal)


@pytest.mark.parametrize(
    ("issued_at", "detail"),
    [
        (LEFT_OUT, "must be a number"),
        (None, "must be a number"),
        (True, "must be a number"),
        ("1800000000", "must be a number"),
        (-1, "must lie from 0"),
        (1e300, "must lie from 0"),
        (NOW - 60, "made 60 s ago"),
        (NOW - 3600, "made 3600 s ago"),
        (NOW + 5.5, "ahead, `leeway` is 5 s"),
        (NOW + 3600, "3600 s ahead"),
    ],
)
def test_a_proof_that_is_out_of_date(issued_at: object, detail: str) -> None:
    refusal = refuse(bound_token(), sent(proof(iat=issued_at)))
    assert type(refusal) is PROOF
    assert detail in str(refusal)


@pytest.mark.parametrize("issued_at", [NOW - 59.5, int(NOW) - 59, NOW + 5])
def test_a_proof_that_is_just_in_time(issued_at: float) -> None:
    accept(bound_token(), sent(proof(iat=issued_at)))


@pytest.mark.parametrize("moment", [0, LATEST])
def test_the_first_and_the_last_second_that_can_be_written(moment: int) -> None:
    came = sent(proof(iat=moment))
    DpopVerifier(DpopSettings()).check(jkt(), bound_token(), came, moment)


@pytest.mark.parametrize("age", [1, 600])
def test_how_old_a_proof_may_be_is_configured(age: int) -> None:
    of = verifying(max_age=age, leeway=0)
    accept(bound_token(), sent(proof(iat=NOW - age + 0.5, jti="a")), of)
    assert f"`max_age` is {age} s" in str(
        refuse(bound_token(), sent(proof(iat=NOW - age, jti="b")), of)
    )
    assert "`leeway` is 0 s" in str(refuse(bound_token(), sent(proof(iat=NOW + 1, jti="c")), of))


OTHER_TOKEN = bound_token(subject="auth0|654321")


@pytest.mark.parametrize(
    "hashed",
    [LEFT_OUT, None, "", 5, ath(OTHER_TOKEN), ath(bound_token()) + "=", ath(bound_token()).lower()],
    ids=["left out", "null", "empty", "number", "other token", "padded", "lower case"],
)
def test_a_proof_for_another_token(hashed: object) -> None:
    """Check 12 a: both tokens are bound to the same key."""
    accept(OTHER_TOKEN, sent(proof(OTHER_TOKEN)))
    refusal = refuse(bound_token(), sent(proof(ath=hashed)))
    assert type(refusal) is PROOF
    assert "not the hash of this access token" in str(refusal)


def test_nothing_of_a_header_is_signed_by_chance() -> None:
    """The same claims under a header of the attacker's, with the sender's key and no signature."""
    header: dict[str, Json] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(sender())}
    genuine = signed(sender(), header, proof_claims())
    accept(bound_token(), sent(genuine))
    for signature in ("", "AA", encoded(b"\0" * 64), encoded(b"\1" * 64)):
        forged = ".".join((*segments(genuine)[:2], signature))
        assert "signature is not by the key" in str(refuse(bound_token(), sent(forged)))
