"""Which names were meant to be policies."""

from __future__ import annotations

import pytest

from policyd.sources.policies.names import is_policy, meant


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("deny.POLICY", "deny.policy"),
        ("deny.Policy", "deny.policy"),
        ("deny.polciy", "deny.policy"),
        ("deny.plicy", "deny.policy"),
        ("deny.policyy", "deny.policy"),
        ("deny.pollicy", "deny.policy"),
        ("deny.p0licy", "deny.policy"),
        ("deny.policies", "deny.policy"),
        ("deny.polic\N{CYRILLIC SMALL LETTER U}", "deny.policy"),
        ("deny.\N{FULLWIDTH LATIN SMALL LETTER P}olicy", "deny.policy"),
        ("deny.policy ", "deny.policy"),
        ("deny.policy.txt", "deny.policy"),
        ("deny.POLICY.TXT", "deny.policy"),
        ("deny_test.POLICY", "deny_test.policy"),
        (".deny.policy", "deny.policy"),
        ("..deny.policy", "deny.policy"),
        (".policy", "NAME.policy"),
    ],
)
def test_a_slip_is_told_with_the_name_that_was_meant(name: str, guess: str) -> None:
    assert meant(name) == guess


@pytest.mark.parametrize(
    "name",
    [
        *("deny.policy", "deny_test.policy"),  # policies and tests
        *(".a.policy.swp", ".#a.policy", "._a.policy", "a.policy~", "#a.policy#"),
        *(".a.policy.Xy12Ab", "a.policy.bak", "a.policy.orig", "a.policy1", "a.policy___jb_tmp___"),
        *("a.polyci", "a.poxxcy", "a.pxlxcy"),  # more than a slip
        *("policy", "POLICY", "README", "notes.txt", "mesh.poly", "a.polygon", "..data", "."),
    ],
)
def test_other_names_mean_nothing(name: str) -> None:
    assert meant(name) is None


def test_a_policy_is_told_by_its_ending() -> None:
    assert [is_policy(one) for one in ("a.policy", "a_test.policy", "policy", "a.POLICY")] == [
        *(True, True, False, False)
    ]
