"""PostgreSQL, asked by a directory, through psycopg.

Each thread that asks keeps a connection, whose transactions read alone. The server ends a query
after `timeout` seconds; one that does not answer at all is left, and its connection closed.

Invariant: no text of the server's, which may quote data, goes to a caller.
"""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import psycopg

from policyd.client.filtering import Filter
from policyd.client.filters import Where, postgres
from policyd.json_types import Json
from policyd.language.types import Type
from policyd.regular_file import read_regular
from policyd.server.directory.model import DirectoryFailed
from policyd.server.directory.statements import Statement

_LARGEST: Final = 64 * 1024
#: Seconds that the server has beyond the time of a query to say that it has ended.
_LATE: Final = 1.0
_ADDRESSES: Final = (
    IPv4Address,
    IPv6Address,
    IPv4Interface,
    IPv6Interface,
    IPv4Network,
    IPv6Network,
)


class PostgresSettings(msgspec.Struct, frozen=True):
    """How libpq reaches the server, and the file of the password. `timeout` is in seconds."""

    conninfo: str
    password_file: Path | None
    timeout: float


class _Connection(threading.local):
    """The connection of a thread."""

    opened: psycopg.Connection | None = None


class Postgres:
    """The database that `settings` lead to; `name` is what it is called."""

    mark = "%s"

    def __init__(self, settings: PostgresSettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._mine = _Connection()
        self._lock = threading.Lock()
        self._all: set[psycopg.Connection] = set()

    def __str__(self) -> str:
        return self._name

    def escaped(self, name: str) -> str:
        """See `Writing`."""
        return name.replace("%", "%%")

    def ordered(self, column: str) -> str:
        """See `Writing`. As it is, so that the index of the key serves."""
        return column

    def where(self, made: Filter, columns: Mapping[str, str]) -> Where:
        """See `Writing`."""
        return postgres.where(made, columns)

    def rows(self, asked: Statement) -> Sequence[tuple[object, ...]]:
        """Return the rows of a query. Raises `DirectoryFailed`, and `ValueError` where a parameter
        is no value of its column."""
        kept = self._mine.opened
        if any(isinstance(one, str) and "\0" in one for one in asked.parameters):
            raise ValueError("no text that a column can hold")
        try:
            if kept is not None:
                try:
                    return self._rows(kept, asked)
                except psycopg.Error:
                    if not kept.closed:
                        raise
                    self._forget(kept)  # the server was restarted, say
            return self._rows(self._connected(), asked)
        except (
            psycopg.errors.InvalidTextRepresentation,
            psycopg.errors.NumericValueOutOfRange,
        ):
            raise ValueError("no value of the column") from None
        except psycopg.Error as error:
            raise DirectoryFailed(f"{self}: {_said(error)}") from None

    def _rows(
        self, connection: psycopg.Connection, asked: Statement
    ) -> Sequence[tuple[object, ...]]:
        with self._cut(connection):
            # Its text is of names in the configuration, and of what the printer writes.
            return connection.execute(asked.text.encode(), asked.parameters).fetchall()

    def _connected(self) -> psycopg.Connection:
        timeout = self._settings.timeout
        opened = psycopg.connect(
            self._settings.conninfo,
            autocommit=True,
            prepare_threshold=None,  # which proxies between may not know
            connect_timeout=max(2, math.ceil(timeout)),
            tcp_user_timeout=int(1000 * (timeout + _LATE)),
            application_name="policyd",
            client_encoding="UTF8",
            password=self._password(),
        )
        with self._lock:
            self._all.add(opened)
        self._mine.opened = opened
        with self._cut(opened):
            opened.execute(
                "SELECT set_config('statement_timeout', %s, false), "
                "set_config('default_transaction_read_only', 'on', false)",
                (str(int(1000 * timeout)),),
            )
        return opened

    @contextmanager
    def _cut(self, connection: psycopg.Connection) -> Iterator[None]:
        """Close a connection from under a query whose server says nothing."""

        def cut() -> None:
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(connection.fileno())) as same,
            ):
                same.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._settings.timeout + _LATE, cut)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _forget(self, connection: psycopg.Connection) -> None:
        with self._lock:
            self._all.discard(connection)
        self._mine.opened = None

    def _password(self) -> str | None:
        path = self._settings.password_file
        if path is None:
            return None
        try:
            return read_regular(path, _LARGEST).decode().strip("\r\n")
        except OSError as error:
            raise DirectoryFailed(f"`password_file`: `{path}`: {error.strerror}") from None
        except UnicodeError:
            raise DirectoryFailed(f"`password_file`: `{path}` is not UTF-8") from None

    def value(self, raw: object, type_: Type | None) -> Json:
        """Return a value of a column as JSON. Raises `ValueError`."""
        match raw:
            case bool() | int() | float() | str():
                return raw
            case Decimal():
                return f"{raw:f}"
            case datetime() if raw.tzinfo is not None:
                return math.floor(raw.timestamp())
            case UUID():
                return str(raw)
            case list():
                element = None if type_ is None else type_.element
                return [self.value(one, element) for one in raw]
            case dict():
                found: dict[str, Json] = raw
                return found
        if isinstance(raw, _ADDRESSES):
            return str(raw)
        raise ValueError(f"a value of the type {type(raw).__name__}")

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for one in self._all:
                with suppress(psycopg.Error):
                    one.close()
            self._all.clear()


def _said(error: psycopg.Error) -> str:
    """Return the first line of an error: what follows may quote the query."""
    return (str(error).splitlines() or [type(error).__name__])[0]
