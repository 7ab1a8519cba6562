"""Secrets that callers over HTTP present: a file of them, compared in constant time.

Each line of the file is one secret, so that an old and a new one can count beside each other while
callers change over. The file is read at start and at SIGHUP; one that cannot be used then changes
nothing.

Invariant: how long a comparison takes tells nothing of a secret, and no message quotes one.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from pathlib import Path
from typing import Final

from policyd.errors import PolicydError
from policyd.regular_file import read_regular

_log = logging.getLogger(__name__)
#: RFC 6750, section 2.1, and long enough not to be guessed.
_SECRET: Final = re.compile(rb"[A-Za-z0-9._~+/-]{16,4096}=*")
_LARGEST: Final = 64 * 1024
_MOST: Final = 16
#: Characters of a webhook's secret, which signs and is not sent.
_SHORTEST: Final = 16


class SecretUnusable(PolicydError):
    """A file holds no secrets that callers could present."""


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """Return the digests of the secrets in a file. Raises `SecretUnusable`."""
    try:
        lines = read_regular(path, _LARGEST).split()
    except OSError as error:
        raise SecretUnusable(f"`{path}`: {error.strerror}") from None
    if not 1 <= len(lines) <= _MOST:
        raise SecretUnusable(
            f"`{path}` holds {len(lines)} secrets, one a line: 1 to {_MOST} are meant"
        )
    if not all(map(_SECRET.fullmatch, lines)):
        raise SecretUnusable(
            f"`{path}`: a secret has 16 to 4096 letters, digits and `-._~+/`, such as "
            "`openssl rand -base64 32` prints"
        )
    return tuple(hashlib.sha256(line).digest() for line in lines)


def read_webhook_secrets(path: Path) -> tuple[bytes, ...]:
    """Return the secrets of a file, one a line, as forges know them. Raises `SecretUnusable`."""
    try:
        lines = read_regular(path, _LARGEST).split()
    except OSError as error:
        raise SecretUnusable(f"`{path}`: {error.strerror}") from None
    if not 1 <= len(lines) <= _MOST or any(len(line) < _SHORTEST for line in lines):
        raise SecretUnusable(
            f"`{path}` must hold 1 to {_MOST} secrets, one a line, each of {_SHORTEST} characters "
            "or more, such as `openssl rand -hex 32` prints"
        )
    return tuple(lines)


class CallerSecrets:
    """The secrets of a file, which is named `setting` in messages. Raises `SecretUnusable`."""

    def __init__(self, path: Path, setting: str) -> None:
        self._path = path
        self._setting = setting
        self._digests = read_secrets(path)

    @property
    def caller(self) -> str:
        """The name of a caller who presents one of them."""
        return f"token:{self._path.name}"

    def look(self) -> None:
        """Read the file anew."""
        try:
            self._digests = read_secrets(self._path)
        except SecretUnusable as error:
            _log.error(f"`{self._setting}` cannot be used; what it held goes on: {error}")

    def holds(self, presented: str) -> bool:
        """Tell whether a text is one of the secrets."""
        digest = hashlib.sha256(presented.encode("latin-1", "replace")).digest()
        # All of them, so that the time does not tell which one it was.
        return sum([hmac.compare_digest(digest, one) for one in self._digests]) > 0
