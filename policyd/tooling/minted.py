"""Witnesses as real tokens: minted as a dialect writes them, verified by the real validator, and
decided by the engine. So what the prover found is seen to happen, token and all.
"""

from __future__ import annotations

import msgspec

from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.language.policy import PolicySet
from policyd.program.interpreter import World
from policyd.prover.judging import Outcome
from policyd.prover.universe import Side
from policyd.reasons import Reason
from policyd.tokens.claims.writing import AccessToken, write
from policyd.tokens.keys.key_set import read_key_set
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.minting import PrivateKey, generate_key, key_set_text, sign
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import issuer_of
from policyd.tokens.validator import Validator
from policyd.tooling.subjects import WithUserinfo

#: Why there is an answer by rules, and the token was not refused.
BY_RULES = (
    Reason.ALLOWED,
    Reason.NO_RULE_ALLOWS,
    Reason.DENIED_BY_RULE,
    Reason.INSUFFICIENT_SCOPE,
    Reason.INSUFFICIENT_USER_AUTHENTICATION,
    Reason.INSUFFICIENT_AUTHORIZATION_DETAILS,
)
_GRANTS = {"user": "password", "application": "client-credentials"}


class Mint:
    """Mints tokens of one development key, which it makes when it is needed first."""

    def __init__(self) -> None:
        self._key: PrivateKey | None = None

    def outcome(self, policies: PolicySet, side: Side, world: World, dialect: str) -> Outcome:
        """Return what a policy set answers to a witness's token, written as a dialect does."""
        validator = WithUserinfo(self._validator(world.token.issuer, dialect), world.userinfo)
        engine = Engine(validator, lambda: float(world.now))
        engine.load(policies)
        request = Request(
            access_token=self._token(side, world, dialect),
            api=side.api.name,
            action=side.action,
            resource_type=side.resource.name,
            resource_id=world.resource_id,
            attributes=world.attributes,
            context=world.context,
        )
        try:
            decision = engine.check(request)
        except InvalidRequest:
            return "mistake"
        if decision.reason not in BY_RULES:
            return "refused"
        return "allow" if decision.allowed else "deny"

    def _validator(self, issuer: str, dialect: str) -> Validator:
        if self._key is None:
            self._key = generate_key("ES256")
        settings = IssuerSettings(issuer=issuer, dialect=dialect, jwks_uri="https://issuer.example")
        keys = FixedKeys(read_key_set(key_set_text(self._key), ("ES256",)))
        return Validator(
            [issuer_of(msgspec.structs.replace(settings, algorithms=("ES256",)), keys)]
        )

    def _token(self, side: Side, world: World, dialect: str) -> str:
        token = world.token
        client = token.client or "witness"
        subject = token.subject or _text(token.claims.get("sub")) or _name(token.kind, client)
        header, claims = write(
            dialect,
            AccessToken(
                issuer=token.issuer,
                subject=subject,
                client=client,
                audiences=tuple(sorted(token.audience)) or side.api.audiences[:1],
                scopes=tuple(sorted(token.scopes)),
                issued_at=world.now if token.issued_at is None else token.issued_at,
                expires_at=token.expires_at,
                token_id=token.token_id or "witness-1",
            ),
        )
        claims |= _more(world, dialect)
        assert self._key is not None, "the validator was made first"
        return sign(self._key, claims, header)


def _more(world: World, dialect: str) -> dict[str, Json]:
    """Return what a token says beside what every token of its dialect says."""
    token, row = world.token, DIALECTS[dialect]
    more: dict[str, Json] = {name: one for name, one in token.claims.items() if name != "sub"}
    if token.kind is not None:
        more["gty"] = _GRANTS[token.kind]
    if token.permissions and row.permissions is not None:
        more[row.permissions] = [*sorted(token.permissions)]
    if token.actor is not None:
        more["act"] = {"sub": token.actor}
    return more


def _name(kind: str | None, client: str) -> str:
    return f"{client}@clients" if kind == "application" else "witness|1"


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


#: The dialects that witnesses are minted in, where no issuer is configured.
USUAL = ("auth0", "rfc9068")
