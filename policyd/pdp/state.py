"""A decision point that runs, as what shows it sees it.

Invariant: everything here is read without waiting, from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from policyd.audit import DecisionLog
from policyd.audit.delivery import Delivery
from policyd.decision.engine import Engine
from policyd.diagnostics import Diagnostic
from policyd.pdp.counters import DecisionCounter, KeyCounter
from policyd.pdp.policies import LoadFigures, PolicyService
from policyd.pdp.reconfiguration import Reconfiguration
from policyd.sources.revocations import RevocationSources
from policyd.tokens.keys.source import KeySource
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.validator import Validator

if TYPE_CHECKING:  # who has none loads nothing of it
    from policyd.pdp.shadow import ShadowPolicies


class PointState(msgspec.Struct, frozen=True, eq=False):
    """The parts."""

    engine: Engine
    validator: Validator
    policies: PolicyService
    decisions: DecisionLog
    decision_counter: DecisionCounter
    key_counter: KeyCounter
    revocations: RevocationSources
    constraints: SenderConstraints
    reconfiguration: Reconfiguration | None = None
    delivery: Delivery | None = None
    shadow: ShadowPolicies | None = None

    @property
    def revision(self) -> str | None:
        """The revision that decides, `None` until there is one."""
        snapshot = self.engine.snapshot
        return None if snapshot is None else snapshot.revision

    def troubles(self) -> Iterator[str]:
        """Yield what is amiss though checks are answered, or would be."""
        loads = self.policies.figures
        if loads.loaded and not loads.current:
            yield f"the newest policies are not in service{_which(loads)}: {loads.problem}"
        chosen = self.policies.chosen
        if chosen is not None:
            yield chosen
        unremembered = self.policies.unremembered
        if unremembered is not None:
            yield f"a restart would not serve what serves now: {unremembered}"
        unseen = self.policies.looks.problem
        if unseen is not None:
            yield f"cannot tell whether the policies changed: {unseen}"
        yield from map(_told, self.policies.unknown_names)
        if self.shadow is not None:
            yield from self.shadow.troubles()
        problem = self.decisions.problem
        if problem is not None:
            yield f"the decision log: {problem}"
        reloads = self.reconfiguration
        if reloads is not None and reloads.figures.problem is not None:
            yield reloads.figures.problem
        for issuer in self.validator.issuers:
            yield from _key_troubles(issuer.settings.issuer, issuer.keys)
        for source, figures in self.revocations.figures().items():
            if figures.stale:
                yield f"the revocation list ({source}) is older than `max_staleness`"
            elif figures.problem is not None:
                yield f"the revocation list ({source}) cannot be read: {figures.problem}"


def _which(loads: LoadFigures) -> str:
    """Return which commit or bundle failed at which step, where the policies have such."""
    if loads.provenance is None or not loads.provenance.named:
        return ""
    return f" ({loads.provenance.short}, step {loads.step})"


def _told(found: Diagnostic) -> str:
    """Return a finding about the configuration as a sentence."""
    said = found.headline if found.help is None else f"{found.headline}; {found.help}"
    if found.primary is None:
        return said
    line = found.primary.source.position(found.primary.span.start).line
    return f"line {line} of the configuration: {said}"


def _key_troubles(issuer: str, keys: KeySource) -> Iterator[str]:
    problem = keys.problem
    if keys.snapshot is not None:
        if problem is not None:
            yield f"the keys of {issuer} could not be read again: {problem}"
    elif problem is not None:
        yield f"the keys of {issuer} could not be loaded: {problem}"
    else:
        yield f"the keys of {issuer} have not been fetched yet"
