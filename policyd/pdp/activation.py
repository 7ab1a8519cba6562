"""Activates a policy set: the one pipeline for the sets of every source.

Input: a `Candidate`, a set that a source has fetched, verified and read. Output: the set serves, or
an exception says why not. The steps are the functions of one table, each timed and counted.

Invariant: if a step before the last fails, the active set keeps serving. The last step only records
what happened, so the new set serves even if that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from policyd.audit import Mask, UnknownFact
from policyd.diagnostics import Diagnostic, Severity, has_errors
from policyd.diagnostics.places import below
from policyd.diagnostics.render import first_error
from policyd.errors import PolicydError
from policyd.language import Loader, check_identity
from policyd.language.policy import PolicySet
from policyd.pdp.background import collector_off, put_away, short_turns
from policyd.pdp.testing import TestsFailed, run_tests
from policyd.sources.policies import PolicyFiles, Provenance, Step, Steps
from policyd.sources.policies.state import StateFolder
from policyd.tokens.settings.issuers import IssuerSettings, shared_apis

if TYPE_CHECKING:
    from policyd.pdp.proving import HelperProver


class Decides(Protocol):
    """What decides by checked policies; `policyd.decision.engine.Engine` does."""

    def load(self, policies: PolicySet, commit: str = "") -> None:
        """Decide by these from the next question on."""

    def challenge_anew(self) -> None:
        """Learn that the issuers have changed."""


class Learns(Protocol):
    """What must know policies before the first decision by them; `policyd.audit.Recorder` does."""

    def use(self, policies: PolicySet) -> None:
        """Learn them."""


class PoliciesRejected(PolicydError):
    """A set of policy files has errors."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(first_error(diagnostics))
        self.diagnostics = tuple(diagnostics)


class IdentitiesUntested(PoliciesRejected):
    """A set could confuse subjects of different issuers; with other issuers it may load."""


class MasksUnknown(PolicydError):
    """The first policy set declares none of the masked facts, so a mask may be misspelt."""

    def __init__(self, unknown: Sequence[UnknownFact]) -> None:
        super().__init__(f"masks that name nothing: {', '.join(one.path for one in unknown)}")
        self.unknown = tuple(unknown)


