"""Documents, as the tests read them: their fenced examples and their links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
#: Pages whose blocks build on each other, in an empty folder: they are followed word by word.
FOLLOWED = ("tutorial.md", "auth0.md", "cognito.md", "entra.md", "keycloak.md", "okta.md")
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


class Fence(NamedTuple):
    """A fenced block: `info` is what follows the back-ticks, `line` where it begins.

    `info` is a kind, and perhaps the name of the file that the block is to be saved as.
    """

    document: Path
    line: int
    info: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file, where there is one."""
        *_, last = self.info.split() or [""]
        return last if "." in last else None

    @property
    def kind(self) -> str:
        """What is in the block."""
        return self.info.removesuffix(self.file or "").strip()

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Return each document but the pages of the catalogue, whose examples are to fail."""
    pages = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    return [*pages, *sorted((ROOT / "docs").glob("*.md"))]


def fences(document: Path) -> Iterator[Fence]:
    text = document.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Fence(document, line, found["info"], found["text"])


def text_of(document: Path) -> str:
    """Return a document without its examples."""
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


def links(document: Path) -> Iterator[str]:
    """Yield the targets of a document's links, examples aside."""
    for found in _LINK.finditer(text_of(document)):
        yield found["target"]
