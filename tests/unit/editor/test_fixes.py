from __future__ import annotations

import pytest

from policyd.diagnostics import Diagnostic, Edit, Label, Source, Span
from policyd.editor.fixes import all_fixes, fixes
from policyd.editor.workspace import apply
from tests.support.editor import FILES, analysis

SOURCE = Source("a.policy", "allow  reads when x")


def finding(span: Span, *edits: Edit, source: Source = SOURCE) -> Diagnostic:
    return Diagnostic("P0001", "a finding", Label(source, span), fix=edits)


@pytest.mark.parametrize(
    ("edits", "title"),
    [
        ([Edit(Span(7, 12), "writes")], "Replace by `writes`"),
        ([Edit(Span(7, 12), "")], "Remove `reads`"),
        ([Edit(Span(7, 7), "any")], "Insert `any`"),
        ([Edit(Span(7, 7), " ")], "Mend: a finding"),
        ([Edit(Span(0, 1), "A"), Edit(Span(7, 8), "R")], "Mend: a finding"),
        ([Edit(Span(7, 12), "x" * 50)], f"Replace by `{'x' * 40}…`"),
    ],
)
def test_a_title_says_what_will_happen(edits: list[Edit], title: str) -> None:
    (fix,) = fixes([finding(Span(7, 12), *edits)], "a.policy", Span(9, 9))
    assert (fix.title, list(fix.edits)) == (title, edits)


def test_offers_what_is_in_the_range_of_the_file_and_certain() -> None:
    edit = Edit(Span(7, 8), "R")
    found = [
        finding(Span(0, 3), edit),
        finding(Span(7, 12), edit, source=Source("b.policy", SOURCE.text)),
        finding(Span(7, 12)),
        Diagnostic("P1017", "nowhere", None),
    ]
    assert list(fixes(found, "a.policy", Span(9, 9))) == []


def test_all_fixes_leaves_out_what_meets_another() -> None:
    first, second, third = (Edit(Span(n, n + 2), "-") for n in (0, 1, 7))
    found = [finding(edit.span, edit) for edit in (third, second, first)]
    assert all_fixes(found, "a.policy") == (first, third)


def test_a_finding_is_mended() -> None:
    name = "/w/docs.policy"
    text = f"{FILES[name]}\ndefine strong as token.acr in [mfa]\n"
    found = analysis({**FILES, name: text}).diagnostics
    assert [one.code for one in found] == ["P2010"]
    mended = apply(text, all_fixes(found, name))
    assert analysis({**FILES, name: mended}).diagnostics == ()