class SetRefused(PolicydError):
    """A set has no errors, but must not replace the active set. `places` gives the places, one a
    line."""

    def __init__(self, problem: str, places: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.places = tuple(places)


class Requirements(msgspec.Struct, frozen=True):
    """The conditions for a set to serve: promises proven, tests passed, no API removed.

    `configuration` is the file that declares the issuers for the tests. Without `proofs`, a broken
    promise is only a warning.
    """

    proofs: bool = True
    tests: bool = False
    allow_api_removal: bool = False
    configuration: Path | None = None


DEFAULTS: Final = Requirements()


class Candidate(msgspec.Struct):
    """A set in the pipeline: the results so far, and the current step.

    With `again`, it served before and is stored already. `passed_over` is the commit in whose place
    an operator activated this set.
    """

    files: PolicyFiles
    issuers: Sequence[IssuerSettings]
    serving: PolicySet | None
    again: bool = False
    passed_over: str = ""
    step: Step = Step.LOAD
    policies: PolicySet | None = None
    found: Sequence[Diagnostic] = ()

    @property
    def loaded(self) -> PolicySet:
        """The checked set; available after the step that loads."""
        assert self.policies is not None, "it was loaded"
        return self.policies


class Activation:
    """The steps of an activation. One candidate at a time."""

    def __init__(
        self,
        engine: Decides,
        learners: Sequence[Learns],
        mask: Mask,
        asserted: frozenset[str],
        folder: str,
        requirements: Requirements,
        steps: Steps,
        state: StateFolder | None,
    ) -> None:
        """`asserted` are the APIs whose subjects enforcement points may assert; `folder` is the
        folder of the files, as findings name it."""
        self._engine = engine
        self._learners = tuple(learners)
        self._mask = mask
        self._asserted = asserted
        self._folder = folder
        self._requirements = requirements
        self._steps = steps
        self._state = state
        self._loader = Loader(parsed=put_away)
        # Created when a set first has promises; most sets have none.
        self._prover: HelperProver | None = None
        self._table: tuple[tuple[Step, Callable[[Candidate], None]], ...] = (
            (Step.LOAD, self._load),
            (Step.TESTS, self._test),
            (Step.PROOFS, self._prove),
            (Step.SWAP, self._swap),
            (Step.REMEMBER, self._remember),
        )

    def run(self, candidate: Candidate) -> None:
        """Run all steps for a candidate, which records the current step and the results.

        Raises:
            PoliciesRejected: it has errors. SetRefused: it must not replace the active set.
            MasksUnknown: it is the first set, and declares none of the facts that the masks name.
            StateUnusable: it serves, but could not be stored.
        """
        for step, take in self._table:
            candidate.step = step
            with self._steps.take(step):
                take(candidate)

    def stop(self) -> None:
        """End the prover, and abandon a running proof."""
        if self._prover is not None:
            self._prover.stop()

    def _load(self, candidate: Candidate) -> None:
        files = candidate.files
        if has_errors(files.diagnostics):
            raise PoliciesRejected(self.located(files.diagnostics, files.provenance))
        with short_turns(), collector_off():
            loaded = self._loader.load(files.sources)
            found = (*files.diagnostics, *loaded.diagnostics)
            candidate.found = self.located(found, files.provenance)
            if loaded.policies is None:
                raise PoliciesRejected(candidate.found)
            nameless = check_identity(
                loaded.policies, shared_apis(candidate.issuers, self._asserted)
            )
            if nameless:
                located = self.located(nameless, files.provenance)
                raise IdentitiesUntested((*candidate.found, *located))
        candidate.policies = loaded.policies
        if candidate.serving is None:
            self._check_masks(loaded.policies)
        else:
            self._check_apis(candidate.serving, loaded.policies)

    def _check_masks(self, policies: PolicySet) -> None:
        unknown = self._mask.unknown(policies)
        if unknown:
            raise MasksUnknown(unknown)

    def _check_apis(self, serving: PolicySet, policies: PolicySet) -> None:
        """Refuse a set that lacks an API in service: a lost deny would go unnoticed."""
        removed = sorted(serving.apis.keys() - policies.apis.keys())
        if removed and not self._requirements.allow_api_removal:
            names = ", ".join(f"`{name}`" for name in removed)
            apis = "the API" if len(removed) == 1 else "the APIs"
            raise SetRefused(
                f"the set has no more {apis} {names}, in service now; if that is meant, set "
                "`allow_api_removal = true` in `[policies]` and restart"
            )

    def _test(self, candidate: Candidate) -> None:
        if not self._requirements.tests or candidate.again:
            return
        files = candidate.files
        try:
            run_tests(files.sources, files.tests, self._requirements.configuration)
        except TestsFailed as error:
            raise SetRefused(str(error), error.places) from None

    def _prove(self, candidate: Candidate) -> None:
        broken = self.promises(
            candidate.files,
            candidate.loaded,
            candidate.issuers,
            urgent=candidate.serving is None,
        )
        located = self.located(broken, candidate.files.provenance)
        candidate.found = (*candidate.found, *located)
        if has_errors(broken):
            raise PoliciesRejected(candidate.found)

    def _swap(self, candidate: Candidate) -> None:
        with short_turns(), collector_off():
            for learner in self._learners:
                learner.use(candidate.loaded)
            self._engine.load(candidate.loaded, candidate.files.provenance.commit)

    def _remember(self, candidate: Candidate) -> None:
        if self._state is not None and not candidate.again:
            revision = candidate.loaded.revision
            self._state.remember(candidate.files, revision, candidate.passed_over)

    def promises(
        self,
        files: PolicyFiles,
        policies: PolicySet,
        issuers: Sequence[IssuerSettings],
        *,
        urgent: bool = False,
    ) -> Sequence[Diagnostic]:
        """Return the findings about the promises of a set, for some issuers; with `urgent`, no set
        serves yet."""
        if not any(api.proofs for api in policies.apis.values()):
            return ()
        from policyd.pdp.proving import HelperProver
        from policyd.prover.axioms import Premises

        if self._prover is None:
            self._prover = HelperProver()
        premises = Premises.of(issuers, policies.apis)
        found = self._prover.findings(files.sources, policies, premises, urgent=urgent)
        if self._requirements.proofs:
            return found
        return [msgspec.structs.replace(one, severity=Severity.WARNING) for one in found]

    def located(self, found: Sequence[Diagnostic], provenance: Provenance) -> Sequence[Diagnostic]:
        """Return findings with file names that an operator can open, or pass to `git show`."""
        folder = provenance.within or self._folder
        return below(folder, found) if folder else found
