"""Unsigned tokens: the tokens of policy tests and of `policyd eval --claims`.

This module makes `VerifiedToken`s directly, and a validator that accepts them. Only tools may use
them: nothing here verifies anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policyd.decision.engine import Validator
from policyd.errors import PolicydError
from policyd.json_types import Json, put
from policyd.language.cases import JsonValue, TestToken
from policyd.language.literals import read_time
from policyd.language.policy import Api, Attribute, ClaimDeclaration
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken, new_memo
from policyd.tokens.refusals import TokenRefused

#: `token.iss` of a test token that does not say: every real token has an issuer.
ISSUER = "https://issuer.example/"
#: How long a test token is valid, in seconds.
LIFETIME = 3600

#: Facts that the engine reads from the payload itself.
_PAYLOAD_FACTS = ("acr", "amr", "auth_time")


class UnknownDialect(PolicydError):
    """A policy test names an unknown dialect. The text lists the known ones."""


class TakenForGranted:
    """A validator that answers with one token, whatever it is asked. Set `token` before use.

    Given a refusal in its place, it raises that. `userinfo_claims` are the issuer's response.
    """

    def __init__(
        self,
        token: VerifiedToken | TokenRefused | None = None,
        userinfo_claims: Mapping[str, Json] | None = None,
    ) -> None:
        self.token = token
        self.userinfo_claims = userinfo_claims

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
        return self.userinfo_claims


class WithUserinfo:
    """A validator that verifies as another does, and takes for granted what the issuer tells of the
    user: it asks nobody."""

    def __init__(self, validator: Validator, userinfo_claims: Mapping[str, Json] | None) -> None:
        self._validator = validator
        self._userinfo_claims = userinfo_claims

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
        return self._userinfo_claims


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
        expires_at=now + LIFETIME if expires_at is None else expires_at,
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
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {name: _json(member) for name, member in value.items()}
    return value


def userinfo(values: Mapping[str, JsonValue], api: Api) -> Mapping[str, Json]:
    """Return what an issuer tells of the user, as a policy test states it by declared names."""
    found: dict[str, Json] = {}
    _put_declared(found, api.userinfo, values)
    return found


def _put_declared(
    claims: dict[str, Json],
    declared: Mapping[str, ClaimDeclaration],
    values: Mapping[str, JsonValue],
) -> None:
    for name, claim in declared.items():
        if name in values:
            put(claims, claim.path, _json(values[name]))


def passed(values: Mapping[str, JsonValue], declared: Iterable[Attribute]) -> dict[str, Json]:
    """Return what a caller passes, as a policy test states it by declared names."""
    given: dict[str, Json] = {}
    for one in declared:
        if one.fact.name in values:
            put(given, one.path, _json(values[one.fact.name]))
    return given
