"""A real Redis of a test's own, on loopback, and a wire to it that can be cut.

Without the program `redis-server` the tests that need one are skipped, and say so; where `CI` is
set in the environment they fail.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from policyd.sources.revocations import RedisSettings
from tests.support.ports import free_port

#: Far more than anything takes; what a failing test waits.
PATIENCE = 30.0
PROGRAM = shutil.which("redis-server")


def needs_redis() -> None:
    """Skip the test, or fail it in CI, where there is no `redis-server`."""
    if PROGRAM is None:
        said = "redis-server is not installed (Debian: apt-get install redis-server)"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)


def until(holds: Callable[[], bool], what: str = "it did not come true") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.01)


class RedisServer:
    """A server that can be stopped and started again, with its data (`durable`) or without."""

    def __init__(
        self, folder: Path, *, durable: bool = True, options: tuple[str, ...] = ()
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.durable = durable
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> RedisSettings:
        """How to reach it."""
        return RedisSettings(host="127.0.0.1", port=self.port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None
        append = "yes" if self.durable else "no"
        log = (self.folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    *(PROGRAM, "--bind", "127.0.0.1", "--port", str(self.port)),
                    *("--dir", str(self.folder), "--save", "", "--appendonly", append),
                    *("--appendfsync", "always", "--daemonize", "no", *self._options),
                ],
                stdout=log,
                stderr=log,
            )
        until(self._answers, (self.folder / "redis.log").read_text())

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "redis.log").read_text()
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            probe.sendall(b"PING\r\n")
            return not probe.recv(64).startswith(b"-LOADING")

    def stop(self, *, hard: bool = False) -> None:
        """Stop it; `hard` gives it no chance to tidy up."""
        process, self._process = self._process, None
        if process is not None:
            process.kill() if hard else process.terminate()
            process.wait(PATIENCE)

    def restart(self, *, hard: bool = True) -> None:
        """Stop it and start it again at the same port."""
        self.stop(hard=hard)
        self.start()

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A connection of the test's own."""
        with redis.Redis(port=self.port, protocol=2) as client:
            yield client


@contextmanager
def redis_server(
    folder: Path, *, durable: bool = True, options: tuple[str, ...] = ()
) -> Iterator[RedisServer]:
    """Run a server until the context ends."""
    needs_redis()
    server = RedisServer(folder, durable=durable, options=options)
    server.start()
    try:
        yield server
    finally:
        server.stop(hard=True)


class Wire:
    """Carries bytes to `port`. It can be cut, so that connections break and none can be made, and
    silenced, so that nothing arrives any more and nobody is told."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def settings(self) -> RedisSettings:
        """How to reach Redis through it."""
        return RedisSettings(host="127.0.0.1", port=self.port)

    def cut(self) -> None:
        """Break all connections; new ones break too."""
        with self._lock:
            self._cut = True
            broken, self._open = self._open, set()
        for end in broken:
            _break(end)

    def silence(self) -> None:
        """Let nothing through any more, without a word."""
        self._flows.clear()

    def mend(self) -> None:
        """Carry again. What was silenced arrives late, as it does in networks."""
        self._cut = False
        self._flows.set()

    def close(self) -> None:
        self.cut()
        self._flows.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                if not self._cut:
                    self._open |= {near, far}
            if near not in self._open:
                _break(near)
                _break(far)
                continue
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        _break(source)
        _break(sink)
        with self._lock:
            self._open -= {source, sink}


def _break(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """Lay a wire until the context ends."""
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
