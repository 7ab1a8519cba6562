"""Policies of other engines, said in this language: they hold, and notice when they are misspelt.

Each folder of `tests/samples/other_engines` is the subject of a public policy, which its first
comment names, with tests of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from policyd.diagnostics import Source
from policyd.language import LoadedTests, load, load_tests
from policyd.language.formatter import format_source
from policyd.language.policy import PolicySet
from policyd.tooling.lint import lint
from policyd.tooling.mutation import finding, try_tests
from policyd.tooling.runner import run_tests

FOLDER = Path(__file__).parents[1] / "samples" / "other_engines"
SAMPLES = sorted(path for path in FOLDER.iterdir() if path.is_dir())
TEST_SUFFIX = "_test.policy"

#: Share of the misspelt texts that loading has to notice.
NOTICED = 0.95

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)

_TEXT = re.compile(r'"(?P<text>[^"\n]*)"')
#: Texts that are no word: times, addresses and blocks of addresses.
_NO_WORD = re.compile(r"[\d:TZ./-]+")


@cache
def _sources(sample: Path) -> tuple[Source, ...]:
    return tuple(
        Source(path.name, path.read_text(encoding="utf-8"))
        for path in sorted(sample.glob("*.policy"))
    )


def _policy(sample: Path) -> Source:
    (policy,) = [one for one in _sources(sample) if not one.name.endswith(TEST_SUFFIX)]
    return policy


@cache
def _loaded(sample: Path) -> tuple[PolicySet, LoadedTests]:
    loaded = load([_policy(sample)])
    assert loaded.policies is not None, loaded.diagnostics
    assert loaded.diagnostics == ()
    tests = [one for one in _sources(sample) if one.name.endswith(TEST_SUFFIX)]
    return loaded.policies, load_tests(tests, loaded.policies)


def test_there_are_seventeen() -> None:
    assert [sample.name[:2] for sample in SAMPLES] == [f"{one:02}" for one in range(1, 18)]


@each_sample
def test_names_its_source_and_is_laid_out(sample: Path) -> None:
    assert "\n/// Source: " in _policy(sample).text
    for source in _sources(sample):
        assert format_source(source).text == source.text


@each_sample
def test_lint_finds_nothing(sample: Path) -> None:
    policies, tests = _loaded(sample)
    assert lint(policies, _sources(sample), tests.tests) == ()


@each_sample
def test_its_tests_hold_and_show_all_of_it(sample: Path) -> None:
    policies, tests = _loaded(sample)
    assert tests.diagnostics == ()
    run = run_tests(policies, tests.tests)

    assert [outcome.problems for outcome in run.failed] == []
    assert [part.name for part in run.coverage.parts if not part.complete] == []


@each_sample
def test_its_tests_notice_every_small_change(sample: Path) -> None:
    policies, tests = _loaded(sample)
    trial = try_tests(policies, tests.tests)

    assert [finding(survivor).headline for survivor in trial.survivors] == []
    assert trial.tried > 0


def _compared(text: str) -> Iterator[re.Match[str]]:
    """Yield each text of a policy that a rule or a condition compares with something."""
    inside, start = False, 0
    for line in text.splitlines(keepends=True):
        head = not line[0].isspace()
        if head:
            inside = line.startswith(("allow ", "deny ", "define "))
        named = head and not line.startswith("define ")
        if inside and not named and not line.lstrip().startswith(("//", "because ")):
            for found in _TEXT.finditer(text, start, start + len(line)):
                if not _NO_WORD.fullmatch(found["text"]):
                    yield found
        start += len(line)


def _misspelt(text: str, found: re.Match[str]) -> str:
    """Return the policy with another middle letter in one text."""
    middle = (found.start("text") + found.end("text")) // 2
    return f"{text[:middle]}~{text[middle + 1 :]}"


def test_loading_notices_nearly_every_misspelt_text() -> None:
    unnoticed: list[str] = []
    tried = 0
    for sample in SAMPLES:
        policy = _policy(sample)
        for found in _compared(policy.text):
            tried += 1
            if load([Source(policy.name, _misspelt(policy.text, found))]).policies is not None:
                unnoticed.append(f"{sample.name}: {found['text']}")
    noticed = tried - len(unnoticed)
    print(f"{noticed} of {tried} misspelt texts are noticed; not: {', '.join(unnoticed)}")

    assert tried > 50
    assert noticed / tried >= NOTICED, unnoticed
