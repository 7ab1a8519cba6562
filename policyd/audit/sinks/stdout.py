"""Standard output as a sink.

After a partial write, a pipe, a terminal and a file that the shell opened all continue where they
stopped, so nothing is ever written twice.
"""

from __future__ import annotations

import os
import select
from typing import Final

#: Milliseconds for which a write on a non-blocking descriptor waits for a slow reader.
_PATIENCE: Final = 1000


class StandardOutput:
    """Writes to the process's standard output, or to another open `descriptor`."""

    def __init__(self, descriptor: int = 1, patience: int = _PATIENCE) -> None:
        self._descriptor = descriptor
        self._patience = patience
        self.problem: str | None = None

    def start(self) -> None:
        """See `Sink`."""

    def write(self, data: bytes) -> int:
        """See `Sink`."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError as error:
                # A process that shares the descriptor has made it non-blocking.
                if not self._writable():
                    self.problem = f"standard output: {error.strerror}"
                    return len(data) - len(view)
            except OSError as error:
                self.problem = f"standard output: {error.strerror}"
                return len(data) - len(view)
        self.problem = None
        return len(data)

    def _writable(self) -> bool:
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLOUT)
        return bool(waiting.poll(self._patience))

    def settle(self) -> bool:
        """See `Sink`: whether the data reach a disk is up to the reader."""
        return True

    def look(self) -> None:
        """See `Sink`: standard output stays what it is."""

    def reopen(self) -> None:
        """See `Sink`: standard output stays what it is."""

    def close(self) -> None:
        """See `Sink`."""
