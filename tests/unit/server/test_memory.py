"""The daemon's process has two arenas, unless the environment says how many."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_ARENAS = """
import gc, sys, threading, ctypes
from policyd.server.memory import economise
economise()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
barrier = threading.Barrier(8)
def allocate():
    barrier.wait()
    libc.malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fdopen.restype, libc.fdopen.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_char_p]
libc.fflush.argtypes = [ctypes.c_void_p]
print(gc.get_threshold()[0], flush=True)
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.parametrize(("configured", "most"), [(None, 2), ("4", 4)])
def test_arenas(configured: str | None, most: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    if configured is not None:
        environment["MALLOC_ARENA_MAX"] = configured
    told = subprocess.run(
        [sys.executable, "-c", _ARENAS], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert told.startswith("50000")
    assert 1 <= told.count("<heap nr=") <= most
