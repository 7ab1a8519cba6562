"""Attacks on tokens: each differs in one respect from a twin that is first shown accepted.

The advisories named are PyJWT's; some concern parts of it that policyd does not use, and then the
test shows that policyd's own way is not open to the same thing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK

from policyd.tokens import jws, minting
from policyd.tokens.issuers import InvalidIssuerSettings
from policyd.tokens.key_source import FixedKeys
from policyd.tokens.keys import KeySetUnusable, read_key_set
from policyd.tokens.minting import PrivateKey
from policyd.tokens.model import Json
from policyd.tokens.refresher import RefreshedKeys
from policyd.tokens.validator import Validator
from tests.support.tokens import (
    AUDIENCE,
    BILLING,
    HEALTH,
    ISSUER,
    NOW,
    Clock,
    FakeFetch,
    accepted_claims,
    encoded,
    issuer,
    key,
    key_set,
    raw_token,
    reason,
    refusal,
    rfc9068_claims,
    segments,
    settings,
    token,
    validator,
    verify,
    without,
)

Claims = dict[str, Json]


@pytest.fixture(autouse=True)
def the_twin_is_accepted() -> None:
    assert verify(token()).subject == "auth0|123456"


def unsigned(header: Claims, signature: str = "", claims: Claims | None = None) -> str:
    payload = json.dumps(claims or accepted_claims()).encode()
    return f"{encoded(json.dumps(header).encode())}.{encoded(payload)}.{signature}"


# --- algorithms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", "", " none", "none\u0000"])
@pytest.mark.parametrize("signature", ["", "AA", "real", "stripped dot"])
def test_alg_none(spelling: str, signature: str) -> None:
    """CVE-2022-29217's neighbours: an unsigned token, however spelt, however signed."""
    header: Claims = {"alg": spelling, "kid": key().key_id}
    text = unsigned(header, segments(token())[2] if signature == "real" else "")
    if signature == "AA":
        text += "AA"
    if signature == "stripped dot":
        assert reason(text.removesuffix(".")) == "TOKEN_MALFORMED"
    else:
        assert reason(text) == "ALGORITHM_NOT_ALLOWED"


def _public_key_as(form: str) -> bytes:
    public = PyJWK(key().public_jwk()).key
    assert isinstance(public, rsa.RSAPublicKey)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forms = {
        "PEM": pem,
        "PEM, PKCS 1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "PEM without its last line feed": pem.rstrip(b"\n"),
        "PEM with carriage returns": pem.replace(b"\n", b"\r\n"),
        "PEM behind white space": b" \t\n" + pem,
        "PEM behind a byte order mark": b"\xef\xbb\xbf" + pem,
        "DER": der,
        "DER, encoded": base64.b64encode(der),
        "JWK": json.dumps(key().public_jwk()).encode(),
        "JWKS": minting.key_set_text(key()),
        "array": json.dumps([key().public_jwk()]).encode(),
        "SSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "empty": b"",
    }
    return forms[form]


@pytest.mark.parametrize(
    "form",
    [
        "PEM",
        "PEM, PKCS 1",
        "PEM without its last line feed",
        "PEM with carriage returns",
        "PEM behind white space",
        "PEM behind a byte order mark",
        "DER",
        "DER, encoded",
        "JWK",
        "JWKS",
        "array",
        "SSH",
        "empty",
    ],
)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_hmac_keyed_with_the_public_key(form: str, algorithm: str) -> None:
    """CVE-2017-11424 (PKCS 1), CVE-2022-29217 (GHSA-ffqj-6fqr-9h24: SSH, DER),
    CVE-2026-48526 (GHSA-xgmm-8j9v-c9wx: JWK), CVE-2026-102268 (GHSA-ffc3-869f-jxw9: changed PEM),
    CVE-2026-102273, GHSA-r6x4-923q-g947, GHSA-p4g4-x82p-q773, GHSA-w2cx-738m-mc7w (key sets,
    arrays, encoded keys).
    """
    secret = _public_key_as(form)
    unsigned_part = unsigned({"alg": algorithm, "kid": key().key_id}).removesuffix(".")
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
    mac = hmac.new(secret, unsigned_part.encode(), digest[algorithm]).digest()

    assert reason(f"{unsigned_part}.{encoded(mac)}") == "ALGORITHM_NOT_ALLOWED"


