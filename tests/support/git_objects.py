"""Git's objects, made without git: trees, commits and tags, as a fetch leaves them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from policyd.sources.policies.git.objects import ObjectMalformed, packed
from policyd.sources.policies.model import PoliciesUnreadable
from policyd.sources.policies.signatures import ssh

FOLDER, FILE = "40000", "100644"
EMAIL = "jane@example.com"
_PERSON = f"Jane <{EMAIL}> 1 +0000"
Nested = dict[str, "bytes | Nested"]


class Objects:
    """Objects by their names."""

    def __init__(self) -> None:
        self.by_name: dict[str, tuple[str, bytes]] = {}

    def add(self, kind: str, data: bytes) -> str:
        """Add an object; return its name, as every method here does."""
        id_ = hashlib.sha1(packed(kind, data), usedforsecurity=False).hexdigest()
        self.by_name[id_] = (kind, data)
        return id_

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        """Add a tree of entries: mode, name, and the object that each names."""
        rows = [
            b"%b %b\0%b" % (mode.encode(), name, bytes.fromhex(id_)) for mode, name, id_ in entries
        ]
        return self.add("tree", b"".join(rows))

    def folder(self, entries: Nested) -> str:
        """Add a folder with its files and folders."""
        rows = []
        for name, entry in entries.items():
            if isinstance(entry, bytes):
                rows.append((FILE, name.encode(), self.add("blob", entry)))
            else:
                rows.append((FOLDER, name.encode(), self.folder(entry)))
        return self.tree(*rows)

    def commit(self, folder: str, *parents: str, key: bytes | None = None) -> str:
        """Add a commit of a folder, signed by an SSH key if there is one."""
        heads = "".join(f"parent {one}\n" for one in parents)
        head = f"tree {folder}\n{heads}author {_PERSON}\ncommitter {_PERSON}\n"
        words = "\nwords\n"
        signed = ""
        if key is not None:
            made = ssh.sign((head + words).encode(), key, "git").decode().rstrip("\n")
            signed = "gpgsig " + made.replace("\n", "\n ") + "\n"
        return self.add("commit", (head + signed + words).encode())

    def tag(self, names: str, kind: str = "commit", key: bytes | None = None) -> str:
        """Add a tag of a commit or of a tag, signed by an SSH key if there is one."""
        data = f"object {names}\ntype {kind}\ntag t\ntagger {_PERSON}\n\nwords\n".encode()
        if key is not None:
            data += ssh.sign(data, key, "git")
        return self.add("tag", data)

    def read(self, id_: str, longest: int) -> tuple[str, bytes]:
        """Return kind and content of an object. Raises what `Exported.read` raises."""
        if id_ not in self.by_name:
            raise ObjectMalformed(f"the object {id_} was not fetched")
        kind, data = self.by_name[id_]
        if len(data) > longest:
            raise PoliciesUnreadable(f"the object {id_} holds more than {longest:,} bytes")
        return kind, data

    def has(self, id_: str) -> bool:
        """Tell whether an object is there."""
        return id_ in self.by_name

    def write(self, folder: Path) -> None:
        """Write all to a folder, as the process that fetches does."""
        for id_, (kind, data) in self.by_name.items():
            (folder / id_).write_bytes(packed(kind, data))
