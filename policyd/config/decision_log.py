"""`[decision_log]` of the configuration, to `DecisionLogSettings`.

One file or standard output is written directly. Several sinks, or one that can be out of reach, are
fed from a spool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from policyd.audit.courier import Batches
from policyd.audit.log import Durability, WhenFull
from policyd.audit.sampling import Sampling
from policyd.audit.sinks.http import HttpSettings, sink_url
from policyd.audit.sinks.rotation import Rotation
from policyd.config.findings import Findings, Key
from policyd.config.sink_tables import SinkTable
from policyd.config.tables import DecisionLogTable

_TABLE: Final = "decision_log"
_SENDING: Final = frozenset(
    {
        *("url", "gzip", "timeout", "token_file", "ca_file", "certificate", "private_key"),
        "insecure",
    }
)
#: The keys of each kind of sink, beside those of all.
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "file": frozenset({"path", "rotate_bytes", "rotate_seconds", "keep", "gzip"}),
    "stdout": frozenset(),
    "http": _SENDING,
    "otlp": _SENDING,
}
_COMMON: Final = frozenset({"kind", "name", "batch_records", "batch_bytes", "batch_seconds"})


class FileSettings(msgspec.Struct, frozen=True):
    """A file, and when it is rotated."""

    path: Path
    rotation: Rotation = Rotation()


class OutputSettings(msgspec.Struct, frozen=True):
    """Standard output."""


class OtlpSettings(msgspec.Struct, frozen=True):
    """A collector of OpenTelemetry, over HTTP."""

    http: HttpSettings


class SinkSettings(msgspec.Struct, frozen=True):
    """A place where records go; `key` is where the configuration says so."""

    name: str
    to: FileSettings | OutputSettings | HttpSettings | OtlpSettings
    key: Key
    batches: Batches = Batches()


class SpoolSettings(msgspec.Struct, frozen=True):
    """A folder of which each worker has one within, by its number."""

    folder: Path
    max_bytes: int
    worker: int = 0
    workers: int = 1


class DecisionLogSettings(msgspec.Struct, frozen=True):
    """The decision log; without `spool`, there is one sink, a file or standard output."""

    sinks: tuple[SinkSettings, ...]
    spool: SpoolSettings | None
    capacity: int
    capacity_bytes: int
    durability: Durability
    when_full: WhenFull
    sampling: Sampling
    mask: frozenset[str]
    hashed: frozenset[str]
    hash_key_file: Path | None


def read_decision_log(
    table: DecisionLogTable, workers: int, base: Path, findings: Findings
) -> DecisionLogSettings:
    """Return the settings, for a configuration in `base`."""
    if table.hash and table.hash_key_file is None:
        findings.add(
            "P5004",
            (_TABLE, "hash"),
            "without a key anybody who guesses a value can tell its hash",
            "set `hash_key_file`, to a file with 32 random bytes or more",
        )
    sinks = tuple(_sinks(table, base, findings))
    spool = None
    local = all(isinstance(sink.to, FileSettings | OutputSettings) for sink in sinks)
    if table.spool is not None or len(sinks) != 1 or not local:
        folder = base / (table.spool or "spool")
        spool = SpoolSettings(folder, table.max_bytes, workers=workers)
    elif isinstance(sinks[0].to, OutputSettings) and table.durability == "sync":
        findings.add(
            "P5004",
            (_TABLE, "durability"),
            "nobody knows when what went to standard output is on a disk",
            "set `path`, so that the log is a file, or `spool`",
        )
    return DecisionLogSettings(
        sinks,
        spool,
        table.capacity,
        table.capacity_bytes,
        table.durability,
        table.when_full,
        Sampling(table.sample_allows, table.sample_allows_of),
        frozenset((*table.mask, *table.hash)),
        frozenset(table.hash),
        None if table.hash_key_file is None else base / table.hash_key_file,
    )


def _sinks(table: DecisionLogTable, base: Path, findings: Findings) -> Iterator[SinkSettings]:
    """Yield the sinks: that of `path`, and the table's; without any, standard output."""
    taken: set[str] = set()
    if table.path is not None:
        taken.add("file")
        yield SinkSettings("file", FileSettings(base / table.path), (_TABLE, "path"))
    elif not table.sinks:
        yield SinkSettings("stdout", OutputSettings(), (_TABLE,))
    for number, one in enumerate(table.sinks):
        key = (_TABLE, "sinks", number)
        name = one.name or _free_name(one.kind, taken)
        if name in taken:
            findings.add(
                "P5004",
                (*key, "name"),
                f"two sinks are called `{name}`",
                "give each a name of its own: it names the sink's cursor",
            )
        taken.add(name)
        _check_keys(one, key, findings)
        to = _destination(one, key, base, findings)
        if to is not None:
            batches = Batches(one.batch_records, one.batch_bytes, one.batch_seconds)
            yield SinkSettings(name, to, key, batches)


