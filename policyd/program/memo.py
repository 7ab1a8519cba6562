"""What one compilation leaves for the next: results that are asked for again are not made again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

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

    def turn(self) -> None:
        """Forget what nobody asked for since the last turn."""
        self._before, self._now = self._now, {}
