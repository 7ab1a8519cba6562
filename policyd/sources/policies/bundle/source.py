"""A bundle as a source of policies: the newest bundle of one name, on a server or in a file.

Each look fetches the bundle if it has changed. The output of the process that fetches is not
trusted: the source verifies the bundle's signature, reads the bundle, and checks its manifest.

Invariants: a refused bundle is reported once, and judged again when it, its signature or the lists
of signers change. A bundle with a lower sequence than the one in service is refused, and so is one
with the same sequence and other policies. While the signature is missing or wrong, each look
fetches it again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from policyd.regular_file import read_regular
from policyd.sources.policies.bundle.archive import Bundle, read_bundle
from policyd.sources.policies.bundle.helper import (
    BUNDLE_FILE,
    FETCHING,
    SIGNATURE_FILE,
    Answer,
    Request,
)
from policyd.sources.policies.bundle.manifest import (
    NAMESPACE,
    BundleMalformed,
    Manifest,
    check_language,
)
from policyd.sources.policies.bundle.settings import BundleSettings
from policyd.sources.policies.directory import Content, files_of
from policyd.sources.policies.model import Limits, PoliciesUnreadable, PolicyFiles, Provenance
from policyd.sources.policies.remote import RemoteSource, secret_in
from policyd.sources.policies.signatures.trust import SignatureRefused
from policyd.sources.policies.signatures.verifying import Statement, verify
from policyd.sources.policies.state import StateFolder, StateUnusable
from policyd.sources.policies.steps import Step, Steps

KIND: Final = "bundle"
_LONGEST_SIGNATURE: Final = 64 * 1024
#: The shortest beginning of a digest or commit that names a bundle.
_TELLING: Final = 7


class _Known(msgspec.Struct, frozen=True):
    """The result of the last look: the digests of the bundle, its signature and the trust.

    With `settled`, the same bundle needs no new judgement: its signature was verified, or the
    bundle is malformed. `etag` identifies it. `expiring` is the provenance of an accepted bundle
    that will expire.
    """

    id: str = ""
    signature: str = ""
    trust: str = ""
    etag: str = ""
    settled: bool = False
    accepted: bool = False
    expiring: Provenance | None = None


class BundleSource(RemoteSource):
    """The policies of the newest bundle of a name."""

    def __init__(
        self,
        settings: BundleSettings,
        state: StateFolder,
        *,
        steps: Steps | None = None,
        with_tests: bool = False,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`now` gives seconds since the epoch, `clock` seconds of any origin."""
        super().__init__(
            settings.place,
            FETCHING,
            settings.interval,
            state,
            steps=steps,
            with_tests=with_tests,
            now=now,
            clock=clock,
        )
        self._settings = settings
        self._known = _Known()

    def _fetched(self, *, polled: bool = False) -> PolicyFiles | None:
        trust, known = self._settings.trust.digest(), self._known
        asks = known.settled and known.trust == trust
        with self._folder() as folder:
            request = self._request(folder, known if asks else _Known(), polled=polled)
            answer = self._ask(request, Answer, known.id, waits=request.wait > 0)
            if answer.waited:
                self.soon()  # the server's delay was the pause
            if answer.unchanged or self._is_known(answer, trust):
                self._known = msgspec.structs.replace(self._known, etag=answer.etag)
                self._check_expiry()
                return None
            return self._judged(answer, folder, trust)

    def _is_known(self, answer: Answer, trust: str) -> bool:
        known = self._known
        same = (answer.id, answer.signature) == (known.id, known.signature)
        return same and known.trust == trust

    def _judged(self, answer: Answer, folder: Path, trust: str) -> PolicyFiles | None:
        """Judge a bundle; return `None` if it was accepted before, or passed over."""
        before = self._known
        accepted = before.accepted and before.id == answer.id
        passed_over = not before.id and self._named != "" and self._named == answer.label
        known = _Known(answer.id, answer.signature, trust, answer.etag)
        self._known, self._named = known, answer.label or answer.id
        if passed_over:
            self._known = msgspec.structs.replace(known, settled=True, accepted=True)
            return None
        self._check(answer)
        files = self._checked(answer, folder, rewind=self._settings.allow_rewind)
        self._accept(files.provenance)
        return None if accepted else files

    def _accept(self, provenance: Provenance) -> None:
        expiring = provenance if provenance.expires is not None else None
        self._known = msgspec.structs.replace(
            self._known, settled=True, accepted=True, expiring=expiring
        )

    @property
    def source(self) -> Provenance:
        """The URL or the file."""
        return Provenance(KIND, self._settings.place)

    def _recalled(self, name: str) -> PolicyFiles:
        """Fetch the source's bundle if it has that name; its sequence may be lower."""
        trust = self._settings.trust.digest()
        with self._folder() as folder:
            answer = self._ask(self._request(folder, _Known()), Answer, "")
            self._named = answer.label or answer.id
            self._check(answer)
            files = self._checked(answer, folder, rewind=True)
            where = files.provenance
            if not _is_named(where, answer.id, name):
                raise PoliciesUnreadable(
                    f"no set that served is named `{name}`, and {self._settings.place} has {where}"
                )
            self._known = _Known(answer.id, answer.signature, trust, answer.etag)
            self._accept(where)
            return files

    def _check(self, answer: Answer) -> None:
        """Raise the problem that the process found in a bundle. Only other bytes can solve it."""
        if answer.problem:
            self._known = msgspec.structs.replace(self._known, settled=True)
            raise self._refused(answer.problem, Step.READ, Provenance(KIND, self._settings.place))

    def _request(self, folder: Path, known: _Known, *, polled: bool = False) -> Request:
        settings = self._settings
        wait = settings.long_poll if polled and known.etag and settings.url else 0.0
        return Request(
            folder=str(folder),
            url=settings.url,
            path=str(settings.path or ""),
            etag=known.etag,
            known=known.id,
            wait=wait,
            signed=settings.trust.required,
            username=settings.username,
            password=secret_in(settings.password_file, "password_file"),
            token=secret_in(settings.token_file, "token_file"),
            ca_file=str(settings.ca_file or ""),
            seconds=settings.timeout + wait,
            max_bytes=settings.max_bytes,
            max_files=settings.max_files,
            largest_file=settings.max_bytes,
        )

    def _checked(self, answer: Answer, folder: Path, *, rewind: bool) -> PolicyFiles:
        """Check everything that was fetched: signature, archive and manifest."""
        provenance = self._claimed(answer.label)
        with self._steps.take(Step.VERIFY):
            data = _bytes(folder / BUNDLE_FILE, self._settings.max_bytes)
            if hashlib.sha256(data).hexdigest() != answer.id:
                raise PoliciesUnreadable("the process that fetches left another bundle", Step.FETCH)
            signature = None
            if answer.signature:
                signature = _bytes(folder / SIGNATURE_FILE, _LONGEST_SIGNATURE)
            try:
                signer = self._signer(data, signature)
                self._known = msgspec.structs.replace(self._known, settled=True)
                bundle = read_bundle(data, self._limits)
                provenance = self._provenance(bundle.manifest, signer)
                self._check_manifest(bundle, provenance, rewind=rewind)
            except (SignatureRefused, BundleMalformed) as error:
                raise self._refused(str(error), Step.VERIFY, provenance) from None
        with self._steps.take(Step.READ):
            self._seen = files_of(bundle.contents, [], self._seen, provenance, self._with_tests)
            return self._seen

    @property
    def _limits(self) -> Limits:
        return Limits(self._settings.max_files, self._settings.max_bytes)

    def _signer(self, data: bytes, signature: bytes | None) -> str:
        """Return the signer; empty if no signature is required. Raises `SignatureRefused`."""
        trust = self._settings.trust
        if not trust.required:
            return ""
        return verify(Statement(data, signature, NAMESPACE), trust, self._now())

    def _check_manifest(self, bundle: Bundle, provenance: Provenance, *, rewind: bool) -> None:
        """Check the manifest of a verified bundle. Raises `BundleMalformed`."""
        manifest = bundle.manifest
        if manifest.name != self._settings.name:
            raise BundleMalformed(
                f"it is for `{manifest.name}`, and `name` is `{self._settings.name}` here; publish "
                "the bundle of that name, or correct `name` in `[policies.bundle]`"
            )
        check_language(manifest)
        self._check_expired(provenance)
        served = self._served()
        if rewind or served is None or (served.kind, served.name) != (KIND, manifest.name):
            return
        way_out = (
            f"build it again with a higher sequence, or run `policyd activate {manifest.label}`"
        )
        if manifest.sequence < served.sequence:
            raise BundleMalformed(
                f"its sequence is lower than that of {served}, which serves: somebody published an "
                f"older bundle; {way_out}"
            )
        if manifest.sequence == served.sequence and self._differs(bundle):
            raise BundleMalformed(
                f"it has the sequence of {served}, which serves, and other files; {way_out}"
            )

    def _differs(self, bundle: Bundle) -> bool:
        """Tell whether a bundle has other policies than the set in service."""
        try:
            stored = self._state.last()
        except StateUnusable as error:
            raise BundleMalformed(str(error)) from None
        if stored is None:
            return False
        kept = {one.name: one.data for one in stored.files}
        served = {name: data for name, data in kept.items() if not Content(name, data).is_test}
        return served != {one.name: one.data for one in bundle.contents if not one.is_test}

    def _check_expiry(self) -> None:
        """Report once that an accepted bundle has expired. Raises `PoliciesUnreadable`."""
        expiring = self._known.expiring
        if expiring is None:
            return
        try:
            self._check_expired(expiring)
        except BundleMalformed as error:
            self._known = msgspec.structs.replace(self._known, expiring=None)
            raise self._refused(str(error), Step.VERIFY, expiring) from None

    def _check_expired(self, provenance: Provenance) -> None:
        expires = provenance.expires
        if expires is not None and expires.timestamp() <= self._now():
            raise BundleMalformed(
                f"it expired at {expires.isoformat()}; build, sign and publish a newer one"
            )

    def _refused(self, problem: str, step: Step, provenance: Provenance) -> PoliciesUnreadable:
        what = f"bundle {provenance.label}" if provenance.label else "the bundle"
        return PoliciesUnreadable(
            f"{what} of {self._settings.place} is refused: {problem}", step, provenance
        )

    def _claimed(self, label: str) -> Provenance:
        """Return the provenance of a bundle by its own, unverified label."""
        name, _, sequence = label.rpartition("@")
        number = int(sequence) if name and sequence.isdecimal() else 0
        return Provenance(KIND, self._settings.place, name=name if number else "", sequence=number)

    def _provenance(self, manifest: Manifest, signer: str) -> Provenance:
        return Provenance(
            KIND,
            self._settings.place,
            manifest.commit,
            signer=signer,
            name=manifest.name,
            sequence=manifest.sequence,
            created=manifest.created,
            expires=manifest.expires,
        )


def _is_named(where: Provenance, digest: str, name: str) -> bool:
    """Tell whether a name is the label of a bundle, or the beginning of its commit or digest."""
    begins = any(one.startswith(name) for one in (where.commit, digest))
    return name == where.label or (len(name) >= _TELLING and begins)


def _bytes(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise PoliciesUnreadable(
            f"the process that fetches left no bundle: {error.strerror}", Step.FETCH
        ) from None
