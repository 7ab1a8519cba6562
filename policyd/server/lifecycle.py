"""The daemon from start to stop.

Input: a configuration. Output: an exit code: 0 after a stop that was asked for, 1 for policies
with errors, 2 for a configuration that does not work here. In between, in this order: `_start`
binds sockets and answers calls with NOT_SERVING; `_load` loads policies and keys; `_serve` says
SERVING and reads issuers anew on SIGHUP, until SIGTERM or SIGINT; `_drain` says NOT_SERVING and
waits for those who watch health. Then whatever was started stops: no new calls, the rest finished,
the decision log written. Whatever supervises the process is told of all this.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from policyd.config.addresses import UnixAddress
from policyd.config.configuration import Configuration
from policyd.config.listeners import Listener
from policyd.config.secrets import CallerSecrets
from policyd.pdp.background import own_process
from policyd.pdp.reconfiguration import warn
from policyd.pdp.running import look_again, masks_checked, start, watch
from policyd.server.assembly import Offer, Parts, assemble
from policyd.server.connections import Connections, most_connections
from policyd.server.first_policies import load_first
from policyd.server.freshness import Freshness
from policyd.server.http.listener import make_pages, serve_http
from policyd.server.http.relay import RelayedPages
from policyd.server.line import Line
from policyd.server.listeners import bind, naming, occupied
from policyd.server.revocations import wait_until_loaded
from policyd.server.signals import RECONFIGURE, Signals
from policyd.server.supervisor import NOBODY, Supervisor
from policyd.server.transport.interface import BindFailed, TransportFactory
from policyd.server.watchdog import where_threads_are

if TYPE_CHECKING:
    from policyd.server.http.decisions import Decisions, PagesAnswer

_log = logging.getLogger(__name__)
#: Seconds for which a thread that computes, such as one that loads policies or writes the log, may
#: keep the interpreter's lock from a call that has come. CPython's default is 0.005.
_SWITCH_INTERVAL = 0.0005


class _Stops(Protocol):
    """What takes calls, turn by turn, and stops within a time."""

    def stop(self, grace: float) -> None: ...

    def turned(self) -> float: ...


class Daemon:
    """One run of the daemon.

    `transport` is used in place of the configured one, `reload` reads the configuration again,
    and `supervisor` is told how the daemon is. `line` leads to the process that shows the pages of
    all workers, if this is one of them.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        reload: Callable[[], Configuration] | None = None,
        transport: TransportFactory | None = None,
        clock: Callable[[], float] = time.time,
        supervisor: Supervisor = NOBODY,
        line: Line | None = None,
    ) -> None:
        """Put the parts together; nothing runs yet. Raises `ConfigurationInvalid`."""
        self._configuration = configuration
        self._supervisor = supervisor
        self._line = line
        self._parts = assemble(configuration, reload, transport, clock)
        self._secrets: tuple[CallerSecrets, ...] = ()

    def run(self, asked_to_stop: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT. To be called from the main thread.

        `asked_to_stop` is called when one comes, whatever the main thread does then.

        Raises:
            ConfigurationInvalid: an address cannot be listened on, or a mask names nothing.
            PoliciesRejected: the first policy set has errors.
            PoliciesUnreadable: it cannot be read.
        """
        own_process()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        warn(self._configuration)
        with ExitStack() as running:
            signals = running.enter_context(Signals(asked_to_stop))
            addresses, pages = self._start(running)
            name = self._load(signals, running) or self._serve(signals, addresses, pages)
            self._drain(signals, name)
        _log.info("stopped", extra={"records_dropped": self._parts.state.decisions.dropped})

    def _start(self, running: ExitStack) -> tuple[list[str], list[str]]:
        """Start everything; return the addresses of gRPC, and those of pages.

        What was started stops with `running`, the last first, wherever starting ends.
        """
        parts = self._parts
        state = parts.state
        bound = {key: at for one in parts.offers for key, at in _bound(one, parts, running)}
        addresses = [bound[one] for one in self._configuration.listeners if one in bound]
        decisions = self._decisions(running, self._pages(running))
        pages = self._serve_pages(running, decisions)
        if parts.tracing is not None:
            parts.tracing.start()
            running.callback(parts.tracing.close)
        start(parts.point, running)
        for identity in state.tls:
            identity.start()
            running.callback(identity.stop)
        if state.directory is not None:
            state.directory.start()
            running.callback(state.directory.stop)
        stopped: list[_Stops] = [offer.transport for offer in parts.offers]
        for offer in parts.offers:
            offer.transport.start()
        if decisions is not None:
            decisions.server.start()
            self._secrets = decisions.secrets
            stopped.append(decisions.server)
        running.callback(_stop, stopped, self._configuration.server.grace)
        running.enter_context(
            self._supervisor.watching(lambda: min(map(_turned, stopped)), where_threads_are)
        )
        running.enter_context(self._bounded(addresses))
        return addresses, pages

    def _load(self, signals: Signals, running: ExitStack) -> str | None:
        """Load policies and keys, and begin to look for changes.

        Returns the name of a signal to stop that came before there were policies.
        """
        state = self._parts.state
        name = self._load_policies(signals)
        if name is not None:
            return name
        watch(self._parts.point, running)
        if self._configuration.file.policies.max_staleness:
            freshness = Freshness(state.policies.too_old, state.health)
            freshness.start()
            running.callback(freshness.stop)
        return None

    def _serve(self, signals: Signals, addresses: list[str], pages: list[str]) -> str | None:
        """Serve until a signal asks to stop; return its name."""
        state = self._parts.state
        self._supervisor.saying("waiting for the revocation list")
        name = wait_until_loaded(
            state.revocations, state.health, signals, self._reconfigure, addresses
        )
        if name is not None:
            return name
        state.health.become(serving=True)
        about = {"addresses": addresses, "http": pages, "pid": os.getpid()}
        _log.info("serving", extra=about)
        self._supervisor.serving(self._status(addresses))
        while (name := signals.wait()) == RECONFIGURE:
            self._supervisor.reloading()
            self._reconfigure()
            self._supervisor.serving(self._status(addresses))
        return name

    def _status(self, addresses: Iterable[str]) -> str:
        """Say how the daemon is, in one line."""
        problem = self._parts.point.reconfiguration.figures.problem
        return f"serves at {', '.join(addresses)}" if problem is None else f"serves; {problem}"

    def _drain(self, signals: Signals, name: str | None) -> None:
        """Answer calls a while longer, so that those who watch health send no more."""
        self._supervisor.stopping()
        # Logged only when it is true, since a reader of the log may check.
        self._parts.state.health.become(serving=False, why="the daemon is stopping")
        _log.info("stopping", extra={"signal": name})
        signals.wait(self._configuration.server.drain)  # a second signal ends the wait

    def _reconfigure(self) -> None:
        for identity in self._parts.state.tls:
            identity.look()
        for secrets in self._secrets:
            secrets.look()
        if self._parts.state.directory is not None:
            self._parts.state.directory.look()
        look_again(self._parts.point)

    def _load_policies(self, signals: Signals) -> str | None:
        state = self._parts.state
        with masks_checked(self._configuration):
            return load_first(
                state.policies, state.health, signals, self._reconfigure, self._supervisor.saying
            )

    def _bounded(self, addresses: Iterable[str]) -> Connections:
        """Return what holds down the number of connections to these addresses."""
        named = (address.rpartition(":")[2] for address in addresses if "unix:" not in address)
        most = most_connections(self._configuration.server.max_connections)
        return Connections(map(int, named), most, self._parts.state.connection_counter)

    def _pages(self, running: ExitStack) -> Callable[[], PagesAnswer]:
        """Return what makes the pages of listeners that have other services too.

        A worker answers for itself over its line, and asks there for the pages of all.
        """
        state, metadata = self._parts.state, self._parts.point.metadata
        if self._line is None:
            return lambda: make_pages(state, metadata).answer
        server, _ = serve_http([], make_pages(state, metadata).answer, running)
        server.adopt(self._line)
        relayed = RelayedPages(server, self._line)
        return lambda: relayed.answer

    def _decisions(self, running: ExitStack, pages: Callable[[], PagesAnswer]) -> Decisions | None:
        """Bind the listeners that answer questions over HTTP, if there are any."""
        parts = self._parts
        listeners = [one for one in self._configuration.listeners if one.decides]
        if not listeners:
            return None
        # The library costs a daemon without such a listener nothing.
        from policyd.server.http.decisions import Answers, open_decisions

        answers = Answers(
            self._configuration,
            parts.services,
            parts.point.answering,
            parts.state,
            pages,
        )
        return open_decisions(listeners, answers, parts.identities, running)

    def _serve_pages(self, running: ExitStack, decisions: Decisions | None) -> list[str]:
        """Serve the pages that stand alone; return the addresses of all listeners over HTTP."""
        listeners = [one for one in self._configuration.listeners if one.protocol == "http"]
        alone = [one for one in listeners if not one.decides]
        bound: dict[Listener, str] = {}
        if alone:
            pages = make_pages(self._parts.state, self._parts.point.metadata)
            _, addresses = serve_http(alone, pages.answer, running)
            bound = dict(zip(alone, addresses, strict=True))
        if decisions is not None:
            bound |= decisions.addresses
        return [bound[listener] for listener in listeners]


def _bound(offer: Offer, parts: Parts, running: ExitStack) -> Iterator[tuple[Listener, str]]:
    """Bind the listeners of an offer; yield each, and its address with its actual port."""
    for listener in offer.listeners:
        identity = None if listener.tls is None else parts.identities[listener.tls].identity
        if listener.optional:
            address = _bound_if_possible(offer, listener, running)
            if address is not None:
                yield listener, address
            continue
        with naming(listener):
            running.enter_context(occupied(listener.address))
            yield listener, bind(offer.transport, listener.address, identity, listener.access)


def _bound_if_possible(offer: Offer, listener: Listener, running: ExitStack) -> str | None:
    """Bind a listener that nobody asked for; return its address, `None` where that fails.

    Its folder may be on a read-only file system, or another daemon may have it.
    """
    assert isinstance(listener.address, UnixAddress), "it is a socket in the state folder"
    try:
        listener.address.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        running.enter_context(occupied(listener.address))
        return bind(offer.transport, listener.address, None, listener.access)
    except (OSError, BindFailed) as error:
        _log.warning("operators have no socket in the state folder", extra={"error": str(error)})
        return None


def _turned(server: _Stops) -> float:
    return server.turned()


def _stop(servers: Iterable[_Stops], grace: float) -> None:
    """Stop what takes calls, within the time of one."""
    until = time.monotonic() + grace
    for server in servers:
        server.stop(max(0.0, until - time.monotonic()))
