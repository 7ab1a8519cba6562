"""Builds the documentation site in `build/site` from the pages as they stand in the repository.

The pages are written to be read on a Git host, so their links lead to files and folders of the
repository. Here each file that is reached gets a page: a document as it is, any other text as a
listing, a folder without a README as a list of what it holds. Links follow. The contents of the
site are the tables of `docs/README.md`, which is also its start page.

mkdocs builds strictly: a link or a fragment that leads nowhere ends the build, and so does a page
that would load anything from another host.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
START = PurePosixPath("docs/README.md")
PARTS = ROOT / "scripts" / "site_parts"
_FENCE = re.compile(r"^(```+)([^\n`]*)\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\]\()([^()\s]+)(\))")
_ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)\s#]+)\)", re.MULTILINE)
_PICTURES = {".svg", ".png", ".json"}
_LANGUAGES = {".proto": "protobuf", ".policy": "policy", ".toml": "toml", ".ebnf": "ebnf"}


class Broken(Exception):
    """What is wrong with the site."""


def place(path: PurePosixPath) -> PurePosixPath:
    """Return where a file of the repository stands in the site: `docs/` is its root."""
    inside = path.relative_to("docs") if path.is_relative_to("docs") else "repository" / path
    if inside.name == "README.md":
        return inside.with_name("index.md")
    if inside.suffix == ".md" or inside.suffix in _PICTURES:
        return inside
    # A folder, or a file that is shown as a listing.
    return inside / "index.md" if (ROOT / path).is_dir() else inside.with_name(f"{path.name}.md")


def target(path: PurePosixPath) -> PurePosixPath:
    """Return the file that a path of the repository stands for: of a folder, its README."""
    readme = path / "README.md"
    return readme if (ROOT / readme).is_file() else path


class Pages:
    """The site's sources, each made when a link first leads to it."""

    def __init__(self) -> None:
        self._waiting = [target(PurePosixPath("docs"))]
        self._known = set(self._waiting)

    def write(self) -> None:
        """Write all that can be reached, and all documents, whether or not they are reached."""
        for document in sorted((ROOT / "docs").rglob("*.md")):
            self._add(PurePosixPath(document.relative_to(ROOT).as_posix()))
        while self._waiting:
            path = self._waiting.pop()
            written = SOURCE / place(path)
            written.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in _PICTURES:
                shutil.copy(ROOT / path, written)
            else:
                written.write_text(self._text(path), encoding="utf-8")

    def _text(self, path: PurePosixPath) -> str:
        if (ROOT / path).is_dir():
            return f"# {path.name.capitalize()}\n\n{self._listing(path)}"
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.suffix == ".md":
            text = "".join(self._document(path, text))
            if path.name == "README.md" and path.parent.parent == START.parent:
                # A Git host lists the folder below it.
                text += f"\n## Pages\n\n{self._listing(path.parent)}"
            return text
        language = _LANGUAGES.get(path.suffix, "text")
        return f"# {path.name}\n\n````{language}\n{text}\n````\n"

    def _listing(self, path: PurePosixPath) -> str:
        """List a folder, its sub-folders with what they hold; a document by its heading."""
        files = sorted(one for one in (ROOT / path).rglob("*") if one.is_file())
        lines: list[str] = []
        for file in files:
            name = file.relative_to(ROOT / path).as_posix()
            if name == "README.md":
                continue
            title = name
            if file.suffix == ".md":
                heading = file.read_text(encoding="utf-8").partition("\n")[0]
                title = heading.removeprefix("# ")
            lines.append(f"- [{title}]({self._link(path / 'x', name)})")
        return "\n".join(lines) + "\n"

    def _document(self, path: PurePosixPath, text: str) -> Iterator[str]:
        """Yield a document with its links and its fences as the site has them."""
        end = 0
        for fence in _FENCE.finditer(text):
            yield self._linked(path, text[end : fence.start()])
            language, *rest = fence[2].split() or ["text"]
            title = f' title="{rest[-1]}"' if rest and "." in rest[-1] else ""
            yield f"{fence[1]}{language}{title}\n{fence[3]}{fence[1]}"
            end = fence.end()
        yield self._linked(path, text[end:])

    def _linked(self, path: PurePosixPath, text: str) -> str:
        pieces = re.split(r"(`[^`\n]*`)", text)
        for position in range(0, len(pieces), 2):
            pieces[position] = _LINK.sub(
                lambda found: found[1] + self._link(path, found[2]) + found[3], pieces[position]
            )
        # A link's text may be code, so that its end stands in a piece of its own.
        return "".join(pieces)

    def _link(self, path: PurePosixPath, link: str) -> str:
        file, mark, fragment = link.partition("#")
        if "://" in link or link.startswith("mailto:") or not file:
            return link
        reached = PurePosixPath(posixpath.normpath(path.parent / file))
        if not (ROOT / reached).exists():
            raise Broken(f"{path}: the link to {link} leads nowhere")
        reached = target(reached)
        self._add(reached)
        here = place(path if (ROOT / path).is_file() else target(path.parent))
        return posixpath.relpath(place(reached), here.parent) + mark + fragment

    def _add(self, path: PurePosixPath) -> None:
        if path not in self._known:
            self._known.add(path)
            self._waiting.append(path)


def contents() -> list[dict[str, str | list[dict[str, str]]]]:
    """Return the contents: a section for each heading of the start page, a page for each row."""
    text = (ROOT / START).read_text(encoding="utf-8")
    made: list[dict[str, str | list[dict[str, str]]]] = [{"Start": str(place(START))}]
    for section in text.split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        pages = [
            {title: str(place(target(PurePosixPath(posixpath.normpath(START.parent / link)))))}
            for title, link in _ROW.findall(body)
        ]
        made.append({heading: pages})
    return made


class Loaded(HTMLParser):
    """What a page loads by itself, from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = "href" if tag == "link" and given.get("rel") != "canonical" else "src"
        address = given.get(loads) or ""
        if "//" in address.partition("?")[0]:
            self.elsewhere.append(address)


def loaded_from_elsewhere() -> list[str]:
    """Return each address on another host that a page of the site would load."""
    found: set[str] = set()
    for page in SITE.rglob("*.html"):
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        found.update(f"{page.relative_to(SITE)}: {one}" for one in parser.elsewhere)
    for sheet in SITE.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        addresses = re.findall(r"url\([\"']?(https?:[^)\"']+)", text)
        found.update(f"{sheet.relative_to(SITE)}: {one}" for one in addresses)
    return sorted(found)


def build() -> None:
    """Write the sources, and build the site. Raises `Broken`."""
    for folder in (SOURCE, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PARTS / "assets", SOURCE / "assets")
    Pages().write()
    settings = yaml.safe_load((PARTS / "mkdocs.yml").read_text(encoding="utf-8"))
    settings |= {"docs_dir": str(SOURCE), "site_dir": str(SITE), "nav": contents()}
    written = SOURCE.with_name("mkdocs.yml")
    written.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(
        [*command, "--config-file", str(written)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Broken(f"mkdocs refuses the pages\n{done.stderr}")
    elsewhere = loaded_from_elsewhere()
    if elsewhere:
        raise Broken("pages load from other hosts: " + ", ".join(elsewhere))


def main() -> int:
    try:
        build()
    except Broken as problem:
        print(f"docs: {problem}", file=sys.stderr)
        return 1
    print(f"docs: {SITE.relative_to(ROOT)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
