"""Bundles on the command line: building, signing, verifying and reading them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from policyd import LANGUAGE_VERSION
from policyd.errors import PolicydError
from policyd.regular_file import read_regular
from policyd.sources.policies.bundle.archive import Bundle, read_bundle, write_bundle
from policyd.sources.policies.bundle.manifest import (
    FORMAT,
    NAMESPACE,
    SIGNATURE,
    BundleMalformed,
    Manifest,
    check_language,
    check_names,
)
from policyd.sources.policies.directory import BYTES, Content
from policyd.sources.policies.model import Limits
from policyd.sources.policies.signatures.trust import SignatureRefused, Trust
from policyd.sources.policies.signatures.verifying import Statement, verify

#: The limits of the command; a daemon has its own.
_LIMITS: Final = Limits(files=10_000, bytes=BYTES)
_LONGEST_SIGNATURE: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"


class BundleUnusable(PolicydError):
    """A file is no bundle, or may not serve; the text says why."""


class Named(msgspec.Struct, frozen=True):
    """Name, sequence, times and commit of a new bundle: see `Manifest`."""

    name: str
    sequence: int
    created: datetime
    commit: str = ""
    expires: datetime | None = None


def build(named: Named, files: Mapping[str, bytes]) -> tuple[Manifest, bytes]:
    """Return the manifest and the bytes of a bundle of files, by their paths.

    Raises `BundleUnusable`.
    """
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = Manifest(
        FORMAT,
        named.name,
        named.sequence,
        named.created.astimezone(UTC).replace(microsecond=0),
        LANGUAGE_VERSION,
        dict(sorted(digests.items())),
        named.commit,
        named.expires,
    )
    try:
        check_names(files)
        data = write_bundle(manifest, files)
        read_bundle(data, _LIMITS)  # a bundle that readers would refuse is not written
    except BundleMalformed as error:
        raise BundleUnusable(str(error)) from None
    return manifest, data


def is_bundle(path: Path) -> bool:
    """Tell whether a path names a file that gzip packed."""
    try:
        with path.open("rb") as file:
            return path.is_file() and file.read(len(_GZIP)) == _GZIP
    except OSError:
        return False


def open_bundle(path: Path) -> Bundle:
    """Read a bundle; its signature is not verified. Raises `BundleUnusable`."""
    return _read(path, _bytes(path, BYTES))


def signature_of(path: Path) -> Path:
    """Return the default path of a bundle's signature."""
    return path.with_name(path.name + SIGNATURE)


def sign(path: Path, key: Path) -> bytes:
    """Return the signature of a bundle by a private key. Raises `BundleUnusable`, `KeyUnusable`."""
    from policyd.sources.policies.signatures import ssh  # it belongs to an extra

    data = _bytes(path, BYTES)
    _read(path, data)  # only a bundle is signed
    return ssh.sign(data, _bytes(key, _LONGEST_SIGNATURE), NAMESPACE)


def verified(
    path: Path, signature: Path, trust: Trust, now: float, name: str | None = None
) -> tuple[Bundle, str]:
    """Return a bundle and its signer. `now` is in seconds since the epoch.

    Raises `BundleUnusable` if a daemon with this `trust` would refuse it. The sequence is not
    judged, since that depends on what the daemon serves.
    """
    data = _bytes(path, BYTES)
    made = _bytes(signature, _LONGEST_SIGNATURE) if signature.exists() else None
    try:
        signer = verify(Statement(data, made, NAMESPACE), trust, now)
    except SignatureRefused as error:
        raise BundleUnusable(f"{path}: {error}") from None
    bundle = _read(path, data)
    manifest = bundle.manifest
    try:
        check_language(manifest)
    except BundleMalformed as error:
        raise BundleUnusable(f"{path}: {error}") from None
    if name is not None and manifest.name != name:
        raise BundleUnusable(f"{path}: it is for `{manifest.name}`, not `{name}`")
    if manifest.expires is not None and manifest.expires.timestamp() <= now:
        raise BundleUnusable(f"{path}: it expired at {manifest.expires.isoformat()}")
    return bundle, signer


def policies(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that are no tests."""
    return {name: data for name, data in files.items() if not Content(name, data).is_test}


def _read(path: Path, data: bytes) -> Bundle:
    try:
        return read_bundle(data, _LIMITS)
    except BundleMalformed as error:
        raise BundleUnusable(f"{path}: {error}") from None


def _bytes(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise BundleUnusable(f"{path}: {error.strerror}") from None
