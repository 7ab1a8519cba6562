"""The policy files of a commit: from the commit through its trees to the bytes of each file.

Input: a function that returns an object by its name, and limits. Output: the contents, by their
paths below the folder of the policies. The process that fetches and the daemon both use this walk:
the first finds the objects that are needed, the second checks each of them.

A commit is refused if it holds symbolic links, submodules, names that are not UTF-8 or that differ
only by case, or more files or bytes than allowed. Hidden entries are skipped, as in a directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from policyd.language import limits
from policyd.sources.policies.directory import Content
from policyd.sources.policies.git.objects import (
    ObjectMalformed,
    Signed,
    TreeEntry,
    read_commit,
    read_tag,
    tree_entries,
)
from policyd.sources.policies.model import Limits, PoliciesUnreadable
from policyd.sources.policies.names import is_policy, meant
from policyd.sources.policies.walk import DEPTH, ENTRIES, Misnamed, escaped

_TREE, _LINK, _SUBMODULE = "40000", "120000", "160000"
_FILES = ("100644", "100755", "100664")
#: The longest chain of tags that name each other.
_TAGS = 5

#: Returns kind and content of an object, up to a number of bytes. Raises `ObjectMalformed`, and
#: `PoliciesUnreadable` for longer ones.
ReadObject = Callable[[str, int], tuple[str, bytes]]

#: Commits, tags and trees up to this length are read.
_LONGEST_OBJECT = 16 * 1024 * 1024


class Files(msgspec.Struct, frozen=True):
    """The policy files of a commit; `misnamed` are files that were probably meant as policies."""

    contents: tuple[Content, ...]
    misnamed: tuple[Misnamed, ...]


def peel(id_: str, read: ReadObject) -> tuple[tuple[Signed, ...], str, Signed]:
    """Return the chain of tags that names a commit, the commit's id, and the commit.

    Raises `PoliciesUnreadable`, `ObjectMalformed`.
    """
    tags: list[Signed] = []
    for _ in range(_TAGS + 1):
        kind, data = read(id_, _LONGEST_OBJECT)
        if kind == "commit":
            return tuple(tags), id_, read_commit(id_, data)
        if kind != "tag":
            raise PoliciesUnreadable(f"{id_} is a {kind}, not a commit")
        tags.append(read_tag(id_, data))
        id_ = tags[-1].names
    raise PoliciesUnreadable(f"more than {_TAGS} tags lead from one to the next")


def files(commit: Signed, path: str, read: ReadObject, bounds: Limits) -> Files:
    """Return the policy files below `path` of a commit.

    Raises `PoliciesUnreadable`, `ObjectMalformed`.
    """
    walker = _Walker(read, bounds)
    walker.enter(_folder(commit, path, read), "", 0)
    contents = tuple(sorted(walker.contents, key=lambda one: one.name))
    if not any(not one.is_test for one in contents):
        where = f"in `{path}`" if path else "in it"
        raise PoliciesUnreadable(f"there are no policy files (`*.policy`) {where}")
    return Files(contents, tuple(sorted(walker.misnamed)))


def descends(id_: str, ancestor: str, read: ReadObject, has: Callable[[str], bool]) -> bool:
    """Tell whether a commit is the ancestor, or descends from it by commits that were fetched.

    Raises `PoliciesUnreadable`, `ObjectMalformed`.
    """
    seen, queue = {id_}, [id_]
    for one in queue:
        if one == ancestor:
            return True
        if not has(one):
            continue
        kind, data = read(one, _LONGEST_OBJECT)
        if kind != "commit":
            raise ObjectMalformed(f"the object {one} is a {kind}, not a commit")
        fresh = [parent for parent in read_commit(one, data).parents if parent not in seen]
        seen.update(fresh)
        queue.extend(fresh)
    return False


def _folder(commit: Signed, path: str, read: ReadObject) -> str:
    """Return the tree at a path."""
    id_, gone = commit.names, ""
    for step in path.split("/") if path else ():
        gone = f"{gone}/{step}".lstrip("/")
        found = {entry.name: entry for entry in _entries(id_, read)}.get(step.encode())
        if found is None:
            raise PoliciesUnreadable(f"there is no folder `{gone}`")
        if found.mode != _TREE:
            raise PoliciesUnreadable(f"`{gone}` is {_kind(found.mode)}, not a folder")
        id_ = found.id
    return id_


class _Walker:
    def __init__(self, read: ReadObject, bounds: Limits) -> None:
        self._read = read
        self._bounds = bounds
        self._entries = 0
        self._left = bounds.bytes
        self.contents: list[Content] = []
        self.misnamed: list[Misnamed] = []

    def enter(self, id_: str, prefix: str, depth: int) -> None:
        if depth > DEPTH:
            raise PoliciesUnreadable(f"there are more than {DEPTH} levels of folders: `{prefix}`")
        alike: dict[str, str] = {}
        for entry in _entries(id_, self._read):
            self._entries += 1
            if self._entries > ENTRIES:
                raise PoliciesUnreadable(f"there are more than {ENTRIES:,} entries")
            if entry.name.startswith(b"."):
                continue
            name = _name(entry, prefix)
            twin = alike.setdefault(name.casefold(), name)
            if twin is not name:
                raise PoliciesUnreadable(f"`{twin}` and `{name}` differ by case alone")
            self._take(entry, name, depth)

    def _take(self, entry: TreeEntry, name: str, depth: int) -> None:
        if entry.mode == _TREE:
            self.enter(entry.id, f"{name}/", depth + 1)
        elif entry.mode not in _FILES:
            raise PoliciesUnreadable(f"`{name}` is {_kind(entry.mode)}, which is not followed")
        elif is_policy(name):
            self.contents.append(Content(name, self._bytes(entry, name)))
        else:
            guess = meant(name.rpartition("/")[2])
            if guess is not None:
                self.misnamed.append(Misnamed(name, guess))

    def _bytes(self, entry: TreeEntry, name: str) -> bytes:
        if len(self.contents) == self._bounds.files:
            raise PoliciesUnreadable(
                f"there are more than {self._bounds.files:,} policy files (`max_files`)"
            )
        longest = min(limits.FILE_BYTES, self._left)
        try:
            kind, data = self._read(entry.id, longest)
        except PoliciesUnreadable:
            if longest < limits.FILE_BYTES:
                raise self._too_much() from None
            raise PoliciesUnreadable(
                f"`{name}` holds more than {limits.FILE_BYTES:,} bytes"
            ) from None
        if kind != "blob":
            raise ObjectMalformed(f"`{name}` is a {kind}, not a file")
        self._left -= len(data)
        return data

    def _too_much(self) -> PoliciesUnreadable:
        return PoliciesUnreadable(
            f"the policy files hold more than {self._bounds.bytes:,} bytes (`max_bytes`)"
        )


def _entries(id_: str, read: ReadObject) -> Iterator[TreeEntry]:
    kind, data = read(id_, _LONGEST_OBJECT)
    if kind != "tree":
        raise ObjectMalformed(f"the object {id_} is a {kind}, not a tree")
    return tree_entries(id_, data)


def _name(entry: TreeEntry, prefix: str) -> str:
    try:
        name = entry.name.decode()
    except UnicodeDecodeError:
        shown = entry.name.decode("utf-8", "backslashreplace")
        raise PoliciesUnreadable(f"the name `{prefix}{shown}` is not UTF-8") from None
    if escaped(name) != name:
        raise PoliciesUnreadable(f"the name `{prefix}{escaped(name)}` holds a hidden character")
    return f"{prefix}{name}"


def _kind(mode: str) -> str:
    kinds = {_TREE: "a folder", _LINK: "a symbolic link", _SUBMODULE: "a submodule"}
    return kinds.get(mode, "a file" if mode in _FILES else f"an entry of mode {mode}")
