"""What the decision log asks of a place that records go to."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Takes lines, and acknowledges what it has taken for good.

    All but `problem` is called by one thread. `problem` says in a sentence what is amiss, `None`
    when nothing is; any thread may read it.
    """

    @property
    def problem(self) -> str | None: ...

    def write(self, data: bytes) -> int:
        """Take lines, each with its line feed; return how many bytes of them have been taken.

        Where that is less than all, `problem` says why, and the caller gives the rest again later,
        from that byte on. Raises nothing.
        """
        ...

    def look(self) -> None:
        """Notice that the place has changed, such as a file that was renamed. Called often."""
        ...

    def reopen(self) -> None:
        """Open the place anew: an operator asked for it."""
        ...

    def close(self) -> None: ...
