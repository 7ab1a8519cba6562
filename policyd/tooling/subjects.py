"""Tokens that nobody signed: what a policy test or `policyd eval --claims` says that a token holds.

Out go `VerifiedToken`s made directly, and a validator that takes them for granted. Only tools may
use them: nothing here verifies anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from policyd.errors import PolicydError
from policyd.language.cases import Claim, JsonValue, TestClaims, TestToken
from policyd.language.literals import read_time
from policyd.language.policy import Api, ClaimDeclaration
from policyd.tokens.dialects.table import TABLE
from policyd.tokens.issuers import IssuerSettings
from policyd.tokens.jws import Header
from policyd.tokens.keys.key_set import KeySet
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import (
    NO_PROOF,
    Json,
    ResourceServer,
    SenderProof,
    VerifiedToken,
    new_memo,
)
from policyd.tokens.pipeline import PIPELINE, Candidate, Trust, issuer_of
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.validator import Validator

#: `token.iss` of a test token that does not say: every real token has an issuer.
ISSUER = "https://issuer.example/"
#: How long a test token is valid, in seconds.
_LIFETIME = 3600

#: Facts that the engine reads from the payload itself.
_PAYLOAD_FACTS = ("acr", "amr", "auth_time")

#: What is done with a token once its signature holds.
_AFTER_SIGNATURE = PIPELINE[[step.name for step in PIPELINE].index("signature") + 1 :]
_NO_KEYS = KeySet(
    keys={},
    by_algorithm={},
    key_ids=frozenset(),
    ambiguous=frozenset(),
    skipped=(),
    digest=b"",
)
_TRUST = Trust(issuers={}, max_token_bytes=0, constraints=SenderConstraints())


class UnknownDialect(PolicydError):
    """A policy test names a dialect that there is not. The text says which there are."""


class TakenForGranted:
    """A validator that answers with one token, whatever it is asked. Set `token` before use.

    Given a refusal in its place, it raises that. `told` is what the issuer tells of the user.
    """

    def __init__(
        self,
        token: VerifiedToken | TokenRefused | None = None,
        told: Mapping[str, Json] | None = None,
    ) -> None:
        self.token = token
        self.told = told

    def verify(
        self,
        access_token: str,  # noqa: ARG002 - the engine's protocol names the parameters
        resource_server: ResourceServer,  # noqa: ARG002
        now: float,  # noqa: ARG002
        proof: SenderProof = NO_PROOF,  # noqa: ARG002
    ) -> VerifiedToken:
        """Return the token, or raise the refusal."""
        if self.token is None:
            raise LookupError("there is no token to take for granted")
        if isinstance(self.token, TokenRefused):
            raise self.token
        return self.token

    def userinfo(
        self,
        token: VerifiedToken,  # noqa: ARG002
        access_token: str,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> Mapping[str, Json] | None:
        """Return what the issuer tells of the user."""
        return self.told


class WithUserinfo:
    """A validator that verifies as another does, and takes for granted what the issuer tells of the
    user: it asks nobody."""

    def __init__(self, validator: Validator, told: Mapping[str, Json] | None) -> None:
        self._validator = validator
        self._told = told

    def verify(
        self,
        access_token: str,
        resource_server: ResourceServer,
        now: float,
        proof: SenderProof = NO_PROOF,
    ) -> VerifiedToken:
        """Verify. Raises `TokenRefused`."""
        return self._validator.verify(access_token, resource_server, now, proof)

    def userinfo(
        self,
        token: VerifiedToken,  # noqa: ARG002
        access_token: str,  # noqa: ARG002
        now: float,  # noqa: ARG002
    ) -> Mapping[str, Json] | None:
        """Return what the issuer is said to tell of the user."""
        return self._told


def subject(stated: TestToken | TestClaims, api: Api, now: int) -> VerifiedToken | TokenRefused:
    """Return the token that a policy test describes, or why it is refused at `now`.

    Raises `UnknownDialect`.
    """
    if isinstance(stated, TestToken):
        return stated_token(stated, api, now)
    try:
        return read_claims(stated, api, now)
    except TokenRefused as refusal:
        return refusal


def read_claims(stated: TestClaims, api: Api, now: int) -> VerifiedToken:
    """Take a payload through the pipeline, as if its signature held.

    What the test does not say is as it should be: `iss`, `aud`, `iat`, `exp`, and the header's
    `typ`. The issuer has default settings. Raises `UnknownDialect`, `TokenRefused`.
    """
    row = TABLE.get(stated.dialect)
    if row is None:
        known = ", ".join(TABLE)
        raise UnknownDialect(f"there is no dialect `{stated.dialect}`: there are {known}")
    server = ResourceServer(api.name, frozenset(api.audiences))
    candidate = Candidate("", server, now, _TRUST)
    token_type = "at+jwt" if row.at_jwt else "jwt"
    candidate.header = Header("RS256", None, token_type, {"alg": "RS256", "typ": token_type})
    assumed: dict[str, Json] = {
        "iss": ISSUER,
        "aud": [*api.audiences],
        "iat": now,
        "exp": now + _LIFETIME,
    }
    candidate.claims = assumed | {name: _plain(claim) for name, claim in stated.claims.items()}
    settings = IssuerSettings(issuer=ISSUER, dialect=stated.dialect)
    candidate.issuer = issuer_of(settings, FixedKeys(_NO_KEYS))
    for step in _AFTER_SIGNATURE:
        step.run(candidate)
    return candidate.token


def _plain(claim: Claim) -> Json:
    if isinstance(claim, list):
        return [_plain(item) for item in claim]
    if isinstance(claim, dict):
        return {name: _plain(value) for name, value in claim.items()}
    return claim


def stated_token(token: TestToken, api: Api, now: int) -> VerifiedToken:
    """Return the token that a policy test describes, valid at `now` for the API's audiences.

    Declared claims stand at their paths in the payload. `subject` and `sub` are the same unless the
    test gives both.
    """
    values = token.values
    sub = _text(values, "sub") or _text(values, "subject")
    claims: dict[str, Json] = {} if sub is None else {"sub": sub}
    for name in _PAYLOAD_FACTS:
        if name in values:
            claims[name] = _json(values[name])
    _put_declared(claims, api.claims, values)
    issued_at = _time(values, "issued_at")
    expires_at = _time(values, "expires_at")
    return VerifiedToken(
        issuer=_text(values, "iss") or ISSUER,
        subject=_text(values, "subject") or sub,
        client=_text(values, "client"),
        kind=token.kind,
        scopes=_texts(values, "scope"),
        permissions=_texts(values, "permissions"),
        audience=_texts(values, "audience") or frozenset(api.audiences),
        actor=_text(values, "actor"),
        issued_at=now if issued_at is None else issued_at,
        not_before=None,
        expires_at=now + _LIFETIME if expires_at is None else expires_at,
        token_id=_text(values, "jti"),
        key_id=None,
        algorithm="none",
        claims=claims,
        memo=new_memo(),
    )


def _text(values: Mapping[str, JsonValue], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None


def _texts(values: Mapping[str, JsonValue], name: str) -> frozenset[str]:
    value = values.get(name)
    return frozenset(map(str, value)) if isinstance(value, list) else frozenset()


def _time(values: Mapping[str, JsonValue], name: str) -> int | None:
    value = values.get(name)
    if isinstance(value, str):
        return read_time(value)
    return value if isinstance(value, int) else None


def _json(value: JsonValue) -> Json:
    return [*value] if isinstance(value, list) else value


def userinfo(values: Mapping[str, JsonValue], api: Api) -> Mapping[str, Json]:
    """Return what an issuer tells of the user, as a policy test states it by declared names."""
    told: dict[str, Json] = {}
    _put_declared(told, api.userinfo, values)
    return told


def _put_declared(
    claims: dict[str, Json],
    declared: Mapping[str, ClaimDeclaration],
    values: Mapping[str, JsonValue],
) -> None:
    for name, claim in declared.items():
        if name in values:
            _put(claims, claim.path, _json(values[name]))


def _put(claims: dict[str, Json], path: tuple[str, ...], value: Json) -> None:
    """Place a claim; objects on the way are made as needed."""
    *way, last = path
    for name in way:
        below = claims.setdefault(name, {})
        if not isinstance(below, dict):  # another claim is declared on the way to this one
            return
        claims = below
    claims[last] = value
