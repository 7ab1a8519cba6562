"""`policyd eval --decision`: a line of the decision log, decided again."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli import Run
from tests.unit.replay.test_recorded import POLICY, recorded


def test_the_verb(policyd: Run, tmp_path: Path) -> None:
    (tmp_path / "health.policy").write_text(POLICY)
    (tmp_path / "record.json").write_bytes(recorded(sealed=True))
    options = ("eval", "--policies", tmp_path, "--decision", tmp_path / "record.json")
    result = policyd(*options, "--trace")
    assert result.code == 0
    assert "d-1 of 2027-01-15T08:00:00Z: decided as it was then\n" in result.err
    assert 'token.roles is ["doctor"]' in result.out
    (tmp_path / "health.policy").write_text(POLICY.replace('"doctor" in', '"surgeon" in'))
    changed = policyd(*options)
    assert changed.code == 1
    assert "then it was allow ALLOWED\n" in changed.err
    twice = policyd(*options, "--action", "read")
    assert twice.code == 2
    assert "--decision brings its own question" in twice.err
    neither = policyd("eval", "--policies", tmp_path, "--claims", "-", stdin="{}")
    assert neither.err.endswith("Missing option '--action'.\n")
