"""The policies of a revision: a folder, a bundle, or a commit of the repository around a folder.

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
from policyd.sources.policies import Provenance
from policyd.sources.policies.directory import files_of
from policyd.sources.policies.names import is_policy
from policyd.tooling.bundles import is_bundle, open_bundle
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
    """Read a revision: a folder, file or bundle of this name, else a commit, of which `folder` is
    read. The digests of a bundle are checked, and its signature is not.

    Raises `RevisionUnusable`, `FilesUnusable`.
    """
    path = Path(name)
    if is_bundle(path):
        bundle = open_bundle(path)
        files = files_of(bundle.contents, [], None, Provenance("bundle", name), with_tests=False)
        return _checked(f"{name} ({bundle.manifest.label})", files.sources, files.diagnostics)
    if path.exists():
        loaded = load_policies((path,), Wanted.POLICIES)
        return Policies(name, _sound(name, loaded.policies, loaded.diagnostics))
    sources, found = committed(name, folder)
    return _checked(name, sources, found)


def _checked(name: str, sources: Sequence[Source], found: Sequence[Diagnostic]) -> Policies:
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
    sources: list[Source] = []
    found: list[Diagnostic] = []
    for file, data in committed_files(name, folder):
        if not file.endswith(TEST_SUFFIX):
            read = read_text(file, data)
            found += read.diagnostics
            sources.append(read.source)
    if not sources:
        raise RevisionUnusable(f"{name} has no policies in {folder}")
    return sources, found


def committed_files(name: str, folder: Path) -> list[tuple[str, bytes]]:
    """Return the files of policies and tests of a commit below a folder, with their paths in the
    repository.

    Raises `RevisionUnusable`.
    """
    root = Path(git(folder, "rev-parse", "--show-toplevel", of=name).decode().rstrip("\n"))
    below = folder.resolve().relative_to(root.resolve()).as_posix()
    commit = commit_of(name, folder)
    listed = git(root, "ls-tree", "-r", "-z", "--full-tree", commit, "--", below, of=name)
    files: list[tuple[str, bytes]] = []
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
        files.append((file, _blob(root, identity, name)))
    return files


def commit_of(name: str, folder: Path) -> str:
    """Return the full name of a commit of the repository around a folder.

    Raises `RevisionUnusable`.
    """
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return git(folder, *words, of=name).decode().strip()


def _blob(root: Path, identity: str, name: str) -> bytes:
    size = int(git(root, "cat-file", "-s", identity, of=name))
    if size > FILE_BYTES:
        raise RevisionUnusable(f"a policy file in {name} has more than {FILE_BYTES:,} bytes")
    return git(root, "cat-file", "blob", identity, of=name)


def _is_policy(file: str) -> bool:
    """Tell whether the daemon would read a file of this name."""
    hidden = any(part.startswith(".") for part in PurePosixPath(file).parts)
    return is_policy(file) and not hidden


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
