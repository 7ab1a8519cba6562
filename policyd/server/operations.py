"""What operators can do with a running daemon: read its state, and choose the active policies.

Input: the parts of the daemon. Output: values of `policyd.server.wire.admin`. The log and the
journal of activations record each change and the operator who asked for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from policyd import __version__
from policyd.server.state import DaemonState
from policyd.server.wire.admin import (
    ActivationRecord,
    Activations,
    IssuerStatus,
    PolicyStatus,
    ProvenanceTold,
    RevocationStatus,
    Status,
)
from policyd.sources.policies import Provenance
from policyd.sources.policies.journal import Entry, RuleNumbers

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
        )

    def activations(self, most: int) -> Activations:
        """See `policyd.server.services.admin.Operations`."""
        return Activations(tuple(map(_record, self._state.policies.activations(most))))

    def reload(self) -> PolicyStatus:
        """See `policyd.server.services.admin.Operations`."""
        _log.info("an operator asks for a look at the policies")
        self._state.policies.look()
        return self._policies()

    def activate(self, name: str, asked_by: str) -> PolicyStatus:
        """See `policyd.server.services.admin.Operations`."""
        _log.warning("an operator activates a set", extra={"asked_for": name, "asked_by": asked_by})
        self._state.policies.activate(name, asked_by)
        return self._policies()

    def _policies(self) -> PolicyStatus:
        policies = self._state.policies
        figures, provenance = policies.figures, policies.provenance
        return PolicyStatus(
            self._state.revision or "",
            ProvenanceTold() if provenance is None else _told(provenance),
            _moment(figures.loaded_at),
            figures.rules,
            figures.current,
            figures.problem or "",
            str(figures.step or ""),
            _moment(policies.confirmed_at),
            policies.looks.problem or "",
        )

    def _issuers(self) -> Iterator[IssuerStatus]:
        for issuer in self._state.validator.issuers:
            name = issuer.settings.issuer
            counted = self._state.key_counter.of(name)
            yield IssuerStatus(
                name, counted.keys, _moment(counted.renewed_at), issuer.keys.problem or ""
            )

    def _revocations(self) -> Iterator[RevocationStatus]:
        for source, figures in self._state.revocations.figures().items():
            entries = sum(figures.entries.values())
            yield RevocationStatus(source, entries, figures.stale, figures.problem or "")


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
