"""The validator: the first failing step names the reason, and what is known is checked again."""

from __future__ import annotations

import pytest

from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.minting import PrivateKey
from policyd.tokens.model import ResourceServer
from policyd.tokens.pipeline import PIPELINE
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from policyd.tokens.validator import LONGEST_TOKEN_BYTES, InvalidTokenSettings, Validator
from tests.support.tokens import (
    AUDIENCE,
    BILLING,
    HEALTH,
    ISSUER,
    NOW,
    Clock,
    FakeFetch,
    ValidatorOptions,
    accepted_claims,
    issuer,
    key,
    key_set,
    raw_token,
    reason,
    refusal,
    rfc9068_claims,
    settings,
    token,
    validator,
    verify,
    without,
)

OTHER = "https://other.example/"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_algorithm_is_verified(algorithm: str) -> None:
    of = validator(issuer(algorithms=(algorithm,)))

    assert verify(token(by=key(algorithm)), of).algorithm == algorithm


@pytest.mark.parametrize("dialect", ["auth0-rfc9068", "rfc9068"])
def test_a_token_of_rfc_9068_is_verified(dialect: str) -> None:
    of = validator(issuer(dialect=dialect))

    assert verify(token(rfc9068_claims(), header={"typ": "at+jwt"}), of).client == "my_client_id"


def test_the_steps_stand_in_the_order_of_the_contract() -> None:
    assert [step.name for step in PIPELINE] == [
        "segments",
        "base64url",
        "header",
        "payload",
        "issuer",
        "api",
        "algorithm",
        "key",
        "signature",
        "kind",
        "time",
        "audience",
        "facts",
        "binding",
        "revocation",
    ]


def test_the_earliest_failing_step_names_the_reason() -> None:
    """Each token fails at one step and at all that follow it; mending it moves the reason on."""
    stranger = key(name="stranger")
    claims = accepted_claims(
        iss=OTHER, exp=1, aud="https://nobody.example", sub="", cnf={"jkt": "x"}, at_hash="x"
    )
    of = validator(issuer(apis=frozenset(("health",)), algorithms=("RS256", "ES256")))

    def next_reason(api: str = "health", **header: str) -> str:
        signer = key() if header.pop("by", "") == "issuer" else stranger
        resource_server = HEALTH if api == "health" else BILLING
        return reason(token(claims, header=header or None, by=signer), of, resource_server)

    assert next_reason("billing", alg="none") == "ISSUER_UNKNOWN"
    claims["iss"] = ISSUER
    assert next_reason("billing", alg="none") == "ISSUER_UNKNOWN"
    assert next_reason(alg="none") == "ALGORITHM_NOT_ALLOWED"
    assert next_reason() == "KEY_UNKNOWN"
    assert next_reason(kid=key().key_id) == "SIGNATURE_INVALID"
    assert next_reason(by="issuer") == "ID_TOKEN"
    del claims["at_hash"]
    assert next_reason(by="issuer") == "TOKEN_EXPIRED"
    claims["exp"] = NOW + 100
    assert next_reason(by="issuer") == "AUDIENCE_MISMATCH"
    claims["aud"] = AUDIENCE
    assert next_reason(by="issuer") == "CLAIM_INVALID"
    claims["sub"] = "auth0|1"
    assert next_reason(by="issuer") == "TOKEN_BINDING_INVALID"
    del claims["cnf"]
    assert verify(token(claims), of).subject == "auth0|1"


def test_no_token_at_all_is_missing() -> None:
    assert reason("") == "TOKEN_MISSING"


def test_the_size_is_bounded_before_anything_is_looked_at() -> None:
    text = token()
    of = validator(max_token_bytes=len(text))

    assert verify(text, of).issuer == ISSUER
    assert reason(text + "x", of) == "TOKEN_TOO_LARGE"
    assert reason("." * 1_000_000) == "TOKEN_TOO_LARGE"
    assert reason("\ud800" * 100_000) == "TOKEN_TOO_LARGE"
    assert reason("\ud800") == "TOKEN_MALFORMED"


def test_an_issuer_speaks_for_its_own_apis_alone() -> None:
    of = validator(issuer(apis=frozenset(("health",))))

    assert verify(token(), of).issuer == ISSUER
    assert "may not speak for the API 'billing'" in str(refusal(token(), of, BILLING))


def test_a_key_belongs_to_its_issuer() -> None:
    speaks = frozenset(("health",))
    other_keys = FixedKeys(key_set(key(name="other")))
    of = validator(issuer(apis=speaks), issuer(other_keys, issuer=OTHER, apis=speaks))
    other = accepted_claims(iss=OTHER)

    assert verify(token(other, by=key(name="other")), of).issuer == OTHER
    assert reason(token(other, by=key()), of) == "KEY_UNKNOWN"
    borrowed = token(other, by=key(), header={"kid": key(name="other").key_id})
    assert reason(borrowed, of) == "SIGNATURE_INVALID"


