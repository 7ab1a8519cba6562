"""The parts of a daemon, put together; nothing runs yet.

Input: a configuration. Output: `Parts`, which `lifecycle` starts and stops. Which part knows which
is told here, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from policyd.config.configuration import Configuration
from policyd.config.findings import ConfigurationInvalid, dotted
from policyd.config.identity_names import IdentityNames
from policyd.config.limits import Limits
from policyd.config.listeners import ADMIN, AUTHORIZATION, ENVOY, EXPLANATION, Listener
from policyd.config.request_limits import RequestLimits
from policyd.config.tls_files import TlsFiles, TlsUnusable
from policyd.pdp.assembly import DecisionPoint, assemble_point
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.decisions import LOG_UNAVAILABLE_MESSAGE
from policyd.pdp.failures import ErrorReason
from policyd.server.connections import most_connections
from policyd.server.doors import CertificateDoor, reach
from policyd.server.searches import open_directory
from policyd.server.services import authorization, health
from policyd.server.services.authorization import AuthorizationService
from policyd.server.services.envoy import EnvoyService, EnvoySettings
from policyd.server.services.explanation import ExplanationService
from policyd.server.services.health import Health
from policyd.server.services.reflection import Reflection
from policyd.server.state import DaemonState
from policyd.server.tls import TlsIdentity
from policyd.server.traces import Tracing, open_tracing
from policyd.server.transport.choice import choose
from policyd.server.transport.interface import Door, Methods, OpenDoor, Transport, TransportFactory
from policyd.server.wire.failures import failure

if TYPE_CHECKING:  # who has none loads nothing of it
    pass

#: What Envoy's calls may have of header fields: where it traces, it passes on one of its client's,
#: of up to 60 KiB. A call that gRPC refuses is one that Envoy may be configured to let pass.
_HEADERS_OF_ENVOY = 128 * 1024
#: What calls fail with while the decision log takes no records.
_LOG_UNAVAILABLE = failure(
    StatusCode.UNAVAILABLE, ErrorReason.LOG_UNAVAILABLE, LOG_UNAVAILABLE_MESSAGE
)


class Offer(msgspec.Struct, frozen=True):
    """Listeners that offer the same services, and the transport that carries those."""

    listeners: tuple[Listener, ...]
    transport: Transport


class Parts(msgspec.Struct, frozen=True, eq=False):
    """The parts of one daemon. `state` holds those that probes and metrics look at too.

    `point` decides. `identities` are the TLS identities of all listeners, by the files that they
    come from. `services` are the methods of each service of gRPC's, for which `point` answers.
    `tracing` makes spans of what is decided, if it is to.
    """

    point: DecisionPoint
    state: DaemonState
    identities: Mapping[TlsFiles, TlsIdentity]
    services: Mapping[str, Methods]
    offers: tuple[Offer, ...]
    tracing: Tracing | None = None


def assemble(
    configuration: Configuration,
    reload: Callable[[], Configuration] | None,
    transport: TransportFactory | None,
    clock: Callable[[], float],
) -> Parts:
    """Put the parts together. `transport` is used in place of the configured one.

    Raises:
        ConfigurationInvalid: an issuer's, a listener's or the decision log's file cannot be used.
    """
    tracing = open_tracing(os.environ)
    observers = () if tracing is None else (tracing.observe,)
    point = assemble_point(configuration, reload, clock, _LOG_UNAVAILABLE, observers)
    identities = _identities(configuration.listeners, clock)
    answers_health = Health({authorization.SERVICE})
    state = DaemonState(
        **msgspec.structs.asdict(point.state),
        health=answers_health,
        tls=tuple(identities.values()),
        directory=open_directory(configuration),
    )
    services = _services(configuration, point)
    if any(ADMIN in listener.services for listener in configuration.listeners):
        services = {**services, ADMIN: _administration(state)}
    offers = _offers(configuration, services, answers_health, transport)
    if point.keeps is not None:
        for offer in offers:
            offer.transport.settle_with(point.keeps)
    return Parts(point, state, identities, services, offers, tracing)


def _administration(state: DaemonState) -> Methods:
    """Return the service for operators; who has no listener for them loads nothing of it."""
    from policyd.server.operations import DaemonOperations
    from policyd.server.services.admin import AdminService

    return AdminService(DaemonOperations(state)).methods()


def _services(configuration: Configuration, point: DecisionPoint) -> Mapping[str, Methods]:
    """Return the methods of each service of gRPC's that a listener can name."""
    server, table, answering = configuration.server, configuration.envoy, point.answering
    names = IdentityNames(table.subject_header, table.client_header, table.decision_id_header)
    settings = EnvoySettings(names, table.strip_token, table.external_origin)
    limits = RequestLimits(server.max_values, server.max_batch_items)
    return {
        AUTHORIZATION: AuthorizationService(answering, limits).methods(),
        EXPLANATION: ExplanationService(answering, point.mask, limits).methods(),
        ENVOY: EnvoyService(
            answering, point.state.engine.api, server.default_api, settings
        ).methods(),
    }


