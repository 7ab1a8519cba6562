"""Files below a directory, for what reads policies."""

from __future__ import annotations

from pathlib import Path


def write(root: Path, *names: str) -> None:
    """Make files, each with its name in a comment."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {name}\n")