def test_hmac_cannot_be_configured_nor_published() -> None:
    """With no HMAC at all there is nothing to confuse."""
    with pytest.raises(InvalidIssuerSettings, match="shared secrets"):
        settings(algorithms=("RS256", "HS256"))
    with pytest.raises(KeySetUnusable, match="shared secret"):
        read_key_set(b'{"keys":[{"kty":"oct","k":"AAAA","kid":"s"}]}', ("RS256",))


@pytest.mark.parametrize("secret", ["", "AA", "AAAA"])
def test_an_empty_or_short_secret_that_was_published(secret: str) -> None:
    """CVE-2026-102266 (GHSA-9j54-fg26-wv3r), GHSA-pxh4-856f-4h89: published secrets are no keys."""
    published = {"kty": "oct", "k": secret, "kid": "s", "alg": "HS256"}
    keys = read_key_set(
        json.dumps({"keys": [published, key().public_jwk()]}).encode(), ("RS256", "HS256")
    )
    of = validator(issuer(FixedKeys(keys)))
    assert verify(token(), of).key_id == key().key_id
    unsigned_part = unsigned({"alg": "HS256", "kid": "s"}).removesuffix(".")
    raw = jws.decode_segment(secret.encode(), "secret")
    mac = hmac.new(raw, unsigned_part.encode(), hashlib.sha256).digest()

    assert ("s", "HS256") not in keys.keys
    assert reason(f"{unsigned_part}.{encoded(mac)}", of) == "ALGORITHM_NOT_ALLOWED"


def test_another_algorithm_of_the_same_key() -> None:
    """CVE-2026-48523 (GHSA-jq35-7prp-9v3f): a key verifies the one algorithm it is bound to."""
    of = validator(issuer(FixedKeys(key_set()), algorithms=("RS256", "PS256", "RS512")))
    assert verify(token(), of).algorithm == "RS256"

    for algorithm in ("PS256", "RS512"):
        other = PrivateKey(algorithm, key().key_id, key().jwk)
        assert reason(token(by=other), of) == "ALGORITHM_NOT_ALLOWED"


def test_a_header_that_promises_another_algorithm_than_it_was_signed_with() -> None:
    as_pss = PrivateKey("PS256", key().key_id, key().jwk)

    assert reason(token(by=as_pss, header={"alg": "RS256"})) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("algorithm", ["rs256", "RS256 ", "RS384", "ES256", "EdDSA", "RS1"])
def test_an_algorithm_that_is_not_configured(algorithm: str) -> None:
    assert reason(token(header={"alg": algorithm})) == "ALGORITHM_NOT_ALLOWED"


