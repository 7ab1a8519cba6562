"""The table of a sink, `[[decision_log.sinks]]`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from policyd.audit.courier import Batches
from policyd.audit.sinks.http import DEFAULT_TIMEOUT
from policyd.config.fields import PathText, Table

_BATCHES = Batches()
#: Names a sink's files and its metrics.
SinkName = Annotated[
    str,
    Meta(
        pattern="^[a-z0-9][a-z0-9_-]{0,31}$",
        description="a name of lower-case letters, digits, `-` and `_`",
    ),
]


class SinkTable(Table, frozen=True):
    """One place where decision records go.

    `name` is by default the kind. A batch has at most `batch_records` records and about
    `batch_bytes` bytes, and is sent after `batch_seconds`. `keep` is how many rotated files stay.
    `gzip` compresses rotated files, or what is sent. `timeout` is for one batch, in seconds.
    """

    kind: Literal["file", "stdout", "http", "otlp"]
    name: SinkName | None = None
    batch_records: Annotated[int, Meta(ge=1, le=100_000)] = _BATCHES.records
    batch_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = _BATCHES.bytes
    batch_seconds: Annotated[float, Meta(ge=0.01, le=3600)] = _BATCHES.seconds
    path: PathText | None = None
    rotate_bytes: Annotated[int, Meta(ge=4096)] | None = None
    rotate_seconds: Annotated[int, Meta(ge=1)] | None = None
    keep: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    gzip: bool = False
    url: str | None = None
    timeout: Annotated[float, Meta(ge=0.1, le=3600)] = DEFAULT_TIMEOUT
    token_file: PathText | None = None
    ca_file: PathText | None = None
    certificate: PathText | None = None
    private_key: PathText | None = None
    insecure: bool = False
