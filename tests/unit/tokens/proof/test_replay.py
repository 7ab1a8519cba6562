"""Proofs are remembered for long enough, in a bounded space, and shown once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from policyd.tokens.proof.replay import ReplayCache
from policyd.tokens.refusals import DpopProofInvalid, DpopProofsExhausted

NOW = 1_800_000_000.0


def cache(entries: int = 100, per_key: int = 100, lifetime: float = 80) -> ReplayCache:
    return ReplayCache(entries, per_key, lifetime)


def test_one_use() -> None:
    proofs = cache()
    proofs.use("key", "a", "", NOW)
    with pytest.raises(DpopProofInvalid, match="shown before"):
        proofs.use("key", "a", "", NOW)
    proofs.use("key", "b", "", NOW)
    proofs.use("other", "a", "", NOW)
    assert len(proofs) == 3


def test_one_use_a_request() -> None:
    proofs = cache()
    for _ in range(3):
        proofs.use("key", "a", "request", NOW)
    assert len(proofs) == 1
    for other in ("", "another"):
        with pytest.raises(DpopProofInvalid, match="shown before"):
            proofs.use("key", "a", other, NOW)


def test_a_use_without_a_name_is_no_request_that_could_come_again() -> None:
    proofs = cache()
    proofs.use("key", "a", "", NOW)
    for name in ("", "request"):
        with pytest.raises(DpopProofInvalid, match="shown before"):
            proofs.use("key", "a", name, NOW)


def test_a_use_is_forgotten_no_sooner_than_it_may_be() -> None:
    for offset in range(25):
        proofs = cache(lifetime=80)
        proofs.use("first", "x", "", NOW)
        shown = NOW + offset
        proofs.use("key", "a", "", shown)
        with pytest.raises(DpopProofInvalid):
            proofs.use("key", "a", "", shown + 79.99)
        proofs.use("key", "a", "", shown + 90.01)  # an eighth later at the latest


def test_what_is_over_is_dropped_whatever_is_asked() -> None:
    proofs = cache()
    for number in range(50):
        proofs.use("key", str(number), "", NOW)
    proofs.use("other", "x", "", NOW + 1000)
    assert len(proofs) == 1


def test_a_clock_that_goes_back_forgets_nothing() -> None:
    proofs = cache()
    proofs.use("key", "a", "", NOW)
    proofs.use("key", "b", "", NOW - 30)
    for name in ("a", "b"):
        with pytest.raises(DpopProofInvalid):
            proofs.use("key", name, "", NOW - 60)


def test_full_means_refused_until_something_is_over() -> None:
    proofs = cache(entries=8, lifetime=80)
    for number in range(8):
        proofs.use(f"key {number}", "a", "", NOW + number * 10)
    with pytest.raises(DpopProofsExhausted) as full:
        proofs.use("more", "a", "", NOW + 70)
    assert full.value.retry_after == 20  # the first are over 80 s after the last of them
    with pytest.raises(DpopProofInvalid):
        proofs.use("key 0", "a", "", NOW + 89)
    proofs.use("more", "a", "", NOW + 90)
    assert len(proofs) == 8


def test_a_key_has_no_more_than_its_share() -> None:
    proofs = cache(per_key=2)
    proofs.use("key", "a", "", NOW)
    proofs.use("key", "b", "", NOW + 20)
    with pytest.raises(DpopProofsExhausted, match="by this key"):
        proofs.use("key", "c", "", NOW + 20)
    proofs.use("other", "c", "", NOW + 20)
    proofs.use("key", "c", "", NOW + 90)
    with pytest.raises(DpopProofsExhausted, match="by this key"):
        proofs.use("key", "d", "", NOW + 90)


def test_waiting_is_at_least_a_second() -> None:
    proofs = cache(entries=1, lifetime=8)
    proofs.use("key", "a", "", NOW)
    with pytest.raises(DpopProofsExhausted) as full:
        proofs.use("key", "b", "", NOW + 8.999)
    assert full.value.retry_after == 1


def test_of_many_who_show_one_proof_at_once_one_is_accepted() -> None:
    proofs = cache(entries=10_000, per_key=10_000)

    def show(number: int) -> bool:
        try:
            proofs.use("key", str(number % 100), "", NOW)
        except DpopProofInvalid:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(show, range(4000))) == 100
    assert len(proofs) == 100
