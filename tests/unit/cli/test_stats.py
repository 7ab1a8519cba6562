"""`policyd stats`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.logs import POLICY, Question, log_lines

WITH_IDLE = (
    POLICY
    + """
allow never: read on patient
    when "never" in token.roles

resource report {
    actions view
}

allow views: view on report
    when scope write:patients
"""
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with policies and a log."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "health.policy").write_text(WITH_IDLE)
    questions = [
        Question(
            subject=f"u-{number % 3}",
            sealed=number % 4 == 0,
            roles=(),
            action="read" if number % 5 else "update",
            at=number * 60,
            claims={"scope": "read:patients openid"},
        )
        for number in range(60)
    ]
    lines = log_lines(questions, WITH_IDLE)
    gap = b'{"type":"gap","schema":1,"time":"2026-12-01T00:00:00Z","dropped":3}\n'
    (tmp_path / "log").write_bytes(b"".join([*lines, gap, b"<html>\n", lines[0][:40]]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_text(policyd: Run, folder: Path) -> None:
    result = policyd("stats", "log", "--policies", "policies")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "60 decisions: 36 allowed, 24 denied"
    assert lines[1] == "2027-01-15T08:00:00Z to 2027-01-15T08:59:00Z"
    for line in (
        "  health: read on patient    36 allowed  12 denied",
        "  health: update on patient   0 allowed  12 denied",
        "  health: DENIED_BY_RULE      15",
        "  health: INSUFFICIENT_SCOPE   9",
        "  health: write:patients  9",
        "  health: reads   36",
        "  health: sealed  15",
        "  health: allow never   48 asked",
        "  health: allow views",
        "  u-0 (https://issuer.example/)  8",
        "  health: app (https://issuer.example/)  openid  in 60 decisions",
        "1 gaps, where 3 records are missing",
        "1 foreign: no record of policyd's",
    ):
        assert line in lines, line
    assert "half within 42 µs" in result.out
    assert "log:62: " in result.out
    assert "log:63: the line ends within a record" in result.out


def test_without_policies_it_says_what_they_would_tell(policyd: Run, folder: Path) -> None:
    out = policyd("stats", "log").out
    assert "never decided, though" not in out
    assert "with --policies, rules that never decided and scopes nobody needs are shown too" in out


@pytest.mark.parametrize("jobs", [1, 2])
def test_however_it_is_divided_it_is_counted_alike(
    policyd: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    options = ("stats", "log", "--policies", "policies", "--format", "json")
    whole = json.loads(policyd(*options).out)
    monkeypatch.setattr("policyd.audit.spread.parts.__defaults__", (5_000,))
    assert json.loads(policyd(*options, "--jobs", jobs).out) == whole
    assert whole["decisions"] == 60
    assert whole["never_decided"] == [
        {"api": "health", "rule": "never", "effect": "allow", "asked": 48},
        {"api": "health", "rule": "writes", "effect": "allow", "asked": 12},
        {"api": "health", "rule": "views", "effect": "allow", "asked": 0},
    ]
    assert whole["latency_us"] == {"p50": 42, "p90": 42, "p99": 42, "max": 42}


def test_html(policyd: Run, folder: Path) -> None:
    page = policyd("stats", "log", "--policies", "policies", "--format", "html").out
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert "health: allow never" in page
    assert 'class="time deny"' in page


def test_a_log_without_decisions(policyd: Run, folder: Path) -> None:
    (folder / "log").write_bytes(b"")
    assert policyd("stats", "log").out.startswith("there is no decision in the log\n")


def test_a_scope_that_a_deny_asks_for_is_needed(policyd: Run, folder: Path) -> None:
    text = POLICY.replace('"doctor" in token.roles', "scope write:patients")
    (folder / "policies" / "health.policy").write_text(text)
    scopes = {"scope": "read:patients write:patients openid"}
    (folder / "log").write_bytes(b"".join(log_lines([Question(claims=scopes)], text)))
    found = json.loads(policyd("stats", "log", "--policies", "policies", "--format", "json").out)
    (client,) = found["scopes_not_needed"]
    assert client["scopes"] == [{"scope": "openid", "decisions": 1}]


def test_samples_say_what_they_stand_for(policyd: Run, folder: Path) -> None:
    (line,) = log_lines([Question()], WITH_IDLE)
    sampled = line.replace(b'"resource_id"', b'"sample_rate":0.1,"resource_id"', 1)
    (folder / "log").write_bytes(sampled * 3)
    out = policyd("stats", "log").out
    assert "3 allows are samples, and stand for about 30: " in out
