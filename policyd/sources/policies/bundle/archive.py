"""The bytes of a bundle: a tar.gz with `manifest.json` first, then the policy files.

It is read header by header: only plain files that the manifest lists are accepted, and nothing is
written to a disk. Extended headers (PAX and GNU), links, devices, folders and sparse files are
refused; `write_bundle` writes none of them.

Invariants: reading needs no more memory than the limits allow, whatever size the bytes unpack to.
Writing the same manifest and files gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from policyd.language import limits
from policyd.sources.policies.bundle.manifest import (
    MANIFEST,
    BundleMalformed,
    Manifest,
    read_manifest,
)
from policyd.sources.policies.directory import Content
from policyd.sources.policies.model import Limits
from policyd.sources.policies.walk import escaped

_BLOCK: Final = tarfile.BLOCKSIZE
_EMPTY: Final = bytes(_BLOCK)
#: The longest end of an archive: two empty blocks, and padding up to a record.
_PADDING: Final = 4 * tarfile.RECORDSIZE
_LONGEST_MANIFEST: Final = 8 * 1024 * 1024
_CHUNK: Final = 1 << 16
_SIZE: Final = re.compile(rb" *[0-7]+[ \0]*")
_GZIP: Final = 16 + zlib.MAX_WBITS
_KINDS: Final = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.GNUTYPE_LONGNAME: "an extended header (GNU)",
    tarfile.GNUTYPE_LONGLINK: "an extended header (GNU)",
    tarfile.XHDTYPE: "an extended header (PAX)",
    tarfile.XGLTYPE: "an extended header (PAX)",
    tarfile.SOLARIS_XHDTYPE: "an extended header (PAX)",
}
_HOW: Final = "`policyd bundle build` makes bundles"


class Bundle(msgspec.Struct, frozen=True):
    """The manifest of a bundle, and its files, sorted by name."""

    manifest: Manifest
    contents: tuple[Content, ...]


def write_bundle(manifest: Manifest, files: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a bundle; `manifest` lists the names and digests of `files`.

    Raises `BundleMalformed` for a name that a header has no room for.
    """
    moment = int(manifest.created.timestamp())
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in ((MANIFEST, manifest.encoded()), *sorted(files.items())):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), moment, 0o644
            try:
                tar.addfile(member, io.BytesIO(data))
            except ValueError:  # 100 bytes after a slash, and 155 before it
                raise BundleMalformed(f"`{name}` has too long a name") from None
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    return packer.compress(archive.getvalue()) + packer.flush()


def read_bundle(data: bytes, bounds: Limits) -> Bundle:
    """Read a bundle. Raises `BundleMalformed`."""
    members = _members(_Inflated(data), bounds)
    first = next(members, None)
    if first is None or first[0] != MANIFEST:
        raise BundleMalformed(f"it does not begin with `{MANIFEST}`; {_HOW}")
    manifest = read_manifest(first[1])
    if len(manifest.files) > bounds.files:
        raise BundleMalformed(f"it holds more than {bounds.files:,} policy files (`max_files`)")
    found: dict[str, bytes] = {}
    for name, content in members:
        shown = escaped(name)[:300]
        if name in found or name == MANIFEST:
            raise BundleMalformed(f"`{shown}` is in it twice")
        if name not in manifest.files:
            raise BundleMalformed(f"`{shown}` is not in its manifest")
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise BundleMalformed(f"`{shown}` has other bytes than its manifest says")
        found[name] = content
    missing = sorted(manifest.files.keys() - found.keys())
    if missing:
        raise BundleMalformed(f"`{missing[0]}` is in its manifest, and not in the archive")
    contents = tuple(Content(name, found[name]) for name in sorted(found))
    if all(one.is_test for one in contents):
        raise BundleMalformed("there are no policy files (`*.policy`) in it")
    return Bundle(manifest, contents)


def _members(stream: _Inflated, bounds: Limits) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each member, the manifest first."""
    left, longest, is_first = bounds.bytes, _LONGEST_MANIFEST, True
    while (block := stream.read(_BLOCK)) != _EMPTY:
        name, size = _header(block)
        shown = escaped(name)[:300]
        if not is_first and size > left:
            raise BundleMalformed(
                f"its policy files hold more than {bounds.bytes:,} bytes (`max_bytes`)"
            )
        if size > longest:
            raise BundleMalformed(f"`{shown}` holds more than {longest:,} bytes")
        content = stream.read(size)
        stream.read(-size % _BLOCK)
        left -= 0 if is_first else size
        longest, is_first = limits.FILE_BYTES, False
        yield name, content
    stream.end()


def _header(block: bytes) -> tuple[str, int]:
    """Return name and size of a plain file."""
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except UnicodeDecodeError:
        raise BundleMalformed("a name in it is not UTF-8") from None
    except (tarfile.HeaderError, ValueError) as error:
        raise BundleMalformed(f"it is no archive in the format of tar: {error}") from None
    shown = escaped(member.name)[:300]
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(member.type, f"of the type {member.type!r}")
        raise BundleMalformed(f"`{shown}` is {kind}, and no plain file; {_HOW}")
    if not _SIZE.fullmatch(block[124:136]):  # tarfile takes base 256, signs and underscores too
        raise BundleMalformed(f"`{shown}` has a size that is no octal number")
    return member.name, member.size


class _Inflated:
    """A stream of what gzip packed, unpacked only as far as it is read."""

    def __init__(self, data: bytes) -> None:
        if data[:2] != b"\x1f\x8b":
            raise BundleMalformed(f"it is not packed by gzip; {_HOW}")
        self._inflater = zlib.decompressobj(_GZIP)
        self._data = memoryview(data)
        self._at = 0
        self._pending = b""

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        chunks: list[bytes] = []
        while size:
            chunk = self._some(size)
            if not chunk:
                raise BundleMalformed("it is cut off")
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def end(self) -> None:
        """Check that nothing follows but padding."""
        left = _PADDING
        while chunk := self._some(_CHUNK):
            left -= len(chunk)
            if left < 0 or any(chunk):
                raise BundleMalformed("something follows the end of its archive")
        if self._inflater.unused_data or self._at < len(self._data):
            raise BundleMalformed("something follows the end of what gzip packed")

    def _some(self, most: int) -> bytes:
        """Return up to `most` bytes, none at the end."""
        while not self._inflater.eof:
            fed = self._pending
            if not fed:
                fed = bytes(self._data[self._at : self._at + _CHUNK])
                self._at += len(fed)
            try:
                chunk = self._inflater.decompress(fed, most)
            except zlib.error as error:
                raise BundleMalformed(f"it cannot be unpacked: {error}") from None
            self._pending = self._inflater.unconsumed_tail
            if chunk:
                return chunk
            if not fed and not self._inflater.eof:
                raise BundleMalformed("it is cut off")
        return b""
