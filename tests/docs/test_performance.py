"""The page on performance shows what was measured, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import page
from bench.report import Figure, Results, Row, at_least, at_most

RUNS = page.committed()
PICTURES = page.pictures(RUNS)


@pytest.mark.parametrize("document", page.PAGES, ids=lambda path: path.name)
def test_tables_are_those_of_the_committed_results(document: Path) -> None:
    assert page.rendered(document, RUNS) == document.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_its_plots_are_those_of_the_committed_results(name: str) -> None:
    assert (page.FOLDER / name).read_text(encoding="utf-8") == PICTURES[name]


def test_every_plot_is_shown() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    shown = {
        path.name for path in page.FOLDER.glob("*.svg") if f"(performance/{path.name})" in text
    }
    assert shown == set(PICTURES) == {path.name for path in page.FOLDER.glob("*.svg")}


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("P1", "a", at_most(2), Figure((1.0, 2.0, 9.0), "x")), "met"),
        (Row("P1", "a", at_most(2), Figure((1.0, 2.1, 2.2), "x")), "missed"),
        (Row("P1", "a", at_least(2), Figure((1.0, 2.0, 9.0), "x")), "met"),
        (Row("P1", "a", at_least(2), Figure((1.0, 1.9, 9.0), "x")), "missed"),
        (Row("P1", "a", at_least(2), None, "no such thing"), "not measured"),
        (Row("P1", "a", at_least(2), None, "it starves", failed=True), "missed"),
        (Row("P1", "a", None, Figure((1.0,), "x")), ""),
    ],
)
def test_a_verdict_is_that_of_the_median(row: Row, verdict: str) -> None:
    assert row.verdict == verdict


def test_a_table_without_a_section_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare.md"
    bare.write_text("# Performance\n", encoding="utf-8")
    monkeypatch.setattr(page, "PAGES", {bare: ("runs",)})
    with pytest.raises(RuntimeError, match="no section `runs`"):
        page.rendered(bare, [Results("2026-01-01", "make bench", {}, (), ())])
