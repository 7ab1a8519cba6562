"""The sample policies: they load, are laid out, and are tested rule by rule."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from policyd.diagnostics import Source
from policyd.language import LoadedTests, load, load_tests
from policyd.language.formatter import format_source
from policyd.language.policy import PolicySet
from policyd.tooling.mutation import finding, try_tests
from policyd.tooling.runner import run_tests

FOLDER = Path(__file__).parents[2] / "policies"
TEST_SUFFIX = "_test.policy"
SAMPLES = ("documents", "health", "ingest", "mcp", "payments", "payments-rar")


def _sources() -> list[Source]:
    return [
        Source(path.relative_to(FOLDER).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.rglob("*.policy"))
    ]


@cache
def _policies() -> PolicySet:
    loaded = load([one for one in _sources() if not one.name.endswith(TEST_SUFFIX)])
    assert loaded.policies is not None
    assert loaded.diagnostics == ()
    return loaded.policies


@cache
def _tests() -> LoadedTests:
    return load_tests([one for one in _sources() if one.name.endswith(TEST_SUFFIX)], _policies())


def test_each_sample_is_an_api_without_findings() -> None:
    assert tuple(_policies().apis) == SAMPLES
    assert _tests().diagnostics == ()


@pytest.mark.parametrize("source", _sources(), ids=lambda source: source.name)
def test_samples_are_laid_out(source: Source) -> None:
    assert format_source(source).text == source.text


def test_the_tests_hold_and_show_each_rule_and_operand_in_full() -> None:
    run = run_tests(_policies(), _tests().tests)

    assert [outcome.problems for outcome in run.failed] == []
    assert [part.name for part in run.coverage.parts if not part.complete] == []
    assert {part.api for part in run.coverage.parts} == set(SAMPLES)


def test_the_tests_notice_every_small_change() -> None:
    trial = try_tests(_policies(), _tests().tests)

    assert [finding(survivor).headline for survivor in trial.survivors] == []
    assert trial.tried > 300
