"""Key sets: what is used, what is skipped and why, and when two sets are the same."""

from __future__ import annotations

import json

import pytest

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.keys.key_set import KeySet, KeySetUnusable, read_key_set
from tests.support.tokens import key
from tests.unit.tokens.keys.test_weak_rsa import roca_modulus

Jwk = dict[str, Json]


def read(*jwks: Json, algorithms: tuple[str, ...] = ("RS256",)) -> KeySet:
    return read_key_set(json.dumps({"keys": list(jwks)}).encode(), algorithms)


def changed(jwk: Jwk, **changes: Json) -> Jwk:
    return {**jwk, **changes}


def without(jwk: Jwk, *names: str) -> Jwk:
    return {name: value for name, value in jwk.items() if name not in names}


def number(value: int) -> str:
    return jws.encode_segment(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


def zero_before(name: str) -> str:
    """Return a member of `GOOD` with the zero byte before it that Java's BigInteger writes."""
    decoded = jws.decode_segment(str(GOOD[name]).encode(), name)
    return jws.encode_segment(b"\0" + decoded).decode()


def spelled(name: str, how: str, algorithm: str = "ES256") -> Jwk:
    """Return a key of which one member is written another way."""
    public = key(algorithm).public_jwk()
    return changed(public, **{name: how.format(public[name])})


def edwards(y: int) -> str:
    return jws.encode_segment(y.to_bytes(32, "little")).decode()


GOOD = key().public_jwk()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_of_each_algorithm_is_found_by_id_and_algorithm(algorithm: str) -> None:
    private = key(algorithm)

    key_set = read(private.public_jwk(), algorithms=ALGORITHMS)

    assert list(key_set.keys) == [(private.key_id, algorithm)]
    assert key_set.keys[(private.key_id, algorithm)].algorithm == algorithm
    assert key_set.skipped == ()


def test_ed25519_is_the_name_of_eddsa_on_that_curve() -> None:
    public = changed(key("EdDSA").public_jwk(), alg="Ed25519")

    key_set = read(public, algorithms=("Ed25519",))

    assert [name for _, name in key_set.keys] == ["EdDSA"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("text", "not a JSON object"),
        ({"kty": "oct", "k": "AAAA", "kid": "s"}, "shared secret"),
        ({}, "key type"),
        ({"kty": ["RSA"]}, "key type"),
        (changed(GOOD, kty="EC"), "no curve"),
        (changed(GOOD, kty=None), "no key type"),
        (changed(GOOD, kty="EC", crv=True), "curve true"),
        (changed(GOOD, use="enc"), "not for signatures"),
        (changed(GOOD, use=None), "not for signatures"),
        (changed(GOOD, key_ops=["sign"]), "not for verifying"),
        (changed(GOOD, key_ops="verify"), "not for verifying"),
        (changed(GOOD, alg="HS256"), "does not fit"),
        (changed(GOOD, alg="ES256"), "does not fit"),
        (changed(GOOD, alg=7), "does not fit"),
        (changed(GOOD, alg="PS256"), "do not allow"),
        (without(GOOD, "n"), "no text `n`"),
        (changed(GOOD, n=7), "no text `n`"),
        (changed(GOOD, n="AA=="), "`n` that is not base64url without padding"),
        (changed(GOOD, n="A+/A"), "`n` that is not base64url: it is base64"),
        (changed(GOOD, n=zero_before("n")), "`n` that begins with a zero byte"),
        (changed(GOOD, e="AAEAAQ"), "`e` that begins with a zero byte"),
        (changed(GOOD, n="\u00e9"), "`n` that is not base64url"),
        (changed(GOOD, kid=7), "`kid` that is not text"),
        (changed(GOOD, n=number(2**1023 + 1)), "1024 bits"),
        (changed(GOOD, n=number(2**8192 + 1)), "8193 bits"),
        (changed(GOOD, n=number(2**2047 + 2)), "modulus that is even"),
        (changed(GOOD, n=number(3 * (2**2047 + 1))), "modulus that is divisible by 3"),
        (changed(GOOD, n=number(131071 * (2**2048 - 1942289))), "divisible by 131071"),
        (changed(GOOD, n=number((2**1024 - 105) ** 2)), "the second power of a number"),
        (changed(GOOD, n=number((2**1024 - 105) * (2**1024 + 643))), "factors so close"),
        (changed(GOOD, n=number(2**2048 - 1942289)), "itself a prime number"),
        (changed(GOOD, n=number(roca_modulus())), "CVE-2017-15361"),
        (changed(GOOD, e=number(1)), "exponent 1"),
        (changed(GOOD, e="AA"), "zero byte"),
        (changed(GOOD, e=""), "exponent 0"),
        (changed(GOOD, e=GOOD["n"]), "more than 64 bits"),
        (changed(GOOD, e=number(3)), "exponent 3"),
        (changed(GOOD, e=number(65538)), "exponent 65538"),
        (changed(GOOD, e=number(2**64 + 1)), "64 bits"),
        (changed(key("ES256").public_jwk(), crv="P-384"), "does not fit"),
        (changed(key("ES256").public_jwk(), crv="secp256k1"), "curve 'secp256k1'"),
        (changed(key("EdDSA").public_jwk(), crv="Ed448"), "curve 'Ed448'"),
        (changed(key("EdDSA").public_jwk(), crv=["Ed25519"]), "curve"),
        (changed(key("ES256").public_jwk(), x="AA"), "`x` of 1 bytes, P-256 has 32"),
        (spelled("x", "={}"), "`x` that is not base64url"),
        (spelled("x", "{}="), "`x` that is not base64url without padding"),
        (spelled("y", "{}="), "`y` that is not base64url without padding"),
        (spelled("x", "AAAA{}"), "`x` of 35 bytes"),
        (changed(key("ES256").public_jwk(), y="+" * 43), "`y` that is not base64url: it is base64"),
        (changed(key("ES256").public_jwk(), y="/" * 43), "`y` that is not base64url: it is base64"),
        (changed(key("ES256").public_jwk(), y="_" * 43), "`y` that is not base64url"),
        (changed(key("EdDSA").public_jwk(), x="AA"), "`x` of 1 bytes, Ed25519 has 32"),
        (spelled("x", "{}=", "EdDSA"), "`x` that is not base64url without padding"),
        (changed(key("EdDSA").public_jwk(), x=edwards(2**255 - 17)), "another spelling"),
        (changed(key("ES256").public_jwk(), y="A" * 43), "cannot be imported"),
        (without(key("ES384").public_jwk(), "alg"), "none of the `algorithms`"),
    ],
)
def test_a_bad_key_is_skipped_and_reported_and_the_others_serve(bad: Json, why: str) -> None:
    algorithms = ("RS256", "ES256", "EdDSA")

    key_set = read(bad, GOOD, algorithms=algorithms)

    assert [name for _, name in key_set.keys] == ["RS256"]
    assert len(key_set.skipped) == 1
    assert why in key_set.skipped[0]
    assert "key 1" in key_set.skipped[0]


