"""The policies that may serve next: loaded as those that serve, they decide a sample again.

Input: a source of policies, what serves, and entries of the decision log. Output: figures, groups
of what comes out in another way, and lines of the log. The policies take the same steps as those
that serve, in threads of their own; what fails there is trouble of the shadow alone.

Invariant: nothing here touches an answer. What is wrong with the shadow ends nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from policyd.audit import Entry
from policyd.language.policy import PolicySet
from policyd.pdp.activation import PoliciesRejected
from policyd.pdp.background import collector_off, short_turns
from policyd.pdp.policies import PolicyService
from policyd.pdp.priority import stand_back
from policyd.pdp.shadow.sample import Sample
from policyd.replay.beside import Beside, Compared, Result
from policyd.tokens.settings.issuers import IssuerSettings

_log = logging.getLogger(__name__)
_WAIT_FOR_STOP: Final = 2.0


class ShadowFigures(msgspec.Struct, frozen=True):
    """What the shadow came to.

    `revision` is that of the shadow policies, `serving` the one that they are compared with; both
    are empty before there is one. `compared` is what came of it since one of them changed last.
    `checks` counts results since the start, by API. `dropped` are decisions that were chosen and
    found no room, `unwritten` records that found none in the log, `failed` decisions that could not
    be made again, for a defect.
    """

    revision: str
    serving: str
    sample: float
    compared: Compared
    checks: Mapping[tuple[str, Result], int]
    dropped: int
    unwritten: int
    failed: int


class ShadowJudge:
    """Decides a sample by the shadow policies, in a thread of its own.

    `write` takes a line of the log, and tells whether there was room. `clock` gives seconds since
    the epoch.
    """

    def __init__(
        self,
        sample: Sample,
        write: Callable[[bytes], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sample = sample
        self._write = write
        self._clock = clock
        # Held while figures are read, and while one decision is made again.
        self._lock = threading.Lock()
        self._serving: PolicySet | None = None
        self._wanted: tuple[PolicySet, str] | None = None
        self._beside: Beside | None = None
        self._checks: Counter[tuple[str, Result]] = Counter()
        self._failed = self._unwritten = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def use(self, policies: PolicySet) -> None:
        """Learn what decides from now on."""
        self._serving = policies
        self._sample.wake()

    def load(self, policies: PolicySet, commit: str = "") -> None:
        """Take checked policies for the shadow; `commit` is the one that they came from."""
        self._wanted = (policies, commit)
        self._sample.open = True
        self._sample.wake()

    def challenge_anew(self) -> None:
        """Do nothing: nobody is challenged."""

    @property
    def figures(self) -> ShadowFigures:
        """What it came to so far."""
        with self._lock:
            beside = self._beside
            return ShadowFigures(
                "" if beside is None else beside.policies.revision,
                "" if beside is None else beside.serving.revision,
                self._sample.rate,
                Compared(0.0) if beside is None else beside.compared.copied(),
                dict(self._checks),
                self._sample.dropped,
                self._unwritten,
                self._failed,
            )

    def start(self) -> None:
        """Begin to decide."""
        self._thread.start()

    def stop(self) -> None:
        """Decide no more."""
        self._stopped.set()
        self._sample.wake()
        self._thread.join(_WAIT_FOR_STOP)

    def _run(self) -> None:
        stand_back()
        while not self._stopped.is_set():
            entries = self._sample.take()
            try:
                self.adopt()
            except Exception:
                _log.exception("the shadow policies failed; what serves is not concerned")
            for entry in entries:
                if self._stopped.is_set():
                    return
                self.decide(entry)

    def adopt(self) -> None:
        """Take over what was loaded last, for the shadow and beside it."""
        wanted, serving = self._wanted, self._serving
        if wanted is None or serving is None:
            return
        beside = self._beside
        if beside is not None and (beside.policies, beside.serving) == (wanted[0], serving):
            return
        with short_turns(), collector_off():
            made = Beside(*wanted, serving, self._sample.rate, self._note, self._clock())
        with self._lock:
            self._beside = made

    def decide(self, entry: Entry) -> None:
        """Decide again what an entry tells.

        One that was still on its way when other policies took over is passed over.
        """
        beside = self._beside
        if beside is None or entry.decision.revision != beside.serving.revision:
            return
        with self._lock:
            try:
                self._checks[entry.decision.api, beside.decide(entry)] += 1
            except Exception:
                # A defect must not end the shadow; the first of many is enough to find it.
                if not self._failed:
                    _log.exception("a decision could not be made again; the shadow goes on")
                self._failed += 1

    def _note(self, line: bytes) -> None:
        if not self._write(line):
            self._unwritten += 1


class ShadowPolicies:
    """The shadow of a daemon: `policies` brings its sets, `judge` decides by them."""

    def __init__(self, policies: PolicyService, judge: ShadowJudge) -> None:
        self.policies = policies
        self.judge = judge
        self._stopped = threading.Event()
        self._loading = threading.Thread(target=self._load, name="shadow-policies", daemon=True)

    def start(self) -> None:
        """Begin to load, and to decide."""
        self.judge.start()
        self._loading.start()

    def stop(self) -> None:
        """Do no more of either."""
        self._stopped.set()
        self.policies.stop()
        self.judge.stop()

    def change_issuers(self, issuers: Sequence[IssuerSettings]) -> None:
        """Judge by these issuers what comes from now on, and what is there."""
        try:
            self.policies.change_issuers(issuers, lambda: None)
        except PoliciesRejected as error:
            extra = {"error": str(error)}
            _log.error("the shadow policies do not go with the changed issuers", extra=extra)

    def troubles(self) -> Iterator[str]:
        """Yield what is amiss, which concerns no answer."""
        loads, unseen = self.policies.figures, self.policies.looks.problem
        if loads.problem is not None:
            where = "" if loads.provenance is None else f" ({loads.provenance.short})"
            yield f"the newest shadow policies are not in use{where}: {loads.problem}"
        if unseen is not None and unseen != loads.problem:
            yield f"cannot tell whether the shadow policies changed: {unseen}"

    def _load(self) -> None:
        try:
            self.policies.look()
        except Exception:
            _log.exception("looking for the shadow policies failed; it goes on")
        self.policies.watch()
        # A process that proves promises ends with the thread that started it (prctl(2)).
        self._stopped.wait()
