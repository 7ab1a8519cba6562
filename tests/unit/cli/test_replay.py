"""`policyd replay`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.logs import POLICY, Question, log_lines

STRICTER = POLICY.replace('"doctor" in', '"surgeon" in')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the policies `old` and `new`, and a log."""
    for name, text in (("old", POLICY), ("new", STRICTER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "health.policy").write_text(text)
    questions = [
        Question(subject=f"u-{number % 7}", sealed=number % 10 == 0, at=number * 60)
        for number in range(200)
    ]
    (tmp_path / "log").write_bytes(b"".join(log_lines(questions)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_text(policyd: Run, folder: Path) -> None:
    result = policyd("replay", "log", "--policies", "new", "--baseline", "old", "--fail-on", "any")
    assert (result.code, result.err) == (1, "")
    lines = result.out.splitlines()
    assert lines[0] == "200 decisions decided again by new: 20 differ"
    assert "health: read on patient" in lines
    assert "  20 × allowed by reads before, denied by sealed now" in lines
    assert "      2027-01-15T08:00:00Z to 2027-01-15T11:10:00Z, 7 subjects" in lines
    assert "      for example d-0 in log:1" in lines
    same = policyd("replay", "log", "--policies", "old", "--fail-on", "doubt")
    assert same.code == 0
    assert same.out.startswith("200 decisions decided again by old: none differs\n")


@pytest.mark.parametrize("jobs", [1, 2])
def test_however_it_is_divided_it_is_counted_alike(
    policyd: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    text = policyd("replay", "log", "--policies", "new", "--format", "json").out
    whole = json.loads(text)
    monkeypatch.setattr("policyd.audit.spread.parts.__defaults__", (10_000,))
    divided = policyd("replay", "log", "--policies", "new", "--format", "json", "--jobs", jobs)
    assert json.loads(divided.out) == whole
    assert whole["differs"] == 20
    (difference,) = whole["differences"]
    assert difference["rules_after"] == ["sealed"]
    assert difference["subjects"] == 7
    assert difference["example"]["line"] == 1


def test_what_is_of_no_use_is_counted_with_its_place(policyd: Run, folder: Path) -> None:
    lines = (folder / "log").read_bytes().splitlines(keepends=True)
    bad = [b'{"type":"decision","schema":1,\n', b"<html>\n", b'{"schema":7}\n', b'{"schema":1}\n']
    (folder / "log").write_bytes(b"".join([*lines[:10], *bad, b"\n", *lines[10:], lines[0][:50]]))
    result = policyd("replay", "log", "--policies", "old", "--fail-on", "any", "--jobs", 1)
    assert result.code == 0
    assert "200 decisions decided again by old: none differs" in result.out
    for said in ("2 torn", "1 foreign", "1 of another version", "1 malformed"):
        assert f"  {said}" in result.out
    for line in (11, 12, 13, 14, 206):
        assert f"log:{line}: " in result.out
    assert policyd("replay", "log", "--policies", "old", "--fail-on", "doubt").code == 1


def test_compressed_logs_and_standard_input(policyd: Run, folder: Path) -> None:
    data = (folder / "log").read_bytes()
    (folder / "log.gz").write_bytes(gzip.compress(data))
    both = policyd("replay", "log", "log.gz", "--policies", "old")
    assert both.out.startswith("400 decisions")
    piped = policyd("replay", "-", "--policies", "old", stdin=data.decode())
    assert piped.out.startswith("200 decisions")


def test_since_and_api(policyd: Run, folder: Path) -> None:
    late = policyd("replay", "log", "--policies", "old", "--since", "2027-01-15T11:10:00Z")
    assert late.out.startswith("10 decisions")
    assert "190 left out by --since or --api\n" in late.out
    none = policyd("replay", "log", "--policies", "old", "--api", "other")
    assert none.out.startswith("no decision in the log could be decided again\n")
    assert none.code == 2
    assert none.err == (
        "Error: nothing was compared: --since and --api leave out every decision of the log\n"
    )
    wrong = policyd("replay", "log", "--policies", "old", "--since", "yesterday")
    assert wrong.code == 2
    assert "--since" in wrong.err


def test_what_nobody_can_tell_says_why(policyd: Run, folder: Path) -> None:
    lines = log_lines([Question(sealed=True)], masks=["token.roles", "token.subject"])
    (folder / "log").write_bytes(b"".join(lines))
    result = policyd("replay", "log", "--policies", "new", "--fail-on", "doubt")
    assert result.code == 1
    assert "of 1 nobody can tell" in result.out
    assert "      depends on token.roles: masked\n" in result.out
    assert "no subject named" in result.out
    assert "--baseline names the policies of then" in result.out
    assert policyd("replay", "log", "--policies", "new").code == 0


def test_a_gate_does_not_open_where_nothing_is_known(policyd: Run, folder: Path) -> None:
    gate = ("replay", "log", "--policies", "new", "--fail-on", "any")
    lines = log_lines([Question(sealed=True)], masks=["token.roles", "token.subject"])
    (folder / "log").write_bytes(b"".join(lines))
    doubtful = policyd(*gate)
    assert (doubtful.code, "nothing is known: for no decision" in doubtful.err) == (2, True)
    (folder / "log").write_bytes(b"<html>\n" * 3)
    foreign = policyd(*gate)
    assert (foreign.code, "the log has no readable decision" in foreign.err) == (2, True)
    (folder / "log").write_bytes(b"")
    for empty in (policyd(*gate), policyd("replay", "log", "--policies", "new")):
        assert empty.code == 2
        assert empty.err == "Error: nothing was compared: the log holds no decision\n"


def test_html(policyd: Run, folder: Path) -> None:
    page = policyd("replay", "log", "--policies", "new", "--format", "html").out
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert "allowed</b> by reads" in page
    assert "denied</b> by sealed" in page
    assert "<svg" in page


def test_a_log_that_is_not_there(policyd: Run, folder: Path) -> None:
    result = policyd("replay", "none", "--policies", "old")
    assert result.code == 2
    assert "none: No such file or directory" in result.err