PRIME = 2**255 - 19
ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022


def multiplied_by_eight(y: int) -> tuple[int, int] | None:
    """Return the point with that y, eight times added to itself; `None` where there is no point."""
    d = -121665 * pow(121666, -1, PRIME)
    square = (y * y - 1) * pow(d * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    if (x * x - square) % PRIME:
        return None
    for _ in range(3):
        k = d * x * x * y * y
        x, y = (
            2 * x * y * pow(1 + k, -1, PRIME) % PRIME,
            (y * y + x * x) * pow(1 - k, -1, PRIME) % PRIME,
        )
    return x, y


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, PRIME - 1, ORDER_8, PRIME - ORDER_8, PRIME, PRIME + 1])
def test_an_edwards_point_of_small_order_is_no_key(y: int, sign: int) -> None:
    assert multiplied_by_eight(y % PRIME) == (0, 1)
    encoded = (y | sign << 255).to_bytes(32, "little")
    public = changed(key("EdDSA").public_jwk(), x=jws.encode_segment(encoded).decode())

    key_set = read(public, GOOD, algorithms=("RS256", "EdDSA"))

    assert list(key_set.keys) == [(key().key_id, "RS256")]
    assert "small order" in key_set.skipped[0]


def test_a_key_without_algorithm_takes_the_only_one_that_fits() -> None:
    key_set = read(without(GOOD, "alg"), algorithms=("PS512", "ES256"))

    assert [name for _, name in key_set.keys] == ["PS512"]


def test_a_key_without_algorithm_is_skipped_when_several_fit() -> None:
    with pytest.raises(KeySetUnusable, match="RS256, PS256 would all fit"):
        read(without(GOOD, "alg"), algorithms=("RS256", "PS256"))


def test_private_members_are_dropped() -> None:
    private = key("ES256")

    key_set = read(dict(private.jwk), algorithms=("ES256",))

    assert key_set.digest == read(private.public_jwk(), algorithms=("ES256",)).digest


def test_an_ambiguous_id_is_refused_alone() -> None:
    other = key(name="other").public_jwk()

    key_set = read(changed(GOOD, kid="same"), changed(other, kid="same"), changed(GOOD, kid="good"))

    assert key_set.ambiguous == {"same"}
    assert key_set.key_ids == {"good"}
    assert len(key_set.by_algorithm["RS256"]) == 1
    assert "several keys" in key_set.skipped[0]