def _free_name(kind: str, taken: set[str]) -> str:
    """Return what a sink without a name is called: its kind, or that with a number."""
    names = (kind if number == 1 else f"{kind}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _check_keys(table: SinkTable, key: Key, findings: Findings) -> None:
    """Complain of keys that say nothing to a sink of this kind."""
    known = _KEYS[table.kind] | _COMMON
    for field in msgspec.structs.fields(table):
        if field.name not in known and getattr(table, field.name) != field.default:
            findings.add(
                "P5004",
                (*key, field.name),
                f"a sink of the kind `{table.kind}` has no `{field.name}`",
                f"remove it; known there: {', '.join(sorted(known))}",
            )


def _destination(
    table: SinkTable, key: Key, base: Path, findings: Findings
) -> FileSettings | OutputSettings | HttpSettings | OtlpSettings | None:
    if table.kind == "file":
        return _file(table, key, base, findings)
    if table.kind == "http":
        return _http(table, key, base, findings)
    if table.kind == "otlp":
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
            headline = "OTLP needs a package that is not installed"
            findings.add("P5004", (*key, "kind"), headline, "pip install 'policyd[otel]'")
        http = _http(table, key, base, findings)
        return None if http is None else OtlpSettings(http)
    return OutputSettings()


def _file(table: SinkTable, key: Key, base: Path, findings: Findings) -> FileSettings | None:
    if table.path is None:
        _missing(key, "path", findings)
        return None
    size, age = table.rotate_bytes, table.rotate_seconds
    if size is None and age is None and (table.keep is not None or table.gzip):
        findings.add(
            "P5004",
            (*key, "keep" if table.keep is not None else "gzip"),
            "the file is never rotated, so there are no old ones",
            "set `rotate_bytes` or `rotate_seconds`",
        )
    return FileSettings(base / table.path, Rotation(size, age, table.keep, table.gzip))


def _http(table: SinkTable, key: Key, base: Path, findings: Findings) -> HttpSettings | None:
    if table.url is None:
        _missing(key, "url", findings)
        return None
    if (table.certificate is None) != (table.private_key is None):
        given = "certificate" if table.private_key is None else "private_key"
        findings.add("P5004", (*key, given), "`certificate` and `private_key` go together")
    try:
        url = sink_url(table.url, insecure=table.insecure)
    except ValueError as problem:
        way_out = "`insecure = true` allows plain HTTP to other machines, where nobody listens in"
        findings.add("P5004", (*key, "url"), f"`url` {problem}", way_out)
        return None

    def path(name: str | None) -> Path | None:
        return None if name is None else base / name

    return HttpSettings(
        url,
        table.gzip,
        table.timeout,
        path(table.token_file),
        path(table.ca_file),
        path(table.certificate),
        path(table.private_key),
    )


def _missing(key: Key, name: str, findings: Findings) -> None:
    findings.add("P5003", (*key, name), f"`{name}` is missing", f"add `{name} = …`")
