"""The TCP sockets of this process, as the kernel knows them (proc(5), tcp(7)).

gRPC opens and closes them, and tells of none; so each is looked at by a descriptor of its own.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from contextlib import suppress

#: The state of a socket that listens (`enum tcp_state`).
LISTENS = 10
#: Seconds that the kernel keeps a connection which has sent nothing.
_SILENCE = 10
_DESCRIPTORS = "/proc/self/fd"
#: Of `struct tcp_info` (linux/tcp.h): `tcpi_state`; `tcpi_last_data_sent` and
#: `tcpi_last_data_recv`, in milliseconds; and `tcpi_bytes_received`.
_INFO = struct.Struct("=B43xI4xI72xQ")
_COUNT = struct.Struct("=i")


class Tcp:
    """A TCP socket of this process, by a descriptor of its own, and what the kernel says of it.

    `state` is as in `enum tcp_state`, `silence` is in milliseconds, `received` in bytes.
    """

    def __init__(self, own: socket.socket) -> None:
        told = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        self.state, spoke, heard, self.received = _INFO.unpack(told)
        self.silence = min(spoke, heard)
        self.port: int = own.getsockname()[1]
        self._own = own

    def __enter__(self) -> None:
        """Have it for a moment."""

    def __exit__(self, *_: object) -> None:
        """Close the copy; the connection goes on."""
        self.close()

    def close(self) -> None:
        """Close the copy; the connection goes on."""
        self._own.close()

    def unread(self) -> bool:
        """Whether bytes wait to be read."""
        told = fcntl.ioctl(self._own, termios.FIONREAD, bytes(_COUNT.size))
        return bool(_COUNT.unpack(told)[0])

    def await_data(self) -> None:
        """Have it accept only connections that have sent something."""
        self._own.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENCE)

    def end(self) -> None:
        """End the connection, for both sides."""
        with suppress(OSError):  # it ended by itself
            self._own.shutdown(socket.SHUT_RDWR)


def descriptors() -> list[int]:
    """Return all descriptors of this process."""
    return [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208  # often, and iterdir is slower


def tcp_socket(descriptor: int) -> Tcp | None:
    """Return a TCP socket, `None` for all else."""
    try:
        # A copy: it stays this connection even if the descriptor is closed or reused.
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        # Told its kind, Python need not ask for it; the addresses are right for IPv4 too.
        own = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, fileno=copy)
    except OSError:  # it is no socket
        os.close(copy)
        return None
    try:
        return Tcp(own)
    except OSError:  # it is another kind of socket
        own.close()
        return None
