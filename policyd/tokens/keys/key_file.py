"""A key set in a file: what `jwks_file` names, and what a command is given as `--jwks`.

The background thread of an issuer reads its file again and again, and must never wait for it: for
the daemon it is a regular file. A command that reads once may wait for a pipe, `--jwks <(…)`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from policyd.regular_file import TooLong, read_regular
from policyd.tokens.details import escaped_path
from policyd.tokens.https.fetch import LONGEST_BODY, Document
from policyd.tokens.keys.key_set import KeySetUnusable

#: How long the keys of a file live, in seconds: it is read again at 80 % of that.
FILE_LIFE: Final = 60
#: Reads a JWK Set. Raises `KeySetUnusable`.
ReadKeyFile = Callable[[Path], Document]


def read_key_file(path: Path) -> Document:
    """Read a JWK Set from a regular file, at most 256 KiB. Raises `KeySetUnusable`."""
    return _read(path, lambda: read_regular(path, LONGEST_BODY))


def read_key_pipe(path: Path) -> Document:
    """Read a JWK Set from whatever can be read, and wait for it. Raises `KeySetUnusable`."""

    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(LONGEST_BODY + 1)

    return _read(path, read)


def _read(path: Path, read: Callable[[], bytes]) -> Document:
    try:
        body = read()
    except TooLong:
        raise _too_long(path) from None
    except OSError as problem:
        raise KeySetUnusable(
            f"{escaped_path(str(path))} cannot be read: {problem.strerror}"
        ) from None
    if len(body) > LONGEST_BODY:
        raise _too_long(path)
    return Document(body, FILE_LIFE)


def _too_long(path: Path) -> KeySetUnusable:
    return KeySetUnusable(f"{escaped_path(str(path))} has more than {LONGEST_BODY} bytes")
