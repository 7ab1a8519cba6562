"""What an attack is, and what it is told of the daemon."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

import msgspec

from scripts.hostile.connection import Address


class Stop(Protocol):
    """Whether it is enough; an event of threads or of processes."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float) -> bool: ...


class Target(msgspec.Struct, frozen=True):
    """The daemon: its address, the longest message it takes, and a request and token of a caller
    that it answers."""

    address: Address
    message_bytes: int
    request: bytes
    token: str


class Attack(msgspec.Struct, frozen=True):
    """`policy` is the text of a policy file that it needs, `tls` whether the daemon speaks it, and
    `descriptors` how many the daemon may have."""

    name: str
    run: Callable[[Target, Stop], None]
    policy: str = ""
    tls: bool = False
    descriptors: int = 0


def again(attempt: Callable[[Target], None], pause: float = 0.02) -> Callable[[Target, Stop], None]:
    """Return what tries again and again, whatever the daemon does to it."""

    def run(target: Target, stop: Stop) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                attempt(target)
            stop.wait(pause)

    return run
