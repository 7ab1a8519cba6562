"""`policyd show` and `policyd blame`: what decided then, and who wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policyd.diagnostics import Source
from policyd.language import load
from policyd.sources.policies import PolicyFiles, Provenance
from policyd.sources.policies.state import StateFolder
from tests.support.cli import Run
from tests.support.git import Repository

POLICY = """\
api a

audience "https://a.example"

resource thing {
    actions use
}

allow all: use on thing
    when true
"""
MORE = """
deny closed: any on thing
    because "closed"
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path)
    monkeypatch.chdir(made.work)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return made


def test_shows_the_policies_of_a_commit(policyd: Run, repository: Repository) -> None:
    first = repository.commit({"policies/a.policy": POLICY})
    repository.commit({"policies/a.policy": POLICY + MORE})
    whole = policyd("show", first)
    assert (whole.code, whole.out) == (0, f"// policies/a.policy\n{POLICY}\n")
    rule = policyd("show", "HEAD", "--rule", "closed")
    assert rule.out == f"// policies/a.policy:12\n{MORE.strip()}\n"
    listed = json.loads(policyd("show", "HEAD", "--api", "a", "--format", "json").out)
    assert [(one["rule"], one["line"], one["last"]) for one in listed] == [
        ("all", 9, 10),
        ("closed", 12, 13),
    ]
    gone = policyd("show", first, "--rule", "closed")
    assert gone.code == 2
    assert "there is no rule `closed`" in gone.err
    nothing = policyd("show", "nonsense")
    assert nothing.code == 2
    assert "nonsense is neither a folder nor a commit" in nothing.err


def test_shows_the_policies_of_a_revision_that_a_daemon_kept(
    policyd: Run, repository: Repository
) -> None:
    sources = (Source("a.policy", POLICY),)
    policies = load(sources).policies
    assert policies is not None
    state = StateFolder(repository.work / "state")
    state.remember(PolicyFiles(sources, (), "d", Provenance("directory", "x")), policies.revision)
    (repository.work / "policyd.toml").write_text(
        '[policies]\npath = "policies"\nstate = "state"\n[[issuers]]\n'
        'issuer = "https://i.example"\ndialect = "oidc"\n'
    )
    shown = policyd("show", policies.revision, "--rule", "all")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == "// a.policy:9\nallow all: use on thing\n    when true\n"


def test_blames_the_lines_of_a_rule(policyd: Run, repository: Repository) -> None:
    first = repository.commit({"policies/a.policy": POLICY})
    second = repository.commit({"policies/a.policy": POLICY.replace("when true", "when  true")})
    told = policyd("blame", "all")
    assert (told.code, told.err) == (0, "")
    where, *lines = told.out.splitlines()
    assert where == "a: policies/a.policy:9"
    assert lines[0].startswith(f"{first[:12]}  ")
    assert lines[0].endswith("Jane <jane@example.com>  allow all: use on thing")
    assert lines[1].startswith(f"{second[:12]}  ")
    listed = json.loads(policyd("blame", "all", "--revision", first, "--format", "json").out)
    assert [line["commit"] for line in listed[0]["lines"]] == [first, first]
    assert policyd("blame", "none").code == 2
