"""A daemon that is killed while policies activate starts again with one whole revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.crash_policies import run


@pytest.mark.slow
def test_the_next_start_serves_one_whole_revision(tmp_path: Path) -> None:
    """Over one transport: what activates policies knows none."""
    found, wrong = run(tmp_path, 4)
    assert wrong == []
    assert found
