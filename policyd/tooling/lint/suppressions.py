"""Comments that suppress findings, each with its reason.

    // lint: allow P3002 (the health check is public)

On a line of its own it covers what is declared below it; at the end of a line, what stands on that
line: a whole declaration, or one field of a resource or of the context, or one line of a test. A
suppression that is unclear, gives no reason, or suppresses nothing is a finding itself, and no
comment suppresses that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import msgspec

from policyd.diagnostics import Diagnostic, Label, Severity, Span, closest
from policyd.language import case_nodes, nodes
from policyd.language.parser import comments

UNCLEAR, UNEXPLAINED, NO_SUCH_RULE, USELESS = "P3091", "P3092", "P3093", "P3094"
#: The names of these findings, by code.
NAMES = {
    UNCLEAR: "suppression-unclear",
    UNEXPLAINED: "suppression-unexplained",
    NO_SUCH_RULE: "suppression-unknown",
    USELESS: "suppression-useless",
}

_MARK = re.compile(r"//\s*lint\s*:")
_SPELLING = re.compile(r"//\s*lint: allow (?P<codes>\w+(?:, ?\w+)*)\s*(?P<rest>.*)")
_REASON = re.compile(r"\(\s*[^)\s].*\)")
_TRIVIA = re.compile(r"(?:\s+|//[^\n]*)*")
_HELP = "write `// lint: allow CODE (reason)`"


class Suppression(msgspec.Struct, frozen=True):
    """One code of one comment. It covers what begins within `covered`."""

    code: str
    label: Label
    covered: Span

    def covers(self, found: Diagnostic) -> bool:
        """Tell whether this finding is one of those meant."""
        place = found.primary
        return (
            found.code == self.code
            and place is not None
            and place.source is self.label.source
            and self.covered.start <= place.span.start < self.covered.end
        )


def find(
    file: nodes.File, known: Collection[str]
) -> tuple[tuple[Suppression, ...], tuple[Diagnostic, ...]]:
    """Return the suppressions of a file, and what is wrong with them. `known` are the codes."""
    found: list[Suppression] = []
    wrong: list[Diagnostic] = []
    for span, text in comments(file.source):
        if not _MARK.match(text):
            continue
        label = Label(file.source, Span(span.start, span.start + len(text.rstrip())))
        match = _SPELLING.fullmatch(text.rstrip())
        if match is None:
            wrong.append(_warning(UNCLEAR, "this comment suppresses nothing", label, _HELP))
            continue
        if not _REASON.fullmatch(match["rest"]):
            headline = "the suppression gives no reason"
            wrong.append(_warning(UNEXPLAINED, headline, label, _HELP))
        covered = _covered(file, span)
        for code in re.finditer(r"\w+", match["codes"]):
            start = span.start + match.start("codes") + code.start()
            place = Label(file.source, Span(start, start + len(code[0])))
            if code[0] in known:
                found.append(Suppression(code[0], place, covered))
            else:
                wrong.append(_unknown(code[0], place, known))
    return tuple(found), tuple(wrong)


def apply(
    found: Sequence[Diagnostic], suppressions: Sequence[Suppression], judged: Collection[str]
) -> tuple[Diagnostic, ...]:
    """Return the findings that are left, and one for each suppression that suppressed nothing.

    Only suppressions of a code in `judged` are held to be useless: the others were not looked for.
    """
    useless = dict.fromkeys(suppressions)
    left = []
    for finding in found:
        covering = [one for one in suppressions if one.covers(finding)]
        for one in covering:
            useless.pop(one, None)
        if not covering:
            left.append(finding)
    left += (_useless(one) for one in useless if one.code in judged)
    return tuple(left)


def _unknown(code: str, label: Label, known: Collection[str]) -> Diagnostic:
    near = closest(code, known)
    if code in NAMES:
        help = "a finding about a suppression cannot be suppressed"
    elif re.fullmatch(r"P[0-24-9]\d{3}", code):
        help = "only findings of `policyd lint` (P3…) can be suppressed"
    else:
        help = f"a similar code exists: `{near}`" if near else _HELP
    return _warning(NO_SUCH_RULE, f"no rule of the linter has the code `{code}`", label, help)


def _useless(one: Suppression) -> Diagnostic:
    return _warning(
        USELESS,
        f"there is no `{one.code}` here to suppress",
        one.label,
        "remove it, or move it to the line above what it is about",
    )


def _warning(code: str, headline: str, label: Label, help: str) -> Diagnostic:
    return Diagnostic(code, headline, label, help=help, severity=Severity.WARNING)


def _covered(file: nodes.File, comment: Span) -> Span:
    """What a comment is about, empty for nothing."""
    spans = sorted(_statements(file), key=lambda span: span.end - span.start)
    text = file.source.text
    line = text.rfind("\n", 0, comment.start) + 1
    before = text[line : comment.start].rstrip()
    if before:
        last = line + len(before) - 1
    else:
        trivia = _TRIVIA.match(text, comment.end)
        assert trivia is not None  # it matches the empty text
        for span in spans:
            if span.start == trivia.end():
                return span
        last = comment.start
    return next((span for span in spans if span.start <= last < span.end), Span(0, 0))


def _statements(file: nodes.File) -> Iterator[Span]:
    """The `api` line, the declarations, and the lines in them that stand for themselves."""
    start = file.source.text.rfind("\n", 0, file.api.span.start) + 1
    yield Span(start, file.api.span.end)
    for declaration in file.declarations:
        yield declaration.span
        match declaration:
            case nodes.Context(fields=fields) | nodes.Resource(fields=fields):
                yield from (field.span for field in fields)
            case case_nodes.Test(items=items):
                yield from (item.span for item in items)
