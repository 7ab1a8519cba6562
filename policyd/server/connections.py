"""Limits of connections: how many the daemon keeps, and which it closes when there are more.

gRPC accepts connections up to a limit of its own, past which it refuses all newcomers. Thousands of
silent ones would use up the memory, and without free descriptors the daemon could not even read its
policies. So the connections are held well below that limit: of more, those that have been silent
longest are closed, and of newcomers, who have said little yet, only a part is kept. Active
connections stay, and new ones are accepted.

Input: the ports of the listeners. Output: a `shutdown` of sockets, which gRPC treats as the end of
their callers. The kernel's information about the process's descriptors gives the sockets (proc(5),
tcp(7)); if it is not available, only gRPC's limit holds.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic

_log = logging.getLogger(__name__)
#: Seconds between two looks, and after one that closed some.
_LOOK, _SOON = 0.05, 0.01
#: How many times longer than a look lasts it rests, where none was closed.
_REST = 50
#: So much of the most is made free at once; and so many of the most may be newcomers.
_AT_A_TIME, _NEW = 8, 5
#: Who sent fewer bytes is a newcomer: it is more than a handshake and less than a few calls.
_LITTLE = 2048
#: Seconds that the kernel keeps a connection which has sent nothing.
_SILENCE = 10
_DESCRIPTORS = "/proc/self/fd"
#: Of `struct tcp_info` (linux/tcp.h): `tcpi_last_data_recv`, in milliseconds, and
#: `tcpi_bytes_received`.
_INFO = struct.Struct("=52xI72xQ")
#: Milliseconds of silence, and a descriptor.
_Silent = tuple[int, int]


def raise_descriptor_limit() -> int:
    """Let this process open as many descriptors as it may ever; return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # a system may bear less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


def most_connections(configured: int) -> int:
    """Return how many connections there may be: half of the descriptors are for all else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(configured, descriptors // 2))


class Connections:
    """Holds the accepted connections on `ports` to `most`, and the newcomers to a part of that.

    It is a context, in which a thread looks several times a second.
    """

    def __init__(self, ports: Iterable[int], most: int) -> None:
        self._ports = frozenset(ports)
        self._most = most
        self._most_new = max(1, most // _NEW)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connections", daemon=True)
        # To look at a connection takes a descriptor, also when there is none left.
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Connections:
        """Begin to look."""
        self._await_data()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()
        os.close(self._reserve)

    def _await_data(self) -> None:
        """Have the kernel keep connections to itself until their callers have sent something.

        A caller speaks first, in HTTP/2 (RFC 9113, section 3.4) and in TLS. A connection that stays
        silent then costs the daemon nothing.
        """
        for descriptor in _descriptors():
            found = _socket(descriptor)
            if found is None:
                continue
            with found, suppress(OSError):  # a Unix socket does not know it
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and self._ours(found):
                    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENCE)

    def _run(self) -> None:
        pause = _LOOK
        while not self._closed.wait(pause):
            began, ended = monotonic(), 0
            try:
                ended = self.look()
            except OSError as error:
                _log.warning("connections cannot be counted", extra={"error": str(error)})
            # To look at a thousand connections takes milliseconds.
            pause = _SOON if ended else max(_LOOK, _REST * (monotonic() - began))

    def look(self) -> int:
        """End connections where there are too many; return how many it ended."""
        # Cheap, and enough as long as all is well: connections are some of the descriptors.
        if len(_descriptors()) <= self._most_new:
            return 0
        os.close(self._reserve)
        try:
            ended = self._end_surplus()
        finally:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if ended:
            _log.warning(
                "there were too many connections; the most silent were closed",
                extra={"closed": ended, "allowed": self._most, "newcomers": self._most_new},
            )
        return ended

    def _end_surplus(self) -> int:
        known, new = self._silent()
        leaving = _surplus(new, self._most_new)
        # Who has said little goes before who has said more.
        leaving += _surplus(known, self._most - min(len(new), self._most_new))
        return sum(self._end(descriptor) for descriptor in leaving)

    def _silent(self) -> tuple[list[_Silent], list[_Silent]]:
        """Return those that have said much, and those that have said little."""
        known: list[_Silent] = []
        new: list[_Silent] = []
        for descriptor in _descriptors():
            connection = self._connection(descriptor)
            if connection is not None:
                with connection, suppress(OSError):
                    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
                    silence, received = _INFO.unpack_from(told)
                    (new if received < _LITTLE else known).append((silence, descriptor))
        return known, new

    def _end(self, descriptor: int) -> bool:
        connection = self._connection(descriptor)
        if connection is None:  # it ended by itself
            return False
        with connection, suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        return True

    def _connection(self, descriptor: int) -> socket.socket | None:
        """Return an accepted connection by a descriptor of its own, `None` for all else."""
        found = _socket(descriptor)
        if found is None:
            return None
        try:
            found.getpeername()  # fails for what listens, or is over
            if self._ours(found):
                return found
        except OSError:
            pass
        found.close()
        return None

    def _ours(self, found: socket.socket) -> bool:
        return found.getsockname()[1] in self._ports


def _descriptors() -> list[int]:
    return [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208  # often, and iterdir is slower


def _socket(descriptor: int) -> socket.socket | None:
    """Return a TCP socket by a descriptor of its own, `None` for all else."""
    try:
        # A copy: it stays this connection even if the descriptor is closed or reused.
        copy = os.dup(descriptor)
    except OSError:
        return None
    try:
        found = socket.socket(fileno=copy)
    except OSError:  # it is no socket
        os.close(copy)
        return None
    if found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM:
        return found
    found.close()
    return None


def _surplus(silent: list[_Silent], most: int) -> list[int]:
    """Return the descriptors of the most silent, where there are more than `most`."""
    if len(silent) <= most:
        return []
    silent.sort(reverse=True)
    return [descriptor for _, descriptor in silent[: len(silent) - most + most // _AT_A_TIME]]
