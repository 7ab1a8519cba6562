"""The daemon from start to stop.

In comes a configuration, out goes an exit code: 0 after a stop that was asked for, 1 for policies
with errors, 2 for a configuration that does not work here. In between: sockets bound and calls
answered NOT_SERVING; policies and keys loaded; SERVING; reloads; on SIGTERM or SIGINT NOT_SERVING,
a wait for those who watch health, no new calls, the rest finished, the decision log written.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import msgspec

from policyd.audit import DecisionLog, FileSink, Mask, Recorder, StandardOutput
from policyd.decision.engine import Engine
from policyd.diagnostics import Diagnostic
from policyd.server import convert
from policyd.server.authorization import SERVICE as AUTHORIZATION
from policyd.server.authorization import AuthorizationService, DecisionIds
from policyd.server.config import Configuration
from policyd.server.config_findings import ConfigurationInvalid
from policyd.server.explanation import SERVICE as EXPLANATION
from policyd.server.explanation import ExplanationService
from policyd.server.health import SERVICE as HEALTH
from policyd.server.health import Health
from policyd.server.listeners import Address, bind, occupied
from policyd.server.policies import PolicyService
from policyd.server.reflection import Reflection
from policyd.server.signals import StopSignals
from policyd.server.transport import (
    BindFailed,
    CallFailed,
    Limits,
    Methods,
    StatusCode,
    Transport,
    TransportFactory,
)
from policyd.server.transports import choose
from policyd.tokens.issuers import InvalidIssuerSettings
from policyd.tokens.key_sources import open_issuers
from policyd.tokens.refresher import Renewal
from policyd.tokens.validator import Validator

_log = logging.getLogger(__name__)
_WAIT_FOR_KEYS = 2.0


class _Offer(msgspec.Struct, frozen=True):
    """Addresses, and the transport that serves them."""

    addresses: Sequence[Address]
    transport: Transport


class Daemon:
    """One run of the daemon. `explain_everywhere` offers explanations on every listener.

    `transport` is used in place of the configured one.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        explain_everywhere: bool = False,
        transport: TransportFactory | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Raises:
            ConfigurationInvalid: an issuer's or the decision log's file cannot be used.
        """
        self._configuration = configuration
        mask = Mask(configuration.mask)
        recorder = Recorder(mask)
        self._validator = _validator(configuration, clock)
        max_age = configuration.server.max_decision_age
        engine = Engine(
            self._validator,
            clock,
            max_decision_age=max_age,
            trusted_until=self._validator.trusted_until,
        )
        self._decisions = DecisionLog(
            recorder, _sink(configuration), configuration.log_capacity, clock
        )
        self._policies = PolicyService(
            configuration.policies, engine, recorder, mask, configuration.issuers
        )
        self._health = Health({AUTHORIZATION})
        plain, explained = self._tables(engine, mask)
        plain_addresses, explained_addresses = configuration.listen, configuration.explain_listen
        if explain_everywhere:
            plain_addresses, explained_addresses = (), (*plain_addresses, *explained_addresses)
        make = transport or choose(configuration.server.transport)
        self._offers = [
            _Offer(addresses, make(table, _limits(configuration), _surplus(configuration)))
            for addresses, table in ((plain_addresses, plain), (explained_addresses, explained))
            if addresses
        ]

    def _tables(self, engine: Engine, mask: Mask) -> tuple[Methods, Methods]:
        """Return the methods of listeners that do not explain, and of those that do."""
        server = self._configuration.server
        ids = DecisionIds()
        authorization = AuthorizationService(
            engine,
            self._decisions,
            ids,
            default_api=server.default_api,
            batch_items=server.max_batch_items,
        )
        explanation = ExplanationService(
            engine, self._decisions, ids, mask, default_api=server.default_api
        )
        plain = {**authorization.methods(), **self._health.methods()}
        explained = {**plain, **explanation.methods()}
        names = {AUTHORIZATION, HEALTH}
        return (
            {**plain, **Reflection(names).methods()},
            {**explained, **Reflection({*names, EXPLANATION}).methods()},
        )

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. To be called from the main thread.

        Raises:
            ConfigurationInvalid: an address cannot be listened on.
            PoliciesRejected: the first policy set has errors.
            PoliciesUnreadable: it cannot be read.
        """
        with ExitStack() as stack:
            signals = stack.enter_context(StopSignals())
            addresses = [
                address
                for offer in self._offers
                for address in _bound(offer, self._configuration, stack)
            ]
            self._decisions.start()
            stack.callback(self._decisions.close)
            self._validator.start()
            stack.callback(self._validator.stop)
            for offer in self._offers:
                offer.transport.start()
                stack.callback(offer.transport.stop, self._configuration.server.grace)
            self._policies.load()
            if not self._validator.wait_for_keys(_WAIT_FOR_KEYS):
                _log.warning("some keys are not there yet; their tokens are refused until then")
            self._policies.watch()
            stack.callback(self._policies.stop)
            self._health.become(serving=True)
            _log.info("serving", extra={"addresses": addresses, "pid": os.getpid()})
            _log.info("stopping", extra={"signal": signals.wait()})
            self._health.become(serving=False)
            signals.wait(self._configuration.server.drain)  # a second signal ends the wait
        _log.info("stopped", extra={"records_dropped": self._decisions.dropped})


def _bound(offer: _Offer, configuration: Configuration, stack: ExitStack) -> Iterator[str]:
    for address in offer.addresses:
        try:
            stack.enter_context(occupied(address))
            yield bind(offer.transport, address, configuration.tls)
        except BindFailed as error:
            raise _invalid("P5009", f"cannot listen on `{address}`: {error}") from None


def _validator(configuration: Configuration, clock: Callable[[], float]) -> Validator:
    tokens = configuration.tokens
    try:
        issuers = open_issuers(configuration.issuers, clock, _report_renewal)
    except InvalidIssuerSettings as error:
        raise _invalid("P5006", str(error)) from None
    return Validator(
        issuers,
        max_token_bytes=tokens.max_token_bytes,
        cache_entries=tokens.cache_entries,
        cache_bytes=tokens.cache_bytes,
    )


def _limits(configuration: Configuration) -> Limits:
    server = configuration.server
    return Limits(
        message_bytes=server.max_message_bytes,
        calls=server.max_calls,
        streams=server.max_streams,
        threads=server.threads,
    )


def _surplus(configuration: Configuration) -> CallFailed:
    """Return what a stream past the limit is told."""
    return convert.failure(
        StatusCode.RESOURCE_EXHAUSTED,
        convert.ErrorReason.TOO_MANY_STREAMS,
        f"{configuration.server.max_streams} streams are open, which is the limit",
    )


def _sink(configuration: Configuration) -> FileSink | StandardOutput:
    path = configuration.decision_log
    if path is None:
        return StandardOutput()
    try:
        return FileSink(path)
    except OSError as error:
        raise _invalid(
            "P5008", f"the decision log `{path}` cannot be written: {error.strerror}"
        ) from None


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
