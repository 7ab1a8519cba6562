from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.support.cli import Run
from tests.support.tooling import OPEN, POLICY, in_a_test, write

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
    assert result.err.splitlines()[1:] == [
        "allow reads of health: no test shows it not apply",
        "deny sealed of health: no test shows it apply",
        "50.0 % of the rules' sides are shown",
    ]
    assert policyd("test", tmp_path, "--fail-under", "50").code == 0
    short = policyd("test", tmp_path, "--fail-under", "50.1")
    assert short.code == 1
    assert "50.0 %" in short.err
    assert policyd("test", tmp_path, "--fail-under", "101").code == 2
