"""Bytes of a file to a `Source`: UTF-8, no invisible or control characters, not too long.

What a reviewer sees must be what is parsed: characters that reorder, hide or overprint text are
refused everywhere, comments included (Unicode Technical Report 36; CVE-2021-42574).
"""

from __future__ import annotations

import re

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Span
from policyd.language import limits

# C0 (but tab and line feed) and C1 controls, soft hyphen, Arabic letter mark, Hangul fillers, zero
# width characters, bidirectional marks, embeddings and isolates, line separators, byte order mark,
# tags. A carriage return is allowed before a line feed only: alone it lets a viewer overprint.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]|\r(?!\n)"
)


class Read(msgspec.Struct, frozen=True):
    """What `read` makes of bytes. With an error, `source` still serves to show where it is."""

    source: Source
    diagnostics: tuple[Diagnostic, ...]


def read(name: str, data: bytes) -> Read:
    """Decode the bytes of the file `name`."""
    try:
        source = Source(name, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        source = Source(name, data.decode("utf-8", errors="replace"))
        at = len(data[: error.start].decode("utf-8"))
        return Read(
            source,
            (
                Diagnostic(
                    "P0001",
                    "the file is not UTF-8",
                    Label(source, Span(at, at + 1), f"byte 0x{data[error.start]:02X}"),
                    help="save the file as UTF-8",
                ),
            ),
        )
    return Read(source, check_text(source))


def first_hidden(text: str) -> str | None:
    """Return the first character that a reader would not see, if any."""
    match = _FORBIDDEN.search(text)
    return None if match is None else match.group()


def check_text(source: Source) -> tuple[Diagnostic, ...]:
    """Find what makes the text unfit to be parsed."""
    if len(source.text) > limits.FILE_CHARACTERS:
        return (
            Diagnostic(
                "P0003",
                f"the file has more than {limits.FILE_CHARACTERS:,} characters",
                Label(source, Span(0, 0)),
                help="split it: several files with the same `api` line are one policy",
            ),
        )
    found = []
    for match in _FORBIDDEN.finditer(source.text):
        character = f"U+{ord(match.group()):04X}"
        start = match.start()
        found.append(
            Diagnostic(
                "P0002",
                f"the character {character} is not allowed in a policy",
                Label(source, Span(start, start + 1), character),
                help="save the file without a byte order mark"
                if match.group() == "\ufeff"
                else f"remove it; in a text, write `\\u{{{ord(match.group()):X}}}`",
            )
        )
        if len(found) == limits.DIAGNOSTICS_PER_FILE:
            break
    return tuple(found)
