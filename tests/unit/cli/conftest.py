from __future__ import annotations

import pytest

from tests.support.cli import Run, runner


@pytest.fixture
def policyd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, run in this process, outside any terminal."""
    monkeypatch.delenv("POLICYD_DEBUG", raising=False)
    return runner(capsys, monkeypatch)
