"""The documentation as a whole: its start page, and every link, also as a Git host shows it."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

from scripts import docs_site as site
from tests.support.documents import ROOT, links, text_of

DOORS = ["Write a policy", "Run the daemon", "Call it", "Debug a refusal"]
START = ROOT / "docs" / "README.md"
#: Every document of the repository, the pages of the catalogue too.
EVERY = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(path for path in (ROOT / "clients").rglob("*.md") if "node_modules" not in path.parts),
        ROOT / "editors" / "vscode" / "README.md",
    ]
)


def fragments(document: Path) -> set[str]:
    """Return the fragments that a Git host gives the headings of a document."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-")
        again = sum(one == slug or one.startswith(f"{slug}-") for one in found)
        found.add(slug if slug not in found else f"{slug}-{again}")
    return found


@pytest.mark.parametrize("document", EVERY, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_resolves(document: Path) -> None:
    for link in links(document):
        file, _, fragment = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        reached = document.parent / file if file else document
        assert reached.exists(), link
        assert reached.resolve().is_relative_to(ROOT), link
        if fragment and reached.suffix == ".md":
            assert fragment in fragments(reached), link


def test_the_start_page_has_a_door_for_each_need() -> None:
    text = START.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:4] == DOORS
    before = text.partition("\n## ")[0]
    for door in DOORS:
        assert f"[{door}](#{door.lower().replace(' ', '-')})" in before


def test_the_start_page_leads_to_each_page() -> None:
    listed = {(START.parent / link.partition("#")[0]).resolve() for link in links(START)}
    pages = {page.resolve() for page in (ROOT / "docs").glob("*.md")} - {START}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - listed) == []


def test_the_contents_name_each_page_once() -> None:
    """In a table of two columns below a heading; what stands above the headings is the doors."""
    text = START.read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[.*$", text.partition("\n## ")[2], re.MULTILINE)
    assert {row.count("|") for row in rows} == {3}
    pages = [page for section in site.contents()[1:] for page in next(iter(section.values()))]
    places = [next(iter(page.values())) for page in pages if isinstance(page, dict)]
    assert len(places) == len(set(places)) == len(rows)


def test_no_document_names_a_place_of_packages() -> None:
    for document in EVERY:
        assert not re.search(
            r"pypi\.org|pythonhosted|npmjs\.|--index-url|--extra-index", text_of(document)
        )


@pytest.mark.parametrize(
    ("file", "page"),
    [
        ("docs/README.md", "index.md"),
        ("docs/errors/README.md", "errors/index.md"),
        ("docs/reasons", "reasons/index.md"),
        ("docs/calling.md", "calling.md"),
        ("docs/railroad/rule.svg", "railroad/rule.svg"),
        ("docs/grammar.ebnf", "grammar.ebnf.md"),
        ("README.md", "repository/index.md"),
        ("policies", "repository/policies/index.md"),
        (
            "proto/policyd/v1/authorization.proto",
            "repository/proto/policyd/v1/authorization.proto.md",
        ),
    ],
)
def test_each_file_has_its_place_in_the_site(file: str, page: str) -> None:
    assert str(site.place(PurePosixPath(file))) == page


def test_the_contents_are_the_tables_of_the_start_page() -> None:
    made = site.contents()
    assert [next(iter(section)) for section in made] == ["Start", *DOORS, "About policyd"]
    assert {"Tutorial": "tutorial.md"} in made[1]["Write a policy"]


def test_what_a_page_loads_from_elsewhere_is_found() -> None:
    page = site.Loaded()
    page.feed(
        '<link rel="canonical" href="https://a.example/"><link rel="stylesheet" href="a.css">'
        '<script src="https://b.example/x.js"></script><img src="//c.example/y.png">'
        '<a href="https://d.example/">d</a>'
    )
    assert page.elsewhere == ["https://b.example/x.js", "//c.example/y.png"]