def test_one_key_listed_twice_is_one_key() -> None:
    key_set = read(GOOD, GOOD)

    assert len(key_set.by_algorithm["RS256"]) == 1
    assert key_set.ambiguous == frozenset()


def test_one_id_may_name_keys_of_different_algorithms() -> None:
    elliptic = changed(key("ES256").public_jwk(), kid=GOOD["kid"])

    key_set = read(GOOD, elliptic, algorithms=("RS256", "ES256"))

    assert sorted(name for _, name in key_set.keys) == ["ES256", "RS256"]


def test_keys_without_an_id_are_found_by_algorithm_alone() -> None:
    key_set = read(without(GOOD, "kid"), without(key(name="other").public_jwk(), "kid"))

    assert key_set.keys == {}
    assert len(key_set.by_algorithm["RS256"]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"<html>", "web page or XML"),
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'\xef\xbb\xbf{"keys":[]}', "byte order mark"),
        (b"-----BEGIN PUBLIC KEY-----\nMIIB", "it is PEM"),
        (json.dumps(GOOD).encode(), "it is a single key, and a key set is expected"),
        (json.dumps([GOOD]).encode(), "it is a list, and an object is expected"),
        (b"x", "not JSON"),
        (b'{"keys":{}}', "no list `keys`"),
        (b"{}", "no list `keys`"),
        (b'{"keys":[]}', "no usable key"),
        (b'{"keys":[{"kty":"oct","k":"AA"}]}', "shared secret"),
        (b'{"keys":[],"keys":[]}', "twice"),
        (json.dumps({"keys": [GOOD] * 101}).encode(), "101 keys"),
    ],
)
def test_a_set_of_no_use_is_refused_whole(text: bytes, message: str) -> None:
    with pytest.raises(KeySetUnusable, match=message):
        read_key_set(text, ("RS256",))


def test_the_digest_is_of_what_is_used_and_not_of_how_it_is_written() -> None:
    other = key(name="other").public_jwk()
    members = dict(reversed(GOOD.items()))

    assert read(GOOD, other).digest == read(other, {**members, "x5t": "ignored"}).digest
    assert read(GOOD).digest != read(other).digest
    assert read(GOOD).digest != read(changed(GOOD, kid="renamed")).digest
    bare = without(GOOD, "alg")
    assert read(bare).digest != read(bare, algorithms=("PS256",)).digest


ENTRA = "https://login.microsoftonline.com"
TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


@pytest.mark.parametrize(
    ("stated", "issuer", "serves"),
    [
        (f"{ENTRA}/{TENANT}/v2.0", f"{ENTRA}/{TENANT}/v2.0", True),
        (f"{ENTRA}/{{tenantid}}/v2.0", f"{ENTRA}/{TENANT}/v2.0", True),
        (f"{ENTRA}/{CONSUMERS}/v2.0", f"{ENTRA}/{TENANT}/v2.0", False),
        (f"{ENTRA}/{CONSUMERS}/v2.0", f"{ENTRA}/{CONSUMERS}/v2.0", True),
        (f"{ENTRA}/{{tenantid}}/v2.0", f"{ENTRA}/{TENANT}/x/v2.0", False),
        (f"{ENTRA}/{{tenantid}}/v2.0", f"{ENTRA}//v2.0", False),
        (f"{ENTRA}/{{tenantid}}/v2.0", f"{ENTRA}/v2.0", False),
        (f"{ENTRA}/{{tenantid}}/v2.0", "https://login.example.com/realm", False),
        (f"{ENTRA}/{{tenantid}}{{tenantid}}/v2.0", f"{ENTRA}/{TENANT}{TENANT}/v2.0", False),
        (f"{ENTRA}/{{tenantid}}/v2.0", f"https://sts.windows.net/{TENANT}/", True),
        (f"{ENTRA}/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/", True),
        (f"{ENTRA}/{CONSUMERS}/v2.0", f"https://sts.windows.net/{TENANT}/", False),
        ("https://sts.windows.net/{tenantid}/", f"https://sts.windows.net/{TENANT}/", True),
        ("CN=Example", f"{ENTRA}/{TENANT}/v2.0", True),
        (7, f"{ENTRA}/{TENANT}/v2.0", True),
        (f"{ENTRA}/{CONSUMERS}/v2.0", None, True),
    ],
)
def test_a_key_serves_the_issuer_that_it_names(
    stated: Json, issuer: str | None, serves: bool
) -> None:
    foreign = changed(GOOD, issuer=stated, kid="stated")
    text = json.dumps({"keys": [GOOD, foreign]}).encode()

    key_set = read_key_set(text, ("RS256",), issuer)

    assert ("stated" in key_set.key_ids) is serves
    assert any("alone (`issuer`)" in why for why in key_set.skipped) is not serves
