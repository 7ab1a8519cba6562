"""The cache between compilations: results that are needed again are not made again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from functools import partial
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[V]):
    """Remembers values by key, as long as each compilation asks for them.

    A key may hold the identity of an object if the value keeps that object: then it is the identity
    of no other.
    """

    def __init__(self) -> None:
        self._before: dict[Hashable, V] = {}
        self._now: dict[Hashable, V] = {}

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value of a key, made now if it is not known."""
        value = self._now.get(key)
        if value is None:
            value = self._before.get(key)
            if value is None:
                value = make()
            self._now[key] = value
        return value

    def get_each(
        self, objects: Collection[K], key: Callable[[K], Hashable], make: Callable[[K], V]
    ) -> list[V]:
        """Return a value for each object, made now where that of its key is not known.

        The same as many calls of `get`, with few steps for what is known: around the rule that
        changed stand thousands that did not.
        """
        keys = list(map(key, objects))
        known = map(self._now.get, keys, map(self._before.get, keys))
        values = [
            self.get(key, partial(make, one)) if value is None else value
            for key, one, value in zip(keys, objects, known, strict=True)
        ]
        self._now.update(zip(keys, values, strict=True))
        return values

    def turn(self) -> None:
        """Drop everything that was not used since the last turn."""
        self._before, self._now = self._now, {}
