"""Policies on their way into service: whole or not at all.

Input: the states of the policy directory. Output: an engine that decides by the newest good one.
Invariants: a state with an error changes nothing; the log says what is wrong, with file, line and
column; declarations reach the decision log before the first decision by them.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from policyd.audit import Mask, Recorder, UnknownFact
from policyd.decision.engine import Engine
from policyd.diagnostics import Diagnostic, Severity, has_errors
from policyd.diagnostics.places import below
from policyd.diagnostics.render import Format, first_error, render
from policyd.errors import PolicydError
from policyd.language import Loader, check_identity
from policyd.language.policy import PolicySet
from policyd.sources.policies import LookFigures, PoliciesUnreadable, PolicyFiles, PolicySource
from policyd.tokens.settings.issuers import IssuerSettings, shared_apis

if TYPE_CHECKING:
    from policyd.server.proving import HelperProver

_log = logging.getLogger(__name__)
#: How much nicer to others the thread is that loads, and how nice one can be (setpriority(2)).
_NICER, _NICEST = 5, 19
#: Seconds for which it may keep the interpreter's lock from others while it loads. Half of that
#: would make a load a fifth longer and gain a tenth of a millisecond for one check in ten.
_SWITCH_INTERVAL_OF_A_LOAD = 0.0002


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


class LoadFigures(msgspec.Struct, frozen=True):
    """Load counters, and the policy set in service.

    `loaded_at` is seconds since the epoch, 0 for never, `seconds` how long that load took.
    `current` is whether it is the newest set of all, and not one whose successor is broken; then
    `problem` says what is wrong with that.
    """

    loaded: int = 0
    failed: int = 0
    loaded_at: float = 0.0
    seconds: float = 0.0
    rules: int = 0
    current: bool = False
    problem: str | None = None


#: Returns findings about names of the configuration that a policy set does not have.
FindNames = Callable[[PolicySet], Sequence[Diagnostic]]


class PolicyService:
    """Loads policies from `source` into `engine`, once or whenever they change.

    `asserted` are the APIs whose subjects enforcement points may assert.
    """

    def __init__(
        self,
        source: PolicySource,
        engine: Engine,
        recorder: Recorder,
        mask: Mask,
        issuers: Iterable[IssuerSettings],
        find_names: FindNames = lambda _: (),
        asserted: Iterable[str] = (),
        folder: str = "",
        *,
        require_proofs: bool = True,
    ) -> None:
        """`folder` is where the files are, as findings are to name it. Without `require_proofs`, a
        promise that is broken is a warning."""
        self._require_proofs = require_proofs
        # Made when policies promise something first: most do not.
        self._prover: HelperProver | None = None
        self._asserted = frozenset(asserted)
        self._source = source
        self._folder = folder
        self._engine = engine
        self._recorder = recorder
        self._mask = mask
        self._find_names = find_names
        self._loader = Loader(parsed=_put_away)
        # Held while a set loads or the issuers change: each is checked against the other.
        self._change = threading.Lock()
        # Held while a state of the source is dealt with, so that an older one never comes last.
        self._state = threading.Lock()
        self._serving: PolicySet | None = None
        # The newest files, where nothing but the issuers kept them from service.
        self._untested: PolicyFiles | None = None
        self._issuers = tuple(issuers)
        self._several_issuers = shared_apis(self._issuers, self._asserted)
        self._files: PolicyFiles | None = None
        self.figures = LoadFigures()
        #: Names of the configuration that the policies in service do not declare.
        self.unknown_names: Sequence[Diagnostic] = ()

    def load(self) -> None:
        """Load the first set.

        Raises:
            PoliciesRejected: the files have errors.
            PoliciesUnreadable: they cannot be read.
            MasksUnknown: they declare nothing of what a mask names.
        """
        self._activate(self._source.read())

    def watch(self) -> None:
        """Load each further set, from a thread of its own."""
        self._source.watch(self._changed)

    def look(self) -> None:
        """Load the next set now, if there is one."""
        self._source.look(self._changed)

    def stop(self) -> None:
        """Watch no more."""
        if self._prover is not None:
            self._prover.stop()
        self._source.stop()

    @property
    def looks(self) -> LookFigures:
        """How looking for changed policies goes."""
        return self._source.figures

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
                nameless = check_identity(self._serving, shared_apis(issuers, self._asserted))
                if nameless:
                    raise IdentitiesUntested(self._located(nameless))
                assert self._files is not None, "what serves was read from files"
                broken = self._promises(self._files, self._serving, issuers)
                if has_errors(broken):
                    raise PoliciesRejected(self._located(broken))
            swap()
            self._issuers = tuple(issuers)
            self._engine.challenge_anew()
            self._several_issuers = shared_apis(issuers, self._asserted)
            self._find_names = find_names
            if self._serving is not None:
                self._warn_of_names(self._serving)
        with self._state:
            if self._untested is not None:
                self._take(self._untested)

    def _changed(self, state: PolicyFiles | PoliciesUnreadable) -> None:
        _stand_back()
        with self._state:
            self._take(state)

    def _take(self, state: PolicyFiles | PoliciesUnreadable) -> None:
        self._untested = None
        kept = self._engine.snapshot
        extra = {"revision": None if kept is None else kept.revision}
        try:
            if isinstance(state, PoliciesUnreadable):
                raise state
            self._activate(state)
        except PoliciesRejected as error:
            self._failed(str(error))
            if isinstance(error, IdentitiesUntested) and isinstance(state, PolicyFiles):
                self._untested = state
            places = render(error.diagnostics, Format.CONCISE)
            _log.error(
                "the changed policies have errors; the old ones keep serving",
                extra={
                    **extra,
                    "places": places.splitlines(),
                    "findings": render(error.diagnostics),
                },
            )
        except PoliciesUnreadable as error:
            self._failed(str(error))
            _log.error(
                "the policies cannot be read; the old ones keep serving",
                extra={**extra, "error": str(error)},
            )
        except Exception:
            # A defect must not end the watch: the next change may be the repair.
            self._failed("loading them failed; the log says how")
            _log.exception("loading policies failed; the old ones keep serving", extra=extra)

    def _failed(self, problem: str) -> None:
        before = self.figures
        self.figures = msgspec.structs.replace(
            before, failed=before.failed + 1, current=False, problem=problem
        )

    def _activate(self, files: PolicyFiles) -> None:
        began = time.perf_counter()
        with self._change, _short_turns(), _collector_off():
            policies, diagnostics = self._checked(files)
            unknown = self._mask.unknown(policies)
            if unknown and self._serving is None:
                raise MasksUnknown(unknown)
            _put_away()
            self._recorder.use(policies)
            self._engine.load(policies)
            self._serving, self._files = policies, files
        seconds = time.perf_counter() - began
        rules = sum(len(api.rules) for api in policies.apis.values())
        before = self.figures
        self.figures = LoadFigures(
            before.loaded + 1, before.failed, time.time(), seconds, rules, current=True
        )
        _log.info(
            "policies loaded",
            extra={
                "revision": policies.revision,
                "apis": sorted(policies.apis),
                "rules": rules,
                "files": len(files.sources),
                "seconds": round(seconds, 3),
            },
        )
        if diagnostics:
            places = render(diagnostics, Format.CONCISE).splitlines()
            _log.warning(
                "the policies have warnings",
                extra={"places": places, "findings": render(diagnostics)},
            )
        self._warn_of_names(policies)

    def _checked(self, files: PolicyFiles) -> tuple[PolicySet, Sequence[Diagnostic]]:
        if has_errors(files.diagnostics):
            raise PoliciesRejected(self._located(files.diagnostics))
        loaded = self._loader.load(files.sources)
        found = self._located((*files.diagnostics, *loaded.diagnostics))
        if loaded.policies is None:
            raise PoliciesRejected(found)
        nameless = check_identity(loaded.policies, self._several_issuers)
        if nameless:
            raise IdentitiesUntested((*found, *self._located(nameless)))
        broken = self._promises(files, loaded.policies, self._issuers)
        found = (*found, *self._located(broken))
        if has_errors(broken):
            raise PoliciesRejected(found)
        return loaded.policies, found

    def _promises(
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
        if self._require_proofs:
            return found
        return [msgspec.structs.replace(one, severity=Severity.WARNING) for one in found]

    def _located(self, found: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
        """Return findings with names of files that an operator can open."""
        return below(self._folder, found) if self._folder else found

    def _warn_of_names(self, policies: PolicySet) -> None:
        self.unknown_names = found = self._find_names(policies)
        if found:
            places = render(found, Format.CONCISE).splitlines()
            _log.warning(
                "the configuration names what no policy declares",
                extra={"places": places, "findings": render(found)},
            )


def _stand_back() -> None:
    """Let the threads that answer calls go before this one, which loads.

    On one core the system would else let a call wait until this thread's slice of time is over.
    Not far back: what this thread holds of the interpreter, others wait for.
    """
    if sys.platform == "linux":  # elsewhere threads have no priority of their own
        by_itself = os.getpriority(os.PRIO_PROCESS, os.getpid())
        least = min(by_itself + _NICER, _NICEST)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), least)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Load without the garbage collector, then put what stays out of its sight.

    Loading makes many objects and no garbage, so collections in between only cost time; and later
    ones would go through all the rules again and again, in the middle of a call. What is out of
    sight and not used any more, such as the set before, goes by itself: nothing in it is circular.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _put_away()


def _put_away() -> None:
    """Collect what is young, and put what is left out of the collector's sight.

    Of a load that is done after each of its steps, since all calls wait for a collection.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let this thread give the interpreter back sooner to a call that has come.

    Only while it loads: the less threads compute at a time, the less there is to gain by it.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_INTERVAL_OF_A_LOAD))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
