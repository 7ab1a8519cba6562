from __future__ import annotations

import pytest

from policyd.diagnostics.terminal import printable, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ASCII", "plain ASCII"),
        ("größer, 日本", "größer, 日本"),
        ("\x1b[31mred", "\\u{1b}[31mred"),
        ("\u202egnp.exe", "\\u{202e}gnp.exe"),
        ("a\u200bb", "a\\u{200b}b"),
        ("a\nb", "a\\u{a}b"),
        ("\ud800", "\\u{d800}"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("\uff21", 2), ("é", 1)]
)
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns
