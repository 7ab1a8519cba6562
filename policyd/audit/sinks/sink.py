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
        """Start the sink's threads, if it has any."""
        ...

    def write(self, data: bytes) -> int:
        """Take lines, each with its line feed; return how many bytes were taken.

        If that is less than all, `problem` says why, and the caller passes the rest again later,
        from that byte on. Raises nothing.
        """
        ...

    def settle(self) -> bool:
        """Sync what was written to disk, so that it survives a crash of the machine; return whether
        that succeeded. Raises nothing."""
        ...

    def look(self) -> None:
        """Notice outside changes, such as a renamed file. Called often."""
        ...

    def reopen(self) -> None:
        """Reopen the destination: an operator asked for it."""
        ...

    def close(self) -> None: ...
