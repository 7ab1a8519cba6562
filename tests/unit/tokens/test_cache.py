"""The verified-token cache keeps its bounds, for as long as it runs; the oldest leaves first."""

from __future__ import annotations

import gc
import tracemalloc

import msgspec
import pytest

from policyd.json_types import Json
from policyd.tokens.cache import CachedToken, TokenCache, cached_token, estimated_size
from policyd.tokens.pipeline import PIPELINE
from tests.support.tokens import (
    HEALTH,
    NOW,
    accepted_claims,
    encoded,
    issuer,
    key,
    reason,
    token,
    validator,
    verify,
)


def entry(size: int = 100) -> CachedToken:
    candidate = validator().candidate(token(), HEALTH, NOW)
    for step in PIPELINE:
        step.run(candidate)
    return msgspec.structs.replace(cached_token(candidate), size=size)


def test_what_was_put_is_found_and_nothing_else() -> None:
    cache = TokenCache(10, 10_000)
    one = entry()

    cache.put(b"one", one)

    assert cache.get(b"one") is one
    assert cache.get(b"two") is None
    assert len(cache) == 1


def test_entries_are_bounded_and_the_oldest_leaves() -> None:
    cache = TokenCache(2, 10_000)
    one = entry()
    for digest in (b"1", b"2", b"3"):
        cache.put(digest, one)

    assert cache.get(b"1") is None
    assert cache.get(b"2") is one
    assert (len(cache), cache.size) == (2, 200)


def test_bytes_are_bounded() -> None:
    cache = TokenCache(100, 250)
    one = entry()
    for digest in (b"1", b"2", b"3"):
        cache.put(digest, one)

    assert cache.get(b"1") is None
    assert (len(cache), cache.size) == (2, 200)


def test_an_entry_too_large_for_the_cache_is_not_kept() -> None:
    cache = TokenCache(10, 99)

    cache.put(b"1", entry())

    assert (len(cache), cache.size) == (0, 0)


def test_an_entry_as_large_as_the_cache_is_kept() -> None:
    cache = TokenCache(10, 100)

    cache.put(b"1", entry())
    cache.put(b"2", entry())

    assert cache.get(b"1") is None
    assert (len(cache), cache.size) == (1, 100)


def test_no_entries_at_all_turns_it_off() -> None:
    cache = TokenCache(0, 10_000)

    cache.put(b"1", entry())

    assert (len(cache), cache.size) == (0, 0)


def test_putting_again_replaces_and_counts_once() -> None:
    cache = TokenCache(10, 10_000)
    newer = entry(300)

    cache.put(b"1", entry())
    cache.put(b"1", newer)

    assert cache.get(b"1") is newer
    assert (len(cache), cache.size) == (1, 300)


def test_an_estimate_grows_with_the_token() -> None:
    assert estimated_size(100) < estimated_size(1000)
    assert msgspec.structs.fields(CachedToken)[-1].name == "size"


def taken_and_estimated(names: int) -> tuple[int, int]:
    """Return the bytes that fifty remembered tokens take, each with so many names in a list."""
    texts = []
    for number in range(51):
        listed: list[Json] = [f"name-{number}-{place}" for place in range(names)]
        texts.append(token(accepted_claims(sub=f"auth0|{number}", names=listed)))
    of = validator()
    verify(texts.pop(), of)
    gc.collect()
    tracemalloc.start()
    for text in texts:
        verify(text, of)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return taken, sum(estimated_size(len(text)) for text in texts)


def test_an_estimate_is_near_the_truth() -> None:
    for names in (0, 20, 200):
        taken, estimated = taken_and_estimated(names)

        assert 0.4 * estimated < taken < 1.2 * estimated


@pytest.mark.slow
def test_memory_stays_flat_however_long_it_runs() -> None:
    """A full cache in which every token is a new one, among tokens that are refused."""
    of = validator(issuer(algorithms=("EdDSA",)), cache_entries=50)
    levels: list[int] = []
    tracemalloc.start()
    for number in range(1200):
        text = token(accepted_claims(sub=f"auth0|{number}"), by=key("EdDSA"))
        assert verify(text, of).subject == f"auth0|{number}"
        assert reason(f"{text[:-86]}{encoded(bytes(64))}", of) == "SIGNATURE_INVALID"
        header = encoded(f'{{"alg":"EdDSA","kid":"{number}"}}'.encode())
        assert reason(f"{header}{text[text.index('.') :]}", of) == "KEY_UNKNOWN"
        if number % 200 == 199:
            gc.collect()
            levels.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    print(f"bytes held after each 200 tokens: {levels}; {of.figures()}")
    assert of.figures().entries == 50
    assert of.figures().evictions == 1150
    # By then the few hundred remembered headers have come, too.
    assert max(levels[3:]) < 1.05 * levels[2]
