"""Policies on their way into service: whole or not at all.

Input: the states of a source of policies. Output: an engine that decides by the newest good one.
Invariants: a state that fails at any step of its activation changes nothing; the log says what is
wrong, with file, line and column; declarations reach the decision log before the first decision by
them. With a state folder, what served last serves at a start without a good state of the source.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from policyd.audit import Mask
from policyd.diagnostics import Diagnostic, has_errors
from policyd.language import check_identity
from policyd.language.changes import rule_changes
from policyd.language.policy import PolicySet
from policyd.pdp.activation import (
    DEFAULTS,
    Activation,
    Candidate,
    Decides,
    IdentitiesUntested,
    Learns,
    PoliciesRejected,
    Requirements,
    SetRefused,
)
from policyd.pdp.journal import Journal
from policyd.pdp.policy_log import PolicyLog
from policyd.pdp.priority import stand_back
from policyd.sources.policies import (
    LookFigures,
    PoliciesUnreadable,
    PolicyFiles,
    PolicySource,
    Provenance,
    Step,
    StepFigures,
    Steps,
)
from policyd.sources.policies.journal import Entry, RuleNumbers
from policyd.sources.policies.state import StateFolder, StateUnusable, StoredSet
from policyd.tokens.settings.issuers import IssuerSettings, shared_apis

_log = logging.getLogger(__name__)


class LoadFigures(msgspec.Struct, frozen=True):
    """Load counters, and the policy set in service.

    `loaded_at` is seconds since the epoch, 0 for never, `seconds` how long that load took.
    `current` is whether it is the newest set of all, and not one whose successor is broken; then
    `problem` says what is wrong with that, and `step` at which step of the activation.
    """

    loaded: int = 0
    failed: int = 0
    loaded_at: float = 0.0
    seconds: float = 0.0
    rules: int = 0
    current: bool = False
    problem: str | None = None
    step: Step | None = None
    provenance: Provenance | None = None


#: Returns findings about names of the configuration that a policy set does not have.
FindNames = Callable[[PolicySet], Sequence[Diagnostic]]


class PolicyService:
    """Loads policies from `source` into `engine`, once or whenever they change.

    `asserted` are the APIs whose subjects enforcement points may assert.
    """

    def __init__(
        self,
        source: PolicySource,
        engine: Decides,
        learners: Sequence[Learns],
        mask: Mask,
        issuers: Iterable[IssuerSettings],
        find_names: FindNames = lambda _: (),
        asserted: Iterable[str] = (),
        folder: str = "",
        *,
        requirements: Requirements = DEFAULTS,
        steps: Steps | None = None,
        state: StateFolder | None = None,
        max_staleness: float = 0.0,
        says: PolicyLog | None = None,
    ) -> None:
        """`folder` is where the files are, as findings are to name it. `steps` counts what the
        source does of an activation too. After `max_staleness` seconds without word of the source,
        what serves is too old; 0 means never. `says` tells the daemon's log."""
        self._asserted = frozenset(asserted)
        self._source = source
        self._engine = engine
        self._steps = steps or Steps()
        self._state_folder = state
        self._journal = Journal(state)
        self._max_staleness = max_staleness
        self._find_names = find_names
        self._says = says or PolicyLog()
        self._activation = Activation(
            engine, learners, mask, self._asserted, folder, requirements, self._steps, state
        )
        # Held while a set loads or the issuers change: each is checked against the other.
        self._change = threading.Lock()
        # Held while a state of the source is dealt with, so that an older one never comes last.
        self._state = threading.Lock()
        self._serving: PolicySet | None = None
        # The newest files, where nothing but the issuers kept them from service.
        self._untested: PolicyFiles | None = None
        self._issuers = tuple(issuers)
        self._files: PolicyFiles | None = None
        self._confirmed_at = 0.0
        self._passed_over = ""
        self.figures = LoadFigures()
        #: Names of the configuration that the policies in service do not declare.
        self.unknown_names: Sequence[Diagnostic] = ()

    def load(self) -> None:
        """Load the first set; where there is none, the one that served last, if it is remembered.

        Raises:
            PoliciesRejected: the files have errors.
            PoliciesUnreadable: they cannot be read.
            SetRefused: their tests fail.
            MasksUnknown: they declare nothing of what a mask names.
        """
        candidate: Candidate | None = None
        try:
            files = self._source.read()
            candidate = self._candidate(files)
            candidate.passed_over = self._journal.passed_over(files)
            self._activate(candidate)
        except (PoliciesRejected, PoliciesUnreadable, SetRefused) as error:
            step, provenance = _about(error, candidate)
            self._journal.refused(provenance, step, str(error))
            if not self._restore(error, step, provenance):
                raise

    def activate(self, name: str, asked_by: str) -> None:
        """Let a set serve that served before, by its revision or commit, or a commit in full.

        It serves until the source has something else than now. Raises what `load` raises.
        """
        with self._state:
            stored = self._journal.find(name)
            files = self._source.recall(name) if stored is None else stored.policy_files()
            candidate = self._candidate(files)
            has = self._source.named
            candidate.passed_over = "" if has == files.provenance.named else has
            try:
                self._activate(candidate, asked_by)
            except (PoliciesRejected, SetRefused) as error:
                self._journal.refused(files.provenance, candidate.step, str(error), asked_by)
                raise

    @property
    def chosen(self) -> str | None:
        """Say what an operator let serve over what the source has, `None` where nobody did."""
        files, over = self._files, self._passed_over
        if files is None or not over:
            return None
        where = files.provenance
        name = over if "@" in over else over[:12]
        return f"an operator chose {where.short} over {name}, which {where.origin}"

    def activations(self, most: int) -> Sequence[Entry]:
        """Return what became of the newest sets, newest first. Raises `StateUnusable`."""
        return self._journal.newest(most)

    def watch(self) -> None:
        """Load each further set, from a thread of its own."""
        self._source.watch(self._changed)

    def look(self) -> None:
        """Load the next set now, if there is one."""
        self._source.look(self._changed)

    def soon(self) -> None:
        """Let the next look come at once. Never waits."""
        self._source.soon()

    def stop(self) -> None:
        """Watch no more."""
        self._activation.stop()
        self._source.stop()

    @property
    def looks(self) -> LookFigures:
        """How looking for changed policies goes."""
        return self._source.figures

    @property
    def steps(self) -> Mapping[Step, StepFigures]:
        """How often each step of an activation was taken, and how long it took."""
        return self._steps.figures

    @property
    def provenance(self) -> Provenance | None:
        """Where what serves came from, `None` until something does."""
        files = self._files
        return None if files is None else files.provenance

    @property
    def unremembered(self) -> str | None:
        """Why what serves is not written down for the next start, `None` where it is."""
        return self._journal.problem

    @property
    def confirmed_at(self) -> float:
        """When the source was last heard of, in seconds since the epoch, before this start too."""
        return max(self._confirmed_at, self._source.figures.succeeded_at)

    def too_old(self, now: float) -> str | None:
        """Say why what serves is too old to serve, `None` where it is not."""
        age = now - self.confirmed_at
        if not self._max_staleness or age <= self._max_staleness:
            return None
        return (
            f"the source of the policies was last heard of {age:.0f} s ago, which is more than "
            f"`max_staleness` ({self._max_staleness:g} s)"
        )

    def change_issuers(
        self,
        issuers: Sequence[IssuerSettings],
        swap: Callable[[], None],
        find_names: FindNames = lambda _: (),
    ) -> None:
        """Check that the policies go with other issuers, then `swap`; no set loads meanwhile.

        A set that only the issuers of before kept from service is tried again.

        Raises:
            PoliciesRejected: they do not, and nothing has changed.
        """
        with self._change:
            if self._serving is not None:
                self._check_issuers(self._serving, issuers)
            swap()
            self._issuers = tuple(issuers)
            self._engine.challenge_anew()
            self._find_names = find_names
            if self._serving is not None:
                self._warn_of_names(self._serving)
        with self._state:
            if self._untested is not None:
                self._take(self._untested)

    def _check_issuers(self, serving: PolicySet, issuers: Sequence[IssuerSettings]) -> None:
        assert self._files is not None, "what serves was read from files"
        provenance = self._files.provenance
        nameless = check_identity(serving, shared_apis(issuers, self._asserted))
        if nameless:
            raise IdentitiesUntested(self._activation.located(nameless, provenance))
        broken = self._activation.promises(self._files, serving, issuers)
        if has_errors(broken):
            raise PoliciesRejected(self._activation.located(broken, provenance))

    def _changed(self, state: PolicyFiles | PoliciesUnreadable) -> None:
        stand_back()
        with self._state:
            self._take(state)

    def _take(self, state: PolicyFiles | PoliciesUnreadable) -> None:
        self._untested = None
        candidate: Candidate | None = None
        try:
            if isinstance(state, PoliciesUnreadable):
                raise state
            candidate = self._candidate(state)
            self._activate(candidate)
        except (PoliciesRejected, PoliciesUnreadable, SetRefused) as error:
            if isinstance(error, IdentitiesUntested) and isinstance(state, PolicyFiles):
                self._untested = state
            step, provenance = _about(error, candidate)
            self._failed(str(error), step, provenance)
            self._journal.refused(provenance, step, str(error))
            self._says.refused(error, step, provenance, self._revision)
        except Exception:
            # A defect must not end the watch: the next change may be the repair.
            at = None if candidate is None else candidate.step
            self._failed("loading them failed; the log says how", at, None)
            extra = {"revision": self._revision}
            _log.exception("loading policies failed; the old ones keep serving", extra=extra)

    @property
    def _revision(self) -> str | None:
        return None if self._serving is None else self._serving.revision

    def _failed(self, problem: str, step: Step | None, provenance: Provenance | None) -> None:
        before = self.figures
        self.figures = msgspec.structs.replace(
            before,
            failed=before.failed + 1,
            current=False,
            problem=problem,
            step=step,
            provenance=provenance,
        )

    def _candidate(self, files: PolicyFiles, *, again: bool = False) -> Candidate:
        return Candidate(files, self._issuers, self._serving, again)

    def _activate(self, candidate: Candidate, asked_by: str = "") -> None:
        began = time.perf_counter()
        unremembered: StateUnusable | None = None
        with self._change:
            candidate.issuers, before = self._issuers, self._serving
            try:
                self._activation.run(candidate)
            except StateUnusable as error:
                unremembered = error
            policies = candidate.loaded
            self._serving, self._files = policies, candidate.files
            self._passed_over = candidate.passed_over
        if self._state_folder is not None:  # else nothing serves that a later one must follow
            self._source.serves(candidate.files.provenance)
        seconds = time.perf_counter() - began
        numbers = _numbers(before, policies)
        self._loaded(candidate, numbers, seconds)
        if not candidate.again:
            provenance, revision = candidate.files.provenance, policies.revision
            self._journal.activated(provenance, revision, numbers, unremembered, asked_by)
        self._warn_of_names(policies)

    def _loaded(self, candidate: Candidate, numbers: RuleNumbers, seconds: float) -> None:
        before = self.figures
        self.figures = LoadFigures(
            before.loaded + 1, before.failed, time.time(), seconds, numbers.rules, current=True
        )
        self._says.loaded(candidate, numbers, seconds)

    def _restore(self, error: Exception, step: Step, provenance: Provenance | None) -> bool:
        """Let the set serve that served last; tell whether there is one."""
        stored = self._journal.last()
        if stored is None:
            return False
        if stored.provenance.source != self._source.source:
            # Of another daemon with this folder, or of another configuration.
            _log.error(
                "the policies that served last are of another source; they do not serve",
                extra={"source": stored.provenance.place, "ref": stored.provenance.ref},
            )
            return False
        try:
            self._activate(self._candidate(stored.policy_files(), again=True))
        except (PoliciesRejected, SetRefused) as problem:
            _log.error("the policies that served last do not load", extra={"error": str(problem)})
            return False
        self._restored(stored, error, step, provenance)
        return True

    def _restored(
        self, stored: StoredSet, error: Exception, step: Step, provenance: Provenance | None
    ) -> None:
        assert self._state_folder is not None, "what is restored was remembered"
        self._confirmed_at = self._state_folder.confirmed_at() or stored.activated
        self._failed(str(error), step, provenance)
        self._journal.restored(stored, step, str(error))
        self._says.restored(stored, step, error, time.time() - self._confirmed_at)

    def _warn_of_names(self, policies: PolicySet) -> None:
        self.unknown_names = found = self._find_names(policies)
        self._says.names(found)


def _about(error: Exception, candidate: Candidate | None) -> tuple[Step, Provenance | None]:
    """Return the step that failed, and where the set came from, where that is known."""
    if candidate is not None:
        return candidate.step, candidate.files.provenance
    if isinstance(error, PoliciesUnreadable):
        return error.step, error.provenance
    return Step.READ, None


def _numbers(before: PolicySet | None, policies: PolicySet) -> RuleNumbers:
    changes = rule_changes(before, policies)
    rules = sum(len(api.rules) for api in policies.apis.values())
    return RuleNumbers(rules, len(changes.added), len(changes.removed), len(changes.changed))
