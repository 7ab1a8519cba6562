"""What operators can do with a running daemon: read its state, and choose the active policies.

Input: the parts of the daemon. Output: values of `policyd.server.wire.admin`. The log and the
journal of activations record each change and the operator who asked for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from policyd import __version__
from policyd.errors import PolicydError
from policyd.pdp.policies import PolicyService
from policyd.server.state import DaemonState
from policyd.server.wire.admin import (
    ActivationRecord,
    Activations,
    IssuerStatus,
    PolicyStatus,
    ProvenanceTold,
    RevocationStatus,
    ShadowDifference,
    ShadowDifferences,
    ShadowDoubt,
    SinkStatus,
    Status,
)
from policyd.sources.policies import Provenance
from policyd.sources.policies.journal import Entry, RuleNumbers

if TYPE_CHECKING:  # who has no shadow loads nothing of it
    from policyd.pdp.shadow import ShadowPolicies
    from policyd.replay.beside import Seen
    from policyd.replay.tally import Difference, Doubt

_log = logging.getLogger(__name__)
_NO_RULES = RuleNumbers(0, 0, 0, 0)


class DaemonOperations:
    """Answers from the state of one daemon."""

    def __init__(self, state: DaemonState) -> None:
        self._state = state

    def status(self) -> Status:
        """See `policyd.server.services.admin.Operations`."""
        state = self._state
        return Status(
            __version__,
            state.health.serving,
            state.health.why,
            tuple(state.troubles()),
            self._policies(),
            tuple(self._issuers()),
            tuple(self._revocations()),
            state.validator.figures().entries,
            bool(state.decisions.writable),
            state.decisions.waiting,
            state.decisions.dropped,
            tuple(self._sinks()),
        )

    def activations(self, most: int) -> Activations:
        """See `policyd.server.services.admin.Operations`."""
        return Activations(tuple(map(_record, self._state.policies.activations(most))))

    def shadow(self, most: int) -> ShadowDifferences:
        """See `policyd.server.services.admin.Operations`."""
        shadow = self._state.shadow
        if shadow is None:
            raise PolicydError(
                "this daemon has no shadow policies: add `[policies.shadow]` to its configuration"
            )
        return shadow_told(shadow, most)

    def reload(self) -> PolicyStatus:
        """See `policyd.server.services.admin.Operations`."""
        _log.info("an operator asks for a look at the policies")
        self._state.policies.look()
        if self._state.shadow is not None:
            self._state.shadow.policies.soon()
        return self._policies()

    def activate(self, name: str, asked_by: str) -> PolicyStatus:
        """See `policyd.server.services.admin.Operations`."""
        _log.warning("an operator activates a set", extra={"asked_for": name, "asked_by": asked_by})
        self._state.policies.activate(name, asked_by)
        return self._policies()

    def _policies(self) -> PolicyStatus:
        return policies_told(self._state.policies, self._state.revision or "")

    def _issuers(self) -> Iterator[IssuerStatus]:
        for issuer in self._state.validator.issuers:
            name = issuer.settings.issuer
            counted = self._state.key_counter.of(name)
            yield IssuerStatus(
                name, counted.keys, _moment(counted.renewed_at), issuer.keys.problem or ""
            )

    def _sinks(self) -> Iterator[SinkStatus]:
        delivery = self._state.delivery
        for courier in () if delivery is None else delivery.couriers:
            figures = courier.figures
            yield SinkStatus(
                courier.name,
                courier.lag,
                figures.delivered,
                figures.parked,
                figures.missing,
                courier.problem or "",
            )

    def _revocations(self) -> Iterator[RevocationStatus]:
        for source, figures in self._state.revocations.figures().items():
            entries = sum(figures.entries.values())
            yield RevocationStatus(source, entries, figures.stale, figures.problem or "")


def policies_told(policies: PolicyService, revision: str) -> PolicyStatus:
    """Return the state of policies, of which `revision` is in use."""
    figures, provenance = policies.figures, policies.provenance
    return PolicyStatus(
        revision,
        ProvenanceTold() if provenance is None else _told(provenance),
        _moment(figures.loaded_at),
        figures.rules,
        figures.current,
        figures.problem or "",
        str(figures.step or ""),
        _moment(policies.confirmed_at),
        policies.looks.problem or "",
    )


def shadow_told(shadow: ShadowPolicies, most: int) -> ShadowDifferences:
    """Return what the shadow came to, of each kind the most frequent groups."""
    figures = shadow.judge.figures
    compared = figures.compared
    differences = sorted(compared.differences.items(), key=lambda one: -one[1].count)
    doubts = sorted(compared.doubts.items(), key=lambda one: -one[1].count)
    return ShadowDifferences(
        policies_told(shadow.policies, figures.revision),
        figures.serving,
        figures.sample,
        _moment(compared.since),
        compared.results.total(),
        compared.results["differs"],
        compared.results["cannot tell"],
        compared.beyond,
        figures.dropped,
        tuple(_difference(*one) for one in differences[:most]),
        tuple(_doubt(*one) for one in doubts[:most]),
    )


def _difference(one: Difference, seen: Seen) -> ShadowDifference:
    return ShadowDifference(
        **msgspec.structs.asdict(one),
        count=seen.count,
        first_at=_moment(seen.first),
        last_at=_moment(seen.last),
        decision_id=seen.decision_id,
    )


def _doubt(one: Doubt, seen: Seen) -> ShadowDoubt:
    return ShadowDoubt(
        one.api,
        one.action,
        one.resource_type,
        tuple(fact for fact, _ in one.causes),
        tuple(cause for _, cause in one.causes),
        seen.count,
        seen.decision_id,
    )


def _told(provenance: Provenance) -> ProvenanceTold:
    return ProvenanceTold(**msgspec.structs.asdict(provenance))


def _record(entry: Entry) -> ActivationRecord:
    rules = entry.rules or _NO_RULES
    return ActivationRecord(
        datetime.fromisoformat(entry.time),
        entry.outcome,
        _told(entry.provenance),
        entry.revision,
        entry.step,
        entry.problem,
        rules.rules,
        rules.added,
        rules.removed,
        rules.changed,
        entry.asked_by,
    )


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
