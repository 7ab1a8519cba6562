"""Git's objects, against what git itself says of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from policyd.sources.policies.git.objects import (
    ObjectMalformed,
    packed,
    read_commit,
    read_tag,
    tree_entries,
    unpacked,
)
from tests.support.git import EMAIL, Repository, ssh_key

ID = "1" * 40
HEAD = f"tree {ID}\nauthor J <{EMAIL}> 1 +0000\ncommitter J <{EMAIL}> 2 +0000\n\nwords\n".encode()


def test_the_objects_of_a_real_commit(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    parent = repository.commit({"a.policy": "api a\n"})
    key = ssh_key(tmp_path, "key")
    repository.write({"sub/b.policy": "api b\n"})
    repository.git(*key.signing(), "commit", "-q", "-S", "-m", "signed\n\n gpgsig in words")
    commit = repository.head
    data = (repository.git("cat-file", "commit", commit) + "\n").encode()
    assert unpacked(commit, packed("commit", data)) == ("commit", data)
    read = read_commit(commit, data)
    assert read.names == repository.git("rev-parse", "HEAD^{tree}")
    assert (read.parents, read.email) == ((parent,), EMAIL)
    assert read.signature is not None
    assert read.signature.startswith(b"-----BEGIN SSH SIGNATURE-----\n")
    assert read.signature.endswith(b"-----END SSH SIGNATURE-----")
    assert b"\ngpgsig " not in read.payload
    assert read.payload.endswith(b"\n\nsigned\n\n gpgsig in words\n")


def test_a_signed_tag(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    commit = repository.commit({"a.policy": "api a\n"})
    key = ssh_key(tmp_path, "key")
    repository.git(*key.signing(), "tag", "-s", "v1", "-m", "one")
    data = (repository.git("cat-file", "tag", "v1") + "\n").encode()
    read = read_tag("v1", data)
    assert (read.kind, read.names, read.email) == ("tag", commit, EMAIL)
    assert read.signature is not None
    assert read.signature.startswith(b"-----BEGIN SSH SIGNATURE-----\n")
    assert read.payload.endswith(b"\n\none\n")
    assert read.payload + read.signature == data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (HEAD.replace(b"tree ", b"root "), "out of order"),
        (HEAD.replace(ID.encode(), b"x"), "does not name another"),
        (HEAD.replace(b"committer", b"carrier"), "who made it"),
        (HEAD.replace(b"2 +0000", b"soon"), "who made it"),
        (HEAD.partition(b"\n\n")[0], "cut off"),
        (HEAD.replace(b"author J", b"nothing\nauthor J"), "without a value"),
        (b" indented\n" + HEAD, "without a value"),
        (HEAD.replace(b"\n\n", b"\ngpgsig-sha256 x\n\n"), "SHA-256"),
        (b"", "who made it"),
    ],
)
def test_a_commit_that_is_none(data: bytes, said: str) -> None:
    assert read_commit(ID, HEAD).names == ID
    with pytest.raises(ObjectMalformed, match=said):
        read_commit(ID, data)


OTHER = "2" * 40
TAG = (
    f"object {ID}\ntype commit\ntag v1\ntagger J <{EMAIL}> 2 +0000\n\nwords\n".encode()
)  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        HEAD.replace(b"\n\n", f"\ntree {OTHER}\n\n".encode(), 1),
        HEAD.replace(b"\n\n", f"\nparent {OTHER}\n\n".encode(), 1),
        HEAD.replace(b"\n\n", f"\ncommitter E <{EMAIL}> 3 +0000\n\n".encode(), 1),
        HEAD.replace(b"author", f"tree {OTHER}\nauthor".encode(), 1),
        f"parent {OTHER}\n".encode() + HEAD,
        b"encoding x\n" + HEAD,
        HEAD.replace(b"\n\n", b"\ngpgsig a\ngpgsig b\n\n", 1),
    ],
)
def test_a_commit_means_what_git_reads_of_it(data: bytes) -> None:
    """Git reads tree and parents by their places, and passes over others that follow."""
    more = HEAD.replace(b"author", f"parent {OTHER}\nparent {ID}\nauthor".encode(), 1)
    assert read_commit(ID, more.replace(b"\n\n", b"\nencoding x\n\n", 1)).parents == (OTHER, ID)
    with pytest.raises(ObjectMalformed, match="repeated, or out of order"):
        read_commit(ID, data)


@pytest.mark.parametrize(
    "data",
    [
        TAG.replace(b"\n\n", f"\nobject {OTHER}\n\n".encode(), 1),
        TAG.replace(b"type", f"object {OTHER}\ntype".encode(), 1),
        TAG.replace(b"\n\n", f"\ntagger E <{EMAIL}> 3 +0000\n\n".encode(), 1),
        b"type commit\n" + TAG.replace(b"type commit\n", b""),
    ],
)
def test_a_tag_means_what_git_reads_of_it(data: bytes) -> None:
    assert read_tag(ID, TAG).names == ID
    with pytest.raises(ObjectMalformed, match="repeated, or out of order"):
        read_tag(ID, data)


def test_a_tag_of_anything_but_a_commit_or_a_tag_is_refused() -> None:
    assert read_tag(ID, TAG.replace(b"type commit", b"type tag")).names == ID
    with pytest.raises(ObjectMalformed, match="names no commit"):
        read_tag(ID, TAG.replace(b"type commit", b"type tree"))


def test_what_was_signed_is_all_but_the_signatures() -> None:
    merge = b"mergetag object x\n type commit\n \n words\n"
    signed = HEAD.replace(
        b"\n\n", b"\n" + merge + b"gpgsig a\n b\ngpgsig-sha256 c\n d\nlast x\n\n", 1
    )
    read = read_commit(ID, signed)
    assert read.signature == b"a\nb"
    assert read.payload == HEAD.replace(b"\n\n", b"\n" + merge + b"last x\n\n", 1)


@pytest.mark.parametrize("kind", [b"SSH", b"PGP"])
def test_the_signature_of_a_tag_is_what_the_last_armor_begins(kind: bytes) -> None:
    signature = b"-----BEGIN %s SIGNATURE-----\nx\n" % kind
    words = TAG + b"-----BEGIN PGP SIGNATURE-----\n-----BEGIN SSH SIGNATURE-----\n"
    read = read_tag(ID, words + signature)
    assert (read.payload, read.signature) == (words, signature)
    unsigned = read_tag(ID, TAG)
    assert (unsigned.payload, unsigned.signature) == (TAG, None)


def test_the_entries_of_a_tree() -> None:
    entries = [("40000", b"sub", ID), ("100644", b"a b.policy", OTHER)]
    data = b"".join(b"%s %s\0" % (m.encode(), n) + bytes.fromhex(i) for m, n, i in entries)
    assert [(one.mode, one.name, one.id) for one in tree_entries(ID, data)] == entries
    assert list(tree_entries(ID, b"")) == []


_CUT, _NONE = "is cut off", "has an entry that is none"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"100644 a\0" + b"x" * 19, _CUT),
        (b"100644 a", _CUT),
        (b"100644\0 " + b"x" * 20, _CUT),
        (b" a\0" + b"x" * 20, _CUT),
        (b"100644 \0" + b"x" * 20, _NONE),
        (b"rw a\0" + b"x" * 20, _NONE),
        (b"100644 a/b\0" + b"x" * 20, _NONE),
        (b"40000 .\0" + b"x" * 20, _NONE),
        (b"40000 ..\0" + b"x" * 20, _NONE),
    ],
)
def test_a_tree_that_is_none(data: bytes, said: str) -> None:
    with pytest.raises(ObjectMalformed, match=said):
        list(tree_entries(ID, data))


def name_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("kind", ["blob", "commit", "tag", "tree"])
def test_an_object_has_the_name_that_its_bytes_give_it(kind: str) -> None:
    data = packed(kind, b"words")
    assert unpacked(name_of(data), data) == (kind, b"words")
    with pytest.raises(ObjectMalformed, match="has other bytes than its name says"):
        unpacked(ID, data)


@pytest.mark.parametrize("data", [b"blob 3\0hi", b"hi", b"song 2\0hi", b"blob 0"])
def test_bytes_without_a_head(data: bytes) -> None:
    with pytest.raises(ObjectMalformed, match="has no head"):
        unpacked(name_of(data), data)
