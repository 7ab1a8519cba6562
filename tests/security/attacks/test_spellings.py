"""Attacks through spelling and size: one token in two texts, JSON read in two ways, megabytes."""

from __future__ import annotations

import base64
import json
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType

import pytest

from tests.support.tokens import (
    ISSUER,
    accepted_claims,
    raw_token,
    reason,
    refusal,
    segments,
    token,
    validator,
    verify,
)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        lambda part: part + "=",
        lambda part: part + "==",
        lambda part: part + " ",
        lambda part: part + "\n",
        lambda part: " " + part,
        lambda part: part[:4] + "\r\n" + part[4:],
        lambda part: part[:4] + "+" + part[5:],
        lambda part: part[:4] + "/" + part[5:],
        lambda part: part[:4] + "!!!!" + part[4:],
        lambda part: part + "A",
        lambda part: part[:4] + "\u00e9" + part[4:],
        lambda part: part[:4] + "%3D" + part[4:],
    ],
)
def test_a_second_spelling_of_a_token(place: int, change: Callable[[str], str]) -> None:
    """CVE-2026-102269 (GHSA-hxm8-2xgr-2p9m): what is not the alphabet is not skipped.

    PyJWT accepts trailing `=` again since 2.15.1; here there is one spelling of a token.
    """
    parts = list(segments(token()))
    parts[place] = change(parts[place])

    assert reason(".".join(parts)) in ("TOKEN_MALFORMED", "SIGNATURE_INVALID")
    if parts[place][-1] != "A":
        assert reason(".".join(parts)) == "TOKEN_MALFORMED"


def test_trailing_bits_of_a_signature() -> None:
    header, payload, signature = segments(token())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    twin = signature[:-1] + alphabet[last + 1]
    assert base64.urlsafe_b64decode(twin + "==") == base64.urlsafe_b64decode(signature + "==")

    assert reason(f"{header}.{payload}.{twin}") == "TOKEN_MALFORMED"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"iss":"{ISSUER}","iss":"{ISSUER}"}}',
        '{"exp":1,"exp":2}',
        '{"exp":NaN}',
        '{"exp":1e999}',
        '{"exp":' + "9" * 5000 + "}",
        '{"a":"\\ud800"}',
        "[" * 6000,
        '{"a":' * 2000,
        "null",
        '"iss"',
        "",
    ],
)
def test_json_that_two_parsers_read_differently(text: str) -> None:
    assert verify(raw_token()).subject == "auth0|123456"

    assert reason(raw_token(payload=text.encode())) == "TOKEN_MALFORMED"
    assert reason(raw_token(header=text.encode())) == "TOKEN_MALFORMED"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1"])
def test_payloads_in_other_encodings(encoding: str) -> None:
    payload = json.dumps(accepted_claims(name="\u00e9"), ensure_ascii=False).encode(encoding)

    assert reason(raw_token(payload=payload)) == "TOKEN_MALFORMED"


class Work:
    """What a block of code does: the calls it makes, in Python and into C, and its peak memory."""

    def __init__(self) -> None:
        self.calls = 0
        self.peak = 0

    def __enter__(self) -> Work:
        tracemalloc.start()
        sys.setprofile(self._count)
        return self

    def __exit__(self, *problem: object) -> None:
        sys.setprofile(None)
        _, self.peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")


PIECES = (".", "A", "[", "a.", "\u00e9", "\ud800")


@pytest.mark.parametrize("piece", PIECES)
def test_huge_tokens_cost_nothing(piece: str) -> None:
    """Ten megabytes are neither copied nor walked over: as many calls as for one byte too much."""
    of = validator()
    text = piece * (10_000_000 // len(piece))
    refused: list[str] = []
    with Work() as little:
        refused.append(reason("A" * (16 * 1024 + 1), of))
    with Work() as much:
        refused.append(reason(text, of))

    assert refused == ["TOKEN_TOO_LARGE", "TOKEN_TOO_LARGE"]
    assert 0 < much.calls <= little.calls
    assert much.peak < 100_000


@pytest.mark.parametrize("piece", PIECES)
def test_garbage_within_the_largest_limit_is_refused_in_few_steps(piece: str) -> None:
    of = validator(max_token_bytes=128 * 1024)
    text = piece * (128 * 1024 // len(piece))
    refused: list[str] = []
    with Work() as work:
        refused.append(reason(text, of))

    assert refused == ["TOKEN_MALFORMED"]
    assert 0 < work.calls < 100
    assert work.peak < 2_000_000


def test_a_hundred_thousand_levels_within_the_largest_limit() -> None:
    """GHSA-8wjv-2p76-3863: depth is counted before anything recurses."""
    of = validator(max_token_bytes=128 * 1024)
    deep = raw_token(payload=b"[" * 90_000)

    assert "deeper than 32" in str(refusal(deep, of))
