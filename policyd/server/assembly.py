"""The parts of a daemon, put together; nothing runs yet.

Input: a configuration. Output: `Parts`, which `lifecycle` starts and stops. Which part knows which
is told here, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from policyd.audit import DecisionLog, Mask, Recorder
from policyd.decision.engine import Engine
from policyd.server.activation import Learns
from policyd.server.answering import Answering
from policyd.server.config.configuration import Configuration
from policyd.server.config.findings import ConfigurationInvalid, dotted
from policyd.server.config.listeners import ADMIN, AUTHORIZATION, ENVOY, EXPLANATION, Listener
from policyd.server.connections import most_connections
from policyd.server.counters import DecisionCounter, KeyCounter
from policyd.server.decisions import decision_log, keeper, log_mask
from policyd.server.doors import CertificateDoor, reach
from policyd.server.issuers import (
    check_later_issuers,
    configured_issuers,
    log_renewal,
    open_waiting,
)
from policyd.server.metadata import Metadata
from policyd.server.policies import PolicyService
from policyd.server.policy_assembly import serving_policies, shadow_policies
from policyd.server.protection import ConfiguredChallenger
from policyd.server.reconfiguration import Reconfiguration
from policyd.server.recording import Keeper, RecordedAnswering
from policyd.server.revocations import revocation_sources
from policyd.server.services import authorization, health
from policyd.server.services.authorization import AuthorizationService
from policyd.server.services.envoy import EnvoyService, EnvoySettings
from policyd.server.services.explanation import ExplanationService
from policyd.server.services.health import Health
from policyd.server.services.reflection import Reflection
from policyd.server.state import DaemonState
from policyd.server.tls import TlsFiles, TlsIdentity, TlsUnusable
from policyd.server.traces import Tracing, open_tracing
from policyd.server.transport.choice import choose
from policyd.server.transport.interface import (
    CallFailed,
    Door,
    Limits,
    Methods,
    OpenDoor,
    StatusCode,
    Transport,
    TransportFactory,
)
from policyd.server.waiting import Waiting
from policyd.server.wire.failures import ErrorReason, failure
from policyd.server.wire.identity import IdentityNames
from policyd.server.wire.request_limits import RequestLimits
from policyd.sources.revocations import RevocationSources
from policyd.tokens.keys.refresher import Report
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator

if TYPE_CHECKING:  # who has none loads nothing of it
    from policyd.server.shadow import ShadowPolicies
    from policyd.server.shadow.sample import Sample

#: What Envoy's calls may have of header fields: where it traces, it passes on one of its client's,
#: of up to 60 KiB. A call that gRPC refuses is one that Envoy may be configured to let pass.
_HEADERS_OF_ENVOY = 128 * 1024


class Offer(msgspec.Struct, frozen=True):
    """Listeners that offer the same services, and the transport that carries those."""

    listeners: tuple[Listener, ...]
    transport: Transport


class Parts(msgspec.Struct, frozen=True, eq=False):
    """The parts of one daemon. `state` holds those that probes and metrics look at too.

    `identities` are the TLS identities of all listeners, by the files that they come from.
    `services` are the methods of each service of gRPC's, for which `answering` answers. `tracing`
    makes spans of what is decided, if it is to.
    """

    configuration: Configuration
    state: DaemonState
    metadata: Metadata
    waiting: Waiting
    reconfiguration: Reconfiguration
    identities: Mapping[TlsFiles, TlsIdentity]
    services: Mapping[str, Methods]
    answering: Answering
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
    mask = log_mask(configuration)
    recorder = Recorder(mask, configuration.decision_log.sampling)
    metadata = _metadata(configuration)
    key_counter, decision_counter = KeyCounter(log_renewal, clock), DecisionCounter()
    revocations = revocation_sources(configuration.revocations, clock)
    constraints = SenderConstraints(configuration.dpop)
    issuers = configured_issuers(configuration.issuers, clock, key_counter.report)
    validator = _validator(configuration, issuers, constraints, revocations)
    engine = _engine(configuration, validator, metadata, constraints, clock)
    sample, observers = _sample(configuration), [decision_counter.observe]
    if sample is not None:
        observers.append(sample.observe)
    tracing = open_tracing(os.environ)
    if tracing is not None:
        observers.append(tracing.observe)
    decisions, delivery = decision_log(configuration, recorder, clock, observers)
    shadow = None if sample is None else shadow_policies(configuration, sample, decisions)
    learners: Sequence[Learns] = (recorder,) if shadow is None else (recorder, shadow.judge)
    policies = serving_policies(configuration, engine, learners, mask)
    waiting = open_waiting(configuration.server, issuers)
    reconfiguration = _reconfiguration(
        configuration, reload, validator, policies, shadow, waiting, key_counter.report, clock
    )
    identities = _identities(configuration.listeners, clock)
    answers_health = Health({authorization.SERVICE})
    state = DaemonState(
        engine,
        validator,
        policies,
        answers_health,
        decisions,
        decision_counter,
        key_counter,
        revocations,
        constraints,
        tuple(identities.values()),
        reconfiguration,
        delivery,
        shadow,
    )
    keeps = keeper(configuration, decisions)
    answering = _answering(configuration, engine, decisions, keeps, waiting)
    services = _services(configuration, answering, mask, engine)
    if any(ADMIN in listener.services for listener in configuration.listeners):
        services = {**services, ADMIN: _administration(state)}
    offers = _offers(configuration, services, answers_health, transport)
    if keeps is not None:
        for offer in offers:
            offer.transport.settle_with(keeps)
    return Parts(
        configuration, state, metadata, waiting, reconfiguration, identities, services, answering,
        offers, tracing,
    )  # fmt: skip


def _sample(configuration: Configuration) -> Sample | None:
    """Return what brings the shadow decisions; a daemon without one loads nothing of it."""
    if configuration.shadow is None:
        return None
    from policyd.server.shadow.sample import Sample

    return Sample(configuration.shadow.sample)


def _administration(state: DaemonState) -> Methods:
    """Return the service for operators; who has no listener for them loads nothing of it."""
    from policyd.server.operations import DaemonOperations
    from policyd.server.services.admin import AdminService

    return AdminService(DaemonOperations(state)).methods()


def _answering(
    configuration: Configuration,
    engine: Engine,
    log: DecisionLog,
    keeps: Keeper | None,
    waiting: Waiting,
) -> Answering:
    default = configuration.server.default_api
    if keeps is None:
        return Answering(engine, log, default_api=default, waiting=waiting)
    return RecordedAnswering(engine, log, keeps, default_api=default, waiting=waiting)


def _metadata(configuration: Configuration) -> Metadata:
    return Metadata(
        configuration.apis,
        in_challenges=configuration.in_challenges,
        dpop_algorithms=configuration.dpop.offered,
    )


def _validator(
    configuration: Configuration,
    issuers: Iterable[Issuer],
    constraints: SenderConstraints,
    revocations: RevocationSources,
) -> Validator:
    return Validator(
        issuers,
        max_token_bytes=configuration.tokens.max_token_bytes,
        cache_entries=configuration.tokens.cache_entries,
        cache_bytes=configuration.tokens.cache_bytes,
        constraints=constraints,
        revocations=revocations.revocations,
    )


def _engine(
    configuration: Configuration,
    validator: Validator,
    metadata: Metadata,
    constraints: SenderConstraints,
    clock: Callable[[], float],
) -> Engine:
    def issuers() -> list[IssuerSettings]:
        return [issuer.settings for issuer in validator.issuers]

    return Engine(
        validator,
        clock,
        max_decision_age=configuration.server.max_decision_age,
        trusted_until=validator.trusted_until,
        challenger=ConfiguredChallenger(
            issuers,
            configuration.dpop.offered,
            metadata.challenged,
            constraints.dpop_nonce,
            metadata.base_scopes,
            tells_details=configuration.details_in_challenges,
        ),
    )


def _reconfiguration(
    configuration: Configuration,
    reload: Callable[[], Configuration] | None,
    validator: Validator,
    policies: PolicyService,
    shadow: ShadowPolicies | None,
    waiting: Waiting,
    report: Report,
    clock: Callable[[], float],
) -> Reconfiguration:
    return Reconfiguration(
        configuration,
        reload,
        validator,
        policies,
        lambda settings, known: configured_issuers(settings, clock, report, known),
        lambda issuers: check_later_issuers(issuers, waiting),
        clock,
        () if shadow is None else (shadow.change_issuers,),
    )


def _services(
    configuration: Configuration, answering: Answering, mask: Mask, engine: Engine
) -> Mapping[str, Methods]:
    """Return the methods of each service of gRPC's that a listener can name."""
    server, table = configuration.server, configuration.envoy
    names = IdentityNames(table.subject_header, table.client_header, table.decision_id_header)
    settings = EnvoySettings(names, table.strip_token, table.external_origin)
    limits = RequestLimits(server.max_values, server.max_batch_items)
    return {
        AUTHORIZATION: AuthorizationService(answering, limits).methods(),
        EXPLANATION: ExplanationService(answering, mask, limits).methods(),
        ENVOY: EnvoyService(answering, engine.api, server.default_api, settings).methods(),
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