# --- keys offered by the token ------------------------------------------------------------------


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
@pytest.mark.parametrize("known", [True, False])
def test_keys_in_the_header_are_never_looked_at(
    member: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2026-48522 (GHSA-993g-76c3-p5m4): nothing in a token leads anywhere."""

    def connect(*arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    mallory = key(name="mallory")
    offered: Json = mallory.public_jwk() if member == "jwk" else "https://evil.example/keys"
    header: Claims = {member: offered}
    assert verify(token(header=header)).subject == "auth0|123456"

    if known:
        header["kid"] = key().key_id
    expected = "SIGNATURE_INVALID" if known else "KEY_UNKNOWN"
    assert reason(token(by=mallory, header=header)) == expected


@pytest.mark.parametrize(
    "key_id",
    [
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "a\u0000b",
        "",
        "file:///etc/passwd",
        "${jndi:ldap://evil}",
        "k" * 256,
    ],
)
def test_a_key_id_is_looked_up_and_nothing_else(key_id: str) -> None:
    assert reason(token(header={"kid": key_id})) == "KEY_UNKNOWN"


@pytest.mark.parametrize("key_id", [7, None, ["a"], {}, True, "k" * 257])
def test_a_key_id_that_is_no_short_text(key_id: Json) -> None:
    assert reason(token(header={"kid": key_id})) == "TOKEN_MALFORMED"


def test_a_key_id_of_a_million_bytes() -> None:
    assert reason(token(header={"kid": "k" * 1_000_000})) == "TOKEN_TOO_LARGE"


# --- header parameters that change the reading --------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["x-unknown"], "x-unknown": 1},
        {"crit": []},
        {"crit": "exp"},
        {"crit": None},
        {"b64": False},
        {"b64": True},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
)
def test_parameters_that_change_what_is_signed(header: Claims) -> None:
    """CVE-2026-32597 (GHSA-752w-5fwx-jx9f): `crit`; CVE-2026-48525 (GHSA-w7vc-732c-9m39): `b64`."""
    assert reason(token(header=header)) == "TOKEN_MALFORMED"


def test_a_detached_payload() -> None:
    header, _, signature = segments(token())

    assert reason(f"{header}..{signature}") == "TOKEN_MALFORMED"


def test_an_encrypted_token_and_json_serialisation() -> None:
    header, payload, signature = segments(token())

    assert reason(f"{header}.{payload}.{payload}.{payload}.{signature}") == "TOKEN_ENCRYPTED"
    serialised = {"protected": header, "payload": payload, "signature": signature}
    assert reason(json.dumps(serialised)) == "TOKEN_MALFORMED"
    assert reason(f"Bearer {token()}") == "TOKEN_MALFORMED"


# --- signatures ---------------------------------------------------------------------------------


def _elliptic_signature(make: Callable[[int, int], bytes]) -> str:
    text = token(by=key("ES256"))
    header, payload, signature = segments(text)
    raw = jws.decode_segment(signature.encode(), "signature")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return f"{header}.{payload}.{encoded(make(r, s))}"


def _der(r: int, s: int) -> bytes:
    def integer(value: int) -> bytes:
        data = value.to_bytes(33, "big").lstrip(b"\x00")
        data = b"\x00" + data if data[0] & 0x80 else data
        return b"\x02" + bytes([len(data)]) + data

    content = integer(r) + integer(s)
    return b"\x30" + bytes([len(content)]) + content


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "make",
    [
        _der,
        lambda r, s: bytes(64),
        lambda r, s: _raw(0, s),
        lambda r, s: _raw(r, 0),
        lambda r, s: _raw(ORDER, ORDER),
        lambda r, s: _raw(r, ORDER),
        lambda r, s: _raw(s, r),
        lambda r, s: _raw(r, s)[:-1],
        lambda r, s: _raw(r, s) + b"\x00",
        lambda r, s: b"\x00" + _raw(r, s) + b"\x00",
        lambda r, s: b"",
        lambda r, s: b"\xff" * 64,
    ],
    ids=[
        "DER",
        "zeros",
        "r=0",
        "s=0",
        "n,n",
        "s=n",
        "swapped",
        "short",
        "long",
        "wide",
        "none",
        "ff",
    ],
)
def test_degenerate_ecdsa_signatures(make: Callable[[int, int], bytes]) -> None:
    of = validator(issuer(algorithms=("ES256",)))
    assert verify(_elliptic_signature(_raw), of).algorithm == "ES256"

    text = _elliptic_signature(make)

    assert reason(text, of) == "SIGNATURE_INVALID"


def test_the_twin_of_an_ecdsa_signature_is_another_token_with_the_same_facts() -> None:
    """s and n-s both verify: nothing may hang on a token's bytes (revocation goes by claims)."""
    of = validator(issuer(algorithms=("ES256",)))
    twin = _elliptic_signature(lambda r, s: _raw(r, ORDER - s))

    assert verify(twin, of).claims == verify(_elliptic_signature(_raw), of).claims
    assert decode_dss_signature(_der(1, 2)) == (1, 2)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_any_changed_bit_of_any_segment(algorithm: str) -> None:
    of = validator(issuer(algorithms=(algorithm,)))
    text = token(by=key(algorithm))
    assert verify(text, of).algorithm == algorithm
    header, payload, signature = (
        bytearray(jws.decode_segment(part.encode(), "part")) for part in segments(text)
    )

    payload[-20] ^= 1
    changed = ".".join(encoded(bytes(part)) for part in (header, payload, signature))
    assert reason(changed, of) in ("SIGNATURE_INVALID", "TOKEN_MALFORMED")
    payload[-20] ^= 1
    signature[len(signature) // 2] ^= 1
    changed = ".".join(encoded(bytes(part)) for part in (header, payload, signature))
    assert reason(changed, of) == "SIGNATURE_INVALID"


def test_a_point_off_the_curve_and_weak_rsa_are_no_keys() -> None:
    """CVE-2025-45768 (GHSA-xpf8-484v-j9w6): keys too short for their algorithm verify nothing."""
    elliptic = key("ES256").public_jwk()
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    small = encoded(weak.public_numbers().n.to_bytes(128, "big"))
    assert read_key_set(minting.key_set_text(key()), ("RS256",)).skipped == ()

    for bad in (
        {**elliptic, "y": elliptic["x"]},
        {**key().public_jwk(), "n": small},
        {**key().public_jwk(), "e": "AQ"},
    ):
        with pytest.raises(KeySetUnusable, match="no usable key"):
            read_key_set(json.dumps({"keys": [bad]}).encode(), ("RS256", "ES256"))


def test_a_signature_with_e_1_forged_for_anyone() -> None:
    """With e = 1 the padded hash is its own signature; such a key is never imported."""
    public = PyJWK(key().public_jwk()).key
    assert isinstance(public, rsa.RSAPublicKey)
    with pytest.raises(ValueError, match=r"\w"):
        rsa.RSAPublicNumbers(1, public.public_numbers().n).public_key().verify(
            b"", b"", padding.PKCS1v15(), SHA256()
        )


@pytest.mark.parametrize("private", ["RS256", "ES256", "EdDSA"])
def test_a_private_key_that_was_published_is_used_by_its_public_half(private: str) -> None:
    """CVE-2026-102275: private members are dropped before anything derives from them."""
    other = key(private, "other")
    mixed = {**key(private).public_jwk(), "d": other.jwk["d"]}
    keys = read_key_set(json.dumps({"keys": [mixed]}).encode(), (private,))
    of = validator(issuer(FixedKeys(keys), algorithms=(private,)))

    assert verify(token(by=key(private)), of).algorithm == private
    assert reason(token(by=other, header={"kid": key(private).key_id}), of) == "SIGNATURE_INVALID"


def test_one_malformed_key_does_not_bring_down_the_set() -> None:
    """CVE-2026-102274 (PyJWT 2.14.0 names GHSA-w6j9-cwv2-h6wq): a bad key is its own trouble."""
    bad = {**key().public_jwk(), "kid": "bad", "n": "!!!"}
    keys = read_key_set(json.dumps({"keys": [bad, key().public_jwk()]}).encode(), ("RS256",))

    assert verify(token(), validator(issuer(FixedKeys(keys)))).subject == "auth0|123456"


# --- spellings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        lambda part: part + "=",
        lambda part: part + "==",
        lambda part: part + " ",
        lambda part: part + "\n",
        lambda part: " " + part,
        lambda part: part[:4] + "\r\n" + part[4:],
        lambda part: part[:4] + "+" + part[5:],
        lambda part: part[:4] + "/" + part[5:],
        lambda part: part[:4] + "!!!!" + part[4:],
        lambda part: part + "A",
        lambda part: part[:4] + "\u00e9" + part[4:],
        lambda part: part[:4] + "%3D" + part[4:],
    ],
)
def test_a_second_spelling_of_a_token(place: int, change: Callable[[str], str]) -> None:
    """CVE-2026-102269 (GHSA-hxm8-2xgr-2p9m): what is not the alphabet is not skipped.

    PyJWT accepts trailing `=` again since 2.15.1; here there is one spelling of a token.
    """
    parts = list(segments(token()))
    parts[place] = change(parts[place])

    assert reason(".".join(parts)) in ("TOKEN_MALFORMED", "SIGNATURE_INVALID")
    if parts[place][-1] != "A":
        assert reason(".".join(parts)) == "TOKEN_MALFORMED"


