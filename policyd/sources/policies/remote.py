"""What remote sources share: repeated looks, each by a process of its own.

The base class has the thread that looks, its figures, the folder for what is fetched, and the state
that serves or served last. A subclass says what to fetch, and checks it.

Invariants: a refused state is reported once; a look without an answer of the source reports
nothing, and the figures say why. One process at a time.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from policyd.regular_file import read_regular
from policyd.sources.policies.helper import Answer, Helper, Request
from policyd.sources.policies.model import (
    Changed,
    LookFigures,
    PoliciesUnreadable,
    PolicyFiles,
    Provenance,
)
from policyd.sources.policies.polling import Poller
from policyd.sources.policies.state import Active, StateFolder, StateUnusable
from policyd.sources.policies.steps import Step, Steps

_log = logging.getLogger(__name__)
_SCRATCH: Final = "fetch"
_LONGEST_SECRET: Final = 64 * 1024

AnswerT = TypeVar("AnswerT", bound=Answer)


class GivenUp(Exception):
    """A look that waited for a change was ended in favour of one that an operator asked for."""


class RemoteSource(ABC):
    """The base class of remote sources."""

    def __init__(
        self,
        place: str,
        module: str,
        interval: float,
        state: StateFolder,
        *,
        steps: Steps | None = None,
        with_tests: bool = False,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`place` is the source's address, for messages; `module` is the module that the process
        runs. `now` gives seconds since the epoch, `clock` seconds of any origin."""
        self._place = place
        self._interval = interval
        self._state = state
        self._steps = steps or Steps()
        self._with_tests = with_tests
        self._now = now
        self._clock = clock
        self._helper = Helper(module)
        self._one_at_a_time = threading.Lock()
        self._figures = LookFigures()
        self._poller: Poller | None = None
        self._seen: PolicyFiles | None = None
        self._serving: Provenance | None = None
        #: The name of the source's state at the last look.
        self._named = ""
        self._said: str | None = None
        #: Whether a look is running that waits for a change.
        self._waits = False
        self._hurried = False
        self._stopping = False
        self._sweep()

    @abstractmethod
    def _fetched(self, *, polled: bool = False) -> PolicyFiles | None:
        """Return the source's state, `None` if it is the same as before.

        With `polled`, no caller waits for the answer. Raises `GivenUp`, and `PoliciesUnreadable`,
        which has a provenance if the source answered.
        """

    @abstractmethod
    def _recalled(self, name: str) -> PolicyFiles:
        """Fetch a state by its name, whatever serves. Raises `PoliciesUnreadable`."""

    @property
    @abstractmethod
    def source(self) -> Provenance:
        """The source and the place in it, without what differs from state to state."""

    @property
    def figures(self) -> LookFigures:
        """The state of looking for changes."""
        return self._figures

    @property
    def named(self) -> str:
        """The name of the source's state at the last look; empty before the first."""
        return self._named

    def read(self) -> PolicyFiles:
        """Fetch the source's state. Raises `PoliciesUnreadable`.

        If an operator activated another state in its place, that one is returned.
        """
        with self._one_at_a_time, self._noted():
            active = self._active()
            if active is not None and active.passed_over:
                self._named = active.passed_over
            found = self._fetched()
            if found is not None:
                return found
            return self._stored()

    def look(self, changed: Changed) -> None:
        """Look once, and report a state that differs from the last one."""
        self._hurry()
        self._look(changed)

    def watch(self, changed: Changed) -> None:
        """Look repeatedly, in a separate thread."""
        self._poller = Poller(
            "policy-poller", self._interval, lambda: self._look(changed, polled=True)
        )
        self._poller.start()

    def soon(self) -> None:
        """Bring the next look forward to now."""
        if self._poller is not None:
            self._poller.soon()

    def serves(self, provenance: Provenance) -> None:
        """Note the state that serves from now on: the next one must follow it."""
        self._serving = provenance

    def recall(self, name: str) -> PolicyFiles:
        """Fetch a state by its name, whether or not it follows what serves.

        Raises `PoliciesUnreadable`.
        """
        self._hurry()
        with self._one_at_a_time:
            return self._recalled(name)

    def stop(self) -> None:
        """Stop watching, and abandon a running fetch."""
        self._stopping = True
        self._helper.stop()
        if self._poller is not None:
            self._poller.stop()

    def _hurry(self) -> None:
        """End a look that waits for a change, if one is running."""
        if self._waits:
            self._hurried = True
            self._helper.give_up()

    def _look(self, changed: Changed, *, polled: bool = False) -> bool:
        """Look once; return whether the source answered."""
        news: PolicyFiles | PoliciesUnreadable | None
        with self._one_at_a_time:
            try:
                with self._noted():
                    news = self._fetched(polled=polled)
            except GivenUp:
                return True
            except PoliciesUnreadable as error:
                if error.provenance is None:
                    return False  # the source did not answer: the figures say why
                news = error
        if news is not None:
            changed(news)
        return True

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Record how a look ended. A refused state counts as an answer of the source."""
        problem: str | None = None
        try:
            yield
        except GivenUp:
            raise
        except PoliciesUnreadable as error:
            if error.provenance is None:
                problem = str(error)
            self._note(problem)
            raise
        except BaseException as error:
            self._note(repr(error))
            raise
        else:
            self._note(None)

    def _note(self, problem: str | None) -> None:
        now, before = self._now(), self._figures
        failed = before.failed + (problem is not None)
        succeeded_at = now if problem is None else before.succeeded_at
        self._figures = LookFigures(now, failed, problem, succeeded_at)
        if problem not in (None, self._said) and not self._stopping:
            _log.warning("cannot tell whether the policies changed", extra={"error": problem})
        self._said = problem
        if problem is None and self._serving is not None:
            self._confirm()

    def _confirm(self) -> None:
        try:
            self._state.confirm()
        except StateUnusable as error:
            _log.warning("the state folder cannot be used", extra={"error": str(error)})

    def _ask(
        self, request: Request, shape: type[AnswerT], known: str, *, waits: bool = False
    ) -> AnswerT:
        """Return the answer of a process. If it names the `known` state, it counts as no fetch.

        With `waits`, the server may delay its answer until there is a change. Raises
        `PoliciesUnreadable`, and `GivenUp` if the look was ended while it waited.
        """
        began = self._clock()
        self._waits, self._hurried = waits, False
        try:
            answer = self._helper.ask(request, shape)
        except PoliciesUnreadable as error:
            if self._hurried:
                raise GivenUp from None
            self._steps.count(Step.FETCH, self._clock() - began, failed=True)
            raise PoliciesUnreadable(f"{self._place}: {error}", Step.FETCH) from None
        finally:
            self._waits = False
        if answer.id != known:
            self._steps.count(Step.FETCH, self._clock() - began, failed=False)
        return answer

    def _served(self) -> Provenance | None:
        """Return the provenance of what serves or served last. Raises `PoliciesUnreadable`."""
        active = self._active()
        return self._serving or (None if active is None else active.provenance)

    def _active(self) -> Active | None:
        try:
            return self._state.active()
        except StateUnusable as error:
            raise PoliciesUnreadable(str(error), Step.VERIFY) from None

    def _stored(self) -> PolicyFiles:
        """Return the set that serves or served last. Raises `PoliciesUnreadable`."""
        try:
            stored = self._state.last()
        except StateUnusable as error:
            raise PoliciesUnreadable(str(error), Step.READ) from None
        assert stored is not None, "what is active was stored"
        return stored.policy_files()

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Make a folder for the files of one fetch, and remove it afterwards."""
        parent = self._state.path if self._state.path.is_dir() else None
        place = tempfile.mkdtemp(prefix=f"{_SCRATCH}-{os.getpid()}-", dir=parent)
        try:
            objects = Path(place) / "objects"
            objects.mkdir()
            yield objects
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove the folders of processes that no longer run."""
        if not self._state.path.is_dir():
            return
        for left in self._state.path.glob(f"{_SCRATCH}-*"):
            owner = left.name.split("-")[1]
            if not Path(f"/proc/{owner}").exists() or owner == str(os.getpid()):
                shutil.rmtree(left, ignore_errors=True)


def secret_in(path: Path | None, key: str) -> str:
    """Return the secret in the file that the configuration names as `key`.

    Raises `PoliciesUnreadable`.
    """
    if path is None:
        return ""
    try:
        return read_regular(path, _LONGEST_SECRET).decode().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PoliciesUnreadable(f"`{key}`: {path}: {why}", Step.FETCH) from None