def test_a_token_that_names_no_key_verifies_if_exactly_one_fits() -> None:
    elliptic = issuer(algorithms=("RS256", "ES256"))
    two = issuer(FixedKeys(key_set(key(), key(name="second"))))
    none = issuer(
        FixedKeys(key_set(key("ES256"), algorithms=("RS256", "ES256"))),
        algorithms=("RS256", "ES256"),
    )
    text = _without_key_id()

    assert verify(text, validator(elliptic)).key_id is None
    assert "2 keys of its issuer fit" in str(refusal(text, validator(two)))
    assert reason(text, validator(two)) == "KEY_UNKNOWN"
    assert reason(text, validator(none)) == "KEY_UNKNOWN"


def test_an_ambiguous_key_is_refused_and_the_others_serve() -> None:
    clash = [key(name="clash"), key(name="clash2")]
    same = [PrivateKey("RS256", "same", {**one.jwk, "kid": "same"}) for one in clash]
    of = validator(issuer(FixedKeys(key_set(key(), *same))))

    assert verify(token(), of).key_id == key().key_id
    assert "names several keys" in str(refusal(token(by=same[0]), of))


def test_a_key_verifies_its_own_algorithm_alone() -> None:
    of = validator(issuer(FixedKeys(key_set()), algorithms=("RS256", "PS256")))
    as_pss = PrivateKey("PS256", key().key_id, key().jwk)

    assert reason(token(by=as_pss), of) == "ALGORITHM_NOT_ALLOWED"
    assert "is not for PS256" in str(refusal(token(by=as_pss), of))


def test_keys_that_never_came_are_unavailable() -> None:
    clock = Clock()
    source = RefreshedKeys(settings(), FakeFetch(), clock, lambda _: None)
    found = refusal(token(), validator(issuer(source)))

    assert found.reason == "KEYS_UNAVAILABLE"
    assert found.retry_after == 1
    assert found.token is None


def test_a_refusal_tells_what_the_token_says_of_itself_unproven() -> None:
    hostile = "https://evil.example/\r\nX: y"
    found = refusal(token(accepted_claims(iss=hostile), header={"kid": "k\x00"}))

    assert found.unverified_issuer == r"'https://evil.example/\r\nX: y'"
    assert found.unverified_key_id == r"'k\x00'"
    assert found.token is None


def test_a_refusal_tells_nothing_where_nothing_could_be_read() -> None:
    found = refusal("a.b.c")

    assert (found.unverified_issuer, found.unverified_key_id, found.token) == (None, None, None)
    assert refusal(token(accepted_claims(iss=7))).unverified_issuer is None


def test_a_refusal_after_signature_and_kind_names_the_subject() -> None:
    expired = refusal(token(accepted_claims(exp=1)))
    id_token = refusal(token(accepted_claims(at_hash="x")))
    unreadable = refusal(token(accepted_claims(exp=1, sub=7)))

    assert expired.token is not None
    assert expired.token.subject == "auth0|123456"
    assert id_token.token is None
    assert unreadable.reason == "TOKEN_EXPIRED"
    assert unreadable.token is None


def test_a_known_token_is_not_verified_again_but_checked_again() -> None:
    of = validator()
    text = token()
    first = verify(text, of)

    assert verify(text, of) is first
    assert verify(text, of, now=NOW + 929) is first
    expired = refusal(text, of, now=NOW + 930)
    assert (expired.reason, expired.token) == ("TOKEN_EXPIRED", first)
    assert expired.unverified_issuer == repr(ISSUER)
    assert expired.unverified_key_id == repr(key().key_id)
    early = refusal(text, of, now=NOW - 1000)
    assert early.reason == "TOKEN_NOT_YET_VALID"
    other_api = refusal(text, of, BILLING)
    assert (other_api.reason, other_api.token) == ("AUDIENCE_MISMATCH", first)
    assert verify(text, of) is first


def test_a_known_token_is_checked_again_for_an_api_of_the_same_name() -> None:
    """As after a reload: what the API is called says nothing of its audiences."""
    of = validator()
    first = verify(token(), of)

    same = ResourceServer(HEALTH.name, frozenset(HEALTH.audiences))
    moved = ResourceServer(HEALTH.name, BILLING.audiences)

    assert verify(token(), of, same) is first
    assert reason(token(), of, moved) == "AUDIENCE_MISMATCH"


def test_a_known_token_without_key_id_is_refused_without_one() -> None:
    of = validator()
    text = _without_key_id()
    verify(text, of)

    assert refusal(text, of, BILLING).unverified_key_id is None


def test_a_known_token_opens_no_api_that_its_issuer_may_not_speak_for() -> None:
    of = validator(issuer(apis=frozenset(("health",))))
    claims = accepted_claims(aud=[AUDIENCE, *BILLING.audiences])
    verify(token(claims), of)

    found = refusal(token(claims), of, BILLING)

    assert (found.reason, found.token) == ("ISSUER_UNKNOWN", None)


