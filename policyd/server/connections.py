"""Limits of connections: how many the daemon keeps, and which it closes when there are more.

gRPC accepts connections up to a limit of its own, past which it refuses all newcomers. Thousands of
silent ones would use up the memory, and without free descriptors the daemon could not even read its
policies. So the connections are held well below that limit: of more, those that have been silent
longest are closed, and of newcomers, who have said little yet, only a part is kept. Active
connections stay, and new ones are accepted.

A caller is silent from when it has had the turn: from its latest bytes, or from the daemon's, if
those are later. As long as the daemon has not read what it said, it is not silent. So among
newcomers a caller that speaks as soon as it may outlives those that only open connections, however
late the daemon comes to read.

Input: the ports of the listeners. Output: a `shutdown` of sockets, which gRPC treats as the end of
their callers. The kernel's information about the process's descriptors gives the sockets (proc(5),
tcp(7)); if it is not available, only gRPC's limit holds.
"""

from __future__ import annotations

import logging
import os
import resource
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from operator import attrgetter
from time import monotonic

from policyd.pdp.counters import ConnectionCounter
from policyd.server.admission import Admission
from policyd.server.sockets import ESTABLISHED, LISTENS, Kernel, Tcp, descriptors

_log = logging.getLogger(__name__)
#: Seconds between two looks, and between those that follow for a moment after one that closed some.
_LOOK, _SOON, _MOMENT = 0.05, 0.01, 0.5
#: How many times longer than a look lasts it rests, where none was closed.
_REST = 50
#: So much of the most is made free at once.
_AT_A_TIME = 8
#: So many of the most may be newcomers: a fifth, and half where there are few places. A newcomer
#: that stays for a moment only, as in a flood, has no time to be answered.
_NEW, _NEW_OF_FEW, _FEW = 5, 2, 64
#: Who sent fewer bytes is a newcomer: it is more than a handshake and less than a few calls.
_LITTLE = 2048


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
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(configured, allowed // 2))


class Connections:
    """Holds the accepted connections on `ports` to `most`, and the newcomers to a part of that.

    It is a context, in which a thread looks several times a second. What it does is counted by
    `counter`.
    """

    def __init__(
        self, ports: Iterable[int], most: int, counter: ConnectionCounter | None = None
    ) -> None:
        self._counter = counter or ConnectionCounter()
        self._ports = frozenset(ports)
        self._most = most
        self._most_new = max(1, most // _NEW, min(_FEW, most // _NEW_OF_FEW))
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connections", daemon=True)
        self._admissions: list[tuple[int, Admission]] = []
        # To look at a connection takes a descriptor, also when there is none left.
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Connections:
        """Begin to look."""
        self._await_data()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join()
        self._give_reserve()

    def _await_data(self) -> None:
        """Have the kernel keep connections to itself until their callers have sent something.

        A caller speaks first, in HTTP/2 (RFC 9113, section 3.4) and in TLS. A connection that stays
        silent then costs the daemon nothing.
        """
        for found in Kernel().tcp_sockets():
            if found.state == LISTENS and found.port in self._ports:
                found.await_data()
                self._admissions.append((found.port, Admission(found)))

    def _run(self) -> None:
        pause, flooded_until = _LOOK, 0.0
        while not self._closed.wait(pause):
            began, ended = monotonic(), 0
            try:
                ended = self.look()
            except OSError as error:
                _log.warning("connections cannot be counted", extra={"error": str(error)})
            now = monotonic()
            if ended:
                flooded_until = now + _MOMENT
            # To look at a thousand connections takes milliseconds.
            pause = _SOON if now < flooded_until else max(_LOOK, _REST * (now - began))

    def look(self) -> int:
        """End connections where there are too many; return how many it ended."""
        ended, now = self._end_too_many(), monotonic()
        for port, admission in self._admissions:
            held_back = admission.adjust(ended[port], now)
            self._counter.count(port, ended[port], held_back, holding=admission.holding)
        return ended.total()

    def _end_too_many(self) -> Counter[int]:
        """End connections where there are too many; return how many of each port."""
        # Cheap, and enough as long as all is well: connections are some of the descriptors.
        if len(descriptors()) <= self._most_new:
            return Counter()
        self._give_reserve()
        try:
            ended = self._end_surplus()
        finally:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if ended:
            _log.warning(
                "there were too many connections; the most silent were closed",
                extra={"closed": ended.total(), "allowed": self._most, "newcomers": self._most_new},
            )
        return ended

    def _give_reserve(self) -> None:
        # It may not have come back, if others took the last descriptor; closed twice, its number
        # would be somebody else's.
        reserve, self._reserve = self._reserve, None
        if reserve is not None:
            os.close(reserve)

    def _end_surplus(self) -> Counter[int]:
        known, new = self._silent()
        leaving = _surplus(new, self._most_new)
        # Who has said little goes before who has said more.
        leaving += _surplus(known, self._most - min(len(new), self._most_new))
        return Counter(found.port for found in leaving if found.end())

    def _silent(self) -> tuple[list[Tcp], list[Tcp]]:
        """Return the accepted connections that have said much, and those that have said little."""
        kernel = Kernel()
        known: list[Tcp] = []
        new: list[Tcp] = []
        for found in kernel.tcp_sockets():
            # What was ended before is not counted again while gRPC has still to close it.
            if found.state != ESTABLISHED or found.port not in self._ports:
                continue
            if found.received >= _LITTLE:
                known.append(found)
            else:
                new.append(found)
                if kernel.unread(found):
                    found.silence = 0
        return known, new


def _surplus(connections: list[Tcp], most: int) -> list[Tcp]:
    """Return the most silent, where there are more than `most`."""
    if len(connections) <= most:
        return []
    connections.sort(key=attrgetter("silence"), reverse=True)
    return connections[: len(connections) - most + most // _AT_A_TIME]
