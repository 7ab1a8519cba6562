"""A test run as findings, JSON, or JUnit XML.

A failed expectation is a finding like any other, `P4010`, at its place in the test, with the
condition trees of the rules that explain it. So every format of findings also works for test runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from policyd.diagnostics import Diagnostic, Label
from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.language.cases import TestCase
from policyd.tooling.coverage import CoverageItem, Covered
from policyd.tooling.runner import ExpectationResult, Run, relevant_rules
from policyd.tooling.traces import trace_lines


def failures(run: Run) -> tuple[Diagnostic, ...]:
    """Return a finding for each expectation that did not hold."""
    return tuple(_failure(result) for result in run.failed)


def _failure(result: ExpectationResult) -> Diagnostic:
    notes = []
    decision = result.decision
    if decision is not None and decision.detail:
        notes.append(decision.detail)
    if decision is not None and decision.missing_scopes:
        notes.append(f"missing scopes: {', '.join(decision.missing_scopes)}")
    tree = "\n".join(trace_lines(result.traces, relevant_rules(result)))
    if tree:
        notes.append(tree)
    first, *rest = result.problems
    return Diagnostic(
        "P4010",
        f'test "{result.case.title}" does not hold',
        Label(result.case.source, result.expectation.span, first),
        notes=(*rest, *notes),
    )


def listing(run: Run, width: int | None = None) -> str:
    """Return a line for each test, with how it ended; lines end at `width` columns if given."""
    lines = []
    for case, results in _cases(run):
        mark = "ok    " if all(result.passed for result in results) else "FAILED"
        line = printable(f"{mark}  {case.api}: {case.title}")
        if width is not None and len(line) > width:
            line = line[: width - 1] + "…"
        lines.append(f"{line}\n")
    return "".join(lines)


def json_report(run: Run) -> bytes:
    """Return the whole run as one JSON object."""
    document: dict[str, Json] = {
        "expectations": len(run.results),
        "failed": len(run.failed),
        "tests": [
            {
                "api": case.api,
                "title": case.title,
                "file": case.source.name,
                "line": case.source.position(case.span.start).line,
                "expectations": [_json_result(result) for result in results],
            }
            for case, results in _cases(run)
        ],
        "coverage": {
            "percentage": run.coverage.rounded,
            "possible": run.coverage.possible,
            "seen": run.coverage.seen,
            "parts": [_json_part(part) for part in run.coverage.parts],
        },
    }
    return encode_json(document)


def _json_part(part: Covered) -> dict[str, Json]:
    document: dict[str, Json] = {
        "api": part.api,
        "kind": part.kind,
        "name": part.name,
        "file": part.source.name,
        "operands": [_json_item(item) for item in part.operands],
    }
    if part.sides is not None:
        document["applies"] = _json_item(part.sides)
    return document


def _json_item(item: CoverageItem) -> dict[str, Json]:
    """`null` among the values is the truth value unknown."""
    line, column = item.source.position(item.span.start)
    return {
        "line": line,
        "column": column,
        "text": item.text,
        "possible": list(item.possible),
        "seen": [value for value in item.possible if value in item.seen],
    }


def _json_result(result: ExpectationResult) -> dict[str, Json]:
    decision = result.decision
    return {
        "line": result.case.source.position(result.expectation.span.start).line,
        "passed": result.passed,
        "problems": list(result.problems),
        "allowed": None if decision is None else decision.allowed,
        "reason": None if decision is None else str(decision.reason),
        "rules": None if decision is None else list(decision.rules),
    }


def junit_report(run: Run) -> str:
    """Return the run as JUnit XML: a suite a file, a case a test."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for name, cases in groupby(_cases(run), key=lambda pair: pair[0].source.name):
        listed = list(cases)
        failed = sum(any(not one.passed for one in results) for _, results in listed)
        counts = f'tests="{len(listed)}" failures="{failed}"'
        lines.append(f"  <testsuite name={_attribute(name)} {counts}>")
        for case, results in listed:
            lines += _junit_case(case, results)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _junit_case(case: TestCase, results: list[ExpectationResult]) -> Iterator[str]:
    names = f"classname={_attribute(case.api)} name={_attribute(case.title)}"
    failed = [result for result in results if not result.passed]
    if not failed:
        yield f"    <testcase {names}/>"
        return
    yield f"    <testcase {names}>"
    for result in failed:
        line, _ = case.source.position(result.expectation.span.start)
        message = _attribute("; ".join(result.problems))
        tree = "\n".join(trace_lines(result.traces, relevant_rules(result)))
        body = escape(f"{printable(case.source.name)}:{line}\n{tree}")
        yield f"      <failure message={message}>{body}</failure>"
    yield "    </testcase>"


def _attribute(text: str) -> str:
    # XML 1.0 has no place for most control characters, escaped or not.
    return quoteattr(printable(text))


def _cases(run: Run) -> Iterator[tuple[TestCase, list[ExpectationResult]]]:
    for _, results in groupby(run.results, key=lambda result: id(result.case)):
        listed = list(results)
        yield listed[0].case, listed
