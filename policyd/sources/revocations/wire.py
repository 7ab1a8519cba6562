"""A revocation as a line of JSON: in files, in Redis, and between versions of policyd.

    {"issuer":"https://issuer.example/","jti":"a1b2","until":1800000000}
    {"issuer":"https://issuer.example/","subject":"u1","issued_before":1797000000,"until":1799592000}

The last line of a file gives the number of revocations before it, so that an emptied, truncated or
half-written file is not taken for a complete list:

    {"end":2}

The input is bytes, the output `Revocation`s or errors of lines. Invariant: a line that is not fully
understood is an error and is never skipped, because it may come from another version.
"""

from __future__ import annotations

import io
import json
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Span
from policyd.errors import PolicydError
from policyd.tokens.revocation.model import InvalidRevocation, Revocation, RevocationKind

#: The most errors that are reported for one text.
_ERRORS: Final = 20
#: The most bytes of a line: all members at their longest, each character escaped, take fewer.
_LONGEST_LINE: Final = 64 * 1024
_KINDS: Final = tuple(kind.value for kind in RevocationKind)


_END: Final = re.compile(rb'\{[ \t]*"end"[ \t]*:[ \t]*(0|[1-9][0-9]{0,9})[ \t]*\}')


class EntryInvalid(PolicydError):
    """A line is not a revocation."""


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    issuer: str
    jti: str | None = None
    subject: str | None = None
    client: str | None = None
    session: str | None = None
    organisation: str | None = None
    issued_before: int | None = None
    until: int = -1
    reason: str = ""


_decode: Final = msgspec.json.Decoder(_Line).decode
_encode: Final = msgspec.json.Encoder().encode


def encode(revocation: Revocation) -> bytes:
    """Return a revocation as one line, without its line break."""
    return _encode(
        _Line(
            revocation.issuer,
            **{revocation.kind.value: revocation.value},
            issued_before=revocation.issued_before,
            until=revocation.until,
            reason=revocation.reason,
        )
    )


def decode(line: bytes) -> Revocation:
    """Return the revocation that a line holds.

    Raises:
        EntryInvalid: it is not a revocation.
    """
    if len(line) > _LONGEST_LINE:
        raise EntryInvalid(f"the line has more than {_LONGEST_LINE} bytes")
    if line.startswith(BOM_UTF8):
        raise EntryInvalid("it begins with a byte order mark (U+FEFF); save the file without one")
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EntryInvalid(_words(str(error))) from None
    # A line that policyd wrote cannot name a member twice.
    if _encode(found) != line:
        _check_members(line)
    named = [
        (kind, value) for kind in RevocationKind if (value := getattr(found, kind)) is not None
    ]
    if len(named) != 1:
        raise EntryInvalid(f"a revocation names one of {', '.join(f'`{kind}`' for kind in _KINDS)}")
    if found.until < 0:
        raise EntryInvalid("`until` is missing, or lies before 1970")
    ((kind, value),) = named
    try:
        # A list of many thousands names few issuers: each is kept once.
        issuer = sys.intern(found.issuer)
        return Revocation(issuer, kind, value, found.until, found.issued_before, found.reason)
    except InvalidRevocation as error:
        raise EntryInvalid(str(error)) from None


def _check_members(line: bytes) -> None:
    """Check that no member is repeated: decoders differ in which value they take."""

    def unique(members: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in members]
        for name in names:
            if names.count(name) > 1:
                raise EntryInvalid(f"`{name}` is given twice")
        return dict(members)

    json.loads(line, object_pairs_hook=unique)


def _words(message: str) -> str:
    """Return a decoder's message as the rest of a sentence."""
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


def decode_lines(lines: Iterable[bytes]) -> Iterator[Revocation]:
    """Yield the revocations of lines; empty lines are skipped. Raises `EntryInvalid`."""
    for line in lines:
        stripped = line.strip()
        if stripped:
            yield decode(stripped)


class End(msgspec.Struct, frozen=True):
    """The last line of a file: its offset in bytes, and the number in it."""

    at: int
    count: int


def find_end(data: bytes) -> End | None:
    """Return the line that marks a complete file, `None` if the last line is another one."""
    text = data.rstrip()
    at = text.rfind(b"\n") + 1
    found = _END.fullmatch(text[at:].strip())
    return None if found is None else End(at, int(found[1]))


def encode_end(count: int) -> bytes:
    """Return the last line of a file with a number of revocations."""
    return b'{"end":%d}\n' % count


class Read(msgspec.Struct, frozen=True):
    """The contents of a text: revocations, and findings about invalid lines."""

    revocations: list[Revocation]
    diagnostics: tuple[Diagnostic, ...]


def read_lines(name: str, data: bytes, start: int = 0) -> Read:
    """Read a text with one revocation a line, from the byte `start`, where a line begins."""
    revocations: list[Revocation] = []
    wrong: list[tuple[int, int, str]] = []
    at = start
    lines = io.BytesIO(data)  # which copies nothing
    lines.seek(start)
    for line in lines:
        stripped = line.strip()
        if stripped:
            try:
                revocations.append(decode(stripped))
            except EntryInvalid as error:
                wrong.append((at, at + len(line.removesuffix(b"\n")), str(error)))
                if len(wrong) == _ERRORS:
                    break
        at += len(line)
    if not wrong:
        return Read(revocations, ())
    source = Source(name, data.decode("utf-8", errors="replace"))
    return Read(
        revocations,
        tuple(_finding(source, data, first, last, said) for first, last, said in wrong),
    )


def _finding(source: Source, data: bytes, first: int, last: int, said: str) -> Diagnostic:
    begin = len(data[:first].decode("utf-8", errors="replace"))
    length = len(data[first:last].decode("utf-8", errors="replace").rstrip())
    label = Label(source, Span(begin, begin + length))
    return Diagnostic("P5011", f"this is no revocation: {said}", label)
