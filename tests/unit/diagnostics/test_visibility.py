"""What hides, what passes for something else, and what findings say of it."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from policyd.diagnostics import Diagnostic, closest
from policyd.diagnostics.render import Format, render
from policyd.diagnostics.visibility import cite, hidden_in, is_hidden, remark, twin
from scripts import visibility


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@pytest.mark.slow
def test_the_table_is_what_the_database_says() -> None:
    """Where this Python knows another Unicode, of what both know."""
    ours, theirs = _version(visibility.VERSION), _version(unicodedata.unidata_version)
    different = [
        number
        for number in range(sys.maxunicode + 1)
        if is_hidden(chr(number)) != visibility.is_hidden(number)
    ]
    if ours == theirs:
        assert visibility.TARGET.read_text(encoding="utf-8") == visibility.written()
    if theirs <= ours:
        # Unassigned then, and a visible character since.
        assert {unicodedata.category(chr(number)) for number in different} <= {"Cn"}
    assert not [number for number in different if theirs > ours and not is_hidden(chr(number))]


def test_ordinary_text_hides_nothing() -> None:
    assert hidden_in("Straße, naïve, данные, 患者, 환자, मरीज, ☂ → €") == frozenset()


def test_hidden_characters_are_found_once_each() -> None:
    assert hidden_in("a\xa0b\xa0\u200b\n") == {"\xa0", "\u200b", "\n"}


@pytest.mark.parametrize(
    ("character", "said"),
    [
        ("\xa0", "U+00A0 NO-BREAK SPACE"),
        ("\u0430", "U+0430 CYRILLIC SMALL LETTER A"),
        ("\x00", "U+0000 (a control character)"),
        ("\ue000", "U+E000 (a private-use character)"),
        ("\ufdd0", "U+FDD0 (a code point without a character)"),
        ("\ud800", "U+D800 (half of a surrogate pair)"),
        ("\U000f0000", "U+F0000 (a private-use character)"),
    ],
)
def test_a_character_is_cited_by_code_point_and_name(character: str, said: str) -> None:
    assert cite(character) == said


def test_what_looks_like_ascii_is_known() -> None:
    assert twin("r\u0435\u0430d\uff1a\uff41\U0001d41b\u03bf\u201c") == 'read:abo"'
    assert twin("größe \U0001d455") == "größe \U0001d455"


def test_a_remark_names_each_character_once_and_three_at_most() -> None:
    assert remark("ab…→") is None
    assert remark("`\u0430\u0430`") == (
        "`\u0430` is U+0430 CYRILLIC SMALL LETTER A, which looks like `a`"
    )
    assert (remark("äöüÄÖ") or "").endswith(", 2 more are not ASCII")


def test_look_alikes_are_similar_however_many() -> None:
    cyrillic = "\u0440\u0430\u0443"
    assert closest(cyrillic, ["pay", "raw"]) == "pay"


@pytest.mark.parametrize("style", list(Format))
def test_each_format_says_what_a_cited_character_is(style: Format) -> None:
    found = Diagnostic("P1003", "unknown scope `re\u0430d`", None)
    assert "U+0430 CYRILLIC SMALL LETTER A" in render([found], style)
