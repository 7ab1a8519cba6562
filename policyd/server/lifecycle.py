"""The daemon from start to stop.

In comes a configuration, out goes an exit code: 0 after a stop that was asked for, 1 for policies
with errors, 2 for a configuration that does not work here. In between: sockets bound and calls
answered NOT_SERVING; policies and keys loaded; SERVING; policies and, on SIGHUP, issuers loaded
anew; on SIGTERM or SIGINT NOT_SERVING, a wait for those who watch health, no new calls, the rest
finished, the decision log written.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack

import msgspec

from policyd.audit import Mask, Recorder
from policyd.decision.engine import Engine
from policyd.diagnostics import Diagnostic
from policyd.server.answering import Answering
from policyd.server.config.configuration import Configuration
from policyd.server.config.findings import ConfigurationInvalid
from policyd.server.config.masks import mask_findings
from policyd.server.connections import Connections
from policyd.server.decisions import decision_log
from policyd.server.http.listener import serve_http
from policyd.server.http.metadata import Metadata
from policyd.server.http.metrics import DecisionCounter, KeyCounter
from policyd.server.listeners import Address, bind, occupied
from policyd.server.policies import MasksUnknown, PolicyService
from policyd.server.protection import ConfiguredChallenger
from policyd.server.reconfiguration import Reconfiguration, warn
from policyd.server.revocations import revocation_sources, wait_until_loaded
from policyd.server.services.asking import check_credentials, check_later_issuers, open_waiting
from policyd.server.services.authorization import SERVICE as AUTHORIZATION
from policyd.server.services.authorization import AuthorizationService
from policyd.server.services.explanation import SERVICE as EXPLANATION
from policyd.server.services.explanation import ExplanationService
from policyd.server.services.health import SERVICE as HEALTH
from policyd.server.services.health import Health
from policyd.server.services.reflection import Reflection
from policyd.server.signals import RECONFIGURE, Signals
from policyd.server.state import DaemonState
from policyd.server.tls import TlsIdentity, TlsUnusable
from policyd.server.transport.choice import choose
from policyd.server.transport.interface import (
    BindFailed,
    CallFailed,
    Limits,
    Methods,
    StatusCode,
    Transport,
    TransportFactory,
)
from policyd.server.wire.failures import ErrorReason, failure
from policyd.server.wire.limits import RequestLimits
from policyd.sources.policies import DirectorySource
from policyd.tokens.assembly import open_issuers
from policyd.tokens.keys.refresher import Renewal, Report
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.revocation.revocations import Revocations
from policyd.tokens.settings.issuers import InvalidIssuerSettings, IssuerSettings
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator

_log = logging.getLogger(__name__)
_WAIT_FOR_KEYS = 2.0
#: Seconds for which a thread that computes, such as one that loads policies or writes the log, may
#: keep the interpreter's lock from a call that has come. By itself it is ten times that.
_TURN = 0.0005


class _Offer(msgspec.Struct, frozen=True):
    """Addresses, and the transport that serves them."""

    addresses: Sequence[Address]
    transport: Transport


class Daemon:
    """One run of the daemon. `explain_everywhere` offers explanations on every listener.

    `transport` is used in place of the configured one, `reload` reads the configuration again.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        explain_everywhere: bool = False,
        reload: Callable[[], Configuration] | None = None,
        transport: TransportFactory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Raises:
            ConfigurationInvalid: an issuer's or the decision log's file cannot be used.
        """
        self._configuration = configuration
        mask = Mask(configuration.mask)
        self._metadata = _metadata(configuration)
        recorder = Recorder(mask)
        key_counter = KeyCounter(_report_renewal, clock)
        self._revocations = revocation_sources(configuration.revocations, clock)
        constraints = SenderConstraints(configuration.dpop)
        self._validator = _validator(
            configuration, clock, key_counter.report, constraints, self._revocations.revocations
        )
        engine = self._engine(constraints, clock)
        decision_counter = DecisionCounter()
        self._decisions = decision_log(configuration, recorder, clock, decision_counter)
        source = DirectorySource(configuration.policies, configuration.directory)
        issuers, apis = configuration.issuers, configuration.apis
        self._policies = PolicyService(source, engine, recorder, mask, issuers, apis)
        self._reconfiguration = self._reconfigured_by(reload, clock, key_counter.report)
        self._health = Health({AUTHORIZATION})
        self._tls = _tls(configuration, clock)
        self._state = DaemonState(
            engine,
            self._validator,
            self._policies,
            self._health,
            self._decisions,
            decision_counter,
            key_counter,
            self._revocations,
            constraints,
            self._tls,
            self._reconfiguration,
        )
        self._waiting = open_waiting(configuration.server, self._validator.issuers)
        make = transport or choose(configuration.server.transport)
        tables = self._tables(engine, mask)
        self._offers = tuple(_offers(configuration, explain_everywhere, tables, make))

    def _reconfigured_by(
        self,
        reload: Callable[[], Configuration] | None,
        clock: Callable[[], float],
        report: Report,
    ) -> Reconfiguration:
        return Reconfiguration(
            self._configuration,
            reload,
            self._validator,
            self._policies,
            lambda settings, known: _open_issuers(settings, clock, report, known),
            lambda issuers: check_later_issuers(issuers, self._waiting),
            clock,
        )

    def _engine(self, constraints: SenderConstraints, clock: Callable[[], float]) -> Engine:
        configuration = self._configuration
        return Engine(
            self._validator,
            clock,
            max_decision_age=configuration.server.max_decision_age,
            trusted_until=self._validator.trusted_until,
            challenger=ConfiguredChallenger(
                self._issuer_settings,
                configuration.dpop.offered,
                self._metadata.challenged,
                constraints.dpop_nonce,
            ),
        )

    def _issuer_settings(self) -> list[IssuerSettings]:
        return [issuer.settings for issuer in self._validator.issuers]

    def _tables(self, engine: Engine, mask: Mask) -> tuple[Methods, Methods]:
        """Return the methods of listeners that do not explain, and of those that do."""
        server = self._configuration.server
        limits = RequestLimits(server.max_values, server.max_batch_items)
        answering = Answering(
            engine, self._decisions, default_api=server.default_api, waiting=self._waiting
        )
        authorization = AuthorizationService(answering, limits)
        explanation = ExplanationService(answering, mask, limits)
        plain = {**authorization.methods(), **self._health.methods()}
        explained = {**plain, **explanation.methods()}
        names = {AUTHORIZATION, HEALTH}
        return (
            {**plain, **Reflection(names).methods()},
            {**explained, **Reflection({*names, EXPLANATION}).methods()},
        )

    def run(self, asked_to_stop: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT. To be called from the main thread.

        `asked_to_stop` is called when one comes, whatever the main thread does then.

        Raises:
            ConfigurationInvalid: an address cannot be listened on, or a mask names nothing.
            PoliciesRejected: the first policy set has errors.
            PoliciesUnreadable: it cannot be read.
        """
        sys.setswitchinterval(_TURN)
        warn(self._configuration)
        with ExitStack() as stack:
            signals = stack.enter_context(Signals(asked_to_stop))
            addresses = [
                address for offer in self._offers for address in _bound(offer, self._tls, stack)
            ]
            pages = self._serve_pages(stack)
            self._decisions.start()
            stack.callback(self._decisions.close)
            self._validator.start()
            stack.callback(self._validator.stop)
            self._revocations.start()
            stack.callback(self._revocations.stop)
            if self._tls is not None:
                self._tls.start()
                stack.callback(self._tls.stop)
            stack.callback(self._waiting.close)
            for offer in self._offers:
                offer.transport.start()
            stack.callback(_stop, self._offers, self._configuration.server.grace)
            stack.enter_context(self._bounded(addresses))
            self._load_policies()
            if not self._validator.wait_for_keys(_WAIT_FOR_KEYS):
                _log.warning("some keys are not there yet; their tokens are refused until then")
            self._policies.watch()
            stack.callback(self._policies.stop)
            reconfigure = self._reconfigure
            name = wait_until_loaded(
                self._revocations, self._health, signals, reconfigure, addresses
            )
            if name is None:
                self._health.become(serving=True)
                about = {"addresses": addresses, "http": pages, "pid": os.getpid()}
                _log.info("serving", extra=about)
                while (name := signals.wait()) == RECONFIGURE:
                    reconfigure()
            # Said once it is so: whoever reads it may look.
            self._health.become(serving=False, why="the daemon is stopping")
            _log.info("stopping", extra={"signal": name})
            signals.wait(self._configuration.server.drain)  # a second signal ends the wait
        _log.info("stopped", extra={"records_dropped": self._decisions.dropped})

    def _load_policies(self) -> None:
        try:
            self._policies.load()
        except MasksUnknown as error:
            source = self._configuration.source
            raise ConfigurationInvalid(mask_findings(source, error.unknown)) from None

    def _bounded(self, addresses: Iterable[str]) -> Connections:
        """Return what holds down the number of connections to these addresses."""
        named = (address.rpartition(":")[2] for address in addresses if "unix:" not in address)
        return Connections(map(int, named), self._configuration.server.max_connections)

    def _reconfigure(self) -> None:
        self._decisions.reopen()
        if self._tls is not None:
            self._tls.look()
        self._reconfiguration.apply()

    def _serve_pages(self, stack: ExitStack) -> list[str]:
        addresses = self._configuration.http_listen
        try:
            return serve_http(addresses, self._state, self._metadata, stack)
        except BindFailed as error:
            shown = ", ".join(map(str, addresses))
            raise _invalid(
                "P5009", f"cannot listen on `{shown}` (`http.listen`): {error}"
            ) from None


