"""What bytes may be a policy."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import limits, parse
from policyd.language.text import check_text, read


def test_utf8_text_is_read() -> None:
    result = read("a.policy", "api a // Straße ☂\r\n".encode())
    assert result.diagnostics == ()
    assert result.source == Source("a.policy", "api a // Straße ☂\r\n")


def test_other_encodings_are_refused_where_they_begin() -> None:
    (found,) = read("a.policy", b"api a // " + b"\xfc\n").diagnostics
    assert found.code == "P0001"
    assert found.primary is not None
    assert (found.primary.span.start, found.primary.message) == (9, "byte 0xFC")


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\xad", "\u061c", "\u200b", "\u200d", "\u200e",
     "\u202a", "\u202e", "\u2028", "\u2060", "\u2066", "\u2069", "\u3164", "\ufeff", "\U000e0041"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["{}api a\n", "api a // {}\n", 'api a\n\nscope x "{}X"\n'])
def test_what_a_reviewer_cannot_see_is_refused(character: str, place: str) -> None:
    result = parse(Source("a.policy", place.format(character)))
    assert [found.code for found in result.diagnostics] == ["P0002"]
    assert result.file is None


def test_a_lone_carriage_return_is_refused() -> None:
    assert [found.code for found in check_text(Source("a", "api a // x\rallow y\n"))] == ["P0002"]
    assert check_text(Source("a", "api a\r\n")) == ()


def test_an_invisible_character_can_be_written_as_an_escape() -> None:
    assert parse(Source("a.policy", 'api a\n\nscope x "\\u{200B}X"\n')).diagnostics == ()


def test_length_is_limited() -> None:
    text = "api a\n" + "/" * limits.FILE_CHARACTERS
    assert [found.code for found in check_text(Source("a", text))] == ["P0003"]


def test_findings_are_limited() -> None:
    assert len(check_text(Source("a", "\x00" * 1000))) == limits.DIAGNOSTICS_PER_FILE
