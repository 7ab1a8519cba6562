"""The fenced examples of catalogue pages."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from policyd.diagnostics import Diagnostic, Source, has_errors
from policyd.language import load, load_tests
from policyd.language.parser import TEST_SUFFIX
from policyd.prover.promises import Prover
from policyd.tooling.lint import DEFAULT, lint
from policyd.tooling.mutation import finding, try_tests
from policyd.tooling.reports import failures
from policyd.tooling.runner import run_tests

DOCS = Path(__file__).parents[2] / "docs"
#: What `policyd mutate` finds.
UNNOTICED = "P4012"
_FENCE = re.compile(r"^```(?P<info>[^\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(msgspec.Struct, frozen=True):
    """All fences of one page that fail, or all that do not. `kind` is `policy` or `toml`."""

    kind: str
    files: tuple[Source, ...]


def examples(page: str) -> dict[bool, Example]:
    """Return the failing example of a page under `True`, and the repair under `False`."""
    found: dict[bool, list[Source]] = {}
    kind = ""
    for match in _FENCE.finditer(page):
        kind, *words = match["info"].split()
        names = [word for word in words if word not in ("fails", "whole")]
        name = names[0] if names else f"example.{kind}"
        text = match["text"] if "whole" in words else _completed(kind, name, match["text"])
        found.setdefault("fails" in words, []).append(Source(name, text))
    return {fails: Example(kind, tuple(sources)) for fails, sources in found.items()}


def preamble() -> str:
    """Return the declarations that examples without an `api` line stand below."""
    page = (DOCS / "errors" / "README.md").read_text(encoding="utf-8")
    match = _FENCE.search(page)
    assert match is not None
    assert match["info"] == "policy preamble"
    return match["text"]


def _completed(kind: str, name: str, text: str) -> str:
    if kind != "policy" or text.startswith("api "):
        return text
    return f"api health\n\n{text}" if name.endswith(TEST_SUFFIX) else f"{preamble()}\n{text}"


def findings(example: Example, code: str = "") -> tuple[Diagnostic, ...]:
    """Check an example as `policyd check` and `policyd test` would.

    With the `code` of a lint rule, `policyd lint` goes over it too, with its default rules and this
    one; what it finds in the declarations above the example is not the example's.
    """
    tests = [source for source in example.files if source.name.endswith(TEST_SUFFIX)]
    policies = [source for source in example.files if source not in tests]
    loaded = load(policies or [Source("example.policy", preamble())])
    broken = () if loaded.policies is None else Prover().prove(loaded.policies)
    if broken:
        return (*loaded.diagnostics, *broken)
    if loaded.policies is None or (not tests and not code):
        return loaded.diagnostics
    checked = load_tests(tests, loaded.policies)
    found = (*loaded.diagnostics, *checked.diagnostics)
    if has_errors(found):
        return found
    failed = failures(run_tests(loaded.policies, checked.tests))
    if not code:
        return (*found, *failed)
    if code == UNNOTICED:
        trial = try_tests(loaded.policies, checked.tests)
        return (*found, *failed, *map(finding, trial.survivors))
    linted = lint(
        loaded.policies, example.files, checked.tests if tests else None, DEFAULT | {code}
    )
    return (*found, *failed, *(one for one in linted if not _above(one)))


def _above(found: Diagnostic) -> bool:
    """Whether a finding is about the declarations that an example stands below."""
    assert found.primary is not None
    common = preamble()
    return found.primary.source.text.startswith(common) and found.primary.span.end <= len(common)
