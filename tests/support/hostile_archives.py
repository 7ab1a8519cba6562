"""Archives that attack who reads them: each is refused, whatever it would unpack to.

`ATTACKS` are functions that make the bytes, by what they try. They are made when they are needed,
since some are long.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

GOOD: Final = {"a.policy": b"api a\n", "b/c.policy": b"api c\n"}
MEBIBYTE: Final = 1024 * 1024
Attack = Callable[[], bytes]
Member = tuple[bytes, bytes]


def manifest(files: Mapping[str, bytes], /, **changes: object) -> bytes:
    """Return a manifest of files, with fields changed; `None` removes one."""
    fields: dict[str, object] = {
        "format": 1,
        "name": "orders",
        "sequence": 42,
        "created": "2026-12-01T00:00:00Z",
        "language": "1",
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        **changes,
    }
    kept = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(kept).encode("utf-8", "surrogatepass")


def header(
    name: bytes,
    size: int | bytes,
    kind: bytes = b"0",
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """Return a header of ustar (POSIX.1), with fields that no library would write."""
    length = size if isinstance(size, bytes) else b"%011o\0" % size
    numbers = b"0000644\0" + b"0000000\0" * 2 + length + b"00000000000\0"
    block = name[:100].ljust(100, b"\0") + numbers + b" " * 8 + kind + link.ljust(100, b"\0")
    block += magic + bytes(80) + prefix.ljust(155, b"\0") + bytes(12)
    counted = b"%06o\0 " % sum(block) if checksum is None else checksum
    return block[:148] + counted + block[156:]


def padded(data: bytes) -> bytes:
    """Return bytes filled up to whole blocks."""
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes, **fields: object) -> bytes:
    """Return a member with its header."""
    return header(name, len(data), **fields) + padded(data)  # type: ignore[arg-type]


def tar(*members: bytes, end: bytes = bytes(1024)) -> bytes:
    """Return an archive of members."""
    return b"".join(members) + end


def packed(*members: bytes, end: bytes = bytes(1024)) -> bytes:
    """Return an archive of members, packed by gzip."""
    return gzip.compress(tar(*members, end=end), mtime=0)


def _of(files: Mapping[str, bytes], /, **changes: object) -> list[bytes]:
    """Return the members of a bundle."""
    first = member(b"manifest.json", manifest(files, **changes))
    return [first, *(member(name.encode(), data) for name, data in files.items())]


def good() -> bytes:
    """Return a bundle that is taken."""
    return packed(*_of(GOOD))


_NAMES: Final = {
    "up": "../x.policy",
    "up from below": "a/../../x.policy",
    "up at the end": "a/..",
    "up in the middle": "a/../x.policy",
    "only up": "..",
    "many ups": "../" * 20 + "etc/x.policy",
    "absolute": "/etc/x.policy",
    "absolute, twice": "//etc/x.policy",
    "this folder": "./x.policy",
    "this folder within": "a/./x.policy",
    "an empty step": "a//x.policy",
    "a slash at the end": "a/x.policy/",
    "a drive": "C:x.policy",
    "a drive with a slash": "C:/x.policy",
    "a drive with a backslash": "C:\\x.policy",
    "backslashes up": "..\\..\\x.policy",
    "a share": "\\\\host\\share\\x.policy",
    "hidden": ".x.policy",
    "in a hidden folder": "a/.git/x.policy",
    "a hook of git": ".git/hooks/post-checkout",
    "a line end": "x\n.policy",
    "an escape sequence": "x\x1b[2J.policy",
    "a bell": "x\x07.policy",
    "DEL": "x\x7f.policy",
    "written from right to left": "x\u202eycilop.policy",
    "no width": "x\u200b.policy",
    "a byte order mark": "\ufeffx.policy",
    "another name": "x.txt",
    "the configuration": "policyd.toml",
    "no name": "",
    "a manifest below": "a/manifest.json",
    "a manifest in capitals": "MANIFEST.JSON",
    "many levels": "a/" * 60 + "x.policy",
}


def _named(name: str) -> bytes:
    """Return a bundle whose manifest has a name, too."""
    return packed(*_of({**GOOD, name: b"api x\n"}))


def _unnamed(name: str) -> bytes:
    """Return a bundle with a file that its manifest does not have."""
    data = name.encode("utf-8", "surrogatepass")
    return packed(*_of(GOOD), member(data, b"api x\n"))


def _names() -> Iterator[tuple[str, Attack]]:
    for what, name in _NAMES.items():
        yield f"name, in the manifest: {what}", partial(_named, name)
        yield f"name, beside the manifest: {what}", partial(_unnamed, name)
    raw = {"bytes that are no UTF-8": b"x\xff.policy", "half a surrogate": b"x\xed\xa0\x80.policy"}
    for what, data in raw.items():
        yield f"name: {what}", partial(packed, *_of(GOOD), member(data, b"api x\n"))
    yield "name: half a surrogate in the manifest", partial(_named_in_manifest, "x\ud800.policy")
    yield (
        "name: up in the prefix",
        lambda: packed(*_of(GOOD), header(b"x.policy", 0, prefix=b"../../etc")),
    )
    yield (
        "name: a zero byte",
        lambda: packed(*_of(GOOD), member(b"a.policy\0../../x.policy", GOOD["a.policy"])),
    )
    yield "name: too long", partial(_named_in_manifest, "x" * 300 + ".policy")


def _named_in_manifest(name: str) -> bytes:
    files = {**GOOD, name: b"api x\n"}
    return packed(member(b"manifest.json", manifest(files)), *_of(GOOD)[1:])


_TYPES: Final = b"123456789xgLKSDMNVXAZ \xff"


def _types() -> Iterator[tuple[str, Attack]]:
    for number in _TYPES:
        kind = bytes([number])
        for link in (b"", b"../../../etc/passwd"):
            yield f"type {kind!r} to {link!r}", partial(_typed, kind, link)
    yield "type: a folder by its slash", lambda: packed(*_of(GOOD), header(b"d/", 0, b"\0"))
    yield "type: a link before the manifest", lambda: packed(_link(), *_of(GOOD))
    yield (
        "type: a link, then a file through it",
        lambda: packed(
            *_of({**GOOD, "l.policy": b"x"})[:3], _link(b"l.policy"), member(b"l.policy", b"x")
        ),
    )


def _link(name: bytes = b"l") -> bytes:
    return header(name, 0, b"2", b"/etc")


def _typed(kind: bytes, link: bytes) -> bytes:
    files = {**GOOD, "x.policy": b""}
    return packed(*_of(files)[:-1], header(b"x.policy", 0, kind, link))


def _pax(*records: tuple[bytes, bytes]) -> bytes:
    made = b""
    for name, value in records:
        rest = b" " + name + b"=" + value + b"\n"
        length = len(rest)
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        made += str(length).encode() + rest
    return made


_PAX: Final = {
    "path": [(b"path", b"../../x.policy")],
    "an absolute path": [(b"path", b"/etc/x.policy")],
    "size": [(b"size", b"99999999999")],
    "a size below zero": [(b"size", b"-1")],
    "linkpath": [(b"linkpath", b"/etc/passwd")],
    "sparse 0.0": [(b"GNU.sparse.size", b"9999999999"), (b"GNU.sparse.numblocks", b"1")],
    "sparse 0.1": [(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"9999999999")],
    "sparse 1.0": [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")],
    "sparse name": [(b"GNU.sparse.name", b"../x.policy")],
    "binary names": [(b"hdrcharset", b"BINARY"), (b"path", b"\xff")],
    "times": [(b"mtime", b"1e400")],
    "owner": [(b"uname", b"root"), (b"uid", b"0")],
    "extended attributes": [(b"SCHILY.xattr.security.capability", b"\x01")],
    "nothing": [],
}


def _extended() -> Iterator[tuple[str, Attack]]:
    for kind in (b"x", b"g"):
        for what, records in _PAX.items():
            data = _pax(*records)
            yield (
                f"PAX {kind.decode()}: {what}",
                partial(packed, *_of(GOOD)[:2], member(b"pax", data, kind=kind), *_of(GOOD)[2:]),
            )
    broken = {
        "a length that lies": b"999 path=x\n",
        "no length": b"path=x\n",
        "zero": b"0 path=x\n",
    }
    for what, data in broken.items():
        yield f"PAX: {what}", partial(packed, member(b"pax", data, kind=b"x"), *_of(GOOD))
    for kind in (b"x", b"g", b"L", b"K"):
        yield (
            f"a header of type {kind.decode()} that says it is long",
            partial(packed, header(b"long", 0o77777777777, kind), *_of(GOOD)),
        )
    yield (
        "a long name of GNU's",
        lambda: packed(
            *_of(GOOD), member(b"././@LongLink", b"../x.policy\0", kind=b"L"), member(b"y", b"")
        ),
    )


_SIZES: Final[Mapping[str, bytes]] = {
    "below zero": b"\xff" * 12,
    "one below zero in base 256": b"\xff" + b"\xff" * 11,
    "beyond all in base 256": b"\x80" + b"\x7f" * 11,
    "2^63 in base 256": b"\x80\0\0\0" + (2**63).to_bytes(8, "big"),
    "8 GiB in octal": b"77777777777\0",
    "letters": b"zzzzzzzzzzz\0",
    "a sign": b"-0000000001\0",
    "more than is there": b"00000010000\0",
    "less than is there": b"00000000001\0",
    "underscores": b"0_0_0_0_0_6\0",
}


def _sizes() -> Iterator[tuple[str, Attack]]:
    for what, size in _SIZES.items():
        yield (
            f"size: {what}",
            partial(
                packed, _of(GOOD)[0], header(b"a.policy", size) + padded(b"api a\n"), _of(GOOD)[2]
            ),
        )
        yield (
            f"size of the manifest: {what}",
            partial(
                packed, header(b"manifest.json", size) + padded(manifest(GOOD)), *_of(GOOD)[1:]
            ),
        )


def _structure() -> Iterator[tuple[str, Attack]]:
    members = _of(GOOD)
    swapped = dict(zip(GOOD, reversed(GOOD.values()), strict=True))
    yield (
        "a checksum that is wrong",
        lambda: packed(
            members[0],
            header(b"a.policy", 6, checksum=b"000000\0 ") + padded(b"api a\n"),
            members[2],
        ),
    )
    yield (
        "no checksum",
        lambda: packed(
            members[0], header(b"a.policy", 6, checksum=bytes(8)) + padded(b"api a\n"), members[2]
        ),
    )
    yield "an empty block in the middle", lambda: packed(*members[:2], bytes(512), members[2])
    yield "no end", lambda: packed(*members, end=b"")
    yield "half an end", lambda: packed(*members, end=bytes(100))
    yield "text after the end", lambda: packed(*members, end=bytes(1024) + b"x" * 512)
    yield "an archive after the end", lambda: packed(*members, end=bytes(1024) + tar(*members))
    yield "a long end", lambda: packed(*members, end=bytes(MEBIBYTE))
    yield "a second part of gzip's", lambda: good() + gzip.compress(b"x")
    yield "an empty part of gzip's", lambda: good() + gzip.compress(b"")
    yield "text after gzip", lambda: good() + b"x"
    yield "zeros after gzip", lambda: good() + bytes(512)
    yield "a checksum of gzip's that is wrong", lambda: good()[:-8] + bytes(4) + good()[-4:]
    yield "a length of gzip's that is wrong", lambda: good()[:-4] + b"\xff" * 4
    yield "a method that gzip does not have", lambda: good()[:2] + b"\x07" + good()[3:]
    yield "bits that gzip keeps", lambda: good()[:3] + b"\xe0" + good()[4:]
    yield "nothing but an end", lambda: packed()
    yield "no manifest", lambda: packed(*members[1:])
    yield "the manifest last", lambda: packed(*members[1:], members[0])
    yield "the manifest alone", lambda: packed(members[0])
    yield "two manifests", lambda: packed(members[0], *members)
    yield (
        "another manifest at the end",
        lambda: packed(*members, member(b"manifest.json", manifest(GOOD, sequence=99))),
    )
    yield "a file twice", lambda: packed(*members, members[1])
    yield (
        "a file twice, with other bytes",
        lambda: packed(*members, member(b"a.policy", b"api z\n")),
    )
    yield "a file missing", lambda: packed(*members[:2])
    yield "a file too many", lambda: packed(*members, member(b"z.policy", b"api z\n"))
    yield "files exchanged", lambda: packed(members[0], *_of(swapped)[1:])
    yield "other bytes", lambda: packed(*members[:2], member(b"b/c.policy", b"api x\n"))
    yield "no bytes", lambda: packed(*members[:2], member(b"b/c.policy", b""))
    yield "tests alone", lambda: packed(*_of({"a_test.policy": b"api a\n"}))
    yield "no files", lambda: packed(*_of({}))


_ALIKE: Final[Sequence[tuple[str, str]]] = (
    ("A.policy", "a.policy"),
    ("a/x.policy", "A/y.policy"),
    ("stra\u00dfe.policy", "strasse.policy"),
    ("\u00e9.policy", "e\u0301.policy"),
    ("\u212a.policy", "k.policy"),
    ("\u03c3.policy", "\u03c2.policy"),
    ("x.policy", "x.policy/y.policy"),
    ("d/x.policy/y.policy", "d/x.policy"),
)


def _alike() -> Iterator[tuple[str, Attack]]:
    for one, other in _ALIKE:
        files = {one: b"api a\n", other: b"api b\n"}
        yield f"alike: {one} and {other}", partial(packed, *_of(files))


_MANIFESTS: Final[Mapping[str, Mapping[str, object]]] = {
    "a later format": {"format": 2},
    "no format": {"format": None},
    "a field that it does not know": {"path": "policies"},
    "sequence 0": {"sequence": 0},
    "a sequence below zero": {"sequence": -1},
    "a fraction": {"sequence": 1.5},
    "a sequence beyond all": {"sequence": 2**64},
    "a sequence in text": {"sequence": "42"},
    "no sequence": {"sequence": None},
    "no name": {"name": None},
    "an empty name": {"name": ""},
    "a name that leads up": {"name": "../orders"},
    "a name of lines": {"name": "orders\norders"},
    "a time without a zone": {"created": "2026-12-01T00:00:00"},
    "no time": {"created": "now"},
    "an expiry that is no time": {"expires": "never"},
    "files in a list": {"files": ["a.policy"]},
    "a digest in capitals": {"files": {"a.policy": "A" * 64}},
    "a digest cut off": {"files": {"a.policy": "a" * 63}},
    "a digest of another kind": {"files": {"a.policy": "a" * 128}},
    "a commit that is none": {"commit": "HEAD"},
}


def _manifests() -> Iterator[tuple[str, Attack]]:
    rest = _of(GOOD)[1:]
    for what, changes in _MANIFESTS.items():
        data = manifest(GOOD, **changes)
        yield f"manifest: {what}", partial(packed, member(b"manifest.json", data), *rest)
    raw = {
        "no JSON": b"format: 1\n",
        "nothing": b"",
        "a list": b"[]",
        "UTF-16": manifest(GOOD).decode().encode("utf-16"),
        "text after it": manifest(GOOD) + b"{}",
        "many levels": b"[" * 100_000,
        "a number without end": b'{"format": ' + b"9" * 100_000,
        "not a number": b'{"format": NaN}',
    }
    for what, data in raw.items():
        yield f"manifest: {what}", partial(packed, member(b"manifest.json", data), *rest)


def _packers() -> Iterator[tuple[str, Attack]]:
    plain = tar(*_of(GOOD))
    yield "not packed", lambda: plain
    yield "packed by bzip2", lambda: bz2.compress(plain)
    yield "packed by xz", lambda: lzma.compress(plain)
    yield "packed by lzma", lambda: lzma.compress(plain, lzma.FORMAT_ALONE)
    yield "packed by zlib", lambda: zlib.compress(plain)
    yield "packed by deflate alone", lambda: zlib.compress(plain)[2:-4]
    yield "packed by gzip, twice", lambda: gzip.compress(gzip.compress(plain))
    yield "the head of zstd", lambda: b"\x28\xb5\x2f\xfd" + plain
    yield "the head of compress", lambda: b"\x1f\x9d" + plain
    yield "a zip", _zip
    yield "nothing", lambda: b""
    yield "one byte", lambda: b"\x1f"
    yield "the head of gzip alone", lambda: b"\x1f\x8b"
    yield "nothing, packed", lambda: gzip.compress(b"")
    yield "text, packed", lambda: gzip.compress(b"policies\n" * 1000)


def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("manifest.json", manifest(GOOD))
    return made.getvalue()


def _cuts() -> Iterator[tuple[str, Attack]]:
    for part in range(1, 25):
        yield f"cut off after {part} parts of 25", partial(_cut, part)


def _cut(part: int) -> bytes:
    whole = good()
    return whole[: len(whole) * part // 25]


def _zeros(before: bytes, mebibytes: int) -> bytes:
    """Return what gzip would make of some bytes and then so many mebibytes of zeros.

    The same packed mebibyte again and again: nobody has to pack ten thousand of them.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    made = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    chunk = raw.compress(bytes(MEBIBYTE)) + raw.flush(zlib.Z_FULL_FLUSH)
    return made + chunk * mebibytes


