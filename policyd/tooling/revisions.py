"""The policies of a revision: a folder, or a commit of the repository around it.

Of a commit, git's objects are read, whatever the work tree holds and whatever its attributes would
hide from an archive. Nothing is checked out, and no hook or filter runs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from policyd.diagnostics import Diagnostic, Source, has_errors
from policyd.diagnostics.render import first_error
from policyd.errors import PolicydError
from policyd.language import load
from policyd.language.limits import FILE_BYTES
from policyd.language.parser import TEST_SUFFIX
from policyd.language.policy import PolicySet
from policyd.language.text import read as read_text
from policyd.tooling.files import Wanted
from policyd.tooling.policies import load_policies

#: Modes of what git takes for a file; what else there is, such as a link, is none.
_FILES: Final = ("100644", "100755")
_SECONDS: Final = 60


class RevisionUnusable(PolicydError):
    """There is no such revision, or its policies do not load."""


class Policies(msgspec.Struct, frozen=True, eq=False):
    """The policies of a revision, by the name that it was asked for by."""

    name: str
    policies: PolicySet


def read_revision(name: str, folder: Path) -> Policies:
    """Read a revision: a folder or file of this name, else a commit, of which `folder` is read.

    Raises `RevisionUnusable`, `FilesUnusable`.
    """
    path = Path(name)
    if path.exists():
        loaded = load_policies((path,), Wanted.POLICIES)
        return Policies(name, _sound(name, loaded.policies, loaded.diagnostics))
    sources, found = committed(name, folder)
    if has_errors(found):
        raise RevisionUnusable(f"{name}: {first_error(found)}")
    made = load(sources)
    return Policies(name, _sound(name, made.policies, made.diagnostics))


def _sound(name: str, policies: PolicySet | None, found: Sequence[Diagnostic]) -> PolicySet:
    if policies is None:
        raise RevisionUnusable(f"the policies of {name} do not load: {first_error(found)}")
    return policies


def committed(name: str, folder: Path) -> tuple[list[Source], list[Diagnostic]]:
    """Return the policy files of a commit below a folder, and what is wrong with their bytes.

    Raises `RevisionUnusable`.
    """
    root = Path(git(folder, "rev-parse", "--show-toplevel", of=name).decode().rstrip("\n"))
    commit = git(
        folder,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{name}^{{commit}}",
        of=name,
    )
    below = folder.resolve().relative_to(root.resolve()).as_posix()
    listed = git(
        root, "ls-tree", "-r", "-z", "--full-tree", commit.decode().strip(), "--", below, of=name
    )
    sources: list[Source] = []
    found: list[Diagnostic] = []
    for entry in listed.split(b"\0"):
        if not entry:
            continue
        meta, _, path = entry.partition(b"\t")
        mode, _, identity = meta.decode().split(" ")
        file = path.decode("utf-8", "surrogateescape")
        if not _is_policy(file):
            continue
        if mode not in _FILES:
            raise RevisionUnusable(f"{file} in {name} is a link, not a file")
        read = read_text(file, _blob(root, identity, name))
        found += read.diagnostics
        sources.append(read.source)
    if not sources:
        raise RevisionUnusable(f"{name} has no policies in {below}")
    return sources, found


def _blob(root: Path, identity: str, name: str) -> bytes:
    size = int(git(root, "cat-file", "-s", identity, of=name))
    if size > FILE_BYTES:
        raise RevisionUnusable(f"a policy file in {name} has more than {FILE_BYTES:,} bytes")
    return git(root, "cat-file", "blob", identity, of=name)


def _is_policy(file: str) -> bool:
    """Tell whether the daemon would load a file of this name."""
    parts = PurePosixPath(file).parts
    hidden = any(part.startswith(".") for part in parts)
    return file.endswith(".policy") and not file.endswith(TEST_SUFFIX) and not hidden


def git(folder: Path, *arguments: str, of: str) -> bytes:
    """Run git, and return what it prints. Raises `RevisionUnusable`."""
    command = ["git", "-C", str(folder), "--no-pager", *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise RevisionUnusable(f"{of} is no folder, and there is no git to look it up") from None
    except subprocess.TimeoutExpired:
        raise RevisionUnusable(f"git did not answer within {_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RevisionUnusable(
            f"{of} is neither a folder nor a commit" + (f": {said[-1]}" if said else "")
        )
    return done.stdout
