"""The list that commands write to: in Redis if it is configured, else in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from policyd.sources.revocations import file
from policyd.sources.revocations.service import library_missing
from policyd.sources.revocations.settings import RedisSettings, RevocationSettings
from policyd.tokens.revocation.model import Revocation


class RevocationStore(Protocol):
    """A list that can be written. `str` names it."""

    def create(self) -> None:
        """Create an empty list. Raises `ListExists`, `RevocationsUnwritable`."""
        ...

    def write(self, revocation: Revocation) -> bool:
        """Write a revocation; return whether it is known to be on a disk.

        Raises `ListMissing`, `RevocationsInvalid`, `RevocationsUnwritable`.
        """
        ...


class FileStore:
    """A list in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def create(self) -> None:
        file.create(self._path)

    def write(self, revocation: Revocation) -> bool:
        file.append(self._path, revocation)
        return True


class RedisStore:
    """A list in Redis."""

    def __init__(self, settings: RedisSettings) -> None:
        try:
            # Only a configuration with Redis needs the library.
            from policyd.sources.revocations import shared
        except ModuleNotFoundError as error:
            raise library_missing(error) from None
        self._settings = settings
        self._create, self._publish = shared.create, shared.publish

    def __str__(self) -> str:
        return f"Redis at {self._settings}, key {self._settings.key}"

    def create(self) -> None:
        self._create(self._settings)

    def write(self, revocation: Revocation) -> bool:
        return self._publish(self._settings, [revocation]) is not False


def store_of(settings: RevocationSettings) -> RevocationStore:
    """Return the store to write to. Raises `LibraryMissing`."""
    if settings.redis is not None:
        return RedisStore(settings.redis)
    assert settings.file is not None, "a configuration without a source has a finding"
    return FileStore(settings.file)
