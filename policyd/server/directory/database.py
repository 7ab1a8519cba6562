"""A directory in a database: tables or views, each with the entities of one type.

A page of resources is asked for with a filter, so the database reads what may be a result and no
more. Where a filter cannot be written for the table, pages go through all of its rows. Threads of
the directory's own ask, a few at a time; no call that needs no directory waits for them.

Invariants: a query that fails, or takes too long, is an error for its caller (UNAVAILABLE), and
trouble on `/readyz` until one succeeds. An identifier that two rows have is an error too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from time import monotonic
from typing import Final, Protocol, TypeVar
from uuid import UUID

from policyd.client import messages
from policyd.client.filtering import Filter, read_filter
from policyd.client.filters import FilterRefused, Where
from policyd.client.values import AuthorizationFailed
from policyd.config.entities import Entity, EntityTable
from policyd.json_types import Json
from policyd.language.types import Type
from policyd.pdp.calls import DEFECT, CallFailed, Deferred, Deliver, StatusCode
from policyd.server.directory import statements
from policyd.server.directory.model import (
    DirectoryFailed,
    Found,
    Key,
    Page,
    Types,
    Wanted,
)
from policyd.server.directory.statements import Statement

_THREADS: Final = 4
#: Questions that wait for a thread; the next is refused.
_MOST: Final = 64
_UNREADABLE: Final = CallFailed(
    StatusCode.UNAVAILABLE, "the directory of entities cannot be read now; policyd's log says why"
)
_BUSY: Final = CallFailed(
    StatusCode.UNAVAILABLE, "too many searches wait for the directory of entities; try again later"
)
_log = logging.getLogger(__name__)

ReadT = TypeVar("ReadT")
Row = tuple[object, ...]


class Database(Protocol):
    """A database; `rows` raises `DirectoryFailed`, and `ValueError` where a parameter is no value
    of its column."""

    mark: str

    def escaped(self, name: str) -> str: ...

    def ordered(self, column: str) -> str: ...

    def where(self, made: Filter, columns: Mapping[str, str]) -> Where: ...

    def rows(self, asked: Statement) -> Sequence[Row]: ...

    def value(self, raw: object, type_: Type | None) -> Json: ...

    def close(self) -> None: ...


class DatabaseDirectory:
    """The entities of `tables`, by type; see `EntityDirectory`. A question waits for a thread for
    `patience` seconds at most."""

    def __init__(
        self,
        database: Database,
        tables: Mapping[str, EntityTable],
        patience: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database = database
        self._tables = tables
        self._patience = patience
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, "directory")
        self._lock = threading.Lock()  # guards what follows
        self._waiting = 0
        self._closed = False
        self._refused: set[str] = set()
        self._problems: dict[str, str] = {}

    def find(self, keys: Sequence[Key]) -> Found | Deferred[Found]:
        """See `EntityDirectory.find`."""
        if not any(key.type in self._tables for key in keys):
            return [None for _ in keys]
        return self._later(lambda: [self._one(key) for key in keys])

    def page(self, wanted: Wanted) -> Page | Deferred[Page | None] | None:
        """See `EntityDirectory.page`."""
        table = self._tables.get(wanted.type)
        if table is None:
            return Page([], "")
        return self._later(partial(self._page, table, wanted))

    def filters(self, type_: str) -> bool:
        """See `EntityDirectory.filters`."""
        return type_ in self._tables

    def start(self) -> None:
        """Look whether the tables are there."""
        self.look()

    def look(self) -> None:
        """Look whether the tables are there, without waiting for it."""
        self._later(self._probe).begin(lambda _: None)

    def stop(self) -> None:
        """Ask no more."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._database.close()

    def troubles(self) -> Iterator[str]:
        """See `EntityDirectory.troubles`."""
        for table, problem in sorted(self._problems.copy().items()):
            yield f"the entities in `{table}` cannot be read: {problem}"

    # -- in threads ------------------------------------------------------------------------------

    def _later(self, read: Callable[[], ReadT]) -> Deferred[ReadT]:
        """Return what a thread will read."""

        def begin(deliver: Deliver[ReadT]) -> None:
            with self._lock:
                full = self._closed or self._waiting >= _MOST
                if not full:
                    self._waiting += 1
                    self._pool.submit(self._run, read, self._clock(), deliver)
            if full:
                deliver(_BUSY)

        return Deferred(begin)

    def _run(self, read: Callable[[], ReadT], since: float, deliver: Deliver[ReadT]) -> None:
        answer: ReadT | CallFailed
        with self._lock:
            self._waiting -= 1
        if self._clock() - since > self._patience:
            answer = _BUSY
        else:
            try:
                answer = read()
            except DirectoryFailed:
                answer = _UNREADABLE
            except Exception:
                _log.exception("reading the directory of entities failed")
                answer = DEFECT
        try:
            deliver(answer)
        except Exception:
            _log.exception("an answer could not be delivered")

    @contextmanager
    def _reading(self, table: EntityTable) -> Iterator[None]:
        """Remember what became of reading a table."""
        before = self._problems.get(table.table)
        try:
            yield
        except DirectoryFailed as error:
            self._problems[table.table] = str(error)
            if str(error) != before:
                said = {"table": table.table, "problem": str(error)}
                _log.error("the entities of searches cannot be read", extra=said)
            raise
        if before is not None:
            self._problems.pop(table.table, None)
            _log.info("the entities of searches can be read again", extra={"table": table.table})

    def _probe(self) -> None:
        for table in self._tables.values():
            with suppress(DirectoryFailed), self._reading(table):
                self._database.rows(statements.page(table, "", 0, self._database))

    def _one(self, key: Key) -> Entity | None:
        table = self._tables.get(key.type)
        if table is None or not key.id:
            return None
        with self._reading(table):
            try:
                rows = self._database.rows(statements.one(table, key.id, self._database))
            except ValueError:
                return None  # a word where identifiers are numbers
            found = [self._entity(table, key.type, key.types, row) for row in rows]
            # A database may find 1 where 01 is asked for.
            same = [one for one in found if one.id == key.id]
            if len(same) > 1:
                raise _twice(table, key.id)
            return same[0] if same else None

    def _page(self, table: EntityTable, wanted: Wanted) -> Page | None:
        with self._reading(table):
            try:
                rows = self._database.rows(self._asked(table, wanted))
            except ValueError:
                if wanted.after:
                    return None
                raise DirectoryFailed("a filter compares with what no column holds") from None
            found = [self._entity(table, wanted.type, wanted.types, row) for row in rows]
            for one, following in pairwise(found):
                if one.id == following.id:
                    raise _twice(table, one.id)
            page = found[: wanted.limit]
            more = len(found) > wanted.limit
            return Page(page, page[-1].id if more else "")

    def _asked(self, table: EntityTable, wanted: Wanted) -> Statement:
        where = (table, wanted.after, wanted.limit + 1, self._database)
        if wanted.filter is None:
            return statements.page(*where)
        try:
            return statements.page(*where, self._filter(wanted.filter), wanted.types)
        except FilterRefused as error:
            self._goes_through_all(wanted.type, str(error))
            return statements.page(*where)

    def _filter(self, message: bytes) -> Filter:
        try:
            return read_filter(messages.FilterResponse.FromString(message))
        except AuthorizationFailed as error:
            raise DirectoryFailed(f"a filter that the client cannot read: {error}") from None

    def _goes_through_all(self, type_: str, why: str) -> None:
        with self._lock:
            known = why in self._refused or len(self._refused) > _MOST
            self._refused.add(why)
        if not known:
            _log.warning(
                "searches go through all entities of a type, because a filter cannot be used",
                extra={"type": type_, "why": why},
            )

    def _entity(self, table: EntityTable, type_: str, types: Types, row: Row) -> Entity:
        id_ = row[0]
        if not isinstance(id_, str | int | UUID) or isinstance(id_, bool) or id_ == "":
            raise DirectoryFailed(
                f"`{table.table}.{table.id}` holds an identifier that is none: a text that is not "
                "empty, a whole number or a UUID is one"
            )
        properties: dict[str, Json] = {}
        for (name, column), raw in zip(table.columns.items(), row[1:], strict=True):
            if raw is None:
                continue
            try:
                properties[name] = self._database.value(
                    raw, types[name].type if name in types else None
                )
            except ValueError as error:
                raise DirectoryFailed(f"`{table.table}.{column}` holds {error}") from None
        return Entity(type_, str(id_), properties)


def _twice(table: EntityTable, id_: str) -> DirectoryFailed:
    return DirectoryFailed(f"`{table.table}` has two rows with the identifier {id_!r}")
