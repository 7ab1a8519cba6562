"""DPoP proofs for tests: one that is accepted, and the same with one thing changed.

`proof()` is by `sender()` and fits the token `bound_token()` in the request `sent()` at `NOW`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import TypedDict, Unpack

from policyd.json_types import Json
from policyd.tokens import jws, minting
from policyd.tokens.minting import PrivateKey
from policyd.tokens.model import SenderProof, VerifiedToken
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.proof.key import thumbprint
from policyd.tokens.refusals import TokenBindingInvalid
from policyd.tokens.settings.dpop import DpopSettings
from policyd.tokens.validator import Validator
from tests.support.tokens import HEALTH, NOW, accepted_claims, key, token, validator

METHOD = "POST"
URI = "https://api.example.com/patients/p1"
CERTIFICATE = jws.encode_segment(sha256(b"the DER of a certificate").digest()).decode()


class Settings(TypedDict, total=False):
    max_age: int
    leeway: int
    algorithms: tuple[str, ...]
    nonce: bool
    nonce_secret: bytes
    nonce_lifetime: int
    replay_entries: int
    replay_per_key: int


#: What stands for "not there" among the changes of a proof.
LEFT_OUT = object()


def sender(algorithm: str = "ES256", name: str = "sender") -> PrivateKey:
    """Return a sender's key: the same one for the same arguments."""
    return key(algorithm, name)


def jkt(by: PrivateKey | None = None) -> str:
    """Return the thumbprint of a sender's key."""
    return thumbprint(public(by or sender()))


def public(by: PrivateKey) -> dict[str, Json]:
    """Return a sender's public key as a proof carries it."""
    return {
        name: value
        for name, value in by.public_jwk().items()
        if name in ("kty", "crv", "x", "y", "n", "e")
    }


def bound_token(by: PrivateKey | None = None, subject: str = "auth0|123456") -> str:
    """Return a token that is bound to a sender's key."""
    return token(accepted_claims(sub=subject, cnf={"jkt": jkt(by)}))


def certified_token() -> str:
    """Return a token that is bound to a certificate."""
    return token(accepted_claims(cnf={"x5t#S256": CERTIFICATE}))


def ath(text: str) -> str:
    return jws.encode_segment(sha256(text.encode()).digest()).decode()


def proof_claims(text: str | None = None, **changes: object) -> dict[str, Json]:
    """Return the claims of a proof; `LEFT_OUT` removes one."""
    claims: dict[str, object] = {
        "jti": "proof-1",
        "htm": METHOD,
        "htu": URI,
        "iat": int(NOW),
        "ath": ath(bound_token() if text is None else text),
        **changes,
    }
    return _made(claims)


def proof(
    text: str | None = None,
    *,
    by: PrivateKey | None = None,
    header: Mapping[str, object] | None = None,
    **changes: object,
) -> str:
    """Return a proof for the token `text`. `header` and `changes` change one that is accepted."""
    signing = by or sender()
    parameters: dict[str, object] = {
        "typ": "dpop+jwt",
        "alg": signing.algorithm,
        "jwk": public(signing),
        "kid": LEFT_OUT,
        **(header or {}),
    }
    return signed(signing, _made(parameters), proof_claims(text, **changes))


def signed(by: PrivateKey, header: Mapping[str, Json], claims: Mapping[str, Json]) -> str:
    """Return a JWS with this very header."""
    return minting.sign_bytes(by, json.dumps(header).encode(), json.dumps(claims).encode())


def sent(*proofs: str, **changes: str) -> SenderProof:
    """Return what came along with a request that `proof()` is for."""
    return SenderProof(
        dpop_proofs=proofs,
        http_method=changes.get("http_method", METHOD),
        http_uri=changes.get("http_uri", URI),
        client_certificate_sha256=changes.get("client_certificate_sha256", ""),
        request_id=changes.get("request_id", ""),
    )


def _made(members: Mapping[str, object]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for name, value in members.items():
        if value is LEFT_OUT:
            continue
        assert value is None or isinstance(value, bool | int | float | str | list | dict)
        made[name] = value
    return made


def verifying(**settings: Unpack[Settings]) -> Validator:
    """Return a validator that remembers no proof yet."""
    return validator(constraints=SenderConstraints(DpopSettings(**settings)))


def accept(
    text: str, came: SenderProof, of: Validator | None = None, now: float = NOW
) -> VerifiedToken:
    """Verify a token with what came along."""
    return (of or verifying()).verify(text, HEALTH, now, came)


def refuse(
    text: str, came: SenderProof, of: Validator | None = None, now: float = NOW
) -> TokenBindingInvalid:
    """Return why a token is refused for what came along; fails when it is accepted."""
    try:
        accepted = accept(text, came, of, now)
    except TokenBindingInvalid as found:
        return found
    raise AssertionError(f"accepted: {accepted}")
