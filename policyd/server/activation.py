"""From one immutable set of files to what decides: the one pipeline, whatever the source.

Input: a `Candidate`, a set that a source has fetched, verified and read. Output: it decides, or an
exception says why not. The steps are the functions of one table, each timed and counted.

Invariant: a set that fails at any step before the last leaves what decides as it is. The last step
only writes down what happened, so a set serves though it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from policyd.audit import Mask, Recorder, UnknownFact
from policyd.decision.engine import Engine
from policyd.diagnostics import Diagnostic, Severity, has_errors
from policyd.diagnostics.places import below
from policyd.diagnostics.render import first_error
from policyd.errors import PolicydError
from policyd.language import Loader, check_identity
from policyd.language.policy import PolicySet
from policyd.server.background import collector_off, put_away, short_turns
from policyd.server.testing import TestsFailed, run_tests
from policyd.sources.policies import PolicyFiles, Provenance, Step, Steps
from policyd.sources.policies.state import StateFolder
from policyd.tokens.settings.issuers import IssuerSettings, shared_apis

if TYPE_CHECKING:
    from policyd.server.proving import HelperProver


class PoliciesRejected(PolicydError):
    """A set of policy files has errors."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(first_error(diagnostics))
        self.diagnostics = tuple(diagnostics)


class IdentitiesUntested(PoliciesRejected):
    """A set could mistake one issuer's subject for another's; with other issuers it may load."""


class MasksUnknown(PolicydError):
    """The first policy set has nothing of what is to be masked: nobody would know."""

    def __init__(self, unknown: Sequence[UnknownFact]) -> None:
        super().__init__(f"masks that name nothing: {', '.join(one.path for one in unknown)}")
        self.unknown = tuple(unknown)


class SetRefused(PolicydError):
    """A set has no errors, and must not replace what serves. `places` says where, line by line."""

    def __init__(self, problem: str, places: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.places = tuple(places)


class Requirements(msgspec.Struct, frozen=True):
    """What a set must be to serve: its promises proven, its tests passed, no API removed.

    `configuration` is the file whose issuers the tests speak of. Without `proofs`, a promise that
    is broken is a warning.
    """

    proofs: bool = True
    tests: bool = False
    allow_api_removal: bool = False
    configuration: Path | None = None


DEFAULTS: Final = Requirements()


class Candidate(msgspec.Struct):
    """A set on its way: what is known of it so far, and the step that it is at.

    With `again`, it served before and is remembered already. `passed_over` is the commit that an
    operator chose another one over.
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
        """The checked set; there is one after the step that loads."""
        assert self.policies is not None, "it was loaded"
        return self.policies


class Activation:
    """The steps from files to what decides. One candidate at a time."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        mask: Mask,
        asserted: frozenset[str],
        folder: str,
        requirements: Requirements,
        steps: Steps,
        state: StateFolder | None,
    ) -> None:
        """`asserted` are the APIs whose subjects enforcement points may assert; `folder` is where
        the files are, as findings are to name it."""
        self._engine = engine
        self._recorder = recorder
        self._mask = mask
        self._asserted = asserted
        self._folder = folder
        self._requirements = requirements
        self._steps = steps
        self._state = state
        self._loader = Loader(parsed=put_away)
        # Made when policies promise something first: most do not.
        self._prover: HelperProver | None = None
        self._table: tuple[tuple[Step, Callable[[Candidate], None]], ...] = (
            (Step.LOAD, self._load),
            (Step.TESTS, self._test),
            (Step.PROOFS, self._prove),
            (Step.SWAP, self._swap),
            (Step.REMEMBER, self._remember),
        )

    def run(self, candidate: Candidate) -> None:
        """Take a candidate through all steps; on the way it notes where it is and what is found.

        Raises:
            PoliciesRejected: it has errors.
            SetRefused: it must not replace what serves.
            MasksUnknown: it is the first, and declares nothing of what a mask names.
            StateUnusable: it serves, and cannot be remembered.
        """
        for step, take in self._table:
            candidate.step = step
            with self._steps.take(step):
                take(candidate)

    def stop(self) -> None:
        """End what proves; a proof that is under way is given up."""
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
        """Refuse a set in which what serves is missing: nobody would see a deny that is gone."""
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
        broken = self.promises(candidate.files, candidate.loaded, candidate.issuers)
        located = self.located(broken, candidate.files.provenance)
        candidate.found = (*candidate.found, *located)
        if has_errors(broken):
            raise PoliciesRejected(candidate.found)

    def _swap(self, candidate: Candidate) -> None:
        with short_turns(), collector_off():
            self._recorder.use(candidate.loaded)
            self._engine.load(candidate.loaded, candidate.files.provenance.commit)

    def _remember(self, candidate: Candidate) -> None:
        if self._state is not None and not candidate.again:
            revision = candidate.loaded.revision
            self._state.remember(candidate.files, revision, candidate.passed_over)

    def promises(
        self, files: PolicyFiles, policies: PolicySet, issuers: Sequence[IssuerSettings]
    ) -> Sequence[Diagnostic]:
        """Return what is found about the promises of a set, with some issuers."""
        promised = [proof for api in policies.apis.values() for proof in api.proofs]
        if not promised:
            return ()
        from policyd.prover.axioms import Premises
        from policyd.prover.promises import unproven
        from policyd.server.proving import HelperProver, ProverEnded

        if self._prover is None:
            self._prover = HelperProver()
        try:
            found = self._prover.prove(files.sources, Premises.of(issuers, policies.apis))
        except ProverEnded as problem:
            found = (unproven(promised[0], str(problem)),)
        if self._requirements.proofs:
            return found
        return [msgspec.structs.replace(one, severity=Severity.WARNING) for one in found]

    def located(self, found: Sequence[Diagnostic], provenance: Provenance) -> Sequence[Diagnostic]:
        """Return findings with names of files that an operator can open, or ask git for."""
        folder = provenance.within or self._folder
        return below(folder, found) if folder else found
