"""The supervisor of the process is told that it serves, reads again, stops, and still lives.

The protocol is that of sd_notify(3), which systemd and others speak: `NOTIFY_SOCKET` names a Unix
socket that takes datagrams of lines `NAME=VALUE`. Without it, nobody is told anything. With
`WATCHDOG_USEC`, a sign of life is due within so many microseconds, or the process is ended.

Several workers tell the process that started them (`Crew`), which tells its own supervisor what
holds for all, and finds out which of them hangs.

Invariants: nothing here raises because a supervisor is gone, and none is waited for longer than
`_PATIENCE`. A sign of life says that calls are still being answered: there is none unless each
transport has turned lately.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from time import monotonic, monotonic_ns
from typing import Final

import msgspec

_log = logging.getLogger(__name__)

ADDRESS: Final = "NOTIFY_SOCKET"
_MICROSECONDS: Final = "WATCHDOG_USEC"
_WATCHED: Final = "WATCHDOG_PID"
_READY: Final = "READY=1"
_ALIVE: Final = "WATCHDOG=1"
#: Seconds within which each transport turns, with some to spare where the machine is busy.
_TURN: Final = 2.0
#: Seconds that a worker has at least for its first sign of life, which needs no policies.
_START: Final = 120.0
#: Seconds of silence that one turn of this process counts for at most.
_LONGEST_TURN: Final = 1.0
#: Seconds that a supervisor has to make room for what it is told; signs of life do not wait for it.
_PATIENCE: Final = 2.0
#: Bytes of a status, which is for people.
_LONGEST_STATUS: Final = 500
_CREDENTIALS: Final = struct.Struct("iII")  # process, user, group: unix(7)
_MOST_BYTES: Final = 4096


def _spelled(address: str) -> str:
    """Return an address as the kernel has it: `@` stands for the name of an abstract socket."""
    return f"\0{address[1:]}" if address.startswith("@") else address


def _line(said: str) -> str:
    return " ".join(said.split())[:_LONGEST_STATUS]


class Supervisor:
    """Tells the supervisor at `address`, as sd_notify(3) spells it; nobody, where that is empty.

    `watchdog` is in how many seconds a sign of life is due; 0 where none is.
    """

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self.watchdog = watchdog if address else 0.0
        self._address = _spelled(address)
        self._silent = not address

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Supervisor:
        """Return the one that an environment names, and take it out of there: it is told by this
        process alone, and by no program that this process starts."""
        address = environment.pop(ADDRESS, "")
        time, process = environment.pop(_MICROSECONDS, ""), environment.pop(_WATCHED, "")
        meant = process in ("", str(os.getpid()))
        return cls(address, int(time) / 1e6 if meant and time.isdecimal() else 0.0)

    @property
    def is_there(self) -> bool:
        """Whether anybody is told."""
        return bool(self._address)

    def serving(self, said: str) -> None:
        """It serves, or does so again after `reloading`."""
        self._tell(_READY, f"STATUS={_line(said)}")

    def saying(self, said: str) -> None:
        """It does what is said, for people."""
        self._tell(f"STATUS={_line(said)}")

    def reloading(self) -> None:
        """It reads its configuration again; `serving` says that this is over."""
        # systemd compares the time with that of its own signal.
        microseconds = monotonic_ns() // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=reading again")

    def stopping(self) -> None:
        """It was asked to stop."""
        self._tell("STOPPING=1", "STATUS=stopping")

    def alive(self) -> None:
        """Give a sign of life."""
        self._tell(_ALIVE, patience=0.0)

    @contextmanager
    def watching(
        self, turned: Callable[[], float], threads: Callable[[], Sequence[str]] = tuple
    ) -> Iterator[None]:
        """Give signs of life meanwhile, if any are due.

        `turned` returns when all that answers calls was last seen to go on, by `time.monotonic`;
        `threads` where each thread stands, for the log.
        """
        if not self.watchdog:
            yield
            return
        interval, over = self.watchdog / 2, threading.Event()

        def watch() -> None:
            while not over.wait(interval):
                if monotonic() - turned() < max(_TURN, interval):
                    self.alive()
                else:
                    _log.error(
                        "calls are not answered; the supervisor gets no sign of life",
                        extra={"threads": threads()},
                    )

        thread = threading.Thread(target=watch, name="signs-of-life", daemon=True)
        thread.start()
        try:
            self.alive()
            yield
        finally:
            over.set()
            thread.join()

    def _tell(self, *lines: str, patience: float = _PATIENCE) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.settimeout(patience)
                sending.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._silent:
                _log.warning("the supervisor cannot be told", extra={"error": str(error)})
            self._silent = True
        else:
            self._silent = False


#: Nobody is told.
NOBODY: Final = Supervisor()


class _Member(msgspec.Struct):
    """A worker: what it has told, and for how many seconds it has given no sign of life."""

    silent: float = 0.0
    lives: bool = False
    ready: bool = False

    def hear(self, lines: Sequence[str]) -> None:
        if _READY in lines or _ALIVE in lines:
            self.silent, self.lives = 0.0, True
        self.ready = self.ready or _READY in lines


class Crew:
    """Hears what workers tell, and tells `supervisor` what holds for all of them.

    A worker hangs if it gives no sign of life for `patience` seconds, or for the time of the
    supervisor's watchdog if that is shorter. Silence is counted in this process's own turns, so a
    machine that stood still accuses nobody. One worker at a time is said to hang: as long as a
    process is starting, a machine that is too busy to start it may be why others are silent.
    """

    def __init__(
        self, supervisor: Supervisor, patience: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._supervisor = supervisor
        self._patience = min(patience, supervisor.watchdog or patience)
        self._clock = clock
        self._looked = clock()
        self._members: dict[int, _Member] = {}
        self._told = self._has_served = False
        self._next_sign = 0.0
        self._hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._hearing.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._hearing.bind("")  # the kernel gives it a name of its own

    def environment(self) -> dict[str, str]:
        """Return what a worker's environment has in addition."""
        name = self._hearing.getsockname().decode().replace("\0", "@")
        return {ADDRESS: name, _MICROSECONDS: str(int(self._patience * 1e6))}

    def reloading(self) -> None:
        """All read their configuration again."""
        self._supervisor.reloading()
        for member in self._members.values():
            member.ready = False
        self._told = False

    def stopping(self) -> None:
        """All were asked to stop."""
        self._supervisor.stopping()
        self._hearing.close()

    def look(self, workers: Iterable[int]) -> int | None:
        """Hear what the workers, these processes, have told, and pass it on.

        Returns the process that hangs, and has to be replaced, if there is one.
        """
        self._members = {one: self._members.get(one, _Member()) for one in workers}
        now = self._clock()
        passed, self._looked = min(now - self._looked, _LONGEST_TURN), now
        for member in self._members.values():
            member.silent += passed
        for process, lines in self._heard():
            if process in self._members:
                self._members[process].hear(lines)
        members = self._members.values()
        if members and not self._told and all(one.ready for one in members):
            self._supervisor.serving(f"{len(members)} workers serve")
            self._told = self._has_served = True
        if self._has_served:
            silences = (one.silent for one in members if one.lives)
            self._give_sign(now, max(silences, default=math.inf))
        return self._hanging()

    def _give_sign(self, now: float, silent: float) -> None:
        due = self._supervisor.watchdog
        if due and now >= self._next_sign and silent < due:
            self._supervisor.alive()
            self._next_sign = now + due / 2

    def _hanging(self) -> int | None:
        starting = [one for one, member in self._members.items() if not member.lives]
        limit = max(self._patience, _START) if starting else self._patience
        suspects = starting or list(self._members)
        longest = max(suspects, key=lambda one: self._members[one].silent, default=None)
        if longest is None or self._members[longest].silent < limit:
            return None
        return longest

    def _heard(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the process that told something, which the kernel vouches for, and what it told."""
        while True:
            try:
                data, ancillary, _, _ = self._hearing.recvmsg(
                    _MOST_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
            except BlockingIOError:
                return
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    yield _CREDENTIALS.unpack(value)[0], data.decode(errors="replace").splitlines()
