"""The walk from a commit to the bytes of its policies, over objects that are made here.

What the real git makes of such trees is tested in `test_source`.
"""

from __future__ import annotations

import pytest

from policyd.language import limits
from policyd.sources.policies.git import tree
from policyd.sources.policies.git.objects import ObjectMalformed, Signed
from policyd.sources.policies.git.tree import Files, descends, files, peel
from policyd.sources.policies.model import Limits, PoliciesUnreadable
from policyd.sources.policies.walk import DEPTH, ENTRIES, Misnamed
from tests.support.git_objects import FILE, FOLDER, Nested, Objects

PROGRAM, GROUP = "100755", "100664"
BOUNDS = Limits(files=10, bytes=1000)


class Store(Objects):
    """Objects, and the policies of a folder of them."""

    def commit_of(self, folder: str) -> Signed:
        return peel(self.commit(folder), self.read)[2]

    def files(self, entries: Nested | str, path: str = "", bounds: Limits = BOUNDS) -> Files:
        folder = entries if isinstance(entries, str) else self.folder(entries)
        return files(self.commit_of(folder), path, self.read, bounds)


@pytest.fixture
def store() -> Store:
    return Store()


def names(found: Files) -> list[str]:
    return [one.name for one in found.contents]


# -- from a name to a commit ----------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 5])
def test_tags_lead_to_a_commit(store: Store, count: int) -> None:
    commit = named = store.commit(store.folder({}))
    chain: list[str] = []
    for number in range(count):
        named = store.tag(named, "tag" if number else "commit")
        chain.append(named)
    tags, id_, found = peel(named, store.read)
    assert (id_, found.kind) == (commit, "commit")
    assert [one.names for one in tags] == [*reversed(chain[:-1]), commit][:count]


def test_a_longer_chain_of_tags_is_not_followed(store: Store) -> None:
    named = store.tag(store.commit(store.folder({})))
    for _ in range(5):
        named = store.tag(named, "tag")
    with pytest.raises(PoliciesUnreadable, match="more than 5 tags"):
        peel(named, store.read)


def test_what_is_no_commit_has_no_policies(store: Store) -> None:
    with pytest.raises(PoliciesUnreadable, match="is a tree, not a commit"):
        peel(store.folder({}), store.read)


# -- which commit follows which -------------------------------------------------------------------


def test_a_commit_descends_from_itself_and_from_each_line_of_its_parents(store: Store) -> None:
    folder = store.folder({})
    root = store.commit(folder)
    one, other = store.commit(folder, root), store.commit(store.folder({"x": b""}), root)
    merge = store.commit(folder, one, other)
    for ancestor in (merge, one, other, root):
        assert descends(merge, ancestor, store.read, store.has)
    assert not descends(one, other, store.read, store.has)
    assert not descends(root, one, store.read, store.has)


def test_an_ancestor_counts_though_it_was_not_fetched_and_nothing_behind_it(store: Store) -> None:
    known = "1" * 40
    commit = store.commit(store.folder({}), known)
    assert descends(commit, known, store.read, store.has)
    assert not descends(commit, "2" * 40, store.read, store.has)


def test_each_commit_of_a_history_of_merges_is_read_once(store: Store) -> None:
    """Fifteen pairs of branches are thirty thousand ways back."""
    folder, other = store.folder({}), store.folder({"x": b""})
    last = store.commit(folder)
    for _ in range(15):
        last = store.commit(folder, store.commit(folder, last), store.commit(other, last))
    read: list[str] = []

    def reading(id_: str, longest: int) -> tuple[str, bytes]:
        read.append(id_)
        return store.read(id_, longest)

    assert not descends(last, "1" * 40, reading, store.has)
    assert len(read) == len(set(read)) == 1 + 3 * 15


def test_a_parent_that_is_no_commit_is_damage(store: Store) -> None:
    folder = store.folder({})
    commit = store.commit(folder, folder)
    with pytest.raises(ObjectMalformed, match="is a tree, not a commit"):
        descends(commit, "1" * 40, store.read, store.has)


# -- from a commit to its files -------------------------------------------------------------------


def test_the_policies_of_all_folders_in_the_order_of_their_names(store: Store) -> None:
    entries: Nested = {
        "b.policy": b"b",
        "README": b"no policy",
        ".hidden.policy": b"no",
        ".git": {"c.policy": b"no"},
        "a": {"z.policy": b"z", "deep": {"y.policy": b"y"}},
        "a_test.policy": b"a test",
    }
    found = store.files(entries)
    assert names(found) == ["a/deep/y.policy", "a/z.policy", "a_test.policy", "b.policy"]
    assert [one.data for one in found.contents] == [b"y", b"z", b"a test", b"b"]
    assert found.misnamed == ()


@pytest.mark.parametrize("mode", [FILE, PROGRAM, GROUP])
def test_each_mode_of_a_file_is_one(store: Store, mode: str) -> None:
    folder = store.tree((mode, b"a.policy", store.add("blob", b"a")))
    assert names(store.files(folder)) == ["a.policy"]


def test_files_that_were_meant_as_policies_are_told_of(store: Store) -> None:
    found = store.files({"a.policy": b"a", "sub": {"b.polic": b"b"}, "c.Policy": b""})
    assert found.misnamed == (
        Misnamed("c.Policy", "c.policy"), Misnamed("sub/b.polic", "b.policy"),
    )  # fmt: skip


