"""Where a decision's rule comes from: its text in a past revision, and who wrote its lines.

A past revision is a commit of the repository around the policies, or a policy revision that a
daemon kept in its state folder. Who wrote a line is what `git blame` says of the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from policyd.diagnostics import Source
from policyd.diagnostics.render import first_error
from policyd.language import load
from policyd.language.changes import rule_text
from policyd.language.policy import PolicySet, Rule
from policyd.sources.policies.state import StateFolder
from policyd.tooling.revisions import RevisionUnusable, committed, git


class Place(msgspec.Struct, frozen=True):
    """A rule as it stands in a file: lines count from 1, the last one included."""

    api: str
    rule: str
    file: str
    line: int
    last: int
    text: str


class Origin(msgspec.Struct, frozen=True):
    """A line of a rule, and the commit that it came with."""

    line: int
    text: str
    commit: str
    author: str
    date: str


def past_sources(name: str, folder: Path, state: StateFolder | None) -> tuple[Source, ...]:
    """Return the policy files of a past revision: one that is kept in `state`, else a commit.

    Raises `RevisionUnusable`, `StateUnusable`.
    """
    stored = None if state is None else state.find(name)
    if stored is not None:
        return stored.policy_files().sources
    sources, _ = committed(name, folder)
    return tuple(sources)


def places(sources: Sequence[Source], api: str | None, rule: str | None) -> list[Place]:
    """Return the rules of an API, or those of a name, in the order of files and lines.

    Raises `RevisionUnusable` where the files do not load, or there are none.
    """
    loaded = load(sources)
    if loaded.policies is None:
        raise RevisionUnusable(f"the policies do not load: {first_error(loaded.diagnostics)}")
    found = sorted(_places(loaded.policies, api, rule), key=lambda one: (one.file, one.line))
    if not found:
        what = f"rule `{rule}`" if rule is not None else "rule"
        where = "" if api is None else f" in the API `{api}`"
        raise RevisionUnusable(f"there is no {what}{where}")
    return list(dict.fromkeys(found))


def _places(policies: PolicySet, api: str | None, rule: str | None) -> Iterator[Place]:
    for one in policies.apis.values():
        for each in one.rules:
            if api in (None, one.name) and rule in (None, each.name):
                yield _place(one.name, each)


def _place(api: str, rule: Rule) -> Place:
    text = rule_text(rule)
    line = rule.source.position(rule.span.start).line
    return Place(api, rule.name, rule.source.name, line, line + text.count("\n"), text)


def origins(place: Place, folder: Path, revision: str) -> list[Origin]:
    """Return who wrote the lines of a rule, which is in a file of this commit.

    Raises `RevisionUnusable`.
    """
    root = Path(git(folder, "rev-parse", "--show-toplevel", of=revision).decode().rstrip("\n"))
    lines = f"{place.line},{place.last}"
    asked = ("blame", "--porcelain", "-L", lines, revision, "--", place.file)
    return list(_blamed(git(root, *asked, of=revision).decode(errors="replace")))


def _blamed(text: str) -> Iterator[Origin]:
    """Read `git blame --porcelain`: a commit is described where it comes first."""
    known: dict[str, dict[str, str]] = {}
    commit, number = "", 0
    for line in text.split("\n"):
        if line.startswith("\t"):
            about = known[commit]
            moment = datetime.fromtimestamp(int(about["author-time"]), UTC)
            author = f"{about['author']} {about['author-mail']}"
            yield Origin(number, line[1:], commit, author, f"{moment:%Y-%m-%d}")
            continue
        name, _, value = line.partition(" ")
        if len(name) == 40 and value:
            commit, number = name, int(value.split(" ")[1])
            known.setdefault(commit, {})
        elif name:
            known[commit][name] = value
