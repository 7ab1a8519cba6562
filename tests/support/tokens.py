"""Keys, tokens and issuers for tests: made once, combined freely, with a clock that is set.

`accepted_claims` are those of a token that passes every step at `NOW` for `HEALTH`; a test changes
one thing and shows what that alone does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict, Unpack

import msgspec

from policyd.json_types import Json
from policyd.tokens import jws, minting
from policyd.tokens.https.fetch import Document
from policyd.tokens.keys.key_set import KeySet, KeySetUnusable, read_key_set
from policyd.tokens.keys.source import FixedKeys, KeySource
from policyd.tokens.minting import PrivateKey
from policyd.tokens.model import ResourceServer, VerifiedToken
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.revocation.revocations import Revocations
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import Issuer, issuer_of
from policyd.tokens.validator import Validator

ISSUER = "https://my-domain.auth0.com/"
AUDIENCE = "https://example.com/health-api"
USERINFO = "https://my-domain.auth0.com/userinfo"
CLIENT = "my_client_id"
HEALTH = ResourceServer("health", frozenset((AUDIENCE,)))
BILLING = ResourceServer("billing", frozenset(("https://example.com/billing-api",)))
NOW = 1_800_000_000.0

SOURCE_DOCUMENT = Path(__file__).parent / "source_document.json"

Claims = dict[str, Json]


def key(algorithm: str = "RS256", name: str = "main") -> PrivateKey:
    """Return a key: the same one for the same arguments, for as long as the tests run."""
    return _key(algorithm, name)


@cache
def _key(algorithm: str, name: str) -> PrivateKey:
    return minting.generate_key(algorithm, f"{name}-{algorithm}")


def key_set(*keys: PrivateKey, algorithms: Sequence[str] = ("RS256",)) -> KeySet:
    return read_key_set(minting.key_set_text(*(keys or (key(),))), algorithms)


def settings(**changes: object) -> IssuerSettings:
    """Return the settings of the health API's issuer, with some of them changed."""
    usual = IssuerSettings(issuer=ISSUER, dialect="auth0", jwks_file="unused.json")
    return msgspec.structs.replace(usual, **changes)


def issuer(keys: KeySource | None = None, **changes: object) -> Issuer:
    """Return an issuer that signs with `key()`, unless `keys` says otherwise."""
    of = settings(**changes)
    if keys is None:
        signing = [key(name) for name in of.algorithms]
        keys = FixedKeys(key_set(*signing, algorithms=of.algorithms))
    return issuer_of(of, keys)


class ValidatorOptions(TypedDict, total=False):
    max_token_bytes: int
    cache_entries: int
    cache_bytes: int
    constraints: SenderConstraints
    revocations: Revocations


def validator(*issuers: Issuer, **changes: Unpack[ValidatorOptions]) -> Validator:
    return Validator(issuers or (issuer(),), **changes)


def accepted_claims(**changes: Json) -> Claims:
    """Return the claims of an Auth0 access token that is accepted at `NOW`."""
    return {
        "iss": ISSUER,
        "sub": "auth0|123456",
        "aud": [AUDIENCE, USERINFO],
        "azp": CLIENT,
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 900,
        "scope": "openid profile read:patients read:admin",
        **changes,
    }


def rfc9068_claims(**changes: Json) -> Claims:
    """Return the claims of an RFC 9068 access token that is accepted at `NOW`."""
    return {
        "iss": ISSUER,
        "sub": "user-1",
        "aud": AUDIENCE,
        "client_id": CLIENT,
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 900,
        "jti": "token-1",
        "scope": "read:patients",
        **changes,
    }


def without(claims: Mapping[str, Json], *names: str) -> Claims:
    return {name: value for name, value in claims.items() if name not in names}


def token(
    claims: Mapping[str, Json] | None = None,
    *,
    header: Mapping[str, Json] | None = None,
    by: PrivateKey | None = None,
) -> str:
    """Return a signed token; by default one that is accepted."""
    return minting.sign(by or key(), accepted_claims() if claims is None else claims, header)


def raw_token(
    *, header: bytes | None = None, payload: bytes | None = None, by: PrivateKey | None = None
) -> str:
    """Return a correctly signed token of any bytes; by default one that is accepted."""
    signing = by or key()
    if header is None:
        header = json.dumps({"alg": signing.algorithm, "kid": signing.key_id}).encode()
    if payload is None:
        payload = json.dumps(accepted_claims()).encode()
    return minting.sign_bytes(signing, header, payload)


def unsigned(
    header: Mapping[str, Json], signature: str = "", claims: Mapping[str, Json] | None = None
) -> str:
    """Return a token with any signature, itself as it stands in the last segment, or with none."""
    payload = json.dumps(accepted_claims() if claims is None else claims).encode()
    return f"{encoded(json.dumps(header).encode())}.{encoded(payload)}.{signature}"


def segments(text: str) -> tuple[str, str, str]:
    header, payload, signature = text.split(".")
    return header, payload, signature


def encoded(data: bytes) -> str:
    return jws.encode_segment(data).decode("ascii")


#: Asked about each token too, with the reason for which it was refused: they must say the same.
Witness = Callable[[str, Validator, ResourceServer, float, str | None], None]
WITNESSES: list[Witness] = []


def verify(
    text: str,
    of: Validator | None = None,
    api: ResourceServer = HEALTH,
    now: float = NOW,
) -> VerifiedToken:
    by = of or validator()
    try:
        accepted = by.verify(text, api, now)
    except TokenRefused as refused:
        for also in WITNESSES:
            also(text, by, api, now, refused.reason)
        raise
    for also in WITNESSES:
        also(text, by, api, now, None)
    return accepted


def refusal(
    text: str,
    of: Validator | None = None,
    api: ResourceServer = HEALTH,
    now: float = NOW,
) -> TokenRefused:
    """Return why a token is refused; fails when it is accepted."""
    try:
        accepted = verify(text, of, api, now)
    except TokenRefused as found:
        return found
    raise AssertionError(f"accepted: {accepted}")


def reason(
    text: str,
    of: Validator | None = None,
    api: ResourceServer = HEALTH,
    now: float = NOW,
) -> str:
    """Return the name of the reason for which a token is refused."""
    return refusal(text, of, api, now).reason


def source_document() -> dict[str, Claims]:
    """Return the two payloads of the document that this project is about, letter for letter."""
    document: dict[str, Claims] = json.loads(SOURCE_DOCUMENT.read_text(encoding="utf-8"))
    return document


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds


def latest(_least: float, most: float) -> float:
    """Return the end of a range, where a random number of it is asked for."""
    return most


class FakeFetch:
    """A fetch whose answers are set: a body, keys, or a failure. `calls` counts them."""

    def __init__(self, *keys: PrivateKey) -> None:
        self.calls = 0
        self.max_age: int | None = None
        self._body: bytes | None = minting.key_set_text(*keys) if keys else None

    def serve(self, *keys: PrivateKey) -> None:
        self._body = minting.key_set_text(*keys)

    def serve_text(self, body: bytes) -> None:
        self._body = body

    def fail(self) -> None:
        self._body = None

    def __call__(self) -> Document:
        self.calls += 1
        if self._body is None:
            raise KeySetUnusable("the network is down")
        return Document(self._body, self.max_age)
