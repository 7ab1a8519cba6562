"""A Git repository as a source of policies: the commit that a ref names serves.

Each look resolves the ref, and fetches if it names another commit than before. The fetched objects
are checked here, from the commit's signature to the bytes of each file.

Invariants: a refused commit is reported once, and tried again when the ref or the lists of signers
change; a commit that does not descend from the one in service is refused, unless the configuration
allows it.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from policyd.regular_file import read_regular
from policyd.sources.policies.directory import files_of, passed_over
from policyd.sources.policies.git.helper import Answer, Exported, Helper, Request
from policyd.sources.policies.git.objects import ID, ObjectMalformed, Signed
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.policies.git.tree import Limits, descends, files, peel
from policyd.sources.policies.model import (
    Changed,
    LookFigures,
    PoliciesUnreadable,
    PolicyFiles,
    Provenance,
)
from policyd.sources.policies.polling import Poller
from policyd.sources.policies.signatures.trust import SignatureRefused
from policyd.sources.policies.signatures.verifying import Statement, verify
from policyd.sources.policies.state import Active, StateFolder, StateUnusable
from policyd.sources.policies.steps import Step, Steps

_log = logging.getLogger(__name__)
KIND: Final = "git"
_NAMESPACE: Final = "git"
_LONGEST_PASSWORD: Final = 64 * 1024
_SCRATCH: Final = "fetch"


class GitSource:
    """The policies of one ref. `now` gives seconds since the epoch, `clock` seconds of any
    origin."""

    def __init__(
        self,
        settings: GitSettings,
        state: StateFolder,
        *,
        steps: Steps | None = None,
        with_tests: bool = False,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._settings = settings
        self._state = state
        self._steps = steps or Steps()
        self._with_tests = with_tests
        self._now = now
        self._clock = clock
        self._helper = Helper()
        self._one_at_a_time = threading.Lock()
        self._figures = LookFigures()
        self._poller: Poller | None = None
        self._seen: PolicyFiles | None = None
        self._serving: Provenance | None = None
        #: The object that the ref named at the last look, and the digest of the trust that judged
        #: it.
        self._named = ""
        self._judged_by = ""
        self._said: str | None = None
        self._sweep()

    @property
    def figures(self) -> LookFigures:
        """The state of looking for changes."""
        return self._figures

    @property
    def named(self) -> str:
        """The object that the ref named at the last look; empty before the first."""
        return self._named

    def read(self) -> PolicyFiles:
        """Fetch the commit that the ref names. Raises `PoliciesUnreadable`.

        If an operator activated another commit in its place, that one is returned.
        """
        with self._one_at_a_time, self._noted():
            active = self._active()
            if active is not None and active.passed_over:
                self._named = active.passed_over
            found = self._fetched(self._settings.ref)
            if found is not None:
                return found
            stored = self._state.last()
            assert stored is not None, "what is active was stored"
            return stored.policy_files()

    def look(self, changed: Changed) -> None:
        """Resolve the ref, and report a commit that differs from the last one."""
        self._look(changed)

    def watch(self, changed: Changed) -> None:
        """Look repeatedly, in a separate thread."""
        self._poller = Poller("policy-poller", self._settings.interval, lambda: self._look(changed))
        self._poller.start()

    def soon(self) -> None:
        """Bring the next look forward to now."""
        if self._poller is not None:
            self._poller.soon()

    def serves(self, provenance: Provenance) -> None:
        """Note the commit that serves from now on: the next one must descend from it."""
        self._serving = provenance

    def recall(self, name: str) -> PolicyFiles:
        """Fetch a commit by its full id, whether or not it descends from the one in service.

        Raises `PoliciesUnreadable`.
        """
        if not ID.fullmatch(name):
            raise PoliciesUnreadable(
                f"no set that served is named `{name}`; to fetch one, write a full commit",
                Step.READ,
            )
        with self._one_at_a_time, self._folder() as folder:
            found = self._take(name, folder, rewind=True, again=True)
            assert found is not None, "it was asked for anew"
            return found

    def stop(self) -> None:
        """Stop watching, and abandon a running fetch."""
        self._helper.stop()
        if self._poller is not None:
            self._poller.stop()

    def _look(self, changed: Changed) -> bool:
        """Look once; tell whether the source answered."""
        news: PolicyFiles | PoliciesUnreadable | None
        with self._one_at_a_time:
            try:
                with self._noted():
                    news = self._fetched(self._settings.ref)
            except PoliciesUnreadable as error:
                if error.provenance is None:
                    return False  # the ref could not be resolved: the figures say why
                news = error
        if news is not None:
            changed(news)
        return True

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Record how a look ended. A refused commit counts as an answer of the source."""
        problem: str | None = None
        try:
            yield
        except PoliciesUnreadable as error:
            if error.provenance is None:
                problem = str(error)
            raise
        except BaseException as error:
            problem = repr(error)
            raise
        finally:
            now, before = self._now(), self._figures
            failed = before.failed + (problem is not None)
            succeeded_at = now if problem is None else before.succeeded_at
            self._figures = LookFigures(now, failed, problem, succeeded_at)
            if problem is not None and problem != self._said:
                _log.warning("cannot tell whether the policies changed", extra={"error": problem})
            self._said = problem
            if problem is None and self._serving is not None:
                self._confirm()

    def _confirm(self) -> None:
        try:
            self._state.confirm()
        except StateUnusable as error:
            _log.warning("the state folder cannot be used", extra={"error": str(error)})

    def _fetched(self, ref: str) -> PolicyFiles | None:
        """Return the files of a ref, `None` if it names the same commit as before."""
        with self._folder() as folder:
            return self._take(ref, folder, rewind=self._settings.allow_rewind)

    def _take(
        self, ref: str, folder: Path, *, rewind: bool, again: bool = False
    ) -> PolicyFiles | None:
        trust = self._settings.trust.digest()
        known = self._named if not again and self._judged_by in ("", trust) else ""
        ancestor = "" if rewind else self._high_water()
        answer = self._ask(ref, known, ancestor, folder)
        if not again:
            self._named, self._judged_by = answer.id, trust
        if answer.id == known and known:
            return None
        about = self._provenance(answer.id)
        try:
            if answer.problem:
                raise PoliciesUnreadable(answer.problem, Step.READ, about)
            return self._checked(answer.id, ref, folder, ancestor)
        except ObjectMalformed as error:
            raise PoliciesUnreadable(str(error), Step.VERIFY, about) from None
        except PoliciesUnreadable as error:
            raise PoliciesUnreadable(str(error), error.step, error.provenance or about) from None

    def _ask(self, ref: str, known: str, ancestor: str, folder: Path) -> Answer:
        began = self._clock()
        try:
            answer = self._helper.ask(self._request(ref, known, ancestor, folder))
        except PoliciesUnreadable as error:
            self._steps.count(Step.FETCH, self._clock() - began, failed=True)
            raise PoliciesUnreadable(f"{self._settings.url}: {error}", Step.FETCH) from None
        if answer.id != known:
            self._steps.count(Step.FETCH, self._clock() - began, failed=False)
        return answer

    def _request(self, ref: str, known: str, ancestor: str, folder: Path) -> Request:
        settings = self._settings
        for name, path in (
            ("ssh_key_file", settings.ssh_key_file),
            ("known_hosts_file", settings.known_hosts_file),
            ("ca_file", settings.ca_file),
        ):
            if path is not None and not path.is_file():
                raise PoliciesUnreadable(f"`{name}`: {path} is no file that is there", Step.FETCH)
        return Request(
            settings.url,
            ref,
            settings.path,
            str(folder),
            known,
            ancestor,
            settings.username,
            _secret(settings.password_file),
            str(settings.ssh_key_file or ""),
            str(settings.known_hosts_file or ""),
            str(settings.ca_file or ""),
            settings.timeout,
            settings.max_bytes,
            settings.max_files,
            settings.max_fetch_bytes,
        )

    def _checked(self, id_: str, ref: str, folder: Path, ancestor: str) -> PolicyFiles:
        """Check everything that was fetched, from the commit's id to the bytes of the files."""
        exported, settings = Exported(folder), self._settings
        with self._steps.take(Step.VERIFY):
            if ID.fullmatch(ref) and id_ != ref:
                raise PoliciesUnreadable(f"`{id_}` came in place of `{ref}`", Step.VERIFY)
            tags, commit_id, commit = peel(id_, exported.read)
            provenance = self._provenance(commit_id)
            signer = self._signer((*tags, commit), provenance)
            if ancestor and not descends(commit_id, ancestor, exported.read, exported.has):
                raise PoliciesUnreadable(
                    f"commit {commit_id} does not descend from {ancestor}, which serves: somebody "
                    f"rewrote or rewound `{settings.ref}`; if that is meant, run "
                    f"`policyd activate {commit_id}`, or set `allow_rewind = true`",
                    Step.VERIFY,
                    provenance,
                )
        with self._steps.take(Step.READ):
            bounds = Limits(settings.max_files, settings.max_bytes)
            found = files(commit, settings.path, exported.read, bounds)
            provenance = msgspec.structs.replace(provenance, signer=signer)
            findings = [passed_over(one) for one in found.misnamed]
            self._seen = files_of(
                found.contents, findings, self._seen, provenance, self._with_tests
            )
            return self._seen

    def _signer(self, chain: tuple[Signed, ...], provenance: Provenance) -> str:
        """Return the signer of the commit or of a tag that names it; empty if no signature is
        required."""
        trust = self._settings.trust
        if not trust.required:
            return ""
        reasons: list[str] = []
        for signed in reversed(chain):  # the commit first
            statement = Statement(signed.payload, signed.signature, _NAMESPACE, signed.email)
            try:
                return verify(statement, trust, self._now())
            except SignatureRefused as refused:
                reasons.append(str(refused))
        raise PoliciesUnreadable(
            f"commit {provenance.commit} is refused: {reasons[0]}", Step.VERIFY, provenance
        )

    def _provenance(self, commit: str) -> Provenance:
        settings = self._settings
        return Provenance(KIND, settings.url, commit, settings.ref, settings.path)

    def _high_water(self) -> str:
        """Return the commit of this ref and repository that serves or served last; empty if there
        is none."""
        active = self._active()
        served = self._serving or (None if active is None else active.provenance)
        if served is None or (served.kind, served.place) != (KIND, self._settings.url):
            return ""
        return served.commit if served.ref == self._settings.ref else ""

    def _active(self) -> Active | None:
        try:
            return self._state.active()
        except StateUnusable as error:
            raise PoliciesUnreadable(str(error), Step.VERIFY) from None

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Make a folder for the objects of one fetch, and remove it afterwards."""
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


def _secret(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return read_regular(path, _LONGEST_PASSWORD).decode().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PoliciesUnreadable(f"`password_file`: {path}: {why}", Step.FETCH) from None
