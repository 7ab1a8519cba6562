from __future__ import annotations

import io
import json

import pytest

from policyd.cli import explain, output
from policyd.diagnostics import catalogue
from tests.support.cli import Run


def test_page_is_printed_as_it_stands(policyd: Run) -> None:
    result = policyd("explain", "P1005")
    assert (result.code, result.out) == (0, catalogue.page("P1005"))
    assert policyd("explain", "insufficient_scope").out == catalogue.page("INSUFFICIENT_SCOPE")


def test_json(policyd: Run) -> None:
    document = json.loads(policyd("explain", "P1005", "--format", "json").out)
    assert document == {"name": "P1005", "page": catalogue.page("P1005")}


def test_unknown_page(policyd: Run) -> None:
    result = policyd("explain", "INSUFFICIENT_SCOPES")
    assert result.code == 2
    assert "did you mean INSUFFICIENT_SCOPE?" in result.err
    assert "did you mean" not in policyd("explain", "x" * 40).err


def test_terminal_gets_a_rendered_page(policyd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "has_colours", lambda: True)
    shown = policyd("explain", "P1005").out
    assert "unknown attribute" in shown
    assert "```" not in shown


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (False, {"FORCE_COLOR": ""}, False),
    ],
)
def test_colours_are_for_terminals(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], expected: bool
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", Screen())
    assert output.has_colours() is expected
