from __future__ import annotations

import sys

import pytest

from policyd.cli.main import USAGE, run


def test_without_its_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lsprotocol", None)
    for name in [name for name in sys.modules if name.startswith("policyd.editor.")]:
        monkeypatch.delitem(sys.modules, name)
    assert run(["lsp"]) == USAGE
    assert "install `policyd[editor]`" in capsys.readouterr().err
