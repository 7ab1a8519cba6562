"""What the matrix of grpcio releases makes of a report of pytest's."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.matrix import Result, read

REPORT = """<testsuites><testsuite>
<testcase classname="tests.server.test_check" name="test_a[event]"/>
<testcase classname="tests.server.test_check" name="test_b[event]"><failure/></testcase>
<testcase classname="tests.server.test_check" name="test_c"><skipped/></testcase>
<testcase classname="tests.server.test_check" name="test_d"><error/></testcase>
</testsuite></testsuites>"""


def test_failures_and_errors_fail_and_what_was_skipped_did_not_pass(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert read(report) == (
        1,
        ("tests.server.test_check::test_b[event]", "tests.server.test_check::test_d"),
    )


@pytest.mark.parametrize(
    ("problem", "failed", "sound"),
    [
        (None, (), True),
        (None, ("test_a[event]",), False),
        (None, ("test_a[standard]",), False),
        ("it stalls", ("test_a[event]",), True),
        ("it stalls", ("test_a[standard]",), False),
    ],
)
def test_a_release_is_sound_when_what_it_would_serve_over_passes(
    problem: str | None, failed: tuple[str, ...], sound: bool
) -> None:
    assert Result("1.0.0", problem, 10, failed, 1.0).sound is sound
