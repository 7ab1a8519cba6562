"""The files of a new bundle: the policies and tests of a folder, or of a commit."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from policyd.sources.policies import PoliciesUnreadable
from policyd.sources.policies.directory import read_files
from policyd.sources.policies.walk import walk
from policyd.tooling.bundles import BundleUnusable
from policyd.tooling.revisions import commit_of, committed_files, git


class Committed(msgspec.Struct, frozen=True):
    """The files of a commit, by their paths below the folder of the policies.

    `created` is the committer's date, `sequence` the number of its ancestors plus one: each
    descendant has a higher one.
    """

    commit: str
    created: datetime
    sequence: int
    files: dict[str, bytes]


def bundled_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder. Raises `BundleUnusable`."""
    try:
        found = walk(folder)
        contents = read_files(found)
    except (PoliciesUnreadable, OSError) as error:
        raise BundleUnusable(f"{folder}: {error}") from None
    problem = next(iter(found.problems), None)
    if problem is not None:
        raise BundleUnusable(f"{folder}: `{problem.name}`: {problem.why}")
    files: dict[str, bytes] = {}
    for one in contents:
        if one.data is None:
            why = "cannot be read" if one.finding is None else one.finding.headline
            raise BundleUnusable(f"{folder}: `{one.name}`: {why}")
        files[one.name] = one.data
    return files


def bundled_commit(name: str, folder: Path, sequence: int | None) -> Committed:
    """Return the files of a commit below a folder. Raises `RevisionUnusable`, `BundleUnusable`."""
    commit = commit_of(name, folder)
    root = Path(git(folder, "rev-parse", "--show-toplevel", of=name).decode().rstrip("\n"))
    below = folder.resolve().relative_to(root.resolve()).as_posix()
    prefix = "" if below == "." else f"{below}/"
    files = {path.removeprefix(prefix): data for path, data in committed_files(commit, folder)}
    if not files:
        raise BundleUnusable(f"{name} has no policies in {folder}")
    dated = git(folder, "show", "--no-patch", "--format=%cI", commit, of=name).decode().strip()
    number = _count(commit, folder) if sequence is None else sequence
    return Committed(commit, datetime.fromisoformat(dated), number, files)


def _count(commit: str, folder: Path) -> int:
    """Return the number of a commit's ancestors plus one."""
    shallow = git(folder, "rev-parse", "--is-shallow-repository", of=commit).decode().strip()
    if shallow == "true":
        raise BundleUnusable(
            "the clone is shallow, so the commits before this one cannot be counted; fetch the "
            "whole history (`fetch-depth: 0`, `git fetch --unshallow`), or give --sequence"
        )
    return int(git(folder, "rev-list", "--count", commit, of=commit))