def test_a_path_leads_through_folders(store: Store) -> None:
    entries: Nested = {"sub": {"deep": {"a.policy": b"a"}}, "b.policy": b"b", "file": b""}
    assert names(store.files(entries, "sub/deep")) == ["a.policy"]
    assert names(store.files(entries, "sub")) == ["deep/a.policy"]
    for path, said in {
        "sub/none": r"there is no folder `sub/none`$",
        "none/sub": r"there is no folder `none`$",
        "file": "`file` is a file, not a folder",
    }.items():
        with pytest.raises(PoliciesUnreadable, match=said):
            store.files(entries, path)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("120000", "`a.policy` is a symbolic link, which is not followed"),
        ("160000", "`a.policy` is a submodule, which is not followed"),
        ("100600", "`a.policy` is an entry of mode 100600, which is not followed"),
    ],
)
def test_what_is_neither_a_file_nor_a_folder_is_refused(store: Store, mode: str, said: str) -> None:
    folder = store.tree((mode, b"a.policy", store.add("blob", b"a")))
    with pytest.raises(PoliciesUnreadable, match=said):
        store.files(folder)
    with pytest.raises(PoliciesUnreadable, match="not a folder"):
        store.files(folder, "a.policy")


def test_an_object_of_another_kind_than_its_entry_says_is_damage(store: Store) -> None:
    inner = store.folder({"b.policy": b"b"})
    with pytest.raises(ObjectMalformed, match=r"`a\.policy` is a tree, not a file"):
        store.files(store.tree((FILE, b"a.policy", inner)))
    with pytest.raises(ObjectMalformed, match="is a blob, not a tree"):
        store.files(store.tree((FOLDER, b"sub", store.add("blob", b""))))


@pytest.mark.parametrize("path", ["", "sub"])
def test_without_policies_there_is_nothing_to_serve(store: Store, path: str) -> None:
    where = "in `sub`" if path else "in it"
    with pytest.raises(PoliciesUnreadable, match=rf"no policy files .* {where}"):
        store.files({"sub": {"a_test.policy": b"", "b.txt": b""}}, path)


@pytest.mark.parametrize(
    ("twins", "said"),
    [
        ((b"A.policy", b"a.policy"), "`A.policy` and `a.policy` differ by case alone"),
        ((b"sub", b"SUB"), "`sub` and `SUB` differ by case alone"),
        ((b"a.policy", b"a.policy"), "`a.policy`"),
    ],
)
def test_names_that_one_file_system_takes_for_one_are_refused(
    store: Store, twins: tuple[bytes, bytes], said: str
) -> None:
    blob = store.add("blob", b"")
    with pytest.raises(PoliciesUnreadable, match=said):
        store.files(store.tree(*((FILE, name, blob) for name in twins)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"\xff.policy", r"the name `sub/\\xff.policy` is not UTF-8"),
        ("a\u202e.policy".encode(), r"the name `sub/a\\u202e.policy` holds a hidden character"),
    ],
)
def test_names_that_readers_cannot_tell_are_refused(store: Store, name: bytes, said: str) -> None:
    folder = store.tree((FOLDER, b"sub", store.tree((FILE, name, store.add("blob", b"")))))
    with pytest.raises(PoliciesUnreadable, match=said):
        store.files(folder)


# -- limits ---------------------------------------------------------------------------------------


def test_so_many_files_and_no_more(store: Store) -> None:
    entries: Nested = {f"{number}.policy": b"" for number in range(10)}
    assert len(names(store.files(entries))) == 10
    with pytest.raises(PoliciesUnreadable, match=r"more than 10 policy files \(`max_files`\)"):
        store.files(entries | {"one_more.policy": b""})


def test_so_many_bytes_in_all_and_no_more(store: Store) -> None:
    entries: Nested = {"a.policy": b"a" * 400, "b.policy": b"b" * 600}
    assert len(names(store.files(entries))) == 2
    with pytest.raises(PoliciesUnreadable, match=r"more than 1,000 bytes \(`max_bytes`\)"):
        store.files(entries | {"c.policy": b"c"})


def test_a_file_has_a_limit_of_its_own(store: Store) -> None:
    most = limits.FILE_BYTES
    large = Limits(files=10, bytes=3 * most)
    assert names(store.files({"a.policy": b"x" * most}, bounds=large)) == ["a.policy"]
    with pytest.raises(PoliciesUnreadable, match=rf"`a.policy` holds more than {most:,} bytes"):
        store.files({"a.policy": b"x" * (most + 1)}, bounds=large)
    both: Nested = {"a.policy": b"x" * most, "b.policy": b"x" * (most + 1)}
    with pytest.raises(PoliciesUnreadable, match=rf"`b.policy` holds more than {most:,} bytes"):
        store.files(both, bounds=Limits(files=10, bytes=2 * most))


def test_so_many_levels_of_folders_and_no_more(store: Store) -> None:
    def nested(depth: int) -> Nested:
        entries: Nested = {"a.policy": b"a"}
        for _ in range(depth):
            entries = {"d": entries}
        return entries

    (name,) = names(store.files(nested(DEPTH)))
    assert name.count("/") == DEPTH
    with pytest.raises(PoliciesUnreadable, match=f"more than {DEPTH} levels of folders: `d/"):
        store.files(nested(DEPTH + 1))


def test_so_many_entries_and_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ENTRIES >= 10_000
    monkeypatch.setattr(tree, "ENTRIES", 3)
    entries: Nested = {".a": b"", "b.policy": b"", "sub": {}}
    assert names(store.files(entries)) == ["b.policy"]
    with pytest.raises(PoliciesUnreadable, match="more than 3 entries"):
        store.files(entries | {"sub": {"c": b""}})
