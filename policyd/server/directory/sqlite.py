"""SQLite, asked by a directory: a file, opened for reading for each query.

So a file that another one replaces is seen at the next query, and nothing is held open meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from policyd.client.filtering import Filter
from policyd.client.filters import Where, sqlite
from policyd.json_types import Json
from policyd.language.types import Type
from policyd.server.directory.model import DirectoryFailed
from policyd.server.directory.statements import Statement

#: Types whose values are JSON in a column of texts.
_WRITTEN: Final = frozenset({Type.LIST, *(one for one in Type if one.element is not None)})


class Sqlite:
    """The database in the file at `path`; a query ends after `timeout` seconds."""

    mark = "?"

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout

    def __str__(self) -> str:
        return f"`{self._path}`"

    def escaped(self, name: str) -> str:
        """See `Writing`."""
        return name

    def ordered(self, column: str) -> str:
        """See `Writing`. By bytes: else identifiers that differ in case could be skipped."""
        return f"{column} COLLATE BINARY"

    def where(self, made: Filter, columns: Mapping[str, str]) -> Where:
        """See `Writing`."""
        return sqlite.where(made, columns)

    def rows(self, asked: Statement) -> Sequence[tuple[object, ...]]:
        """Return the rows of a query. Raises `DirectoryFailed`."""
        try:
            uri = f"file:{quote(str(self._path))}?mode=ro"
            opened = sqlite3.connect(
                uri, uri=True, timeout=self._timeout, check_same_thread=False, isolation_level=None
            )
            with closing(opened) as connection:
                timer = threading.Timer(self._timeout, connection.interrupt)
                timer.start()
                try:
                    return connection.execute(asked.text, asked.parameters).fetchall()
                finally:
                    timer.cancel()
                    timer.join()
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise DirectoryFailed(f"{self}: {error}") from None

    def value(self, raw: object, type_: Type | None) -> Json:
        """Return a value of a column as JSON. Raises `ValueError`."""
        if type_ is Type.BOOL and raw in (0, 1):
            return bool(raw)
        if type_ in _WRITTEN and isinstance(raw, str):
            try:
                found: Json = json.loads(raw)
            except ValueError:
                raise ValueError("a text that is no JSON") from None
            return found
        if isinstance(raw, str | int | float):
            return raw
        raise ValueError(f"a value of the type {type(raw).__name__}")

    def close(self) -> None:
        """Hold nothing."""
