"""What bytes may be a policy."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Edit, Source, Span
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
     "\u202a", "\u202e", "\u2028", "\u2060", "\u2066", "\u2069", "\u3164", "\ufeff", "\U000e0041",
     # spaces
     "\xa0", "\u1680", "\u2000", "\u2003", "\u2007", "\u2009", "\u202f", "\u205f", "\u3000",
     # default-ignorables, and what is drawn as nothing
     "\u034f", "\u115f", "\u17b4", "\u180b", "\ufe00", "\ufe0f", "\uffa0", "\U000e0100", "\u2800",
     "\ufffc", "\U00016fe4", "\U0001d159",
     # formats, private use, noncharacters, unassigned
     "\U0001bca0", "\ue000", "\U0010fffd", "\ufffe", "\ufdd0", "\u0378"],
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
    assert len(check_text(Source("a", "\x00 " * 1000))) == limits.DIAGNOSTICS_PER_FILE


def test_equal_neighbours_are_one_finding() -> None:
    (found,) = check_text(Source("a", "api a // \u200b\u200b\u200b"))
    assert found.primary is not None
    assert found.primary.span == Span(9, 12)
    assert "U+200B ZERO WIDTH SPACE" in found.headline


def test_a_return_before_a_line_feed_is_no_part_of_a_run() -> None:
    (found,) = check_text(Source("a", "api a\r\n\r\r\r\n"))
    assert found.primary is not None
    assert found.primary.span == Span(7, 9)


def test_spaces_between_words_are_one_finding_that_mends_them_all() -> None:
    text = "api\xa0a // b\u3000c\n\xa0\xa0\n"
    (found,) = check_text(Source("a", text))
    assert found.headline == "U+00A0 NO-BREAK SPACE is not a space"
    assert found.help == "write spaces"
    assert found.notes == ("such spaces stand at 2 more places: U+00A0, U+3000",)
    assert found.fix == (
        Edit(Span(3, 4), " "), Edit(Span(10, 11), " "), Edit(Span(13, 15), "  ")
    )  # fmt: skip


def test_a_space_in_a_text_may_be_meant_and_is_not_mended() -> None:
    (found,) = check_text(Source("a", 'scope x "a // \xa0"\n'))
    assert found.fix == ()
    assert found.help == "write a space, or write `\\u{A0}` where it is meant"


def test_so_many_odd_spaces_are_not_all_mended_at_once() -> None:
    (found,) = check_text(Source("a", "a\xa0" * 20_000))
    assert len(found.fix) == 10_000


def test_a_space_may_be_written_as_an_escape_even_in_a_message() -> None:
    text = (
        'api a\n\nresource t {\n    actions r\n}\n\ndeny x: r on t because "5\\u{A0}km \\u{200B}"\n'
    )
    found = parse(Source("a.policy", text)).diagnostics
    assert [one.headline for one in found] == [
        "the character U+200B ZERO WIDTH SPACE is not allowed in a message"
    ]
