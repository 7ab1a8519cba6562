"""The supervisor of the process is told that it serves, reads again, stops, and still lives.

The protocol is that of sd_notify(3), which systemd and others speak: `NOTIFY_SOCKET` names a Unix
socket that takes datagrams of lines `NAME=VALUE`. Without it, nobody is told anything. With
`WATCHDOG_USEC`, a sign of life is due within so many microseconds, or the process is ended.

Several workers tell the process that started them (`Crew`), which tells its own supervisor what
holds for all.

Invariants: nothing here raises because a supervisor is gone, and none is waited for longer than
`_PATIENCE`. A sign of life says that calls are still being answered: there is none unless each
transport has turned lately.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from time import monotonic, monotonic_ns
from typing import Final

_log = logging.getLogger(__name__)

ADDRESS: Final = "NOTIFY_SOCKET"
_MICROSECONDS: Final = "WATCHDOG_USEC"
_WATCHED: Final = "WATCHDOG_PID"
_READY: Final = "READY=1"
_ALIVE: Final = "WATCHDOG=1"
#: Seconds within which each transport turns, with some to spare where the machine is busy.
_TURN: Final = 2.0
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
    def watching(self, turned: Callable[[], float]) -> Iterator[None]:
        """Give signs of life meanwhile, if any are due.

        `turned` returns when all that answers calls was last seen to go on, by `time.monotonic`.
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
                    _log.error("calls are not answered; the supervisor gets no sign of life")

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


class Crew:
    """Hears what workers tell their supervisor, and tells `supervisor` what holds for all of them.

    Without one, workers tell nobody.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._serving: dict[int, float] = {}  # when a worker last gave a sign of life
        self._told = False
        self._next_sign = 0.0
        self._hearing: socket.socket | None = None
        if supervisor.is_there:
            self._hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._hearing.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._hearing.bind("")  # the kernel gives it a name of its own

    def environment(self) -> dict[str, str]:
        """Return what a worker's environment has in addition."""
        if self._hearing is None:
            return {}
        name = self._hearing.getsockname().decode().replace("\0", "@")
        due = {_MICROSECONDS: str(int(self._supervisor.watchdog * 1e6))}
        return {ADDRESS: name, **(due if self._supervisor.watchdog else {})}

    def reloading(self) -> None:
        """All read their configuration again."""
        self._supervisor.reloading()
        self._serving.clear()
        self._told = False

    def stopping(self) -> None:
        """All were asked to stop."""
        self._supervisor.stopping()
        if self._hearing is not None:
            self._hearing.close()

    def look(self, workers: Iterable[int]) -> None:
        """Hear what the workers, these processes, have told, and pass it on."""
        if self._hearing is None:
            return
        processes = set(workers)
        for process, lines in self._heard(self._hearing):
            if process not in processes:
                continue
            if _READY in lines or (_ALIVE in lines and process in self._serving):
                self._serving[process] = monotonic()
        if not processes or not processes <= self._serving.keys():
            return
        if not self._told:
            self._supervisor.serving(f"{len(processes)} workers serve")
            self._told = True
        self._give_sign(min(self._serving[one] for one in processes))

    def _give_sign(self, oldest: float) -> None:
        due, now = self._supervisor.watchdog, monotonic()
        if due and now >= self._next_sign and now - oldest < due:
            self._supervisor.alive()
            self._next_sign = now + due / 2

    @staticmethod
    def _heard(hearing: socket.socket) -> Iterator[tuple[int, list[str]]]:
        """Yield the process that told something, which the kernel vouches for, and what it told."""
        while True:
            try:
                data, ancillary, _, _ = hearing.recvmsg(
                    _MOST_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
            except BlockingIOError:
                return
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    yield _CREDENTIALS.unpack(value)[0], data.decode(errors="replace").splitlines()
