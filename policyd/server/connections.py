"""Limits of connections: how many the daemon accepts, and which it closes when there are more.

gRPC accepts every connection. Thousands of silent ones would use up the memory, and without free
descriptors the daemon could not even read its policies. So their number and the descriptors are
limited. Above either limit, the connections that have been silent longest are closed. Active
connections stay, and new ones are accepted.

Input: the ports of the listeners. Output: a `shutdown` of sockets, which gRPC treats as the end of
their callers. The kernel's information about the process's descriptors gives the sockets (proc(5),
tcp(7)); if it is not available, nothing is limited here.
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
from pathlib import Path

_log = logging.getLogger(__name__)
#: Seconds between two looks, and where less than so many descriptors are left: without any, gRPC
#: takes no connection for a second.
_LOOK, _SOON, _FEW = 0.25, 0.02, 1024
#: So much of the most is made free at once.
_AT_A_TIME = 8
_DESCRIPTORS = Path("/proc/self/fd")
#: `tcpi_last_data_recv` of `struct tcp_info`, milliseconds: eight bytes and eleven words before it.
_LAST_DATA = struct.Struct("=52xI")


def raise_descriptor_limit() -> int:
    """Let this process open as many descriptors as it may ever; return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # a system may bear less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


class Connections:
    """Holds the accepted connections on `ports` to `most`, and to what descriptors there are.

    It is a context, in which a thread looks several times a second.
    """

    def __init__(self, ports: Iterable[int], most: int) -> None:
        self._ports = frozenset(ports)
        self._most = most
        self._left = _FEW
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connections", daemon=True)
        # To look at a connection takes a descriptor, also when there is none left.
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Connections:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()
        os.close(self._reserve)

    def _run(self) -> None:
        while not self._closed.wait(_SOON if self._left < _FEW else _LOOK):
            try:
                self.look()
            except OSError as error:
                _log.warning("connections cannot be counted", extra={"error": str(error)})

    def look(self) -> int:
        """End the most silent connections where there are too many; return how many it ended."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The other half is for files, key fetches, and what comes between two looks.
        most = min(self._most, descriptors // 2)
        # Cheap, and enough as long as all is well: connections are some of the descriptors.
        taken = len(list(_DESCRIPTORS.iterdir()))
        self._left = descriptors - taken
        if taken <= most:
            return 0
        os.close(self._reserve)
        try:
            ended = self._end_surplus(most)
        finally:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if ended:
            _log.warning(
                "there were too many connections; the most silent were closed",
                extra={"closed": ended, "allowed": most},
            )
        return ended

    def _end_surplus(self, most: int) -> int:
        silent = sorted(self._silent(), reverse=True)
        if len(silent) <= most:
            return 0
        surplus = silent[: len(silent) - most + most // _AT_A_TIME]
        return sum(self._end(descriptor) for _, descriptor in surplus)

    def _silent(self) -> list[tuple[int, int]]:
        """Return each connection's milliseconds of silence, with its descriptor."""
        found: list[tuple[int, int]] = []
        for path in _DESCRIPTORS.iterdir():
            descriptor = int(path.name)
            connection = self._connection(descriptor)
            if connection is not None:
                with connection, suppress(OSError):
                    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                    found.append((_LAST_DATA.unpack_from(told)[0], descriptor))
        return found

    def _end(self, descriptor: int) -> bool:
        connection = self._connection(descriptor)
        if connection is None:  # it ended by itself
            return False
        with connection, suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        return True

    def _connection(self, descriptor: int) -> socket.socket | None:
        """Return an accepted connection by a descriptor of its own, `None` for all else."""
        try:
            if not str((_DESCRIPTORS / str(descriptor)).readlink()).startswith("socket:"):
                return None
            # A copy: it stays this connection even if the descriptor is closed or reused.
            copy = socket.socket(fileno=os.dup(descriptor))
        except OSError:
            return None
        try:
            if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
                copy.getpeername()
                if copy.getsockname()[1] in self._ports:
                    return copy
        except OSError:
            pass  # it listens, or is over
        copy.close()
        return None
