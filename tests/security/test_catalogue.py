"""Which test shows which attack, and which of PyJWT's advisories: none may be without.

policyd takes from PyJWT the import of keys and the arithmetic of signatures, and parses by itself;
some advisories concern parts that it does not use. Then the tests show that policyd's own way is
not open to the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Final, NamedTuple

import pytest

from tests.security import test_key_fetching as fetching
from tests.security import test_key_flood as flood
from tests.security import test_second_issuer as second_issuer
from tests.security import test_sender_constraint as constraint
from tests.security import test_sender_constraint_proofs as proofs
from tests.security.attacks import test_algorithms as algorithms
from tests.security.attacks import test_claims as claims
from tests.security.attacks import test_foreign_issuers as issuers
from tests.security.attacks import test_offered_keys as offered
from tests.security.attacks import test_remembered as remembered
from tests.security.attacks import test_signatures as signatures
from tests.security.attacks import test_spellings as spellings
from tests.security.attacks import test_weak_keys as weak_keys
from tests.unit.tokens.keys import test_weak_rsa as weak_rsa

MODULES: Final[Sequence[ModuleType]] = (
    algorithms,
    claims,
    issuers,
    offered,
    remembered,
    signatures,
    spellings,
    weak_keys,
)


def all_of(module: ModuleType) -> list[object]:
    return [test for name, test in vars(module).items() if name.startswith("test_")]


ATTACKS: Final[Mapping[str, Sequence[object]]] = {
    "alg none, in every spelling, with every kind of signature": [algorithms.test_alg_none],
    "HS256 keyed with the public key as PEM, DER, JWK, JWKS, SSH": [
        algorithms.test_hmac_keyed_with_the_public_key,
        algorithms.test_hmac_cannot_be_configured_nor_published,
        algorithms.test_an_empty_or_short_secret_that_was_published,
        algorithms.test_nothing_looks_for_pem_in_what_was_published,
    ],
    "PS256 against an RS256 key, and other algorithms that were not agreed": [
        algorithms.test_another_algorithm_of_the_same_key,
        algorithms.test_a_header_that_promises_another_algorithm_than_it_was_signed_with,
        algorithms.test_an_algorithm_that_is_not_configured,
    ],
    "embedded jwk, jku, x5u": [offered.test_keys_in_the_header_are_never_looked_at],
    "moduli that are even, prime, a power, or the product of small or close primes": [
        weak_keys.test_a_modulus_that_anyone_can_factor,
        weak_rsa.test_a_prime_modulus,
        weak_rsa.test_powers_of_one_number,
        weak_rsa.test_the_fingerprint_of_roca,
    ],
    "a published key in a second spelling": [weak_keys.test_a_key_has_one_spelling],
    "crit unknown, empty, not a list; b64; zip; enc": [
        offered.test_parameters_that_change_what_is_signed,
        offered.test_a_detached_payload,
        offered.test_an_encrypted_token_and_json_serialisation,
    ],
    "kid as path, SQL, NUL, 1 MB, no text": [
        offered.test_a_key_id_is_looked_up_and_nothing_else,
        offered.test_a_key_id_that_is_no_short_text,
        offered.test_a_key_id_of_a_million_bytes,
    ],
    "degenerate ECDSA, DER, wrong length, off the curve": [
        signatures.test_degenerate_ecdsa_signatures,
        signatures.test_the_twin_of_an_ecdsa_signature_is_another_token_with_the_same_facts,
        signatures.test_any_changed_bit_of_any_segment,
        signatures.test_a_point_off_the_curve_and_weak_rsa_are_no_keys,
    ],
    "RSA of 1024 bits, e=1": [
        signatures.test_a_point_off_the_curve_and_weak_rsa_are_no_keys,
        signatures.test_a_signature_with_e_1_forged_for_anyone,
    ],
    "private keys that were published, malformed keys beside good ones": [
        signatures.test_a_private_key_that_was_published_is_used_by_its_public_half,
        signatures.test_one_malformed_key_does_not_bring_down_the_set,
    ],
    "padding, white space, trailing bits, + and /": [
        spellings.test_a_second_spelling_of_a_token,
        spellings.test_trailing_bits_of_a_signature,
    ],
    "duplicate members, NaN, 1e999, numbers of 5,000 digits, other encodings": [
        spellings.test_json_that_two_parsers_read_differently,
        spellings.test_payloads_in_other_encodings,
    ],
    "a million dots, 100,000 levels, 10 MB": [
        spellings.test_huge_tokens_cost_nothing,
        spellings.test_garbage_within_the_largest_limit_is_refused_in_few_steps,
        spellings.test_a_hundred_thousand_levels_within_the_largest_limit,
    ],
    "NBSP and other separators in scope": [claims.test_other_separators_in_scope],
    "times that are none, tokens for ever or from the future": [
        claims.test_an_expiry_that_is_no_date,
        claims.test_a_token_that_never_expires,
        claims.test_a_token_from_the_future,
    ],
    "an issuer's prefix, case, slash, list": [
        issuers.test_an_issuer_that_is_nearly_the_configured_one,
        issuers.test_a_token_without_issuer,
    ],
    "a second configured issuer minting for an API that is not its own": [
        issuers.test_a_second_issuer_minting_for_an_api_that_is_not_its_own,
        issuers.test_a_second_issuer_speaking_in_the_name_of_the_first,
        *all_of(second_issuer),
    ],
    "ID tokens of each dialect with and without nonce, shared registrations": [
        claims.test_an_id_token_of_each_dialect,
        claims.test_an_id_token_where_application_and_api_share_a_registration,
    ],
    "a bound token without its proof, and with a wrong one": [
        claims.test_a_bound_token_without_its_proof,
        *all_of(constraint),
        *all_of(proofs),
    ],
    "a tampered token beside a remembered one, a refused one before others": [
        remembered.test_a_tampered_token_does_not_hit_the_cache_of_the_real_one,
        remembered.test_a_refused_token_loosens_no_later_check,
    ],
    "key sets: redirects": [fetching.test_redirects_are_not_followed],
    "key sets: file, ftp and data URLs, private addresses": [
        fetching.test_other_schemes_and_addresses_are_never_opened,
        fetching.test_plain_http_needs_the_option_and_loopback,
    ],
    "key sets: slow bodies, endless bodies, garbage": [
        fetching.test_slow_bytes_do_not_win_time,
        fetching.test_a_server_that_says_nothing_does_not_win_time,
        fetching.test_the_size_of_a_body_is_bounded,
        fetching.test_what_is_no_http_fails,
        remembered.test_an_outage_of_the_key_server_refuses_nobody_who_was_known,
    ],
    "key sets: a flood of invented key ids": [
        flood.test_a_flood_of_invented_key_ids,
        flood.test_known_keys_under_a_flood,
    ],
}


class Advisory(NamedTuple):
    """What an advisory about PyJWT said, in our words, and the tests that concern it."""

    numbers: str
    said: str
    tests: Sequence[object]


HMAC: Final = [algorithms.test_hmac_keyed_with_the_public_key]
ADVISORIES: Final = (
    Advisory("CVE-2017-11424", "a PKCS 1 public key passed for an HMAC secret", HMAC),
    Advisory(
        "CVE-2022-29217 GHSA-ffqj-6fqr-9h24",
        "SSH and other forms of a public key passed for an HMAC secret",
        HMAC,
    ),
    Advisory(
        "CVE-2024-53861 GHSA-75c5-xw7c-p5pm",
        "part of the issuer's name passed for the issuer",
        [issuers.test_an_issuer_that_is_nearly_the_configured_one],
    ),
    Advisory(
        "CVE-2025-45768 GHSA-xpf8-484v-j9w6",
        "keys too short for their algorithm were used",
        [signatures.test_a_point_off_the_curve_and_weak_rsa_are_no_keys],
    ),
    Advisory(
        "CVE-2026-32597 GHSA-752w-5fwx-jx9f",
        "unknown critical header parameters were ignored",
        [offered.test_parameters_that_change_what_is_signed],
    ),
    Advisory(
        "CVE-2026-48522 GHSA-993g-76c3-p5m4",
        "the client of key sets opened file:, ftp: and data: URLs",
        [
            fetching.test_other_schemes_and_addresses_are_never_opened,
            offered.test_keys_in_the_header_are_never_looked_at,
        ],
    ),
    Advisory(
        "CVE-2026-48523 GHSA-jq35-7prp-9v3f",
        "a key verified under another algorithm than the one it is bound to",
        [algorithms.test_another_algorithm_of_the_same_key],
    ),
    Advisory(
        "CVE-2026-48524 GHSA-fhv5-28vv-h8m8",
        "a failed fetch emptied the cache of keys",
        [remembered.test_an_outage_of_the_key_server_refuses_nobody_who_was_known],
    ),
    Advisory(
        "CVE-2026-48525 GHSA-w7vc-732c-9m39",
        "unencoded and detached payloads (b64)",
        [offered.test_parameters_that_change_what_is_signed, offered.test_a_detached_payload],
    ),
    Advisory("CVE-2026-48526 GHSA-xgmm-8j9v-c9wx", "a public JWK passed for an HMAC secret", HMAC),
    Advisory(
        "CVE-2026-101917 GHSA-2gx3-rcp4-g85q",
        "each invented key id caused a fetch",
        [flood.test_a_flood_of_invented_key_ids],
    ),
    Advisory(
        "CVE-2026-101918 GHSA-42vr-xj54-vc7v",
        "a payload nested deeply raised RecursionError before any key was asked",
        [spellings.test_a_hundred_thousand_levels_within_the_largest_limit],
    ),
    Advisory(
        "CVE-2026-102265 GHSA-8wjv-2p76-3863",
        "a header nested deeply raised RecursionError",
        [spellings.test_a_hundred_thousand_levels_within_the_largest_limit],
    ),
    Advisory(
        "CVE-2026-102266 GHSA-9j54-fg26-wv3r",
        "an empty secret in a key set was imported",
        [algorithms.test_an_empty_or_short_secret_that_was_published],
    ),
    Advisory(
        "CVE-2026-102267 GHSA-9v7f-9g4p-ffgj",
        "redirects of key sets were followed",
        [fetching.test_redirects_are_not_followed],
    ),
    Advisory(
        "CVE-2026-102268 GHSA-ffc3-869f-jxw9",
        "a PEM key with changed white space or line ends passed for an HMAC secret",
        HMAC,
    ),
    Advisory(
        "CVE-2026-102269 GHSA-hxm8-2xgr-2p9m",
        "characters outside base64url were skipped, so a signature had several spellings",
        [spellings.test_a_second_spelling_of_a_token],
    ),
    Advisory(
        "CVE-2026-102270 GHSA-jwrc-g2q2-pq5p",
        "a regular expression that looked for PEM keys in a secret took very long for some texts",
        [algorithms.test_nothing_looks_for_pem_in_what_was_published],
    ),
    Advisory("CVE-2026-102271 GHSA-p4g4-x82p-q773", "a DER key passed for an HMAC secret", HMAC),
    Advisory(
        "CVE-2026-102272 GHSA-r6x4-923q-g947",
        "a public JWK behind a byte order mark passed for an HMAC secret",
        HMAC,
    ),
    Advisory(
        "CVE-2026-102273 GHSA-w2cx-738m-mc7w",
        "a public key within a list or a set of JSON passed for an HMAC secret",
        HMAC,
    ),
    Advisory(
        "CVE-2026-102274 GHSA-w6j9-cwv2-h6wq",
        "one malformed RSA key brought down the whole set",
        [signatures.test_one_malformed_key_does_not_bring_down_the_set],
    ),
    Advisory(
        "CVE-2026-102275 GHSA-x33g-cr3x-6449",
        "a private key was imported without a look at the public half beside it",
        [signatures.test_a_private_key_that_was_published_is_used_by_its_public_half],
    ),
    Advisory(
        "CVE-2026-103001 GHSA-gvp8-978c-rx2q",
        "reading one token without its signature turned later checks of others off",
        [remembered.test_a_refused_token_loosens_no_later_check],
    ),
    Advisory(
        "GHSA-pxh4-856f-4h89",
        "an empty HMAC key verified",
        [algorithms.test_an_empty_or_short_secret_that_was_published],
    ),
)

#: Of other libraries, in the same place.
RELATED: Final = (
    Advisory(
        "CVE-2022-39227",
        "python-jwt read a JSON serialisation in which another token was hidden",
        [offered.test_an_encrypted_token_and_json_serialisation],
    ),
    Advisory(
        "CVE-2022-21449",
        "Java took an ECDSA signature of zeros for valid",
        [signatures.test_degenerate_ecdsa_signatures],
    ),
)


def assert_tests(listed: Sequence[object]) -> None:
    assert listed
    for test in listed:
        assert isinstance(test, FunctionType)
        assert test.__name__.startswith("test_")


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_each_attack_has_a_test(attack: str) -> None:
    assert_tests(ATTACKS[attack])


@pytest.mark.parametrize("advisory", [*ADVISORIES, *RELATED], ids=lambda one: one.numbers)
def test_each_advisory_has_a_test(advisory: Advisory) -> None:
    assert advisory.said
    assert_tests(advisory.tests)


def test_each_test_of_an_attack_stands_in_the_catalogue() -> None:
    listed = {test for tests in ATTACKS.values() for test in tests}
    for module in MODULES:
        assert listed.issuperset(all_of(module)), module.__name__


def test_no_advisory_stands_twice() -> None:
    numbers = [number for one in (*ADVISORIES, *RELATED) for number in one.numbers.split()]

    assert len(numbers) == len(set(numbers))
    assert len([one for one in ADVISORIES if one.numbers.startswith("CVE")]) == 24