def test_trailing_bits_of_a_signature() -> None:
    header, payload, signature = segments(token())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    twin = signature[:-1] + alphabet[last + 1]
    assert base64.urlsafe_b64decode(twin + "==") == base64.urlsafe_b64decode(signature + "==")

    assert reason(f"{header}.{payload}.{twin}") == "TOKEN_MALFORMED"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"iss":"{ISSUER}","iss":"{ISSUER}"}}',
        '{"exp":1,"exp":2}',
        '{"exp":NaN}',
        '{"exp":1e999}',
        '{"exp":' + "9" * 5000 + "}",
        '{"a":"\\ud800"}',
        "[" * 6000,
        '{"a":' * 2000,
        "null",
        '"iss"',
        "",
    ],
)
def test_json_that_two_parsers_read_differently(text: str) -> None:
    assert verify(raw_token()).subject == "auth0|123456"

    assert reason(raw_token(payload=text.encode())) == "TOKEN_MALFORMED"
    assert reason(raw_token(header=text.encode())) == "TOKEN_MALFORMED"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"])
def test_payloads_in_other_encodings(encoding: str) -> None:
    payload = json.dumps(accepted_claims(name="\u00e9"), ensure_ascii=False).encode(encoding)

    assert reason(raw_token(payload=payload)) == "TOKEN_MALFORMED"