_BOMBS: Final = (10, 100, 1024, 10 * 1024)


def _bombs() -> Iterator[tuple[str, Attack]]:
    for mebibytes in _BOMBS:
        size = min(mebibytes * MEBIBYTE, 0o77777777777)
        heads = {
            "in a file": tar(_of(GOOD)[0], header(b"a.policy", size), end=b""),
            "in the manifest": header(b"manifest.json", size),
            "after the end": tar(*_of(GOOD)),
            "at the beginning": b"",
            "in an extended header": tar(_of(GOOD)[0], header(b"x", size, b"x"), end=b""),
            "in a long name": header(b"x", size, b"L"),
        }
        for where, head in heads.items():
            yield f"a bomb of {mebibytes} MiB {where}", partial(_zeros, head, mebibytes)
    yield "a bomb of many files", partial(_many, 3000)
    yield "a bomb of headers", lambda: packed(*_of(GOOD), header(b"a.policy", 0) * 3000)
    yield (
        "a bomb in a name of gzip's",
        lambda: (
            (b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * (2 * MEBIBYTE) + b"\0" + good()[10:]) + b"x"
        ),
    )


def _many(number: int) -> bytes:
    return packed(*_of({f"f{one}.policy": b"" for one in range(number)}))


def made_by_tarfile(kind: int) -> bytes:
    """Return a bundle that Python's own library wrote, in one of its formats."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=kind) as archive:
        for name, data in (("manifest.json", manifest(GOOD)), *GOOD.items()):
            one = tarfile.TarInfo(name)
            one.size = len(data)
            archive.addfile(one, io.BytesIO(data))
    return made.getvalue()


ATTACKS: Final[Mapping[str, Attack]] = {
    what: attack
    for attacks in (
        _names,
        _types,
        _extended,
        _sizes,
        _structure,
        _alike,
        _manifests,
        _packers,
        _cuts,
        _bombs,
    )
    for what, attack in attacks()
}
