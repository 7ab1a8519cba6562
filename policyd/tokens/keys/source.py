"""Where an issuer's keys come from, as the pipeline sees it: a snapshot to read, and two requests.

Reading a snapshot is one attribute read: no lock, no I/O, whatever the source is doing.
"""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from policyd.tokens.keys.key_set import KeySet


class Snapshot(msgspec.Struct, frozen=True, eq=False):
    """The keys in force, and until when: seconds since the epoch.

    A source keeps the same `KeySet` object for as long as the content is the same, so identity
    tells whether what was verified before would be verified now.
    """

    key_set: KeySet
    usable_until: float


class KeySource(Protocol):
    """The keys of one issuer. Neither method waits for anything."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The keys in force; `None` until there have been any."""

    def look_for(self, key_id: str, now: float) -> int | None:
        """Tell that a token names a key that the snapshot lacks (empty: that fits its algorithm).

        Returns the seconds after which to try again where newer keys are due or on their way, and
        `None` where such a key is known not to exist.
        """

    def renew(self, now: float) -> int:
        """Tell that there are no usable keys. Returns the seconds after which to try again."""

    def start(self) -> None:
        """Begin to keep the snapshot fresh."""

    def stop(self) -> None:
        """Stop doing so."""

    def wait(self, seconds: float) -> bool:
        """Wait for the first snapshot, for use at start-up only; tell whether there is one."""


class FixedKeys:
    """Keys that never change and never grow old: for development and tests."""

    def __init__(self, key_set: KeySet) -> None:
        self.snapshot = Snapshot(key_set, math.inf)

    def look_for(self, key_id: str, now: float) -> int | None:  # noqa: ARG002 (as the protocol)
        return None

    def renew(self, now: float) -> int:  # noqa: ARG002
        return 1

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def wait(self, seconds: float) -> bool:  # noqa: ARG002
        return True
