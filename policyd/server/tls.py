"""The daemon's own certificate and key: read, judged, and read again while it serves.

Input: the files of a listener's `tls`. Output: an `Identity` that can be served. Who renews a
certificate replaces the files, one after another or by a link that is swapped; new connections get
the new pair within a few seconds.

Invariants: a pair that does not fit, or a file that cannot be read, changes nothing: the last good
pair goes on, and log, `/readyz` and metrics tell. What counts is what the files hold, not their
dates.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from policyd.errors import PolicydError
from policyd.regular_file import read_regular
from policyd.server.transport.interface import Identity

_log = logging.getLogger(__name__)
#: Seconds between two looks at the files.
LOOK_EVERY: Final = 2.0
#: A certificate ends soon when less than a tenth of its life is left, and less than a week.
_SOON: Final = 0.1
_WEEK: Final = 7 * 86_400
_LARGEST: Final = 1024 * 1024


class TlsFiles(msgspec.Struct, frozen=True):
    """The PEM files of a listener's identity. The names of the fields are those of the settings."""

    certificate: Path
    private_key: Path
    client_authorities: Path | None = None


class TlsUnusable(PolicydError):
    """A file of an identity is of no use. `setting` names it, the text says why."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(problem)
        self.setting = setting


class Served(msgspec.Struct, frozen=True):
    """An identity, and when its certificate counts: seconds since the epoch."""

    identity: Identity
    not_before: float
    not_after: float

    def remark(self, now: float) -> str | None:
        """Say what is amiss with the certificate's time, if anything is."""
        if now >= self.not_after:
            return f"has expired: it ended at {_utc(self.not_after)}"
        if now < self.not_before:
            return f"is not valid yet: it begins at {_utc(self.not_before)}"
        left = self.not_after - now
        if left < min(_WEEK, _SOON * (self.not_after - self.not_before)):
            return f"expires soon: it ends at {_utc(self.not_after)}"
        return None


def read_tls(files: TlsFiles) -> Served:
    """Read an identity and see that its parts fit.

    Raises:
        TlsUnusable: a file cannot be read or holds something else, or the key is another one's.
    """
    certificate = _read("certificate", files.certificate)
    key = _read("private_key", files.private_key)
    authorities = files.client_authorities
    trusted = None if authorities is None else _read("client_authorities", authorities)
    chain = _certificates("certificate", files.certificate, certificate)
    if trusted is not None and authorities is not None:
        _certificates("client_authorities", authorities, trusted)
    ours = _public_key(files.private_key, key)
    fits = [_spki(one) == ours for one in chain]
    if not fits[0]:
        why = (
            f"the certificate of `{files.private_key}` must come first in it"
            if any(fits)
            else f"it is not the certificate of the key in `{files.private_key}`"
        )
        raise TlsUnusable("certificate", f"`{files.certificate}`: {why}")
    leaf = chain[0]
    return Served(
        Identity(certificate, key, trusted),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def _read(setting: str, path: Path) -> bytes:
    try:
        return read_regular(path, _LARGEST)
    except OSError as error:
        raise TlsUnusable(setting, f"`{path}`: {error.strerror}") from None


def _certificates(setting: str, path: Path, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise TlsUnusable(setting, f"`{path}` holds no certificate in PEM") from None


def _public_key(path: Path, data: bytes) -> bytes:
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        problem = f"`{path}` is encrypted, and there is no way to give its password"
        raise TlsUnusable("private_key", problem) from None
    except (ValueError, UnsupportedAlgorithm):
        raise TlsUnusable("private_key", f"`{path}` holds no private key in PEM") from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate: x509.Certificate) -> bytes | None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


class TlsIdentity:
    """An identity that follows its files. `clock` is in seconds since the epoch.

    `setting` is where the configuration names the files. Raises `TlsUnusable` where the files hold
    none to begin with.
    """

    def __init__(
        self, files: TlsFiles, clock: Callable[[], float] = time.time, setting: str = "server.tls"
    ) -> None:
        self._files = files
        self._setting = setting
        self._clock = clock
        self._looking = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="tls", daemon=True)
        self._remarked: str | None = None
        self.served = read_tls(files)
        self.problem: str | None = None
        """Why the files as they are now are not served; `None` when they are."""
        self._remark()

    def identity(self) -> Identity:
        """Return what to serve: the same object for as long as nothing changed."""
        return self.served.identity

    def start(self) -> None:
        """Look at the files every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            try:
                self.look()
            except Exception:
                # A thread that ended in silence would serve an old certificate until it expires.
                _log.exception("looking at the TLS files failed; it goes on")

    def look(self) -> None:
        """Serve what the files hold, if that has changed and can be served."""
        with self._looking:
            try:
                found = read_tls(self._files)
            except TlsUnusable as error:
                self._failed(error)
                return
            if self.problem is not None:
                _log.info("the TLS files are in order again")
            self.problem = None
            if found.identity != self.served.identity:
                self.served = found
                _log.info(
                    "a new TLS certificate is in use", extra={"expires": _utc(found.not_after)}
                )
            self._remark()

    def _failed(self, error: TlsUnusable) -> None:
        problem = f"`{self._setting}.{error.setting}`: {error}"
        if problem != self.problem:
            extra = {"problem": problem, "expires": _utc(self.served.not_after)}
            _log.error("the TLS files cannot be used; the last good ones go on", extra=extra)
        self.problem = problem

    def _remark(self) -> None:
        """Tell once what is amiss with the time of the certificate that is served."""
        remark = self.served.remark(self._clock())
        if remark is not None and remark != self._remarked:
            extra = {"file": str(self._files.certificate), "problem": f"it {remark}"}
            _log.warning(f"the certificate of `{self._setting}` has to be renewed", extra=extra)
        self._remarked = remark

    def troubles(self) -> Iterator[str]:
        """Yield what is amiss though connections are served, or would be."""
        if self.problem is not None:
            yield f"the TLS files cannot be used, and the last good ones go on: {self.problem}"
        remark = self.served.remark(self._clock())
        if remark is not None:
            yield f"the TLS certificate (`{self._setting}.certificate`) {remark}"
