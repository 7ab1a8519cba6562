"""The daemon's log messages about policies: which sets serve, which do not, and why."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from policyd.diagnostics import Diagnostic
from policyd.diagnostics.render import Format, render
from policyd.pdp.activation import Candidate, PoliciesRejected, SetRefused
from policyd.sources.policies import PoliciesUnreadable, Provenance, Step
from policyd.sources.policies.journal import RuleNumbers
from policyd.sources.policies.state import StoredSet

_log = logging.getLogger("policyd.pdp.policies")
#: The advice for policies that disappeared.
_UNREADABLE = "put them back: they are read as soon as they can be; another path takes a restart"


class PolicyLog:
    """Logs about policies of a `name`; `kept` says what stays when a set is refused."""

    def __init__(self, name: str = "policies", kept: str = "the old ones keep serving") -> None:
        self._name = name
        self._kept = kept

    def loaded(self, candidate: Candidate, numbers: RuleNumbers, seconds: float) -> None:
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
        _log.info(f"{self._name} loaded", extra=extra)
        if candidate.found:
            _log.warning(f"the {self._name} have warnings", extra=_findings(candidate.found))

    def refused(
        self,
        error: PoliciesRejected | PoliciesUnreadable | SetRefused,
        step: Step,
        provenance: Provenance | None,
        revision: str | None,
    ) -> None:
        """Log why a set does not serve, and the `revision` that keeps serving."""
        extra: dict[str, object] = {"revision": revision, "step": step, **_where(provenance)}
        if isinstance(error, PoliciesRejected):
            message = f"the changed {self._name} have errors; {self._kept}"
            extra |= _findings(error.diagnostics)
        elif isinstance(error, SetRefused):
            message = f"the changed {self._name} are refused; {self._kept}"
            extra |= {"error": str(error), "places": error.places}
        else:
            message = f"the {self._name} cannot be read; {self._kept}"
            extra["error"] = str(error)
            if provenance is None:
                extra["help"] = _UNREADABLE
        _log.error(message, extra=extra)

    def restored(self, stored: StoredSet, step: Step, error: Exception, age: float) -> None:
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

    def names(self, found: Sequence[Diagnostic]) -> None:
        """Log the names in the configuration that no policy declares, if there are any."""
        if found:
            message = "the configuration names what no policy declares"
            _log.warning(message, extra=_findings(found))


def _where(provenance: Provenance | None) -> dict[str, object]:
    if provenance is None:
        return {}
    said = {"bundle": provenance.label, "commit": provenance.commit, "ref": provenance.ref}
    return {name: value for name, value in said.items() if value}


def _findings(found: Sequence[Diagnostic]) -> dict[str, object]:
    places = render(found, Format.CONCISE).splitlines()
    return {"places": places, "findings": render(found)}
