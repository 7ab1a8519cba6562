from __future__ import annotations

from pathlib import Path

import pytest

from policyd.tooling.files import FilesUnusable, replace_text
from policyd.tooling.watching import changes
from tests.support.tooling import write


def test_names_what_changed_and_only_policies(tmp_path: Path) -> None:
    write(tmp_path, a="api a\n", b="api b\n")
    found = changes([tmp_path / "a.policy"])
    assert next(found) == frozenset()
    (tmp_path / "notes.txt").write_text("no policy", encoding="utf-8")
    replace_text(tmp_path / "b.policy", "api b\n\n")
    assert next(found) == {str(tmp_path / "b.policy")}


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FilesUnusable, match="there is no such directory"):
        next(changes([tmp_path / "no" / "a.policy"]))
