"""Git's objects, read strictly: commits, annotated tags and trees.

An object is named by the SHA-1 of its kind, its length and its bytes; a reference from one object
to the next is such a name. So if each name on the path from a commit to a file is checked, the file
belongs to that commit, wherever the bytes came from. (gitformat-pack, git-cat-file)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from policyd.errors import PolicydError

ID: Final = re.compile(r"[0-9a-f]{40}")
_KINDS: Final = ("blob", "commit", "tag", "tree")
_PERSON: Final = re.compile(rb"[^<>\n]*<([^<>\n]*)> (\d+) [+-]\d{4}")
#: The fields that begin a head, in their order; `parent` may be repeated or missing.
_COMMIT: Final = (b"tree", b"parent", b"author", b"committer")
_TAG: Final = (b"object", b"type", b"tag", b"tagger")
_ARMORS: Final = (b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN PGP SIGNATURE-----")


class ObjectMalformed(PolicydError):
    """An object is malformed, or its bytes do not match its name."""


class TreeEntry(msgspec.Struct, frozen=True):
    """An entry of a tree: its mode in octal, its name as bytes, and the object that it names."""

    mode: str
    name: bytes
    id: str


class Signed(msgspec.Struct, frozen=True):
    """A commit or an annotated tag, with its signature.

    `names` is the tree of a commit or the object of a tag. `email` is the address of the committer
    or tagger. `payload` are the signed bytes; `signature` is `None` if the object is not signed.
    """

    kind: str
    names: str
    parents: tuple[str, ...]
    email: str
    time: int
    payload: bytes
    signature: bytes | None


def packed(kind: str, data: bytes) -> bytes:
    """Return the bytes whose SHA-1 is the name of an object."""
    return b"%s %d\0%s" % (kind.encode(), len(data), data)


def unpacked(id_: str, data: bytes) -> tuple[str, bytes]:
    """Return the kind and the content of an object's bytes. Raises `ObjectMalformed`."""
    # Git names objects by SHA-1; docs/git.md says what follows for policyd.
    if hashlib.sha1(data, usedforsecurity=False).hexdigest() != id_:
        raise ObjectMalformed(f"the object {id_} has other bytes than its name says")
    head, separator, content = data.partition(b"\0")
    kind, _, length = head.decode("ascii", "replace").partition(" ")
    if not separator or kind not in _KINDS or length != str(len(content)):
        raise ObjectMalformed(f"the object {id_} has no head")
    return kind, content


def tree_entries(id_: str, data: bytes) -> Iterator[TreeEntry]:
    """Yield the entries of a tree. Raises `ObjectMalformed`."""
    at = 0
    while at < len(data):
        space, end = data.find(b" ", at), data.find(b"\0", at)
        if not 0 < space < end or end + 21 > len(data):
            raise ObjectMalformed(f"the tree {id_} is cut off")
        mode, name = data[at:space], data[space + 1 : end]
        if not mode.isdigit() or not name or b"/" in name or name in (b".", b".."):
            raise ObjectMalformed(f"the tree {id_} has an entry that is none")
        yield TreeEntry(mode.decode(), name, data[end + 1 : end + 21].hex())
        at = end + 21


def read_commit(id_: str, data: bytes) -> Signed:
    """Read a commit. Raises `ObjectMalformed`."""
    listed = list(_fields(id_, data))
    fields = _ordered(id_, listed, _COMMIT)
    if b"gpgsig-sha256" in fields and b"gpgsig" not in fields:
        raise ObjectMalformed(f"the commit {id_} is signed for SHA-256 repositories alone")
    signature, payload = fields.get(b"gpgsig"), data
    if signature is not None:
        payload = _without_signatures(data)
    email, time = _person(id_, fields.get(b"committer"))
    parents = tuple(_id(id_, value) for name, value in listed if name == b"parent")
    tree = _id(id_, fields.get(b"tree"))
    return Signed("commit", tree, parents, email, time, payload, signature)


def read_tag(id_: str, data: bytes) -> Signed:
    """Read an annotated tag; its signature is at the end. Raises `ObjectMalformed`."""
    fields = _ordered(id_, list(_fields(id_, data)), _TAG)
    if fields.get(b"type") not in (b"commit", b"tag"):
        raise ObjectMalformed(f"the tag {id_} names no commit")
    email, time = _person(id_, fields.get(b"tagger"))
    starts = [at for at in (data.rfind(b"\n" + armor) for armor in _ARMORS) if at >= 0]
    signature = data[max(starts) + 1 :] if starts else None
    payload = data if signature is None else data[: len(data) - len(signature)]
    return Signed("tag", _id(id_, fields.get(b"object")), (), email, time, payload, signature)


def _fields(id_: str, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of a header, which ends at an empty line. A value may span several lines."""
    name, value = b"", b""
    for line in data.split(b"\n"):
        if line.startswith(b" ") and name:
            value += b"\n" + line[1:]
            continue
        if name:
            yield name, value
        if not line:
            return
        name, separator, value = line.partition(b" ")
        if not name or not separator:
            raise ObjectMalformed(f"the object {id_} has a field without a value")
    raise ObjectMalformed(f"the object {id_} is cut off")


def _ordered(
    id_: str, fields: list[tuple[bytes, bytes]], first: tuple[bytes, ...]
) -> dict[bytes, bytes]:
    """Return the fields of a head by their names. Raises `ObjectMalformed`.

    Git reads the first fields by their places, and ignores a further `tree` or `parent` after them.
    So a head with them elsewhere, or with two signatures, could mean something else to reviewers.
    """
    names = [name for name, _ in fields]
    own = [name for name in names if name in first]
    once = [name for name in own if name != b"parent"]
    misplaced = names[: len(own)] != sorted(own, key=first.index)
    if misplaced or len(once) != len(set(once)) or names.count(b"gpgsig") > 1:
        raise ObjectMalformed(f"the object {id_} has fields that are repeated, or out of order")
    return dict(fields)


def _without_signatures(data: bytes) -> bytes:
    """Return the signed bytes of a commit: all but the fields that hold signatures."""
    head, separator, message = data.partition(b"\n\n")
    kept: list[bytes] = []
    within = False
    for line in head.split(b"\n"):
        within = (within and line.startswith(b" ")) or line.startswith(
            (b"gpgsig ", b"gpgsig-sha256 ")
        )
        if not within:
            kept.append(line)
    return b"\n".join(kept) + separator + message


def _person(id_: str, value: bytes | None) -> tuple[str, int]:
    found = None if value is None else _PERSON.fullmatch(value)
    if found is None:
        raise ObjectMalformed(f"the object {id_} does not say who made it, and when")
    return found[1].decode("utf-8", "replace"), int(found[2])


def _id(id_: str, value: bytes | None) -> str:
    text = "" if value is None else value.decode("ascii", "replace")
    if not ID.fullmatch(text):
        raise ObjectMalformed(f"the object {id_} does not name another as it should")
    return text
