"""The catalogue: a page of Markdown for each code of a finding and each reason of a decision.

The pages are in `docs/errors` and `docs/reasons`. A wheel contains them beside this module; in a
checkout they are read from `docs`.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_KINDS = ("errors", "reasons")
_CHECKOUT = Path(__file__).parents[2] / "docs"


def names() -> tuple[str, ...]:
    """Return the names of all pages, sorted."""
    return tuple(sorted(_pages()))


def page(name: str) -> str | None:
    """Return the page of a code or reason, in upper case, or `None` when there is none."""
    found = _pages().get(name)
    return None if found is None else found.read_text(encoding="utf-8")


def titles() -> dict[str, str]:
    """Return the title of each page by its name, sorted by name."""
    return {name: _title(page) for name, page in sorted(_pages().items())}


def _title(page: Traversable) -> str:
    """Return what stands behind the name in the page's first line, `# P1005: an unknown …`."""
    with page.open(encoding="utf-8") as file:
        return file.readline().partition(": ")[2].strip()


def _pages() -> dict[str, Traversable]:
    packed = files("policyd.diagnostics").joinpath("pages")
    root: Traversable = packed if packed.is_dir() else _CHECKOUT
    return {
        entry.name.removesuffix(".md"): entry
        for kind in _KINDS
        for entry in root.joinpath(kind).iterdir()
        if entry.name.endswith(".md") and entry.name != "README.md"
    }
