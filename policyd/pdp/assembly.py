"""A policy decision point, put together: all that decides, and nothing that carries calls.

Input: a configuration. Output: `DecisionPoint`, whose parts do not run yet. The daemon is built on
it (`policyd.server.assembly`), and so is `policyd.Embedded`: what both have is told here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from policyd.audit import DecisionLog, Mask, Recorder
from policyd.config.configuration import Configuration
from policyd.decision.engine import Engine
from policyd.pdp.activation import Learns
from policyd.pdp.answering import Answering
from policyd.pdp.calls import CallFailed
from policyd.pdp.counters import DecisionCounter, KeyCounter
from policyd.pdp.decisions import Observe, decision_log, keeper, log_mask
from policyd.pdp.issuers import (
    check_later_issuers,
    configured_issuers,
    log_renewal,
    open_waiting,
)
from policyd.pdp.metadata import Metadata
from policyd.pdp.policies import PolicyService
from policyd.pdp.policy_assembly import serving_policies, shadow_policies
from policyd.pdp.protection import ConfiguredChallenger
from policyd.pdp.reconfiguration import Reconfiguration
from policyd.pdp.recording import Keeper, RecordedAnswering
from policyd.pdp.revocations import revocation_sources
from policyd.pdp.state import PointState
from policyd.pdp.waiting import Waiting
from policyd.sources.revocations import RevocationSources
from policyd.tokens.keys.refresher import Report
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator

if TYPE_CHECKING:  # who has none loads nothing of it
    from policyd.pdp.shadow import ShadowPolicies
    from policyd.pdp.shadow.sample import Sample


class DecisionPoint(msgspec.Struct, frozen=True, eq=False):
    """The parts of one decision point. `state` holds those that others look at too.

    `answering` answers all questions, and those that have to wait for an issuer do so in `waiting`.
    `keeps` is what answers wait for besides: the log, where it says so. `mask` is what stays out of
    the log and of explanations.
    """

    configuration: Configuration
    state: PointState
    metadata: Metadata
    mask: Mask
    waiting: Waiting
    reconfiguration: Reconfiguration
    answering: Answering
    keeps: Keeper | None = None


def assemble_point(
    configuration: Configuration,
    reload: Callable[[], Configuration] | None,
    clock: Callable[[], float],
    log_unavailable: CallFailed,
    observers: Sequence[Observe] = (),
) -> DecisionPoint:
    """Put the parts together; nothing runs yet.

    `reload` reads the configuration again. Calls fail with `log_unavailable` while the log takes no
    records and the configuration says that they wait for it. `observers` see each entry of it.

    Raises:
        ConfigurationInvalid: an issuer's or the decision log's file cannot be used.
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
    sample, seen_by = _sample(configuration), [decision_counter.observe]
    if sample is not None:
        seen_by.append(sample.observe)
    decisions, delivery = decision_log(configuration, recorder, clock, [*seen_by, *observers])
    shadow = None if sample is None else shadow_policies(configuration, sample, decisions)
    learners: Sequence[Learns] = (recorder,) if shadow is None else (recorder, shadow.judge)
    policies = serving_policies(configuration, engine, learners, mask)
    waiting = open_waiting(configuration.server, issuers)
    reconfiguration = _reconfiguration(
        configuration, reload, validator, policies, shadow, waiting, key_counter.report, clock
    )
    state = PointState(
        engine,
        validator,
        policies,
        decisions,
        decision_counter,
        key_counter,
        revocations,
        constraints,
        reconfiguration,
        delivery,
        shadow,
    )
    keeps = keeper(configuration, decisions, log_unavailable)
    answering = _answering(configuration, engine, decisions, keeps, waiting)
    return DecisionPoint(
        configuration, state, metadata, mask, waiting, reconfiguration, answering, keeps
    )


def _sample(configuration: Configuration) -> Sample | None:
    """Return what brings the shadow decisions; a point without one loads nothing of it."""
    if configuration.shadow is None:
        return None
    from policyd.pdp.shadow.sample import Sample

    return Sample(configuration.shadow.sample)


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
