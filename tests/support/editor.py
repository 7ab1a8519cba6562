"""A small API in three files, as an editor has it open, and marks for places in texts."""

from __future__ import annotations

from collections.abc import Sequence

from policyd.diagnostics import Diagnostic, Source
from policyd.editor.workspace import Analysis, Workspace
from policyd.language.cases import TestCase
from policyd.language.policy import PolicySet
from policyd.language.text import read
from policyd.tooling.reports import failures
from policyd.tooling.runner import run_tests

MAIN = """\
/// Documents of several organisations.
api docs

audience "https://example.com/docs"

scope read:docs "Read documents"
scope write:docs "Change documents"

/// The organisation of the user.
claim org_id: string?
claim teams: set<string>? from "/groups/teams"

/// Where the user lives.
userinfo town: string? from "/address/locality"
userinfo email: string?

context {
    ip: ip?
}

resource document {
    /// The owning organisation.
    org_id: string
    sealed: bool
    actions read, update, delete
}

resource folder {
    org_id: string
    actions read, list
}

define same_org as token.org_id == resource.org_id

/// Members read.
allow members: read on document
    when scope read:docs and same_org

allow folders: read, list on folder
    when token.scopes has any [read:docs, "write:docs"] and same_org
"""
RULES = """\
api docs

define recent as token.auth_time within last 15m
define nearby as userinfo.town == "Bern"

deny sealed: any on document
    when resource.sealed
    unless recent and context.ip in ["192.0.2.0/24"]
    because "sealed"
"""
TESTS = """\
api docs

test "members read" {
    at "2026-11-22T10:00:00Z"
    token user { scope: [read:docs], org_id: "a", sub: "u1" }
    userinfo { town: "Bern" }
    context { ip: "192.0.2.1" }
    allow read on document "d1" { org_id: "a", sealed: false } by members
    deny read on document "d1" { org_id: "b", sealed: false } because NO_RULE_ALLOWS
    allow list on folder { org_id: "a" } by folders
}
"""
FILES = {"/w/docs.policy": MAIN, "/w/more/rules.policy": RULES, "/w/docs_test.policy": TESTS}


def workspace(files: dict[str, str] | None = None, roots: Sequence[str] = ("/w",)) -> Workspace:
    """Return a workspace that has these files on disk."""
    made = Workspace(roots)
    for name, text in (FILES if files is None else files).items():
        made.put(read(name, text.encode()))
    return made


def analysis(files: dict[str, str] | None = None) -> Analysis:
    """Return the analysis of the one policy set that the files are."""
    (only,) = workspace(files).analyses()
    return only


def find(text: str, marked: str) -> int:
    """Return the offset of the `|` in `marked`, a part of the text that occurs once."""
    before, _, after = marked.partition("|")
    assert text.count(before + after) == 1, (
        f"{before + after!r} occurs {text.count(before + after)}"
    )
    return text.index(before + after) + len(before)


def cut(text: str) -> tuple[Source, int]:
    """Return a text without the `|` in it, and the offset of that."""
    before, _, after = text.partition("|")
    return Source("/w/new.policy", before + after), len(before)


def run(policies: PolicySet, cases: Sequence[TestCase]) -> tuple[Diagnostic, ...]:
    """Run tests as the command does."""
    return failures(run_tests(policies, cases))
