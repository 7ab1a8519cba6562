"""Threads that stand back, and those that they start."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from policyd.pdp.priority import made_standing_back
from tests.support.documents import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have one priority there")


def niceness() -> int:
    """Return that of this thread: a test before may have let it stand back."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_what_is_made_has_threads_that_stand_back_and_others_do_not() -> None:
    found: list[int] = []
    own = niceness()

    def make() -> threading.Thread:
        thread = threading.Thread(target=lambda: found.append(niceness()))
        thread.start()
        return thread

    made_standing_back(3, make).join()
    assert (found, niceness()) == ([min(own + 3, 19)], own)


def test_who_cannot_be_made_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        made_standing_back(1, lambda: 1 // 0)


#: A process of its own has no threads of gRPC's that others began.
_SERVING = """
import os
from pathlib import Path
from policyd.config.limits import Limits
from policyd.server.transport.standard import StandardTransport
from tests.support.transports import SURPLUS

transport = StandardTransport({}, Limits(), SURPLUS)
transport.bind("127.0.0.1:0")
transport.start()
for task in Path("/proc/self/task").iterdir():
    print((task / "comm").read_text().strip(), os.getpriority(os.PRIO_PROCESS, int(task.name)))
transport.stop(grace=0)
"""


def test_threads_of_grpc_go_after_those_that_answer() -> None:
    own = niceness()
    done = subprocess.run(
        [sys.executable, "-c", _SERVING], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found = [line.rpartition(" ") for line in done.stdout.splitlines()]
    behind = str(min(own + 10, 19))
    assert {nice for name, _, nice in found if name == "event_engine"} == {behind}
    assert str(own) in {nice for _, _, nice in found}
