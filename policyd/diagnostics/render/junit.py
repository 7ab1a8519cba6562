"""Findings as JUnit XML, which CI systems show as tests: a suite a file, a case a finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from policyd.diagnostics.diagnostic import Diagnostic
from policyd.diagnostics.render.full import render_full
from policyd.diagnostics.terminal import printable


def render_junit(diagnostics: Sequence[Diagnostic]) -> str:
    """Return `<testsuites>`; without findings it is empty."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for name, found in groupby(diagnostics, key=_file):
        listed = list(found)
        counts = f'tests="{len(listed)}" failures="{len(listed)}"'
        lines.append(f"  <testsuite name={_attribute(name)} {counts}>")
        for one in listed:
            lines += _case(one)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _file(found: Diagnostic) -> str:
    return "policies" if found.primary is None else found.primary.source.name


def _case(found: Diagnostic) -> Iterator[str]:
    kind = f"type={_attribute(found.severity)} message={_attribute(found.headline)}"
    yield f"    <testcase classname={_attribute(found.code)} name={_attribute(found.headline)}>"
    body = "\n".join(printable(line) for line in render_full([found], colour=False).splitlines())
    yield f"      <failure {kind}>{escape(body)}</failure>"
    yield "    </testcase>"


def _attribute(text: str) -> str:
    # XML 1.0 has no place for most control characters, escaped or not.
    return quoteattr(printable(text))
