"""The solver's certificates are written wherever the daemon runs."""

from __future__ import annotations

import tempfile

import pytest

from policyd.prover.solver import solve


def test_a_certificate_is_checked_where_no_folder_takes_temporary_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container with a read-only root."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    with pytest.raises(FileNotFoundError):
        tempfile.gettempdir()
    assert solve([(1,), (-1,)]) is None
