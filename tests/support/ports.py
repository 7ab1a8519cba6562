"""TCP ports for servers that must know theirs before they start."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from itertools import count
from pathlib import Path

#: Below what systems hand out by themselves (32768 at Linux), so that no connection takes one.
_FIRST, _PORTS = 20_000, 12_000
#: A server with several workers takes the ports that follow too.
_STEP = 4
_TAKEN = Path(tempfile.gettempdir()) / f"policyd-tests-{os.getuid()}.ports"


def free_port() -> int:
    """Return a port on which nobody listens, nor on the next three, and that no other test gets.

    The processes that run tests side by side take turns with a number in a file. A port that was
    found free and given back could be another's before the server has it.
    """
    with _TAKEN.open("a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        for number in count(int(file.read() or 0)):
            first = _FIRST + number * _STEP % _PORTS
            if all(map(_is_free, range(first, first + _STEP))):
                file.truncate(0)
                file.write(str(number + 1))
                return first
    raise AssertionError("a count has no end")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
