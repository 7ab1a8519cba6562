"""A hundred thousand records through each sink: each arrives once, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.deliver import KINDS, through


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_record_arrives_once_and_in_order(tmp_path: Path, kind: str) -> None:
    arrived = through(kind, 100_000, tmp_path)
    assert (arrived.records, arrived.wrong) == (100_000, 0)
