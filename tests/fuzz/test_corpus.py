"""Each input of the corpus, and whatever hypothesis thinks of: the fuzzer's target without it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.target import CORPUS, run
from tests.support.documents import ROOT

INPUTS = sorted(CORPUS.iterdir())
LARGEST_CORPUS = 256 * 1024


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_what_must_hold_of_each_input(path: Path) -> None:
    run(path.read_bytes())


def test_the_corpus_reaches_far_and_stays_small() -> None:
    reasons = {run(path.read_bytes()) for path in INPUTS}

    assert None in reasons
    assert len(reasons) >= 8
    assert sum(path.stat().st_size for path in INPUTS) < LARGEST_CORPUS


@given(st.binary(max_size=400))
def test_what_must_hold_of_any_bytes(data: bytes) -> None:
    run(data)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="there is no atheris for this platform"
)
def test_the_fuzzer_runs_and_says_how_often() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/fuzz.py", "--seconds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fuzz: ")
    assert "nothing broke" in done.stdout
