"""A second configured issuer, gone bad, tries to mint for an API that is not its own.

It has keys of its own, of which it may do as it likes, and may speak for `billing`; `health` is the
first issuer's. What it sends differs in one respect from a token of its own that is accepted.
"""

from __future__ import annotations

import json

import pytest

from policyd.json_types import Json
from policyd.tokens import minting
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.minting import PrivateKey
from policyd.tokens.model import ResourceServer
from policyd.tokens.validator import Validator
from tests.support.tokens import (
    AUDIENCE,
    BILLING,
    CLIENT,
    HEALTH,
    ISSUER,
    USERINFO,
    accepted_claims,
    issuer,
    key,
    key_set,
    raw_token,
    reason,
    refusal,
    token,
    validator,
    verify,
    without,
)

Claims = dict[str, Json]

SECOND = "https://second.example/"
BILLING_AUDIENCE = "https://example.com/billing-api"
LEDGER = ResourceServer("ledger", frozenset(("https://example.com/ledger-api",)))
USER = "auth0|123456"


def its_key(key_id: str | None = None, algorithm: str = "RS256") -> PrivateKey:
    """Return the second issuer's key; it may call it what it likes."""
    made = key(algorithm, "second")
    if key_id is None:
        return made
    return PrivateKey(made.algorithm, key_id, {**made.jwk, "kid": key_id})


def both(*, kid: str | None = None, second: str = "auth0", **changes: object) -> Validator:
    """Trust both issuers, each for its own APIs."""
    theirs = FixedKeys(key_set(its_key(kid)))
    settings = {"issuer": SECOND, "dialect": second, "apis": frozenset(("billing",)), **changes}
    return validator(issuer(apis=frozenset(("health",))), issuer(theirs, **settings))


def its_claims(**changes: Json) -> Claims:
    """Return the claims of a token that the second issuer may mint."""
    return {**accepted_claims(iss=SECOND, aud=[BILLING_AUDIENCE]), **changes}


def its_token(by: PrivateKey | None = None, /, **changes: Json) -> str:
    return token(its_claims(**changes), by=by or its_key())


@pytest.fixture(autouse=True)
def the_twins_are_accepted() -> None:
    """Each issuer opens its own API."""
    assert verify(its_token(), both(), BILLING).issuer == SECOND
    assert verify(token(), both(), HEALTH).issuer == ISSUER


# --- its own name -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": AUDIENCE},
        {"aud": [AUDIENCE, USERINFO]},
        {"aud": [BILLING_AUDIENCE, AUDIENCE]},
        {"aud": AUDIENCE, "azp": "another"},
        {"aud": AUDIENCE, "sub": "another"},
        {"aud": AUDIENCE, "scope": "read:patients", "permissions": ["read:patients"]},
        {"aud": AUDIENCE, "act": {"sub": USER, "iss": ISSUER}},
        {"aud": AUDIENCE, "original_iss": ISSUER, "client_id": CLIENT},
    ],
)
def test_it_may_not_speak_for_another_api(changes: Claims) -> None:
    found = refusal(its_token(**changes), both(), HEALTH)

    assert found.reason == "ISSUER_UNKNOWN"
    assert "may not speak for the API 'health'" in str(found)


def test_a_token_that_was_accepted_for_its_api_opens_no_other() -> None:
    """From the cache neither, and in whatever order it is asked about."""
    of = both()
    text = its_token(aud=[BILLING_AUDIENCE, AUDIENCE])

    for _ in range(2):
        assert verify(text, of, BILLING).issuer == SECOND
        assert reason(text, of, HEALTH) == "ISSUER_UNKNOWN"


def test_the_first_issuer_may_not_speak_for_its_api_either() -> None:
    assert reason(token(accepted_claims(aud=BILLING_AUDIENCE)), both(), BILLING) == "ISSUER_UNKNOWN"


