"""The files of the project are of this project alone: of no machine, and of no package index."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: An index of packages; where the site is written of, a page of one is named by its name.
_INDEXES = re.compile(
    r"https?://[^\s\"')]*(?:/simple/|pypi\.org|pythonhosted\.org|registry\.npmjs)"
)


def texts() -> list[tuple[str, str]]:
    """Return the name and the text of each file that is kept, but of those that are no text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no clone of the repository")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if b"\0" not in data:
                found.append((name, data.decode("utf-8", "replace")))
    return found


def test_no_file_names_the_folder_that_it_is_in() -> None:
    folders = {str(ROOT), str(Path.home())} - {"/"}
    naming = [name for name, text in texts() if any(f"{one}/" in text for one in folders)]
    assert naming == []


def test_no_file_names_an_index_of_packages() -> None:
    assert [(name, found[0]) for name, text in texts() if (found := _INDEXES.search(text))] == []


def test_each_module_says_what_it_is_for() -> None:
    silent = [
        name
        for name, text in texts()
        if name.startswith("policyd/") and name.endswith(".py") and "_pb2" not in name
        if text.strip() and not text.lstrip().startswith('"""')
    ]
    assert silent == []
