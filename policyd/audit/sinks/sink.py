"""The interface between the decision log and the destinations of records."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Takes lines, and acknowledges the bytes that it has written.

    One thread calls everything except `problem`. `problem` describes in one sentence what is wrong,
    `None` if nothing is; any thread may read it.
    """

    @property
    def problem(self) -> str | None: ...

    def start(self) -> None:
        """Begin: a sink with threads starts them here."""
        ...

    def write(self, data: bytes) -> int:
        """Take lines, each with its line feed; return how many bytes of them have been taken.

        Where that is less than all, `problem` says why, and the caller gives the rest again later,
        from that byte on. Raises nothing.
        """
        ...

    def settle(self) -> bool:
        """Put what was written on the disk, so that a crash of the machine leaves it; tell whether
        that was done. Raises nothing."""
        ...

    def look(self) -> None:
        """Notice that the place has changed, such as a file that was renamed. Called often."""
        ...

    def reopen(self) -> None:
        """Open the place anew: an operator asked for it."""
        ...

    def close(self) -> None: ...
