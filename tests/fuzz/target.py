"""Any bytes, taken for a token: what must hold whatever they are.

The first byte says how the rest becomes a token, so that what is mutated is JSON and claims rather
than base64. Every signature holds, so that each step behind it is reached; there is one issuer a
dialect. Then:

- the token is accepted, or refused by a `TokenRefused` whose reason has a name; nothing else is
  ever raised;
- asked again, when an accepted one is remembered, the answer is the same;
- `policyd token inspect` names the same reason;
- an accepted token has one spelling;
- JSON that is read at once is read alike the long way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from policyd.json_types import Json
from policyd.reasons import Reason
from policyd.tokens import jws
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.inspection import Surroundings, inspect
from policyd.tokens.jws import SigningKey
from policyd.tokens.keys.key_set import KeySet
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import ResourceServer
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import Issuer, issuer_of
from policyd.tokens.validator import Validator

CORPUS: Final = Path(__file__).parent / "corpus"
NOW: Final = 1_800_000_000.0
API: Final = ResourceServer("health", frozenset(("https://example.com/health-api",)))
KEY_ID: Final = "k"
#: How the rest of the input becomes a token, by the first byte modulo four.
TEXT, SEGMENTS, PAYLOAD, CLAIMS = range(4)


def _keys() -> KeySet:
    keys = {
        name: SigningKey(KEY_ID, name, lambda _message, _signature: True) for name in ALGORITHMS
    }
    return KeySet(
        keys={(KEY_ID, name): key for name, key in keys.items()},
        by_algorithm={name: (key,) for name, key in keys.items()},
        key_ids=frozenset((KEY_ID,)),
        ambiguous=frozenset(),
        skipped=(),
        digest=b"",
    )


def issuer_name(dialect: str) -> str:
    return f"https://{dialect}.example/"


def _issuer(dialect: str) -> Issuer:
    settings = IssuerSettings(
        issuer=issuer_name(dialect),
        dialect=dialect,
        algorithms=ALGORITHMS,
        jwks_file="unused.json",
        apis=frozenset((API.name,)),
        clients={API.name: frozenset(("client",))} if DIALECTS[dialect].audience_by_client else {},
    )
    return issuer_of(settings, FixedKeys(_keys()))


ISSUERS: Final = tuple(_issuer(dialect) for dialect in DIALECTS)
CONSTRAINTS: Final = SenderConstraints()
VALIDATOR: Final = Validator(ISSUERS, cache_entries=100, constraints=CONSTRAINTS)
AROUND: Final = Surroundings(constraints=CONSTRAINTS)


def ordinary_claims(dialect: str) -> dict[str, Json]:
    """Return claims that bear the marks of every dialect that does not contradict the others."""
    return {
        "iss": issuer_name(dialect),
        "sub": "auth0|123456",
        "aud": [*API.audiences],
        "iat": int(NOW) - 60,
        "exp": int(NOW) + 900,
        "jti": "token-1",
        "azp": "client",
        "client_id": "client",
        "cid": "client",
        "appid": "client",
        "appidacr": "1",
        "token_use": "access",
        "typ": "Bearer",
        "tid": "tenant",
        "oid": "object",
        "kubernetes.io": {"namespace": "clinic"},
        "scope": "read:patients https://example.com/health-api/read",
        "scp": ["read:patients"] if dialect == "okta" else "read:patients",
    }


def token_of(data: bytes) -> str | None:
    """Return the token that an input stands for; `None` where it stands for none."""
    if not data:
        return None
    how, rest = data[0] % 4, data[1:]
    dialect = tuple(DIALECTS)[data[0] // 4 % len(DIALECTS)]
    if how == TEXT:
        return rest.decode("latin-1")
    header = json.dumps({"alg": "RS256", "kid": KEY_ID, "typ": "at+jwt"}).encode()
    payload = rest
    if how == SEGMENTS:
        header, _, payload = rest.partition(b"\n")
    elif how == CLAIMS:
        try:
            changes = json.loads(rest)
        except (ValueError, RecursionError):
            return None
        if not isinstance(changes, dict):
            return None
        claims = {**ordinary_claims(dialect), **changes}
        payload = json.dumps(
            {name: value for name, value in claims.items() if value != []}, separators=(",", ":")
        ).encode()
    parts = (jws.encode_segment(part).decode() for part in (header, payload, b"signature"))
    return ".".join(parts)


def verdict(text: str) -> Reason | None:
    """Return why a token is refused, `None` when it is accepted."""
    try:
        VALIDATOR.verify(text, API, NOW)
    except TokenRefused as refusal:
        refused = refusal
    else:
        return None
    assert str(refused).isprintable()
    return Reason(refused.reason)


def run(data: bytes) -> Reason | None:
    """Judge one input; return the reason. Raises whatever should not happen."""
    text = token_of(data)
    if text is None:
        return None
    at_once = jws.read_canonical(data[1:])
    assert at_once is None or repr(at_once) == repr(jws.read_strictly(data[1:], "input"))
    found = verdict(text)
    assert verdict(text) == found
    inspection = inspect(text, NOW, issuers=ISSUERS, api=API, around=AROUND)
    # Without a proof at hand, inspecting leaves the question of the sender open.
    unbound = found is Reason.TOKEN_BINDING_INVALID and inspection.reason is None
    assert inspection.reason == found or unbound, (inspection.reason, found)
    if found is None:
        assert inspection.token is not None
        segments = (jws.decode_segment(part.encode(), "segment") for part in text.split("."))
        assert ".".join(jws.encode_segment(part).decode() for part in segments) == text
    return found
