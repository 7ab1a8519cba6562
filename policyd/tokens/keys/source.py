"""Where an issuer's keys come from, as the pipeline sees it: a snapshot to read, and two requests.

Reading a snapshot is one attribute read: no lock, no I/O, whatever the source is doing.
"""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from policyd.tokens.keys.key_set import KeySet


class KeySnapshot(msgspec.Struct, frozen=True, eq=False):
    """The keys in force, and until when: seconds since the epoch.

    A source keeps the same `KeySet` object for as long as the content is the same, so identity
    tells whether what was verified before would be verified now.
    """

    key_set: KeySet
    usable_until: float


class KeySource(Protocol):
    """The keys of one issuer. Neither method waits for anything."""

    @property
    def snapshot(self) -> KeySnapshot | None:
        """The keys in force; `None` until there have been any."""

    @property
    def problem(self) -> str | None:
        """Why the last attempt to read them failed; `None` where it did not, or there was none."""

    def look_for(self, key_id: str, now: float) -> int | None:
        """Tell that a token names a key that the snapshot lacks (empty: that fits its algorithm).

        Returns the seconds after which to try again until the keys were read once more since such a
        key was first asked for, and then `None`: it is known not to exist.
        """

    def doubt(self, now: float) -> None:
        """Tell that a signature did not hold under a key of the snapshot: it may be outdated."""

    def fetch_anew(self) -> None:
        """Have the keys read at once, even if that was done lately: an operator asked for it."""

    def renew(self, now: float) -> int:
        """Tell that there are no usable keys. Returns the seconds after which to try again."""

    def start(self) -> None:
        """Begin to keep the snapshot fresh."""

    def stop(self) -> None:
        """Stop doing so."""

    def wait(self, seconds: float) -> bool:
        """Wait for the first keys that were fetched; tell whether there are any.

        For use at start-up and when settings changed only.
        """


class FixedKeys:
    """Keys that never change and never grow old: for development, commands and tests."""

    problem: str | None = None

    def __init__(self, key_set: KeySet) -> None:
        self.snapshot = KeySnapshot(key_set, math.inf)

    def look_for(self, key_id: str, now: float) -> int | None:  # noqa: ARG002 (as the protocol)
        return None

    def doubt(self, now: float) -> None:
        pass

    def fetch_anew(self) -> None:
        pass

    def renew(self, now: float) -> int:  # noqa: ARG002
        return 1

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def wait(self, seconds: float) -> bool:  # noqa: ARG002
        return True