def test_an_api_is_known_by_its_name_and_not_by_an_audience() -> None:
    """An API of somebody else that has the audience of its own is still not its own."""
    elsewhere = ResourceServer("health", BILLING.audiences)

    assert reason(its_token(), both(), elsewhere) == "ISSUER_UNKNOWN"


# --- the other's name, with its own key ---------------------------------------------------------


def test_another_issuers_name_is_verified_with_that_issuers_key() -> None:
    """It calls its key what the other calls its own."""
    taken = key().key_id
    of = both(kid=taken)

    assert verify(its_token(its_key(taken)), of, BILLING).issuer == SECOND
    assert reason(token(by=its_key(taken)), of) == "SIGNATURE_INVALID"


def test_its_own_key_id_is_not_known_there() -> None:
    assert reason(token(by=its_key()), both()) == "KEY_UNKNOWN"


def test_without_a_key_id_it_is_the_others_only_key_that_counts() -> None:
    payload = json.dumps(accepted_claims()).encode()
    header = b'{"alg":"RS256","typ":"JWT"}'

    assert verify(raw_token(header=header, payload=payload), both()).issuer == ISSUER
    forged = raw_token(header=header, payload=payload, by=its_key())
    assert reason(forged, both()) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("parameter", ["jwk", "jku", "x5u", "x5c", "iss", "issuer"])
def test_what_the_header_says_of_keys_and_issuers_is_not_looked_at(parameter: str) -> None:
    values: Claims = {
        "jwk": {**its_key().public_jwk()},
        "jku": f"{SECOND}jwks.json",
        "x5u": f"{SECOND}cert.pem",
        "x5c": ["AAAA"],
        "iss": SECOND,
        "issuer": SECOND,
    }
    header: Claims = {"kid": key().key_id, parameter: values[parameter]}

    assert verify(token(header=header), both()).issuer == ISSUER
    assert reason(token(header=header, by=its_key()), both()) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_the_other_issuers_algorithms_are_not_its_own(algorithm: str) -> None:
    its = its_key(algorithm=algorithm)
    theirs = FixedKeys(key_set(its, algorithms=(algorithm,)))
    of = validator(
        issuer(apis=frozenset(("health",))),
        issuer(theirs, issuer=SECOND, algorithms=(algorithm,), apis=frozenset(("billing",))),
    )

    assert verify(its_token(its), of, BILLING).issuer == SECOND
    assert reason(token(by=its), of) == "ALGORITHM_NOT_ALLOWED"


def test_publishing_the_others_key_changes_nothing() -> None:
    """A key in two sets verifies for each issuer what names that issuer, and nothing else."""
    theirs = FixedKeys(key_set(its_key(), key()))
    of = validator(
        issuer(apis=frozenset(("health",))),
        issuer(theirs, issuer=SECOND, apis=frozenset(("billing",))),
    )

    assert verify(token(), of).issuer == ISSUER
    assert reason(token(accepted_claims(aud=BILLING_AUDIENCE)), of, BILLING) == "ISSUER_UNKNOWN"
    assert reason(token(by=its_key()), of) == "KEY_UNKNOWN"


# --- names that are nearly the other's ----------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        ISSUER.removesuffix("/"),
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER + " ",
        ISSUER + "\u0000",
        ISSUER + "#",
        ISSUER + "?",
        ISSUER.replace("https", "http"),
        ISSUER.replace("my-domain", "my\u2010domain"),
        f"{SECOND}..//{ISSUER}",
        f"https://my-domain.auth0.com@{SECOND.removeprefix('https://')}",
        [ISSUER],
        [SECOND, ISSUER],
        {"iss": ISSUER},
        None,
        True,
    ],
)
def test_a_name_is_the_others_in_every_character_or_nobodys(name: Json) -> None:
    for by in (its_key(), key()):
        assert reason(token(accepted_claims(iss=name), by=by), both()) == "ISSUER_UNKNOWN"


