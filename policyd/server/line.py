"""A line between two processes of one daemon, over which either opens connections to the other.

It does what a listening socket does, and has no address: only the process that holds the other end
can connect, no file has to be made, and the end of one process is seen by the other. A connection
is a pair of sockets, one of which is handed over as a descriptor (SCM_RIGHTS, unix(7)).

Invariant: nothing here waits.
"""

from __future__ import annotations

import socket
from typing import Final

_MESSAGE: Final = b"\0"  # a descriptor does not travel alone


class LineBroken(Exception):
    """The other process has ended, or takes no connections."""


class Line:
    """One end. Each method may be called from any thread."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.set_inheritable(False)
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Line, Line]:
        """Return both ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def inherited(cls, descriptor: int) -> Line:
        """Return the end that this process was started with. Raises OSError."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Return the descriptor; it can be read when a connection has come, or the other ended."""
        return self._end.fileno()

    def connect(self) -> socket.socket:
        """Return a connection to the other process, which has not taken it yet.

        Raises:
            LineBroken: the other has ended, or has left too many connections untaken.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._end, [_MESSAGE], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise LineBroken(error.strerror or str(error)) from None
        ours.setblocking(False)
        return ours

    def accept(self) -> socket.socket | None:
        """Return a connection that the other has opened; `None` if there is none.

        Raises:
            LineBroken: the other has ended.
        """
        try:
            message, descriptors, _, _ = socket.recv_fds(self._end, len(_MESSAGE), 1)
        except BlockingIOError:
            return None
        except OSError as error:
            raise LineBroken(error.strerror or str(error)) from None
        if not message:
            raise LineBroken("the other process has ended")
        if not descriptors:
            return None  # this process has no room for another descriptor
        taken = socket.socket(fileno=descriptors[0])
        taken.setblocking(False)
        taken.set_inheritable(False)
        return taken

    def close(self) -> None:
        """Give up this end."""
        self._end.close()
