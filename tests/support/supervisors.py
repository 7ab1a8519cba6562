"""A supervisor that hears what processes tell it, as systemd does: sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support.daemon import PATIENCE

Told = dict[str, str]


class Supervisors:
    """A socket that takes what is told; `told` has all that was heard so far, in order."""

    def __init__(self, place: Path | str) -> None:
        self.address = str(place)
        self.told: list[Told] = []
        self._hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hearing.bind(self.address.replace("@", "\0", 1))
        self._hearing.settimeout(PATIENCE)

    def __enter__(self) -> Supervisors:
        return self

    def __exit__(self, *_: object) -> None:
        self._hearing.close()

    def environment(self, **further: str) -> tuple[str, ...]:
        """Return a command that runs another with this supervisor."""
        more = [f"{name}={value}" for name, value in further.items()]
        return ("env", f"NOTIFY_SOCKET={self.address}", *more)

    def hear(self) -> Told:
        """Wait for what is told next, and return it."""
        data = self._hearing.recv(4096).decode()
        lines = (line.partition("=") for line in data.split("\n"))
        self.told.append({name: value for name, _, value in lines})
        return self.told[-1]

    def heard(self) -> list[Told]:
        """Return all that was told, without waiting for more."""
        self._hearing.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.hear()
        self._hearing.settimeout(PATIENCE)
        return self.told

    def wait_for(self, matches: Callable[[Told], bool]) -> Told:
        """Hear until something is told that `matches`."""
        until = time.monotonic() + PATIENCE
        while not matches(told := self.hear()):
            assert time.monotonic() < until, self.told
        return told


def abstract() -> str:
    """Return the address of an abstract socket that nobody else has."""
    return f"@policyd-test-{os.getpid()}-{os.urandom(4).hex()}"
