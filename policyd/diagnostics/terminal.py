"""Text on a terminal: what may be printed, and how wide it is.

A policy under review may be hostile. Control, bidirectional and invisible characters are never
printed raw, because a terminal would obey or hide them: they are written as `\\u{202e}`.
"""

from __future__ import annotations

import unicodedata

from policyd.diagnostics.visibility import is_hidden


def printable(text: str) -> str:
    """Return `text` with escapes for the characters that a terminal would obey or hide."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if is_hidden(character):
        return f"\\u{{{ord(character):x}}}"
    return character


def width(text: str) -> int:
    """Return how many columns printable text takes: wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
