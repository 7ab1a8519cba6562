"""The example for Spark, under the real PySpark in local mode: it finds what `policyd replay` does.

`make spark` installs PySpark and runs this.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.documents import ROOT
from tests.support.logs import POLICY, Question, log_lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("pyspark") is None, reason="no PySpark: `make spark` installs it"),
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, which is not here"),
]
STRICTER = POLICY.replace('"doctor" in', '"surgeon" in')


def test_spark_finds_what_the_command_finds(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("old", POLICY), ("new", STRICTER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "health.policy").write_text(text)
    lines = log_lines(
        Question(subject=f"u-{at % 70}", sealed=at % 10 == 0, at=60 * at) for at in range(2000)
    )
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "1.ndjson").write_bytes(b"".join(lines[:1200]) + b"<html>\n")
    (tmp_path / "logs" / "2.ndjson.gz").write_bytes(gzip.compress(b"".join(lines[1200:])))
    files = sorted(map(str, (tmp_path / "logs").iterdir()))

    under_spark = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "replay_spark.py"), "logs",
         "--policies", "new", "--html", "replay.html"],
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1",
             "PYSPARK_SUBMIT_ARGS": "--master local[2] pyspark-shell",
             "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert under_spark.returncode == 0, under_spark.stderr
    by_command = policyd("replay", *files, "--policies", "new")

    def told(text: str) -> list[str]:
        """Return what a report says, without places of examples and of bad lines."""
        places = ("for example", "the line is no record")
        return [line for line in text.splitlines() if not any(one in line for one in places)]

    assert told(under_spark.stdout) == told(by_command.out)
    assert under_spark.stdout.startswith("2,000 decisions decided again by new: 200 differ\n")
    assert "1 foreign" in under_spark.stdout
    assert (tmp_path / "replay.html").read_text().startswith("<!doctype html>")
