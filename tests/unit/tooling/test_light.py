"""Who verifies no token loads nothing that verifies signatures."""

from __future__ import annotations

import subprocess
import sys

import pytest

_POLICY = """\
api a
audience "https://a.example"
scope x "X"
resource r {
    actions read
}
allow readers: read on r
    when scope x
"""
_TEST = """\
api a
test "readers may read" {
    token { scope: [x] }
    allow read on r
}
"""
_RUN = f"""
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.expectations import load_tests
from policyd.tooling.runner import run_tests
policies = load([Source("a.policy", {_POLICY!r})]).policies
tests = load_tests([Source("a_test.policy", {_TEST!r})], policies)
assert not tests.diagnostics, tests.diagnostics
outcomes = run_tests(policies, tests.tests).results
assert [one.passed for one in outcomes] == [True], outcomes
"""


def loaded(code: str) -> set[str]:
    """Return which packages a program of its own has loaded when it ends."""
    shown = f"{code}\nimport sys\nprint(*sorted(sys.modules), sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return {name.partition(".")[0] for name in ended.stdout.split()}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import policyd.decision.engine", id="the engine"),
        pytest.param("import policyd.tooling.runner", id="the runner of policy tests"),
        pytest.param(_RUN, id="a policy test that runs"),
    ],
)
def test_verifies_nothing(code: str) -> None:
    assert loaded(code).isdisjoint({"jwt", "cryptography", "grpc", "google"})


def test_what_reads_claims_of_an_issuer_does() -> None:
    assert loaded("import policyd.tooling.claims") >= {"jwt", "cryptography"}
