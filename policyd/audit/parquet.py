"""Logs in Parquet, as data platforms keep them, read as lines.

Such a file has one of two shapes:

- one column of text or bytes, which holds the lines of the log as they were written: the only
  column, or that called `line`, `value`, `message` or `raw`;
- a column for each field of a record (`time`, `effect`, …), as programs that load the lines as JSON
  write it. Each row becomes a line again. Such a table has null where a record lacks a field, so
  nulls are left out.

A timestamp without a zone is taken to be UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import msgspec

from policyd.errors import PolicydError

if TYPE_CHECKING:
    import pyarrow as arrow
    import pyarrow.parquet as arrow_parquet

#: The first bytes of a Parquet file.
MAGIC: Final = b"PAR1"
_ROWS: Final = 4096
_LINES: Final = ("line", "value", "message", "raw")
_RECORD: Final = frozenset({"type", "schema", "time"})

_encoder = msgspec.json.Encoder()


class ParquetUnreadable(PolicydError):
    """The file is damaged, does not contain a log, or pyarrow is not installed."""


def lines_of(path: Path) -> Iterator[list[bytes]]:
    """Yield the lines of a file, some thousand at a time. Raises `ParquetUnreadable`, OSError."""
    try:
        arrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise ParquetUnreadable(
            f"{path} is in Parquet: install `policyd[replay]` to read it"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            yield from _lines(path, file)
    except arrow.ArrowException as error:
        raise ParquetUnreadable(f"{path}: {error}") from None


def _lines(path: Path, file: arrow_parquet.ParquetFile) -> Iterator[list[bytes]]:
    names = file.schema_arrow.names
    column = _column_of_lines(names)
    if column is None and not _RECORD.issubset(names):
        raise ParquetUnreadable(
            f"{path} has neither a column of lines ({', '.join(_LINES)}) nor the fields of records"
        )
    columns = None if column is None else [column]
    for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
        if column is None:
            yield [_encoder.encode(_present(row)) for row in _rows(batch)]
        else:
            yield [_as_bytes(value) for value in batch.column(0).to_pylist()]


def _column_of_lines(names: list[str]) -> str | None:
    if len(names) == 1:
        return names[0]
    return next((name for name in _LINES if name in names and not _RECORD.issubset(names)), None)


def _rows(batch: arrow.RecordBatch) -> Iterable[object]:
    return cast("Iterable[object]", batch.to_pylist(maps_as_pydicts="strict"))


def _as_bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else b""


def _present(value: object) -> object:
    """Return a value without null members of objects, and with times in UTC."""
    if isinstance(value, dict):
        return {name: _present(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_present(one) for one in value]
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value
