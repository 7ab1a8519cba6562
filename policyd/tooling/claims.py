"""Claims as an issuer writes them, read without a signature: `token from DIALECT { … }` of a test.

The verification steps after the signature read them. A test run without such tokens does not import
this module or anything that verifies signatures.
"""

from __future__ import annotations

from policyd.json_types import Json
from policyd.language.cases import Claim, TestClaims
from policyd.language.policy import Api
from policyd.tokens.jws import Header
from policyd.tokens.keys.key_set import KeySet
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import ResourceServer, VerifiedToken
from policyd.tokens.pipeline import PIPELINE
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.steps import Candidate
from policyd.tokens.trust import Trust, issuer_of
from policyd.tooling.issuing import Issuing
from policyd.tooling.subjects import ISSUER, LIFETIME, UnknownDialect

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
_DEFAULTS = Issuing()
_TRUST = Trust(issuers={}, max_token_bytes=0, constraints=SenderConstraints())


def read_claims(
    stated: TestClaims, api: Api, now: int, issuing: Issuing = _DEFAULTS
) -> VerifiedToken:
    """Take a payload through the pipeline, as if its signature held.

    Unless the test gives them, claims are those of the real token of its dialect, if there is one,
    and `iss`, `aud`, `iat`, `exp` and the header's `typ` get valid values. The issuer is the
    configured one, else it has default settings. Raises `UnknownDialect`, `TokenRefused`.
    """
    configured = issuing.of(stated.dialect, api.name)
    rows = DIALECTS if configured is None else configured.dialects
    row = rows.get(stated.dialect)
    if row is None:
        known = ", ".join(DIALECTS)
        raise UnknownDialect(
            f"there is no dialect `{stated.dialect}`: there are {known}, and with `--config` those "
            "of its issuers"
        )
    settings = configured or IssuerSettings(issuer=ISSUER, dialect=stated.dialect)
    server = ResourceServer(api.name, frozenset(api.audiences))
    candidate = Candidate("", server, now, _TRUST)
    token_type = "at+jwt" if row.at_jwt else "jwt"
    candidate.header = Header("RS256", None, token_type, {"alg": "RS256", "typ": token_type})
    assumed: dict[str, Json] = {
        "iss": settings.issuer,
        "aud": [*api.audiences],
        "iat": now,
        "exp": now + LIFETIME,
        **issuing.lasting(stated.dialect),
    }
    candidate.claims = assumed | {name: _plain(claim) for name, claim in stated.claims.items()}
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
