"""The tutorial, word by word, in an empty folder.

The port is another than the printed one, so that the machine's own daemons are left alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import environment, printed_by, sessions
from tests.support.documents import ROOT, fences
from tests.support.ports import free_port
from tests.support.word_by_word import reading

PAGE = ROOT / "docs" / "tutorial.md"


@pytest.mark.slow
def test_word_by_word(tmp_path: Path) -> None:
    with reading(tmp_path, environment()) as reader:
        reader.follow(fences(PAGE), str(free_port()))
    assert printed_by("policyd fmt --check policies", tmp_path) == "3 files, 0 to format\n"


def test_every_block_is_a_file_or_typed() -> None:
    for fence in fences(PAGE):
        assert fence.file is not None or sessions(fence.text), fence


def test_says_how_each_file_is_called() -> None:
    """Whoever reads a rendered page does not see what follows the back-ticks."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for fence in fences(PAGE):
        if fence.file is not None:
            before = lines[: fence.line - 1]
            assert f"`{fence.file}`" in " ".join(before[-2:]), fence


def test_types_what_every_shell_has() -> None:
    typed = [fence for fence in fences(PAGE) if fence.kind.startswith("console")]
    programs = {command.split()[0] for fence in typed for command, _ in sessions(fence.text)}
    assert programs == {"policyd", "python", "cp", "mv", "printf", "rm", "sed"}