def test_a_key_that_leaves_takes_its_tokens_along() -> None:
    clock, fetch = Clock(), FakeFetch(key(), key(name="new"))
    source = RefreshedKeys(settings(), fetch, clock, lambda _: None)
    source.refresh()
    of = validator(issuer(source))
    text = token()
    first = verify(text, of)

    source.refresh()
    assert verify(text, of) is first
    fetch.serve(key(name="new"))
    source.refresh()
    assert reason(text, of) == "KEY_UNKNOWN"
    fetch.serve(key())
    source.refresh()
    assert verify(text, of) is not first


def test_a_known_token_fails_closed_when_the_keys_grow_too_old() -> None:
    clock, fetch = Clock(), FakeFetch(key())
    source = RefreshedKeys(settings(max_stale=100), fetch, clock, lambda _: None)
    source.refresh()
    of = validator(issuer(source))
    text = token(accepted_claims(exp=NOW + 10_000))
    verify(text, of)

    assert verify(text, of, now=NOW + 699).subject == "auth0|123456"
    found = refusal(text, of, now=NOW + 700)
    assert (found.reason, found.token) == ("KEYS_UNAVAILABLE", None)
    assert found.retry_after == 1


def test_a_known_token_fails_closed_when_there_are_no_keys_any_more() -> None:
    source = RefreshedKeys(settings(), FakeFetch(key()), Clock(), lambda _: None)
    source.refresh()
    of = validator(issuer(source))
    verify(token(), of)

    source.snapshot = None

    assert reason(token(), of) == "KEYS_UNAVAILABLE"


def test_a_token_as_long_as_the_limit_is_remembered_too() -> None:
    text = token()
    of = validator(max_token_bytes=len(text))

    assert verify(text, of) is verify(text, of)


def test_a_new_token_is_not_verified_with_keys_that_grew_too_old() -> None:
    source = RefreshedKeys(settings(max_stale=100), FakeFetch(key()), Clock(), lambda _: None)
    source.refresh()
    text = token(accepted_claims(exp=NOW + 10_000))

    assert verify(text, validator(issuer(source)), now=NOW + 699).subject == "auth0|123456"
    assert reason(text, validator(issuer(source)), now=NOW + 700) == "KEYS_UNAVAILABLE"


def test_a_bound_token_is_never_remembered_as_accepted() -> None:
    of = validator()
    text = token(accepted_claims(cnf={"x5t#S256": "x"}))

    for _ in range(2):
        found = refusal(text, of)
        assert found.reason == "TOKEN_BINDING_INVALID"
        assert found.token is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"max_token_bytes": 0},
        {"max_token_bytes": 128 * 1024 + 1},
        {"cache_entries": -1},
        {"cache_bytes": -1},
    ],
)
def test_limits_that_make_no_sense_are_refused(changes: ValidatorOptions) -> None:
    with pytest.raises(InvalidTokenSettings, match=next(iter(changes))):
        validator(**changes)


def test_limits_may_be_as_large_and_as_small_as_they_go() -> None:
    largest = validator(max_token_bytes=LONGEST_TOKEN_BYTES)
    forgetful = [validator(cache_entries=0), validator(cache_bytes=0)]

    for of in (largest, *forgetful):
        assert verify(token(), of).subject == "auth0|123456"


def test_issuers_that_make_no_sense_together_are_refused() -> None:
    speaks = frozenset(("health",))
    with pytest.raises(InvalidIssuerSettings, match="twice"):
        Validator([issuer(apis=speaks), issuer(apis=speaks)])


def test_fixed_keys_are_ready_at_once() -> None:
    of = validator()
    of.start()

    assert of.wait_for_keys(0)
    of.stop()


def test_waiting_for_keys_that_do_not_come_ends() -> None:
    source = RefreshedKeys(settings(), FakeFetch(), Clock(), lambda _: None)

    assert not validator(issuer(source)).wait_for_keys(0)


def test_fixed_keys_have_nothing_newer_to_wait_for() -> None:
    source = FixedKeys(key_set())

    assert source.look_for("unknown", NOW) is None
    assert source.renew(NOW) == 1


def _without_key_id() -> str:
    return raw_token(header=b'{"alg":"RS256"}')


def test_a_token_without_the_subject_it_needs_is_refused() -> None:
    assert reason(token(without(accepted_claims(), "sub"))) == "CLAIM_MISSING"


def test_the_detail_says_which_key_is_missing() -> None:
    only_another_algorithm = validator(
        issuer(FixedKeys(key_set(key("ES256"), algorithms=("ES256",))))
    )

    named = refusal(token(header={"kid": "invented"}))
    unnamed = refusal(raw_token(header=b'{"alg":"RS256"}'), only_another_algorithm)

    assert (named.reason, unnamed.reason) == ("KEY_UNKNOWN", "KEY_UNKNOWN")
    assert "'invented'" in str(named)
    assert "a token without `kid`" in str(unnamed)
