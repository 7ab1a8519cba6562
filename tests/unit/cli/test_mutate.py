from __future__ import annotations

import json
from pathlib import Path

from tests.support.catalogue import preamble
from tests.support.cli import Run
from tests.support.tooling import OPEN, in_a_test, write

POLICY = f"{preamble()}\nallow reads: read on patient\n    when scope read:patients\n"
READER = "token { scope: [read:patients] }"
HALF = (READER, f"allow read on patient {OPEN}", "token {}", f"deny read on patient {OPEN}")
WHOLE = (*HALF, READER, f"deny update on patient {OPEN}")


def test_changes_that_tests_notice(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=in_a_test(*WHOLE))
    result = policyd("mutate", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert result.err == "4 changes: 0 unnoticed\n"


def test_a_change_that_no_test_notices(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=in_a_test(*HALF))
    result = policyd("mutate", tmp_path)
    assert result.code == 1
    assert result.out.startswith("warning[P4012]: no test notices `allow reads` for every action\n")
    assert "| ^^^^^^^^^^^ for every action\n" in result.out
    assert result.err == "4 changes: 1 unnoticed\n"
    document = json.loads(policyd("mutate", tmp_path, "--format", "json").out)
    (found,) = document["diagnostics"]
    assert found["code"] == "P4012"


def test_nothing_is_tried_where_tests_fail_or_do_not_load(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=in_a_test(READER, f"deny read on patient {OPEN}"))
    failing = policyd("mutate", tmp_path)
    assert failing.code == 1
    assert "P4010" in failing.out
    assert failing.err == "1 expectation failed; nothing was tried\n"
    write(tmp_path, health="api health\n")
    broken = policyd("mutate", tmp_path)
    assert broken.code == 1
    assert "P1016" in broken.out


def test_no_tests(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY)
    assert policyd("mutate", tmp_path).code == 2