def _offers(
    configuration: Configuration,
    explain_everywhere: bool,
    tables: tuple[Methods, Methods],
    make: TransportFactory,
) -> Iterator[_Offer]:
    """Yield what to offer where; `tables` are the methods without explanations, and with them."""
    plain, explained = configuration.listen, configuration.explain_listen
    if explain_everywhere:
        plain, explained = (), (*plain, *explained)
    for addresses, table in zip((plain, explained), tables, strict=True):
        if addresses:
            transport = make(table, _limits(configuration), _surplus(configuration))
            yield _Offer(addresses, transport)


def _stop(offers: Sequence[_Offer], grace: float) -> None:
    """Stop the transports, within the time of one."""
    until = time.monotonic() + grace
    for offer in offers:
        offer.transport.stop(max(0.0, until - time.monotonic()))


def _metadata(configuration: Configuration) -> Metadata:
    return Metadata(
        configuration.apis,
        in_challenges=configuration.in_challenges,
        dpop_algorithms=configuration.dpop.offered,
    )


def _tls(configuration: Configuration, clock: Callable[[], float]) -> TlsIdentity | None:
    try:
        return None if configuration.tls is None else TlsIdentity(configuration.tls, clock)
    except TlsUnusable as error:
        raise _invalid("P5008", f"`server.tls`: {error}") from None


