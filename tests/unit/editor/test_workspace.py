from __future__ import annotations

import pytest

from policyd.diagnostics import Diagnostic, Edit, Severity, Source, Span
from policyd.editor.workspace import Workspace, apply
from policyd.language.text import read
from tests.support.editor import FILES, MAIN, TESTS, analysis, workspace

OTHER = 'api other\n\naudience "https://example.com/other"\n'


def sets(made: Workspace) -> list[list[str]]:
    return sorted(sorted(one.documents) for one in made.analyses())


def test_a_root_is_one_set() -> None:
    assert sets(workspace({**FILES, "/w/other/o.policy": OTHER})) == [
        sorted([*FILES, "/w/other/o.policy"])
    ]


def test_an_api_declared_in_two_subfolders_makes_each_a_set() -> None:
    files = {
        "/w/envs/staging/docs/docs.policy": MAIN,
        "/w/envs/staging/other.policy": OTHER,
        "/w/envs/production/docs.policy": MAIN,
        "/w/envs/production/docs_test.policy": TESTS,
        "/w/envs/loose.policy": "api loose\n",
        "/w/apart/other.policy": "api apart\n",
    }
    made = workspace(files)
    assert sets(made) == [
        ["/w/apart/other.policy"],
        ["/w/envs/loose.policy"],
        ["/w/envs/production/docs.policy", "/w/envs/production/docs_test.policy"],
        ["/w/envs/staging/docs/docs.policy", "/w/envs/staging/other.policy"],
    ]


@pytest.mark.parametrize("second", ["/w/again.policy", "/w/below/again.policy"])
def test_an_api_declared_twice_otherwise_is_an_error_of_one_set(second: str) -> None:
    codes = {one.code for one in analysis({"/w/docs.policy": MAIN, second: MAIN}).diagnostics}
    assert "P1015" in codes


def test_the_innermost_root_counts_and_neighbours_outside_all_are_a_set() -> None:
    files = {"/w/a.policy": OTHER, "/w/in/a.policy": OTHER, "/x/a.policy": OTHER, "new": OTHER}
    made = workspace(files, ["/w", "/w/in"])
    assert sets(made) == [["/w/a.policy"], ["/w/in/a.policy"], ["/x/a.policy"], ["new"]]


def test_what_the_editor_has_open_counts_until_it_is_closed() -> None:
    made = workspace()
    made.edit(Source("/w/docs.policy", "api broken"))
    assert {one.code for one in made.analyses()[0].diagnostics} >= {"P1016"}
    made.close("/w/docs.policy")
    assert made.analyses()[0].diagnostics == ()
    made.remove("/w/docs.policy")
    assert made.document("/w/docs.policy") is None


def test_what_did_not_change_is_analysed_once() -> None:
    made = workspace()
    (before,) = made.analyses()
    made.put(read("/w/docs.policy", MAIN.encode()))
    assert made.analyses()[0] is before
    made.put(read("/w/docs.policy", MAIN.replace("Members", "All").encode()))
    (after,) = made.analyses()
    assert after is not before
    assert after.documents["/w/docs_test.policy"] is before.documents["/w/docs_test.policy"]


def test_test_files_are_checked_and_with_broken_policies_at_least_parsed() -> None:
    wrong = TESTS.replace("on folder", "on folders")
    assert [one.code for one in analysis({**FILES, "/w/docs_test.policy": wrong}).diagnostics] == [
        "P1001"
    ]
    broken = {"/w/docs.policy": "api docs\n", "/w/docs_test.policy": wrong + 'test "x" {'}
    assert [one.code for one in analysis(broken).diagnostics] == ["P1016", "P0026"]


def test_what_is_about_no_place_is_shown_at_the_top() -> None:
    (found,) = analysis({"/w/docs_test.policy": TESTS}).diagnostics
    assert found.code == "P1017"
    assert found.primary is not None
    assert (found.primary.source.name, found.primary.span) == ("/w/docs_test.policy", (0, 0))


def test_bytes_that_are_no_text_are_reported_once() -> None:
    made = Workspace(["/w"])
    made.put(read("/w/docs.policy", MAIN.encode() + b"// \xff\n"))
    made.put(read("/w/other.policy", f"{OTHER}// \u200b\n".encode()))
    assert [one.code for one in made.analyses()[0].diagnostics] == ["P0001", "P0002"]


def test_the_linter_sees_what_has_no_errors() -> None:
    finding = Diagnostic("P3000", "a finding", None, severity=Severity.WARNING)
    made = Workspace(["/w"], lambda policies, sources, tests: (finding,) * len(sources))
    for name, text in FILES.items():
        made.put(read(name, text.encode()))
    assert [one.code for one in made.analyses()[0].diagnostics] == ["P3000"] * 3
    made.put(read("/w/docs.policy", b"api docs\n"))
    assert "P3000" not in {one.code for one in made.analyses()[0].diagnostics}


def test_edits_are_applied_together() -> None:
    assert apply("abcd", [Edit(Span(3, 3), "-"), Edit(Span(0, 1), "xx")]) == "xxbc-d"
