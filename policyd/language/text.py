"""Bytes of a file to a `Source`: UTF-8, no invisible or control characters, not too long.

A reviewer must see what is parsed. So characters that reorder, hide or overprint text, or look like
a space, are refused everywhere, comments included (`diagnostics.visibility`).
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable

import msgspec

from policyd.diagnostics import Diagnostic, Edit, Label, Source, Span
from policyd.diagnostics.visibility import cite, hidden_in, runs
from policyd.language import limits

_LINE = frozenset("\n\t")
#: Allowed before a line feed only: alone it lets a viewer overprint.
_LONE_RETURN = re.compile(r"\r(?!\n)")
#: Texts, and what would be taken for one if a comment were not; either ends with its line.
_TEXT_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"?|//[^\n]*')
#: Places of odd spaces that one finding mends.
_MOST_PLACES = 10_000


class Read(msgspec.Struct, frozen=True):
    """What `read` makes of bytes. With an error, `source` still serves to show where it is."""

    source: Source
    diagnostics: tuple[Diagnostic, ...]


def in_policy(character: str) -> str:
    """Write a character as an escape of the policy language."""
    return f"\\u{{{ord(character):X}}}"


def read(name: str, data: bytes, escape: Callable[[str], str] = in_policy) -> Read:
    """Decode the bytes of the file `name`, in whose language `escape` writes a character."""
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
                    help=_as_utf8(data),
                ),
            ),
        )
    return Read(source, check_text(source, escape))


def _as_utf8(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "the file begins as UTF-16 does: save it as UTF-8"
    return "save the file as UTF-8"


def first_hidden(text: str) -> str | None:
    """Return the first character that a reader would not see, if any. A space is seen as one."""
    hidden = {one for one in _hidden(text) if not _is_space(one)}
    return next((one for one in text if one in hidden), None)


def too_long(source: Source) -> Diagnostic:
    """A file with too many characters; of one that was never read, the source has none."""
    return Diagnostic(
        "P0003",
        f"the file has more than {limits.FILE_CHARACTERS:,} characters",
        Label(source, Span(0, 0)),
        help="split it: several files with the same `api` line are one policy",
    )


def check_text(source: Source, escape: Callable[[str], str] = in_policy) -> tuple[Diagnostic, ...]:
    """Find what makes the text unfit to be parsed."""
    if len(source.text) > limits.FILE_CHARACTERS:
        return (too_long(source),)
    hidden = _hidden(source.text)
    return _Finder(source, escape).find(hidden) if hidden else ()


def _hidden(text: str) -> frozenset[str]:
    hidden = hidden_in(text) - _LINE
    if "\r" in hidden and _LONE_RETURN.search(text) is None:
        return hidden - {"\r"}
    return hidden


def _is_space(character: str) -> bool:
    return unicodedata.category(character) == "Zs"


class _Finder:
    """Says where hidden characters stand. Spaces between words are one finding: one paste."""

    def __init__(self, source: Source, escape: Callable[[str], str]) -> None:
        self._source = source
        self._escape = escape

    def find(self, hidden: frozenset[str]) -> tuple[Diagnostic, ...]:
        text = self._source.text
        texts = [one for one in _TEXT_OR_COMMENT.finditer(text) if one.group()[0] == '"']
        found: list[Diagnostic] = []
        spaces: list[Span] = []
        at = 0
        for run in runs(text, hidden):
            character = text[run.start]
            if character == "\r" and text.startswith("\n", run.end):
                run = Span(run.start, run.end - 1)
                if run.start == run.end:
                    continue
            while at < len(texts) and texts[at].end() <= run.start:
                at += 1
            quoted = at < len(texts) and texts[at].start() < run.start
            if _is_space(character) and not quoted:
                if len(spaces) < _MOST_PLACES:
                    spaces.append(run)
            elif len(found) < limits.DIAGNOSTICS_PER_FILE:
                found.append(self._refused(run, quoted))
        if spaces:
            found.append(self._no_space(spaces))
        return tuple(sorted(found, key=lambda one: one.sort_key)[: limits.DIAGNOSTICS_PER_FILE])

    def _refused(self, run: Span, quoted: bool) -> Diagnostic:
        character = self._source.text[run.start]
        help = "remove it"
        fix: tuple[Edit, ...] = ()
        if character == "\ufeff":
            help = "save the file without a byte order mark"
            if run == Span(0, 1):
                fix = (Edit(run, ""),)
        elif quoted:
            help = f"{'write a space' if _is_space(character) else 'remove it'}, or write "
            help += f"`{self._escape(character)}` where it is meant"
        return Diagnostic(
            "P0002",
            f"the character {cite(character)} is not allowed",
            Label(self._source, run, f"U+{ord(character):04X}"),
            help=help,
            fix=fix,
        )

    def _no_space(self, places: list[Span]) -> Diagnostic:
        first, *others = places
        kinds = dict.fromkeys(self._source.text[place.start] for place in places)
        notes = []
        if others:
            all_of_them = ", ".join(f"U+{ord(kind):04X}" for kind in kinds)
            notes.append(f"such spaces stand at {len(others)} more places: {all_of_them}")
        return Diagnostic(
            "P0002",
            f"{cite(self._source.text[first.start])} is not a space",
            Label(self._source, first, f"U+{ord(self._source.text[first.start]):04X}"),
            help="write spaces",
            notes=tuple(notes),
            fix=tuple(Edit(place, " " * (place.end - place.start)) for place in places),
        )