def _identities(
    listeners: Iterable[Listener], clock: Callable[[], float]
) -> Mapping[TlsFiles, TlsIdentity]:
    made: dict[TlsFiles, TlsIdentity] = {}
    for listener in listeners:
        if listener.tls is None or listener.tls in made:
            continue
        setting = dotted(listener.tls_key)
        try:
            made[listener.tls] = TlsIdentity(listener.tls, clock, setting)
        except TlsUnusable as error:
            raise ConfigurationInvalid.of("P5008", f"`{setting}`: {error}") from None
    return made


def _offers(
    configuration: Configuration,
    services: Mapping[str, Methods],
    answers_health: Health,
    transport: TransportFactory | None,
) -> tuple[Offer, ...]:
    """Return what gRPC offers where.

    Listeners with the same services share a transport where they tell callers alike.
    """
    make = transport or choose(configuration.server.transport)
    groups: dict[tuple[frozenset[str], _Told], list[Listener]] = {}
    for listener in configuration.listeners:
        if listener.protocol == "grpc":
            groups.setdefault((listener.services, _told(listener)), []).append(listener)
    offers: list[Offer] = []
    limits, surplus = _limits(configuration), _surplus(configuration)
    for (names, callers), listeners in groups.items():
        methods = {name: m for one in sorted(names) for name, m in services[one].items()}
        # A method is called `/package.Service/Method`.
        offered = {name.split("/")[1] for name in methods}
        reflection = Reflection({health.SERVICE, *offered})
        table = {**methods, **answers_health.methods(), **reflection.methods()}
        borne = limits
        if ENVOY in names:
            borne = msgspec.structs.replace(limits, header_bytes=_HEADERS_OF_ENVOY)
        offers.append(Offer(tuple(listeners), make(table, borne, surplus, _door(callers))))
    return tuple(offers)


#: How callers of a listener are told: by certificates with one of these names, or all alike.
_Told = frozenset[str] | str


def _told(listener: Listener) -> _Told:
    if listener.tls is not None and listener.tls.client_authorities is not None:
        return listener.callers
    return reach(listener.address)


def _door(callers: _Told) -> Door:
    if isinstance(callers, str):
        return OpenDoor(callers)
    refusal = failure(
        StatusCode.PERMISSION_DENIED, ErrorReason.CALLER_REFUSED, "this certificate may not call"
    )
    return CertificateDoor(callers, refusal)


def _limits(configuration: Configuration) -> Limits:
    server = configuration.server
    return Limits(
        message_bytes=server.max_message_bytes,
        calls=server.max_calls,
        streams=server.max_streams,
        calls_per_connection=server.max_calls_per_connection,
        connections=most_connections(server.max_connections),
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
