"""Several processes that share the daemon's ports, for more than one core.

Each worker is a complete daemon, with its own policies, keys and caches. Workers share only the
ports (SO_REUSEPORT) and the files they read and append to. The operating system distributes
connections, not calls. This process only starts workers, passes signals on, and replaces a worker
that died.

Invariants: a worker is a fresh process, never a fork of one that has loaded gRPC. If a worker
cannot start because of its configuration or policies, all workers stop, and the exit code is that
of this first failure. A worker gets no signal before it can handle it. A supervisor is told that
they serve once all of them do.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from policyd.server.addresses import TcpAddress
from policyd.server.config.configuration import Configuration
from policyd.server.config.listeners import naming, of_worker
from policyd.server.signals import RECONFIGURE, Signals, held_back
from policyd.server.supervisor import NOBODY, Crew, Supervisor
from policyd.server.transport.interface import BindFailed

_log = logging.getLogger(__name__)
#: How often dead workers are looked for, and how long one stays dead, in seconds.
_LOOK = 0.2
_PAUSE = 1.0
#: What a daemon ends with when starting it again would not help (see `policyd.cli.serve`).
_HOPELESS = (1, 2)
#: What this process ends with when a worker had to be ended by force.
_DID_NOT_STOP = 3

#: Returns the command that runs worker number n.
Command = Callable[[int], Sequence[str]]


class _Worker:
    """One place for a process."""

    def __init__(self, number: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.number = number
        self._command = command
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.died_at = 0.0

    def start(self) -> None:
        with held_back():
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._environment},
            )
        _log.info("worker started", extra={"worker": self.number, "pid": self.process.pid})


def run(configuration: Configuration, command: Command, supervisor: Supervisor = NOBODY) -> int:
    """Run the configured number of workers until SIGTERM or SIGINT; return the exit code.

    `supervisor` is told what holds for all of them.

    Raises:
        ConfigurationInvalid: an address cannot be listened on.
    """
    for listener in configuration.listeners:
        if listener.shared and isinstance(listener.address, TcpAddress):
            with naming(listener):
                _insist_on_free(listener.address)
    server = configuration.server
    crew = Crew(supervisor)
    further = crew.environment()
    workers = [_Worker(number, command(number), further) for number in range(server.workers)]
    with Signals() as signals:
        for worker in workers:
            worker.start()
        code, asked = 0, None
        while not code and asked is None:
            asked = signals.wait(_LOOK)
            if asked == RECONFIGURE:
                crew.reloading()
                _pass_on(signal.SIGHUP, workers)
                asked = None
            code = _look_after(workers)
            crew.look(one.process.pid for one in workers if one.process is not None)
        crew.stopping()
        if asked is not None:
            _log.info("stopping the workers", extra={"signal": asked})
        stopped = _stop(workers, server.drain + server.grace + 5)
        return code or stopped


def _pass_on(number: signal.Signals, workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if worker.process is not None:
            worker.process.send_signal(number)


def _look_after(workers: Sequence[_Worker]) -> int:
    """Start dead workers anew; return the exit code of one for which that is hopeless, or 0."""
    now = time.monotonic()
    for worker in workers:
        if worker.process is not None:
            code = worker.process.poll()
            if code is None:
                continue
            if code in _HOPELESS:
                return code
            _log.error("a worker died", extra={"worker": worker.number, "exit_code": code})
            worker.process, worker.died_at = None, now
        if now - worker.died_at >= _PAUSE:
            worker.start()
    return 0


def _stop(workers: Sequence[_Worker], patience: float) -> int:
    """End the workers, after `patience` seconds by force; return the first code that is not 0."""
    running = [worker.process for worker in workers if worker.process is not None]
    _pass_on(signal.SIGTERM, workers)
    limit = time.monotonic() + patience
    for process in running:
        try:
            process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.error("a worker does not stop", extra={"pid": process.pid})
            process.kill()
            process.wait()
    return next(filter(None, map(_code, running)), 0)


def _code(process: subprocess.Popen[bytes]) -> int:
    """Return what a worker that was asked to stop ended with, as this process would say it."""
    if process.returncode == -signal.SIGTERM:
        return 0  # as it was asked, in the moment after its last use for signals
    return _DID_NOT_STOP if process.returncode < 0 else process.returncode


def _insist_on_free(address: TcpAddress) -> None:
    """See that nobody else serves an address, which shared ports would hide. Raises
    `BindFailed`."""
    try:
        for family, kind, protocol, _, name in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                # As a server's own socket does, so that closed connections are no hindrance.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(name)
    except OSError as error:
        raise BindFailed(error.strerror or str(error)) from None


def configuration_of(number: int, configuration: Configuration) -> Configuration:
    """Return what worker `number` runs with: pages on ports of its own, which follow each other,
    and a spool of its own.

    Calls may go to any worker, but metrics are those of one.
    """
    listeners = tuple(of_worker(number, listener) for listener in configuration.listeners)
    log = configuration.decision_log
    if log.spool is not None:
        spool = msgspec.structs.replace(log.spool, worker=number)
        log = msgspec.structs.replace(log, spool=spool)
    return msgspec.structs.replace(configuration, listeners=listeners, decision_log=log)


def pin(number: int) -> None:
    """Bind this process, worker `number`, to one of the cores that it may use.

    A worker has one busy thread; moved from core to core it would lose what the caches hold.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})


def this_program(*arguments: str) -> list[str]:
    """Return the command that runs policyd, as this process does, with other arguments."""
    return [sys.executable, "-c", "from policyd.cli.main import main; main()", *arguments]