def _bound(offer: _Offer, tls: TlsIdentity | None, stack: ExitStack) -> Iterator[str]:
    identity = None if tls is None else tls.identity
    for address in offer.addresses:
        try:
            stack.enter_context(occupied(address))
            yield bind(offer.transport, address, identity)
        except BindFailed as error:
            raise _invalid("P5009", f"cannot listen on `{address}`: {error}") from None


def _validator(
    configuration: Configuration,
    clock: Callable[[], float],
    report: Report,
    constraints: SenderConstraints,
    revocations: Revocations,
) -> Validator:
    tokens = configuration.tokens
    return Validator(
        _open_issuers(configuration.issuers, clock, report),
        max_token_bytes=tokens.max_token_bytes,
        cache_entries=tokens.cache_entries,
        cache_bytes=tokens.cache_bytes,
        constraints=constraints,
        revocations=revocations,
    )


def _open_issuers(
    settings: Sequence[IssuerSettings],
    clock: Callable[[], float],
    report: Report,
    known: Iterable[Issuer] = (),
) -> tuple[Issuer, ...]:
    try:
        issuers = open_issuers(settings, clock, report, known)
        check_credentials(issuers)
        return issuers
    except InvalidIssuerSettings as error:
        raise _invalid("P5006", str(error)) from None


def _limits(configuration: Configuration) -> Limits:
    server = configuration.server
    return Limits(
        message_bytes=server.max_message_bytes,
        calls=server.max_calls,
        streams=server.max_streams,
        calls_per_connection=server.max_calls_per_connection,
        unfinished_bytes=server.max_unfinished_bytes,
        receive_timeout=server.receive_timeout,
        send_timeout=server.send_timeout,
        handshake_timeout=server.handshake_timeout,
        connection_idle=server.max_connection_idle,
        connection_age=server.max_connection_age,
        connection_age_grace=server.max_connection_age_grace,
        threads=server.threads,
        shared_ports=server.workers > 1,
    )


def _surplus(configuration: Configuration) -> CallFailed:
    """Return what a stream past the limit is told."""
    return failure(
        StatusCode.RESOURCE_EXHAUSTED,
        ErrorReason.TOO_MANY_STREAMS,
        f"{configuration.server.max_streams} streams are open, which is the limit",
    )


def _invalid(code: str, headline: str) -> ConfigurationInvalid:
    return ConfigurationInvalid([Diagnostic(code, headline, None)])


def _report_renewal(renewal: Renewal) -> None:
    extra = {"issuer": renewal.issuer, "keys": renewal.keys}
    if renewal.problem is not None:
        _log.warning("keys could not be fetched", extra={**extra, "problem": renewal.problem})
    elif renewal.changed:
        _log.info("keys fetched", extra=extra)
    for reason in renewal.skipped if renewal.changed else ():
        _log.warning("a key was skipped", extra={**extra, "reason": reason})
