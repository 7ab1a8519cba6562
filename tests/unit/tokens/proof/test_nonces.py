"""Nonces tell the time, and who made them."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.proof.nonces import Nonces
from policyd.tokens.refusals import DpopNonceNeeded

NOW = 1_800_000_000.0


def test_a_nonce_is_the_same_for_a_span_of_time_and_for_all_who_share_the_secret() -> None:
    nonces = Nonces(b"secret", 300)
    assert nonces.current(NOW) == nonces.current(NOW + 299.9)
    assert nonces.current(NOW) != nonces.current(NOW + 300)
    assert nonces.current(NOW) == Nonces(b"secret", 300).current(NOW)
    assert nonces.current(NOW) != Nonces(b"other", 300).current(NOW)


def test_a_nonce_fits_a_header_field() -> None:
    nonce = Nonces(b"secret", 300).current(NOW)
    assert len(nonce) == 24
    assert nonce.replace("-", "").replace("_", "").isalnum()


def test_a_nonce_counts_for_one_span_at_least_and_two_at_most() -> None:
    nonces = Nonces(b"secret", 300)
    made = nonces.current(NOW)
    nonces.check(made, NOW)
    nonces.check(made, NOW + 599.9)
    for moment in (NOW + 600, NOW - 0.1):
        with pytest.raises(DpopNonceNeeded, match="too old or not ours"):
            nonces.check(made, moment)


def test_no_nonce_and_a_wrong_one_are_told_apart_for_the_log() -> None:
    nonces = Nonces(b"secret", 300)
    with pytest.raises(DpopNonceNeeded, match="has no `nonce`"):
        nonces.check(None, NOW)
    several: list[Json] = ["", "x", 5, ["x"], "é", "\ud800"]
    for wrong in several:
        with pytest.raises(DpopNonceNeeded, match="not ours"):
            nonces.check(wrong, NOW)
