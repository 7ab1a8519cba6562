"""What a directory of entities is: subjects and resources by type and identifier, by pages.

A page begins after a position, which its directory alone understands. What a directory cannot say
at once it says later, as `Deferred`.

Invariant: a directory that cannot be read says so, and never that it holds nothing.

Source: OpenID AuthZEN, Authorization API 1.0, sections 5.1 (Subject), 5.2 (Resource) and 8.2
(pagination).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from policyd.config.entities import Entity
from policyd.errors import PolicydError
from policyd.language.types import Type
from policyd.pdp.calls import Deferred


class DirectoryFailed(PolicydError):
    """A directory cannot be read now. The text says why, to operators and not to callers."""


class Declared(msgspec.Struct, frozen=True):
    """What a property is declared as: its type, since a database may have no values of it, and the
    attribute that filters read of it, which is empty where they do not."""

    type: Type
    attribute: str


#: Declarations by the names of properties.
Types = Mapping[str, Declared]


class Key(msgspec.Struct, frozen=True, eq=False):
    """Which entity is asked for."""

    type: str
    id: str
    types: Types = {}


class Wanted(msgspec.Struct, frozen=True, eq=False):
    """Which page is asked for: at most `limit` entities of a type, after a position.

    An empty position is the beginning. `filter` is a FilterResponse in bytes: the directory may
    leave out entities that it does not select.
    """

    type: str
    after: str
    limit: int
    types: Types = {}
    filter: bytes | None = None


class Page(msgspec.Struct, frozen=True):
    """Entities in their order, and the position after them; empty where they are the last."""

    entities: Sequence[Entity]
    following: str


class EntityDirectory(Protocol):
    """A directory. Later, what failed is a `CallFailed`."""

    def find(self, keys: Sequence[Key]) -> Sequence[Entity | None] | Deferred[Found]:
        """Return the entities of these keys, `None` for one that is not there."""
        ...

    def page(self, wanted: Wanted) -> Page | Deferred[Page | None] | None:
        """Return a page, `None` where the position is none of the directory as it is now."""
        ...

    def filters(self, type_: str) -> bool:
        """Tell whether a filter makes pages of a type quicker."""
        ...

    def start(self) -> None:
        """Begin to follow what the entities come from."""
        ...

    def stop(self) -> None:
        """End that."""
        ...

    def look(self) -> None:
        """Look again, because an operator asks for it."""
        ...

    def troubles(self) -> Iterator[str]:
        """Yield what is amiss."""
        ...


Found = Sequence[Entity | None]
