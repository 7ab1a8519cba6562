"""A Git repository as a source of policies: the commit that a ref names serves.

Each look resolves the ref, and fetches if it names another commit than before. The fetched objects
are checked here, from the commit's signature to the bytes of each file.

Invariants: a refused commit is reported once, and tried again when the ref or the lists of signers
change; a commit that does not descend from the one in service is refused, unless the configuration
allows it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from policyd.sources.policies.directory import files_of, passed_over
from policyd.sources.policies.git.helper import FETCHING, Exported, Request
from policyd.sources.policies.git.objects import ID, ObjectMalformed, Signed
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.policies.git.tree import descends, files, peel
from policyd.sources.policies.helper import Answer
from policyd.sources.policies.model import Limits, PoliciesUnreadable, PolicyFiles, Provenance
from policyd.sources.policies.remote import RemoteSource, secret_in
from policyd.sources.policies.signatures.trust import SignatureRefused
from policyd.sources.policies.signatures.verifying import Statement, verify
from policyd.sources.policies.state import StateFolder
from policyd.sources.policies.steps import Step, Steps

KIND: Final = "git"
_NAMESPACE: Final = "git"


class GitSource(RemoteSource):
    """The policies of one ref."""

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
        """`now` gives seconds since the epoch, `clock` seconds of any origin."""
        super().__init__(
            settings.url,
            FETCHING,
            settings.interval,
            state,
            steps=steps,
            with_tests=with_tests,
            now=now,
            clock=clock,
        )
        self._settings = settings
        #: The digest of the trust that judged what the ref named at the last look.
        self._judged_by = ""

    @property
    def source(self) -> Provenance:
        """The repository, the ref, and the folder in its tree."""
        return self._provenance("").source

    def _recalled(self, name: str) -> PolicyFiles:
        if not ID.fullmatch(name):
            raise PoliciesUnreadable(
                f"no set that served is named `{name}`; to fetch one, write a full commit",
                Step.READ,
            )
        with self._folder() as folder:
            found = self._take(name, folder, rewind=True, again=True)
            assert found is not None, "it was asked for anew"
            return found

    def _fetched(self, *, polled: bool = False) -> PolicyFiles | None:  # noqa: ARG002 - the form
        with self._folder() as folder:
            return self._take(self._settings.ref, folder, rewind=self._settings.allow_rewind)

    def _take(
        self, ref: str, folder: Path, *, rewind: bool, again: bool = False
    ) -> PolicyFiles | None:
        trust = self._settings.trust.digest()
        known = self._named if not again and self._judged_by in ("", trust) else ""
        ancestor = "" if rewind else self._high_water()
        answer = self._ask(self._request(ref, known, ancestor, folder), Answer, known)
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
            url=settings.url,
            ref=ref,
            path=settings.path,
            folder=str(folder),
            known=known,
            ancestor=ancestor,
            username=settings.username,
            password=secret_in(settings.password_file, "password_file"),
            ssh_key_file=str(settings.ssh_key_file or ""),
            known_hosts_file=str(settings.known_hosts_file or ""),
            ca_file=str(settings.ca_file or ""),
            seconds=settings.timeout,
            max_bytes=settings.max_bytes,
            max_files=settings.max_files,
            largest_file=settings.max_fetch_bytes,
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
        """Return the commit that serves, or served last, of this ref of this repository."""
        served = self._served()
        if served is None or (served.kind, served.place) != (KIND, self._settings.url):
            return ""
        return served.commit if served.ref == self._settings.ref else ""
