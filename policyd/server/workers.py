"""Several processes that share the daemon's ports, for more than one core.

Each worker is a complete daemon, with its own policies, keys and caches. Workers share only the
ports (SO_REUSEPORT) and the files they read and append to. The operating system distributes
connections, not calls. This process starts workers, passes signals on, and replaces a worker that
died or hangs, which `policyd.server.supervisor.Crew` finds out. It shows the pages of all
(`policyd.server.http.crew`), for which it has a line to each.

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
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import msgspec

from policyd.config.addresses import TcpAddress
from policyd.config.configuration import Configuration
from policyd.config.listeners import PAGES
from policyd.server.http.listener import serve_http
from policyd.server.line import Line
from policyd.server.listeners import naming
from policyd.server.signals import RECONFIGURE, Signals, held_back
from policyd.server.supervisor import NOBODY, Crew, Supervisor
from policyd.server.transport.interface import BindFailed

if TYPE_CHECKING:
    from policyd.server.http.crew import CrewPages
    from policyd.server.http.server import HttpServer

_log = logging.getLogger(__name__)
#: How often dead workers are looked for, and how long one stays dead, in seconds.
_LOOK = 0.2
_PAUSE = 1.0
#: What a daemon ends with when starting it again would not help (see `policyd.cli.serve`).
_HOPELESS = (1, 2)
#: What this process ends with when a worker had to be ended by force.
_DID_NOT_STOP = 3

#: The option that tells a worker the descriptor of its line.
LINE: Final = "--line"

#: Returns the command that runs worker number n.
Command = Callable[[int], Sequence[str]]


class _Pages:
    """The pages of all workers, and the server that shows them and answers workers."""

    def __init__(self, pages: CrewPages, server: HttpServer) -> None:
        self._pages = pages
        self._server = server

    def joined(self, number: int, line: Line) -> None:
        self._pages.joined(number, line)
        self._server.adopt(line)

    def left(self, number: int, *, hung: bool) -> None:
        self._pages.left(number, hung=hung)


class _Worker:
    """One place for a process. It has a line to `pages`, if there are any."""

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        environment: Mapping[str, str],
        pages: _Pages | None,
    ) -> None:
        self.number = number
        self._command = command
        self._environment = environment
        self._pages = pages
        self.process: subprocess.Popen[bytes] | None = None
        self.hung = False
        self.died_at = 0.0

    def start(self) -> None:
        if self._pages is None:
            self._start(())
        else:
            ours, theirs = Line.pair()
            try:
                self._start((theirs.fileno(),))
            finally:
                theirs.close()
            self._pages.joined(self.number, ours)

    def died(self, code: int) -> None:
        """Note that the process has ended."""
        _log.error("a worker died", extra={"worker": self.number, "exit_code": code})
        self.process, self.died_at = None, time.monotonic()
        if self._pages is not None:
            self._pages.left(self.number, hung=self.hung)

    def end(self) -> None:
        """End the process, which hangs, by force."""
        if self.process is not None:
            about = {"worker": self.number, "pid": self.process.pid}
            _log.error("a worker hangs; it is replaced", extra=about)
            self.process.kill()
            self.hung = True

    def _start(self, lines: tuple[int, ...]) -> None:
        options = [text for line in lines for text in (LINE, str(line))]
        self.hung = False
        with held_back():
            self.process = subprocess.Popen(
                [*self._command, *options],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._environment},
                pass_fds=lines,
            )
        _log.info("worker started", extra={"worker": self.number, "pid": self.process.pid})


def run(configuration: Configuration, command: Command, supervisor: Supervisor = NOBODY) -> int:
    """Run the configured number of workers until SIGTERM or SIGINT; return the exit code.

    `supervisor` is told what holds for all of them.

    Raises:
        ConfigurationInvalid: an address cannot be listened on.
    """
    for listener in configuration.listeners:
        if not listener.shows_pages_alone and isinstance(listener.address, TcpAddress):
            with naming(listener):
                _insist_on_free(listener.address)
    server = configuration.server
    crew = Crew(supervisor, server.worker_timeout)
    further = crew.environment()
    with ExitStack() as running:
        signals = running.enter_context(Signals())
        pages = _serve_pages(configuration, running)
        workers = [
            _Worker(number, command(number), further, pages) for number in range(server.workers)
        ]
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
            _end_one_that_hangs(workers, crew)
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
            worker.died(code)
        if now - worker.died_at >= _PAUSE:
            worker.start()
    return 0


def _end_one_that_hangs(workers: Sequence[_Worker], crew: Crew) -> None:
    # One that was ended may take its time, for a disk that hangs.
    running = {one.process.pid: one for one in workers if one.process and not one.hung}
    hangs = crew.look(running)
    if hangs is not None:
        running[hangs].end()


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


def _serve_pages(configuration: Configuration, running: ExitStack) -> _Pages | None:
    """Show the pages of all workers until `running` ends, if a listener has pages."""
    listeners = [one for one in configuration.listeners if PAGES in one.services]
    if not listeners:
        return None
    # The library that writes metrics costs a daemon without such a listener nothing.
    from policyd.server.http.crew import CrewPages

    pages = CrewPages(configuration.server.workers)
    alone = [one for one in listeners if one.shows_pages_alone]
    server, bound = serve_http(alone, pages.answer, running)
    _log.info("showing the pages of all workers", extra={"http": bound})
    return _Pages(pages, server)


def configuration_of(number: int, configuration: Configuration) -> Configuration:
    """Return what worker `number` runs with: a spool of its own, and no listeners that show pages
    alone, which are the first process's."""
    listeners = tuple(one for one in configuration.listeners if not one.shows_pages_alone)
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