class Work:
    """What a block of code does: the calls it makes, in Python and into C, and its peak memory."""

    def __init__(self) -> None:
        self.calls = 0
        self.peak = 0

    def __enter__(self) -> Work:
        tracemalloc.start()
        sys.setprofile(self._count)
        return self

    def __exit__(self, *problem: object) -> None:
        sys.setprofile(None)
        _, self.peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")


PIECES = (".", "A", "[", "a.", "\u00e9", "\ud800")


@pytest.mark.parametrize("piece", PIECES)
def test_huge_tokens_cost_nothing(piece: str) -> None:
    """Ten megabytes are neither copied nor walked over: as many calls as for one byte too much."""
    of = validator()
    text = piece * (10_000_000 // len(piece))
    refused: list[str] = []
    with Work() as little:
        refused.append(reason("A" * (16 * 1024 + 1), of))
    with Work() as much:
        refused.append(reason(text, of))

    assert refused == ["TOKEN_TOO_LARGE", "TOKEN_TOO_LARGE"]
    assert 0 < much.calls <= little.calls
    assert much.peak < 100_000


@pytest.mark.parametrize("piece", PIECES)
def test_garbage_within_the_largest_limit_is_refused_in_few_steps(piece: str) -> None:
    of = validator(max_token_bytes=128 * 1024)
    text = piece * (128 * 1024 // len(piece))
    refused: list[str] = []
    with Work() as work:
        refused.append(reason(text, of))

    assert refused == ["TOKEN_MALFORMED"]
    assert 0 < work.calls < 100
    assert work.peak < 2_000_000


def test_a_hundred_thousand_levels_within_the_largest_limit() -> None:
    """GHSA-8wjv-2p76-3863: depth is counted before anything recurses."""
    of = validator(max_token_bytes=128 * 1024)
    deep = raw_token(payload=b"[" * 90_000)

    assert "deeper than 32" in str(refusal(deep, of))


# --- issuers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        ISSUER.removesuffix("/"),
        ISSUER + "/",
        ISSUER + "x",
        ISSUER[:-2],
        ISSUER[0],
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        ISSUER.replace("my-domain", "my-domain.auth0.com.evil"),
        ISSUER + " ",
        "\ufeff" + ISSUER,
        "",
        [ISSUER],
        {"iss": ISSUER},
        7,
        None,
        True,
    ],
)
def test_an_issuer_that_is_nearly_the_configured_one(name: Json) -> None:
    """CVE-2024-53861 (GHSA-75c5-xw7c-p5pm): part of an issuer's name is not the issuer."""
    assert reason(token(accepted_claims(iss=name))) == "ISSUER_UNKNOWN"


def test_a_token_without_issuer() -> None:
    assert reason(token(without(accepted_claims(), "iss"))) == "ISSUER_UNKNOWN"


def test_a_second_issuer_minting_for_an_api_that_is_not_its_own() -> None:
    other = "https://partner.example/"
    partner = issuer(
        FixedKeys(key_set(key(name="partner"))), issuer=other, apis=frozenset(("billing",))
    )
    of = validator(issuer(apis=frozenset(("health", "billing"))), partner)
    audiences: list[Json] = [AUDIENCE, *BILLING.audiences]
    text = token(accepted_claims(iss=other, aud=audiences), by=key(name="partner"))

    assert verify(text, of, BILLING).issuer == other
    assert reason(text, of, HEALTH) == "ISSUER_UNKNOWN"


