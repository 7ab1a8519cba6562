"""The daemon's log messages about policies: which sets serve, which do not, and why."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from policyd.diagnostics import Diagnostic
from policyd.diagnostics.render import Format, render
from policyd.server.activation import Candidate, PoliciesRejected, SetRefused
from policyd.sources.policies import PoliciesUnreadable, Provenance, Step
from policyd.sources.policies.journal import RuleNumbers
from policyd.sources.policies.state import StoredSet

_log = logging.getLogger("policyd.server.policies")
#: The advice for policies that disappeared.
_UNREADABLE = "put them back: they are read as soon as they can be; another path takes a restart"


def loaded(candidate: Candidate, numbers: RuleNumbers, seconds: float) -> None:
    """Log that a set serves, with its warnings."""
    policies, provenance = candidate.loaded, candidate.files.provenance
    extra: dict[str, object] = {
        "revision": policies.revision,
        "apis": sorted(policies.apis),
        "rules": numbers.rules,
        "files": len(candidate.files.sources),
        "seconds": round(seconds, 3),
        **_where(provenance),
    }
    if provenance.signer:
        extra["signer"] = provenance.signer
    _log.info("policies loaded", extra=extra)
    if candidate.found:
        _log.warning("the policies have warnings", extra=_findings(candidate.found))


def refused(
    error: PoliciesRejected | PoliciesUnreadable | SetRefused,
    step: Step,
    provenance: Provenance | None,
    revision: str | None,
) -> None:
    """Log why a set does not serve, and the `revision` that keeps serving."""
    extra: dict[str, object] = {"revision": revision, "step": step, **_where(provenance)}
    if isinstance(error, PoliciesRejected):
        message = "the changed policies have errors; the old ones keep serving"
        extra |= _findings(error.diagnostics)
    elif isinstance(error, SetRefused):
        message = "the changed policies are refused; the old ones keep serving"
        extra |= {"error": str(error), "places": error.places}
    else:
        message = "the policies cannot be read; the old ones keep serving"
        extra["error"] = str(error)
        if provenance is None:
            extra["help"] = _UNREADABLE
    _log.error(message, extra=extra)


def restored(stored: StoredSet, step: Step, error: Exception, age: float) -> None:
    """Log that a stored set serves again, why, and that its source last answered `age` seconds
    ago."""
    extra: dict[str, object] = {
        "revision": stored.revision,
        "step": step,
        "error": str(error),
        "age": round(age),
        **_where(stored.provenance),
    }
    _log.error("there are no good policies; those that served last serve, stale", extra=extra)


def names(found: Sequence[Diagnostic]) -> None:
    """Log the names in the configuration that no policy declares, if there are any."""
    if found:
        message = "the configuration names what no policy declares"
        _log.warning(message, extra=_findings(found))


def _where(provenance: Provenance | None) -> dict[str, object]:
    if provenance is None or not provenance.commit:
        return {}
    return {"commit": provenance.commit, "ref": provenance.ref}


def _findings(found: Sequence[Diagnostic]) -> dict[str, object]:
    places = render(found, Format.CONCISE).splitlines()
    return {"places": places, "findings": render(found)}
