"""Both ways: every genuine access token is accepted, and no ID token is, whatever was done to it.

Access tokens: 1,300 of each dialect, made at random. ID tokens: those of each dialect, changed at
random in ways that bring them as near to an access token as they can come while they are still ID
tokens, each under every dialect's configuration, and for an API whose audience may be the very
application that the ID token is for.

What an ID token is, is its audience: the application (OpenID Connect Core 1.0, section 2). So the
changed ones keep their application in `aud`, or else something that only ID tokens have; and they
do not get what a dialect takes for proof, such as a payload `typ` of Bearer: with that they would
be access tokens, by the word of their issuer.
"""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from policyd.json_types import Json
from policyd.tokens.model import ResourceServer
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect import Dialect, read_conditions
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator
from tests.support.issuer_tokens import API, IssuerToken, fixtures, genuine, judge
from tests.support.tokens import NOW, issuer, key, token

_EACH = 1_300
_CHANGED = 150
_SEED = 20_261_122

#: As a user might define them: the mark of one kind of claim each.
OWN = {
    "own-at-jwt": Dialect(at_jwt=True),
    "own-text": Dialect(marks=read_conditions("marks", [{"token_use": "access"}])),
    "own-claim": Dialect(marks=read_conditions("marks", [{"scope": True}, {"scp": True}])),
    "own-outside": Dialect(
        marks=read_conditions("marks", [{"scope": True}, {"permissions": True}]),
        client_outside_audience=True,
    ),
}
ALL = {**DIALECTS, **OWN}


def test_genuine_access_tokens_are_accepted() -> None:
    accepted = dict.fromkeys(DIALECTS, 0)
    for dialect in DIALECTS:
        for one in genuine(dialect, _SEED, _EACH):
            facts = judge(one)
            assert facts.client == (one.client or None)
            assert facts.subject
            assert facts.kind in (one.kind, None)
            accepted[dialect] += 1
    print(f"accepted: {sum(accepted.values())}, of each dialect {_EACH}")
    assert sum(accepted.values()) >= 10_000


@pytest.mark.parametrize(
    "dialect", ["auth0", "auth0-rfc9068", "okta", "entra", "cognito", "kubernetes"]
)
def test_dialects_that_tell_users_from_machines_tell_always(dialect: str) -> None:
    for one in genuine(dialect, _SEED, 200):
        assert judge(one).kind == one.kind


@pytest.mark.parametrize(("algorithm", "each"), [("EdDSA", _EACH), ("ES256", 50)])
def test_signed_they_are_accepted_too(algorithm: str, each: int) -> None:
    """Through the whole pipeline, with one issuer a dialect, all of them trusted at once."""
    made = [one for dialect in DIALECTS for one in genuine(dialect, _SEED, each)]
    of = Validator(_issuer_of(dialect, algorithm, made) for dialect in DIALECTS)
    for one in made:
        header = {**one.header, "alg": algorithm, "kid": key(algorithm).key_id}
        claims = {**one.claims, "iss": _name(one.dialect)}
        text = token(claims, header=header, by=key(algorithm))
        facts = of.verify(text, ResourceServer(API, one.audiences), NOW)
        assert (facts.issuer, facts.client) == (_name(one.dialect), one.client or None)
    print(f"accepted, signed with {algorithm}: {len(made)}")


def _issuer_of(dialect: str, algorithm: str, made: list[IssuerToken]) -> Issuer:
    clients = frozenset(one.client for one in made if one.dialect == dialect)
    return issuer(
        issuer=_name(dialect),
        dialect=dialect,
        algorithms=(algorithm,),
        apis=frozenset((API,)),
        clients={API: clients} if DIALECTS[dialect].audience_by_client else {},
    )


def _name(dialect: str) -> str:
    return f"https://{dialect}.example/"


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize("one", fixtures("id_token"), ids=lambda one: f"{one.dialect}/{one.name}")
def test_id_tokens_as_they_are_issued_are_refused(one: IssuerToken, dialect: str) -> None:
    assert _reason(one, dialect) == "ID_TOKEN"


@pytest.mark.parametrize("one", fixtures("id_token"), ids=lambda one: f"{one.dialect}/{one.name}")
def test_id_tokens_are_refused_whatever_was_done_to_them(one: IssuerToken) -> None:
    rng = Random(f"{one.dialect} {one.name} {_SEED}")
    for _ in range(_CHANGED):
        changed = _changed(one, rng)
        expected = {"ID_TOKEN"} if _bears_a_sign(changed) else {"ID_TOKEN", "TOKEN_TYPE"}
        for dialect in ALL:
            assert _reason(changed, dialect) in expected, (dialect, changed)


def _reason(one: IssuerToken, dialect: str) -> str:
    """Return why an ID token is refused, for an API that may be the application itself."""
    try:
        facts = judge(one, ALL[dialect], one.client)
    except TokenRefused as refusal:
        return refusal.reason
    raise AssertionError(f"accepted under {dialect}: {facts}")


#: What only ID tokens have.
_SIGNS = ("nonce", "at_hash", "c_hash", "s_hash")


def _bears_a_sign(one: IssuerToken) -> bool:
    claims = one.claims
    return (
        any(name in claims for name in _SIGNS)
        or claims.get("typ") == "ID"
        or claims.get("token_use") == "id"
        or str(claims.get("jti", "")).startswith("ID.")
    )


def _changed(one: IssuerToken, rng: Random) -> IssuerToken:
    claims = dict(one.claims)
    for name in (*_SIGNS, "typ", "token_use", "jti", "sid", "auth_time", "amr", "acr", "azp"):
        if rng.random() < 0.6:
            claims.pop(name, None)
    api = rng.choice(sorted(one.audiences))
    added: dict[str, Json] = {
        "scope": rng.choice(("openid read:patients", f"{api}/read", "")),
        "scp": "read" if rng.random() < 0.5 else ["read"],
        "permissions": ["read:patients"],
        "gty": "authorization_code",
        "roles": ["admin"],
        "realm_access": {"roles": ["admin"]},
        "azp": one.client,
        "client_id": one.client,
        "cid": one.client,
        "appid": one.client,
        "uid": "someone",
        "jti": "AT.1",
        "uti": "1",
        "nonce": "n",
        "c_hash": "x",
    }
    for name, value in added.items():
        if rng.random() < 0.35:
            claims.setdefault(name, value)
    userinfo = f"{claims['iss']}/userinfo"
    audiences: list[Json] = [
        one.client,
        [one.client],
        [one.client, api],
        [api, one.client],
        [api, userinfo, one.client],
    ]
    claims["aud"] = rng.choice(audiences)
    if _bears_a_sign(msgspec.structs.replace(one, claims=claims)) and rng.random() < 0.3:
        claims["aud"] = api
    header = {**one.header, "typ": "JWT"} if rng.random() < 0.5 else dict(one.header)
    if rng.random() < 0.3:
        header.pop("typ", None)
    return msgspec.structs.replace(one, header=header, claims=claims)
