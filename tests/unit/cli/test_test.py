from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from policyd.cli.progress import progress
from policyd.tooling.files import replace_text
from policyd.tooling.reports import listing
from tests.support.cli import Run
from tests.support.tooling import OPEN, POLICY, in_a_test, run, write

READER = "token { scope: [read:patients] }"
GOOD = in_a_test(READER, f"allow read on patient {OPEN} by reads")
BAD = in_a_test(READER, f"deny read on patient {OPEN}")


def test_tests_that_hold(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=GOOD)
    result = policyd("test", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert result.err == "1 test, 1 expectation: 0 failed\n"


def test_tests_that_do_not_hold(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=BAD)
    result = policyd("test", tmp_path)
    assert result.code == 1
    assert result.out.startswith('error[P4010]: test "an example" does not hold\n')
    assert "^ expected deny, got allow (ALLOWED)\n" in result.out
    assert "allow reads: true, so it applies\n" in result.out
    assert result.err == "1 test, 1 expectation: 1 failed\n"


def test_formats(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=BAD)
    assert json.loads(policyd("test", tmp_path, "--format", "json").out)["failed"] == 1
    assert policyd("test", tmp_path, "--format", "github").out.startswith("::error file=")
    assert ElementTree.fromstring(policyd("test", tmp_path, "--format", "junit").out) is not None
    assert policyd("test", tmp_path, "--format", "concise").out.count("\n") == 1


def test_broken_policies_or_tests_run_nothing(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=in_a_test(f"deny read on patient {OPEN}"))
    result = policyd("test", tmp_path)
    assert result.code == 1
    assert "P4001" in result.out
    assert "no test was run" in result.err
    write(tmp_path, health="api health\n")
    for style in ("text", "junit"):
        result = policyd("test", tmp_path, "--format", style)
        assert result.code == 1
        assert "P1016" in result.out


def test_no_tests(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY)
    result = policyd("test", tmp_path)
    assert result.code == 2
    assert "no tests" in result.err


def test_coverage(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=GOOD)
    result = policyd("test", tmp_path, "--coverage")
    assert result.code == 0
    assert result.out.startswith("health  ████████▌")
    assert "  allow reads of health, which no test shows not to apply\n" in result.out
    assert result.err.splitlines()[1:] == ["42.8 % is covered: 6 of 14"]
    assert policyd("test", tmp_path, "--fail-under", "42.8").code == 0
    short = policyd("test", tmp_path, "--fail-under", "42.9")
    assert short.code == 1
    assert "never false" in short.out
    assert "42.8 %" in short.err
    assert policyd("test", tmp_path, "--fail-under", "101").code == 2


def test_coverage_does_not_get_into_formats_for_machines(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=GOOD)
    result = policyd("test", tmp_path, "--coverage", "--format", "json")
    assert json.loads(result.out)["coverage"]["percentage"] == 42.8
    assert "42.8 %" in result.err


def test_coverage_as_a_page(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=GOOD)
    page = tmp_path / "coverage.html"
    assert policyd("test", tmp_path, "--coverage-html", page).code == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    nowhere = policyd("test", tmp_path, "--coverage-html", tmp_path / "no" / "page.html")
    assert nowhere.code == 2
    assert "No such file" in nowhere.err


def test_several_processes_come_to_the_same(policyd: Run, tmp_path: Path) -> None:
    more = in_a_test(READER, f"deny read on patient {OPEN}", title="another")
    write(tmp_path, health=POLICY, health_test=GOOD, more_test=more)
    alone = policyd("test", tmp_path, "--coverage", "--format", "json")
    together = policyd("test", tmp_path, "--coverage", "--format", "json", "--jobs", "2")
    assert alone.code == 1
    assert together == alone


def test_watching_runs_again_after_a_change(tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=GOOD)
    program = "from policyd.cli.main import main; main()"
    command = [sys.executable, "-c", program, "test", "--watch", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            assert next(lines) == "1 test, 1 expectation: 0 failed\n"
            assert next(lines) == "ok; waiting for changes\n"
            replace_text(tmp_path / "health_test.policy", BAD)
            assert next(lines) == "\n"
            assert next(lines) == "health_test.policy changed\n"
            assert next(lines) == "1 test, 1 expectation: 1 failed\n"
            assert next(lines) == "FAILED; waiting for changes\n"
        finally:
            process.terminate()


def test_watching_needs_a_place(policyd: Run, tmp_path: Path) -> None:
    result = policyd("test", "--watch", tmp_path / "no" / "where.policy")
    assert result.code == 2
    assert "there is no such directory" in result.err


def test_chosen_by_title_and_listed(policyd: Run, tmp_path: Path) -> None:
    write(
        tmp_path,
        health=POLICY,
        a_test=in_a_test(READER, f"allow read on patient {OPEN}", title="Reads, as one"),
        b_test=in_a_test(READER, f"deny read on patient {OPEN}", title="an expectation too many"),
    )
    result = policyd("test", tmp_path, "-v", "-k", "reads")
    assert (result.code, result.out) == (0, "ok      health: Reads, as one\n")
    assert result.err == "1 test, 1 expectation: 0 failed\n"
    listed = policyd("test", tmp_path, "-v", "--format", "text").out
    assert "FAILED  health: an expectation too many\n" in listed
    none = policyd("test", tmp_path, "-k", "Reads, at one")
    assert none.code == 2
    assert none.err.endswith("did you mean `Reads, as one`?\n")
    assert policyd("test", tmp_path, "-k", "zzz").err.endswith("lists the titles\n")
    assert policyd("test", tmp_path, "-v", "--format", "json").code == 2


def test_a_long_title_ends_at_the_edge_of_a_terminal() -> None:
    tests = run(READER, f"allow read on patient {OPEN}")
    assert listing(tests, 20) == "ok      health: an …\n"
    assert listing(tests) == "ok      health: an example\n"


def test_a_terminal_is_shown_how_far_a_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    items = [1, 2, 3]
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert progress(items, 3, "tests") is items
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress(items, 3, "tests")) == items
    assert "tests" in screen.getvalue()


AT = 'at "2026-11-22T10:00:00Z"'
KEYCLOAK = "https://id.example.com/realms/x"
CONFIGURED = f"""
[policies]
path = "policies"
[dialects.ours]
subject = ["sub"]
marks = [{{ kind = "access" }}]
client = ["app"]
scope = "rights"
scope_form = "list"
[[issuers]]
issuer = "{KEYCLOAK}"
dialect = "keycloak"
jwks_uri = "{KEYCLOAK}/certs"
apis = ["health"]
[[issuers]]
issuer = "https://ours.example.com/"
dialect = "ours"
jwks_uri = "https://ours.example.com/certs"
apis = ["health"]
"""
REAL = {
    "iss": KEYCLOAK, "aud": "https://example.com/health-api", "sub": "u", "azp": "app",
    "typ": "Bearer", "scope": "read:patients", "iat": 1, "exp": 2, "nbf": 3,
}  # fmt: skip
AS_WRITTEN = in_a_test(AT, "token from keycloak {}", f"allow read on patient {OPEN} by reads")


def test_dialects_and_claims_are_those_of_the_configured_issuers(
    policyd: Run, tmp_path: Path
) -> None:
    folder, config, claims = (tmp_path / one for one in ("policies", "policyd.toml", "real.json"))
    folder.mkdir()
    write(folder, health=POLICY, health_test=AS_WRITTEN)
    config.write_text(CONFIGURED)
    claims.write_text(json.dumps(REAL))
    # Without the claims of a real token, `token from keycloak {}` lacks what marks one.
    assert policyd("test", "--config", config).code == 1
    assert policyd("test", "--config", config, "--claims", claims).code == 0
    assert policyd("test", "--config", config, "--claims", claims, "--jobs", 2).code == 0
    assert policyd("test", folder, "--claims", f"keycloak={claims}").code == 0
    twice = ("--claims", claims, "--claims", f"keycloak={claims}")
    assert "has two files" in policyd("test", "--config", config, *twice).err
    # What a test states goes before them.
    stated = in_a_test(AT, 'token from keycloak { scope: "" }', f"deny read on patient {OPEN}")
    write(folder, health_test=stated)
    assert policyd("test", "--config", config, "--claims", claims).code == 0
    own = in_a_test(
        AT,
        'token from ours { kind: "access", app: "a", sub: "u", rights: ["read:patients"] }',
        f"allow read on patient {OPEN} by reads",
    )
    write(folder, health_test=own)
    assert policyd("test", "--config", config).code == 0
    refused = policyd("test", folder)
    assert "there is no dialect `ours`" in refused.out