def test_without_a_name_it_is_nobody() -> None:
    assert reason(token(without(accepted_claims(), "iss"), by=its_key()), both()) == (
        "ISSUER_UNKNOWN"
    )


@pytest.mark.parametrize("names", [(SECOND, ISSUER), (ISSUER, SECOND)])
def test_two_names_are_none(names: tuple[str, str]) -> None:
    first, last = names
    head = f'{{"iss":{json.dumps(first)},'.encode()
    payload = json.dumps(accepted_claims(iss=last, aud=[AUDIENCE, BILLING_AUDIENCE])).encode()

    for api in (HEALTH, BILLING):
        text = raw_token(payload=head + payload[1:], by=its_key())
        assert reason(text, both(), api) == "TOKEN_MALFORMED"


# --- an API of both -----------------------------------------------------------------------------


def test_where_both_may_speak_a_subject_is_still_its_issuers() -> None:
    """The same `sub` and `azp` of two issuers are two principals: the issuer stands beside them."""
    shared = frozenset(("health", "billing"))
    of = validator(
        issuer(apis=frozenset(("health",))),
        issuer(FixedKeys(key_set(its_key())), issuer=SECOND, apis=shared),
    )
    own, other = verify(its_token(aud=AUDIENCE), of), verify(token(), of)

    assert (own.subject, own.client) == (other.subject, other.client) == (USER, CLIENT)
    assert (own.issuer, other.issuer) == (SECOND, ISSUER)


def test_a_dialect_is_its_issuers_own() -> None:
    """What marks an access token for one issuer marks nothing for another."""
    of = both(second="keycloak")
    id_token: Claims = {"name": "Jane", "nonce": "n", "aud": BILLING_AUDIENCE, "azp": CLIENT}

    assert verify(its_token(typ="Bearer", **id_token), of, BILLING).issuer == SECOND
    id_token["aud"] = AUDIENCE
    assert reason(token(accepted_claims(typ="Bearer", **id_token)), of) == "ID_TOKEN"


# --- tokens without an audience -----------------------------------------------------------------


def granted(scope: str, client: str = CLIENT) -> str:
    claims = without(its_claims(token_use="access", client_id=client, scope=scope), "aud", "azp")
    return minting.sign(its_key(), claims)


def cognito() -> Validator:
    clients = {"billing": frozenset((CLIENT,)), "ledger": frozenset(("bookkeeping",))}
    return both(second="cognito", apis=frozenset(("billing", "ledger")), clients=clients)


def test_without_an_audience_it_opens_its_own_api_alone() -> None:
    of = cognito()
    text = granted(f"{BILLING_AUDIENCE}/read {AUDIENCE}/read")

    assert verify(text, of, BILLING).issuer == SECOND
    assert reason(text, of, HEALTH) == "ISSUER_UNKNOWN"
    assert verify(text, of, BILLING).issuer == SECOND


def test_an_application_that_one_api_knows_is_no_application_of_another() -> None:
    of = cognito()
    ledger = "https://example.com/ledger-api/read"

    assert verify(granted(ledger, "bookkeeping"), of, LEDGER).client == "bookkeeping"
    assert reason(granted(ledger), of, LEDGER) == "AUDIENCE_MISMATCH"
    assert reason(granted(ledger, "bookkeeping"), of, BILLING) == "AUDIENCE_MISMATCH"
    assert reason(granted(f"{BILLING_AUDIENCE}/read", "bookkeeping"), of, BILLING) == (
        "AUDIENCE_MISMATCH"
    )


def test_an_issuer_whose_tokens_have_audiences_must_send_one() -> None:
    claims = accepted_claims(
        token_use="access", client_id=CLIENT, scope=f"{AUDIENCE}/read", azp="x"
    )

    assert verify(token(claims), cognito()).issuer == ISSUER
    assert reason(token(without(claims, "aud")), cognito()) == "CLAIM_MISSING"
