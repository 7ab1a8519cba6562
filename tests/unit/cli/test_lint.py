from __future__ import annotations

import json
from pathlib import Path

import pytest

from policyd.tooling.lint import NAMES
from tests.support.cli import Run
from tests.support.tooling import write

CLEAN = """/// Reports.
api reports

audience "https://example.com/reports"

scope read:reports  "Read reports"

resource report {
    actions view
}

allow views: view on report
    when scope read:reports
"""
TESTS = """api reports

test "a client with the scope views" {
    token { scope: [read:reports] }
    allow view on report by views
}
"""
OPEN = CLEAN.replace("when scope read:reports", "when true")


def test_clean(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, reports=CLEAN, reports_test=TESTS)
    result = policyd("lint", tmp_path)
    assert (result.code, result.out, result.err) == (0, "", "2 files: 0 errors, 0 warnings\n")


def test_findings(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, reports=OPEN, reports_test=TESTS)
    result = policyd("lint", tmp_path, "--format", "concise")
    assert result.code == 1
    path = tmp_path / "reports.policy"
    assert result.out == (
        f"{path}:6:7: warning[P3021]: no rule uses the scope `read:reports`\n"
        f"{path}:12:7: warning[P3002]: allow `views` grants to every client\n"
    )
    assert result.err == "2 files: 0 errors, 2 warnings\n"


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (["--select", "P3002"], ["P3002"]),
        (["--select", "p3021, P3002"], ["P3021", "P3002"]),
        (["--ignore", "P3002"], ["P3021"]),
        (["--select", "P3002,P3021", "--ignore", "P3021"], ["P3002"]),
        (["--select", "all"], ["P3021", "P3038", "P3002", "P3038"]),
        (["--ignore", "all"], []),
    ],
)
def test_selection(policyd: Run, tmp_path: Path, options: list[str], codes: list[str]) -> None:
    path = write(tmp_path, reports=OPEN) / "reports.policy"
    result = policyd("lint", path, "--format", "json", *options)
    assert [found["code"] for found in json.loads(result.out)["diagnostics"]] == codes
    assert result.code == (1 if codes else 0)


def test_formats(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, reports=OPEN, reports_test=TESTS)
    assert policyd("lint", tmp_path, "--format", "github").out.startswith("::warning file=")
    sarif = json.loads(policyd("lint", tmp_path, "--format", "sarif").out)
    assert [one["level"] for one in sarif["runs"][0]["results"]] == ["warning", "warning"]


def test_tests_are_missed_only_where_they_would_be_found(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, reports=CLEAN)
    assert policyd("lint", tmp_path / "reports.policy").code == 0
    alone = policyd("lint", tmp_path, "--format", "concise")
    assert "warning[P3041]: API `reports` has no tests" in alone.out
    write(tmp_path, reports_test="api reports\n")
    named = policyd("lint", tmp_path / "reports.policy", tmp_path / "reports_test.policy")
    assert "P3041" in named.out


def test_errors_come_first(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, reports=OPEN.replace("true", "scope raed:reports"), reports_test=TESTS)
    result = policyd("lint", tmp_path)
    assert result.code == 1
    assert result.out.startswith("error[P1003]: unknown scope `raed:reports`\n")
    assert result.err == "2 files: 1 error, 0 warnings\n"
    write(tmp_path, reports=OPEN, reports_test=TESTS.replace("by views", "by odd"))
    assert policyd("lint", tmp_path, "--format", "concise").out.count("\n") == 1


def test_rules_are_listed(policyd: Run) -> None:
    lines = policyd("lint", "--rules", "--ignore", "P3001").out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(NAMES)
    assert lines[0].startswith("P3001  off  permissions-alone ")
    assert lines[1].startswith("P3002  on   every-client ")
    listed = json.loads(policyd("lint", "--rules", "--format", "json").out)
    assert [rule["name"] for rule in listed if not rule["selected"]] == [
        "condition-used-once",
        "missing-documentation",
        "useless-rule",
    ]


def test_usage(policyd: Run, tmp_path: Path) -> None:
    assert policyd("lint").code == 2
    assert policyd("lint", tmp_path).code == 2
    unknown = policyd("lint", tmp_path, "--select", "P3051")
    assert unknown.code == 2
    assert "the linter has no rule 'P3051'; did you mean P3001?" in unknown.err
    assert "--rules lists the codes" in policyd("lint", tmp_path, "--ignore", "unused").err


def test_sample_policies_are_clean(policyd: Run) -> None:
    samples = Path(__file__).parents[3] / "policies"
    assert policyd("lint", samples).code == 0


def test_a_configuration_says_which_dialects_there_are(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = "https://sso.example.com/realms/shop"
    assert policyd("init", tmp_path / "shop").code == 0
    monkeypatch.chdir(tmp_path / "shop")
    configuration = Path("policyd.toml")
    text = configuration.read_text()
    configuration.write_text(
        text.replace("https://issuer.example.com/", issuer).replace("rfc9068", "keycloak")
    )
    result = policyd("lint")
    assert (result.code, result.out.count("[P3104]")) == (1, 1)
    assert "no test of `shop` has a token as `keycloak` writes it" in result.out
    assert policyd("lint", "policies").code == 0
    assert policyd("lint", "policies", "--config", "policyd.toml").code == 1
    configuration.write_text('[policies]\npath = "policies"\n')
    alone = policyd("lint")
    assert alone.code == 0
    assert "no dialects are known" in alone.err
    assert policyd("lint", "--config", "policyd.toml").code == 2
