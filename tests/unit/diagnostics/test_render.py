"""The renderers, on findings made by hand; what the checker's look like is in tests/golden."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from policyd.diagnostics import Diagnostic, Edit, Label, Severity, Source, Span
from policyd.diagnostics.render import Format, render
from policyd.diagnostics.render.full import LIMIT

POLICY = Source(
    "a/one.policy", "api health\nallow reads: read on patient\n    when x and\n\n    y\n"
)
OTHER = Source("two.policy", "scope read:patients\n")


def _label(source: Source, text: str, message: str = "") -> Label:
    start = source.text.index(text)
    return Label(source, Span(start, start + len(text)), message)


def _error(primary: Label | None, headline: str = "something is wrong") -> Diagnostic:
    return Diagnostic("P1001", headline, primary)


def _full(*found: Diagnostic) -> list[str]:
    return render(found).splitlines()


def test_nothing_to_say() -> None:
    assert [render([], style) for style in (Format.FULL, Format.CONCISE, Format.GITHUB)] == [""] * 3


def test_findings_are_sorted_by_file_and_place() -> None:
    late = _error(_label(POLICY, "patient"))
    early = _error(_label(POLICY, "health"))
    other = _error(_label(OTHER, "scope"))
    nowhere = _error(None)
    places = render([other, late, early, nowhere], Format.CONCISE).splitlines()
    assert [line.split(" ")[0] for line in places] == [
        "error[P1001]:",
        "a/one.policy:1:5:",
        "a/one.policy:2:22:",
        "two.policy:1:1:",
    ]


def test_labels_in_another_file_have_a_snippet_of_their_own() -> None:
    found = Diagnostic(
        "P1001", "wrong", _label(POLICY, "reads"), (_label(OTHER, "read:patients", "see here"),)
    )
    assert _full(found)[:9] == [
        "error[P1001]: wrong",
        " --> a/one.policy:2:7",
        "  |",
        "2 | allow reads: read on patient",
        "  |       ^^^^^",
        " ::: two.policy:1:7",
        "  |",
        "1 | scope read:patients",
        "  |       ------------- see here",
    ]


def test_range_over_lines_is_underlined_line_by_line() -> None:
    found = _error(
        Label(POLICY, Span(POLICY.text.index("when"), len(POLICY.text) - 1), "all of it")
    )
    assert _full(found)[2:8] == [
        "  |",
        "3 |     when x and",
        "  |     ^^^^^^^^^^",
        "...",
        "5 |     y",
        "  |     ^ all of it",
    ]


def test_long_range_shows_its_beginning_and_end() -> None:
    source = Source("long.policy", "".join(f"line {number}\n" for number in range(1, 30)))
    shown = _full(_error(Label(source, Span(0, len(source.text) - 1), "here")))
    numbers = [line.split(" |")[0].strip() for line in shown if " | line" in line]
    assert numbers == ["1", "2", "3", "27", "28", "29"]
    assert sum(line.endswith("^ here") for line in shown) == 1


def test_range_that_ends_with_a_line_break_stays_on_its_line() -> None:
    shown = _full(_error(Label(OTHER, Span(0, len(OTHER.text)), "the line")))
    assert [line for line in shown if "^" in line] == ["  | ^^^^^^^^^^^^^^^^^^^ the line"]


def test_empty_range_gets_one_caret() -> None:
    shown = _full(_error(Label(POLICY, Span(len(POLICY.text), len(POLICY.text)), "the end")))
    assert shown[1:5] == [" --> a/one.policy:6:1", "  |", "6 |", "  | ^ the end"]


def test_long_line_is_cut_around_the_place() -> None:
    source = Source("wide.policy", "x" * 5000 + "HERE" + "y" * 5000)
    line, carets = _full(_error(_label(source, "HERE")))[3:5]
    assert len(line) < 200
    start, end = carets.index("^"), carets.rindex("^") + 1
    assert line[start:end] == "HERE"
    assert line.startswith("1 | …")
    assert line.endswith("…")


def test_source_text_cannot_command_the_terminal() -> None:
    source = Source("evil\x1b.policy", "name \x1b[2J \u202e end")
    found = Diagnostic(
        "P0002", "bad \x07", _label(source, "end", "\x1b"), help="\x1b", notes=("\r",)
    )
    for style in (Format.FULL, Format.CONCISE):
        assert all(c == "\n" or c.isprintable() for c in render([found], style))


def test_page_is_named_once_a_code() -> None:
    twice = render([_error(_label(POLICY, "health")), _error(_label(POLICY, "reads"))])
    assert twice.count("policyd explain P1001") == 1


def test_help_and_notes_may_have_several_lines() -> None:
    found = Diagnostic("P1001", "wrong", None, help="first\nsecond", notes=("a note",))
    assert _full(found) == [
        "error[P1001]: wrong",
        "  = help: first",
        "          second",
        "  = note: a note",
        "  = note: `policyd explain P1001` says more",
    ]


def test_number_of_findings_is_limited() -> None:
    shown = render([_error(None)] * (LIMIT + 3))
    assert shown.count("error[P1001]") == LIMIT
    assert shown.endswith("... and 3 more findings, not shown\n")


def test_colours_change_nothing_else() -> None:
    found = Diagnostic("P1001", "wrong", _label(POLICY, "reads", "here"), severity=Severity.WARNING)
    coloured = render([found], colour=True)
    plain = coloured
    for code in ("1;33", "1;34", "1", "0"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert "\x1b[1;33m" in coloured
    assert [line.rstrip() for line in plain.splitlines()] == _full(found)
    assert "\x1b" not in render([found])


def test_json() -> None:
    primary = _label(POLICY, "reads", "here")
    fix = (Edit(primary.span, "writes"),)
    found = Diagnostic("P1001", "wrong", primary, help="do", notes=("n",), fix=fix)
    warning = Diagnostic("P3001", "odd", None, severity=Severity.WARNING)
    place = {"start": {"line": 2, "column": 7}, "end": {"line": 2, "column": 12}}
    document = json.loads(render([warning, found], Format.JSON))
    assert (document["errors"], document["warnings"]) == (1, 1)
    assert document["diagnostics"][0]["primary"] is None
    assert document["diagnostics"][1] == {
        "code": "P1001",
        "severity": "error",
        "headline": "wrong",
        "primary": {"file": "a/one.policy", **place, "message": "here"},
        "secondary": [],
        "help": "do",
        "notes": ["n"],
        "fix": [{**place, "text": "writes"}],
    }


def test_github_annotations_are_escaped() -> None:
    source = Source("50%,a:b.policy", "name\n")
    found = Diagnostic(
        "P1001", "100 %\nwrong", _label(source, "name", "here"), help="do", notes=("n",)
    )
    assert render([found], Format.GITHUB) == (
        "::error file=50%25%2Ca%3Ab.policy,line=1,endLine=1,col=1,endColumn=5,title=P1001::"
        "100 %25%0Awrong: here%0Ahelp: do%0Anote: n\n"
    )


def test_github_has_no_columns_for_several_lines() -> None:
    found = Diagnostic("P1001", "w", Label(POLICY, Span(0, 20)), severity=Severity.WARNING)
    assert render([found, _error(None)], Format.GITHUB) == (
        "::error title=P1001::something is wrong\n"
        "::warning file=a/one.policy,line=1,endLine=2,title=P1001::w\n"
    )


def test_sarif() -> None:
    found = Diagnostic(
        "P1001", "wrong", _label(POLICY, "reads", "here"), (_label(OTHER, "read"),), help="do"
    )
    log = json.loads(render([found], Format.SARIF))
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert run["tool"]["driver"]["rules"] == [{"id": "P1001"}]
    result = run["results"][0]
    assert (result["ruleId"], result["level"]) == ("P1001", "error")
    assert result["message"]["text"] == "wrong\nhelp: do"
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "a/one.policy"}
    assert location["region"] == {"startLine": 2, "startColumn": 7, "endLine": 2, "endColumn": 12}
    assert result["relatedLocations"][0]["physicalLocation"]["region"]["endColumn"] == 11


@pytest.mark.parametrize("style", list(Format))
def test_every_format_ends_with_a_line_break(style: Format) -> None:
    assert render([_error(None)], style).endswith("\n")


def test_junit() -> None:
    found = Diagnostic("P1001", 'wrong <"\x07">', _label(POLICY, "reads", "here"), help="do & be")
    suites = ElementTree.fromstring(render([found, _error(None)], Format.JUNIT))
    assert [suite.attrib for suite in suites] == [
        {"name": "policies", "tests": "1", "failures": "1"},
        {"name": "a/one.policy", "tests": "1", "failures": "1"},
    ]
    case = suites[1][0]
    assert case.attrib == {"classname": "P1001", "name": 'wrong <"\\u{7}">'}
    failure = case[0]
    assert failure.attrib["type"] == "error"
    assert "a/one.policy:2:7" in (failure.text or "")
    assert "do & be" in (failure.text or "")