def test_a_second_issuer_speaking_in_the_name_of_the_first() -> None:
    speaks = frozenset(("health",))
    partner = issuer(
        FixedKeys(key_set(key(name="partner"))), issuer="https://partner.example/", apis=speaks
    )
    of = validator(issuer(apis=speaks), partner)

    assert verify(token(), of).issuer == ISSUER
    assert reason(token(by=key(name="partner")), of) == "KEY_UNKNOWN"


# --- claims -------------------------------------------------------------------------------------


@pytest.mark.parametrize("exp", ["1800000900", "\u0661\u0668", True, None, [], 1e300, -1])
def test_an_expiry_that_is_no_date(exp: Json) -> None:
    assert reason(token(accepted_claims(exp=exp))) == "CLAIM_INVALID"


def test_a_token_that_never_expires() -> None:
    assert reason(token(without(accepted_claims(), "exp"))) == "CLAIM_MISSING"


@pytest.mark.parametrize("iat", [NOW + 3600, NOW + 31])
def test_a_token_from_the_future(iat: float) -> None:
    assert reason(token(accepted_claims(iat=iat))) == "TOKEN_NOT_YET_VALID"


@pytest.mark.parametrize(
    "space", ["\u00a0", "\u2003", "\u3000", "\t", "\n", "\x0b", "\x1f", "\x85"]
)
def test_other_separators_in_scope(space: str) -> None:
    claims = accepted_claims(scope=f"read:patients{space}write:patients")

    assert reason(token(claims)) == "CLAIM_INVALID"


@pytest.mark.parametrize(
    "changes",
    [{"cnf": {"jkt": "x"}}, {"cnf": {}}, {"cnf": None}, {"cnf": {"jkt": "x", "x5t#S256": "y"}}],
)
def test_a_bound_token_without_its_proof(changes: Claims) -> None:
    assert reason(token(accepted_claims(**changes))) == "TOKEN_BINDING_INVALID"


@pytest.mark.parametrize("nonce", [True, False])
@pytest.mark.parametrize("dialect", ["auth0", "auth0-rfc9068", "rfc9068", "oidc"])
def test_an_id_token_of_each_dialect(dialect: str, nonce: bool) -> None:
    of = validator(issuer(dialect=dialect))
    claims = accepted_claims() if dialect == "auth0" else rfc9068_claims()
    assert verify(token(claims, header={"typ": "at+jwt"}), of).issuer == ISSUER
    id_token: Claims = {
        "iss": ISSUER,
        "sub": "auth0|123456",
        "aud": "my_client_id",
        "exp": NOW + 900,
        "iat": NOW,
        "name": "Jane Doe",
    }
    if nonce:
        id_token["nonce"] = "n"

    assert reason(token(id_token), of) == "ID_TOKEN"


def test_an_id_token_where_application_and_api_share_a_registration() -> None:
    shared: Claims = {"azp": AUDIENCE, "aud": AUDIENCE, "name": "Jane Doe"}

    assert reason(token(accepted_claims(**shared))) == "ID_TOKEN"
    assert reason(token(accepted_claims(nonce="n"))) == "ID_TOKEN"


# --- the cache ----------------------------------------------------------------------------------


def test_a_tampered_token_does_not_hit_the_cache_of_the_real_one() -> None:
    of = validator()
    text = token()
    verify(text, of)
    header, payload, signature = segments(text)
    tampered = encoded(json.dumps(accepted_claims(scope="admin")).encode())

    assert reason(f"{header}.{tampered}.{signature}", of) == "SIGNATURE_INVALID"
    assert reason(f"{header}.{payload}.{signature[:-2]}", of) != "accepted"
    assert verify(text, of).subject == "auth0|123456"


def test_an_outage_of_the_key_server_refuses_nobody_who_was_known() -> None:
    """CVE-2026-48524 (GHSA-fhv5-28vv-h8m8): a failed fetch does not empty what is there."""
    fetch = FakeFetch(key())
    source = RefreshedKeys(settings(), fetch, Clock(), lambda _: None)
    source.refresh()
    fetch.fail()
    source.refresh()
    of = Validator([issuer(source)])

    assert verify(token(), of).subject == "auth0|123456"
    assert reason(token(header={"kid": "invented"}), of) == "KEYS_REFRESHING"
