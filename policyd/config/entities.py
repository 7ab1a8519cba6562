"""The entities that searches go through: subjects and resources, by type.

Input: a file of JSON, one entity a line, as AuthZEN writes them: `type`, `id`, and perhaps
`properties`. Output: `Entities`, which keep the file's order. A database has them in tables, an
`EntityTable` for each type.

Source: OpenID AuthZEN, Authorization API 1.0, sections 5.1 (Subject) and 5.2 (Resource).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, cast

import msgspec
from msgspec import Meta

from policyd.errors import PolicydError
from policyd.json_types import Json
from policyd.regular_file import read_regular

_MOST: Final = 100_000
_MOST_BYTES: Final = 64 * 1024 * 1024
#: A name of SQL, and a name with those of what it is in.
_NAME: Final = r'(?:[A-Za-z_][A-Za-z0-9_$]*|"(?:[^"\x00]|"")+")'
COLUMN: Final = rf"^{_NAME}$"
TABLE: Final = rf"^{_NAME}(?:\.{_NAME}){{0,2}}$"


class EntitiesInvalid(PolicydError):
    """The file cannot be used; the text says where and why."""


class Entity(msgspec.Struct, frozen=True):
    """A subject or a resource."""

    type: str
    id: str
    properties: dict[str, Json]


class EntityTable(msgspec.Struct, frozen=True):
    """A table or view with a row for each entity of a type: the column of identifiers, and the
    columns of properties by their names."""

    table: str
    id: str
    columns: Mapping[str, str]


class _Line(msgspec.Struct, frozen=True):
    """A line of the file; msgspec has no type for all of JSON but `object`."""

    type: Annotated[str, Meta(min_length=1, max_length=256)]
    id: Annotated[str, Meta(min_length=1, max_length=2048)]
    properties: dict[str, object] = {}


class Entities:
    """Entities by type, in order. `revision` changes with them. Raises `EntitiesInvalid`."""

    def __init__(self, entities: Iterable[Entity] = (), revision: str = "") -> None:
        self.revision = revision
        self._by_type: dict[str, list[Entity]] = {}
        self._known: dict[tuple[str, str], Entity] = {}
        for one in entities:
            if (one.type, one.id) in self._known:
                raise EntitiesInvalid(f"`{one.id}` of the type `{one.type}` is there twice")
            self._known[one.type, one.id] = one
            self._by_type.setdefault(one.type, []).append(one)

    def of(self, type_: str) -> Sequence[Entity]:
        """Return the entities of a type."""
        return self._by_type.get(type_, ())

    def known(self, type_: str, id_: str) -> Entity | None:
        """Return the entity of an identifier."""
        return self._known.get((type_, id_))


def read_entities(path: Path) -> Entities:
    """Read a file. Raises `EntitiesInvalid`."""
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise EntitiesInvalid(f"it cannot be read: {error.strerror}") from None
    if len(data) >= _MOST_BYTES:
        raise EntitiesInvalid(f"it has {_MOST_BYTES // 1024**2} MiB or more")
    return Entities(_entities(data), sha256(data).hexdigest())


def _entities(data: bytes) -> Iterable[Entity]:
    decoder = msgspec.json.Decoder(_Line)
    found = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        found += 1
        if found > _MOST:
            raise EntitiesInvalid(f"it has more than {_MOST:,} entities")
        try:
            read = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EntitiesInvalid(f"line {number}: {error}") from None
        yield Entity(read.type, read.id, cast(dict[str, Json], read.properties))
