"""Policy text to the same policy in its one canonical layout.

- Four spaces a level, lines of at most 100 columns where there is a place to break.
- A blank line between blocks. Declarations of one line (`audience`, `scope`, `claim`, `define`)
  stand together in columns where the author leaves no blank line.
- `when`, `unless` and `because` stand on lines of their own. A condition that does not fit on its
  line has one operand a line.
- Comments, documentation and single blank lines between items stay where they are.

Nothing is reordered, renamed or rewritten but white space, trailing commas and parentheses that
group nothing. Each run proves it: the output parses to the same tree, holds the same comments and
formats to itself, or `FormatterError` is raised.
"""

from __future__ import annotations

import msgspec

from policyd.diagnostics import Diagnostic, Source, Span, has_errors
from policyd.language import nodes
from policyd.language.formatter.comments import (
    FormatterError,
    Printed,
    find_comments,
    weave,
)
from policyd.language.formatter.document import LINE_LIMIT, lay_out
from policyd.language.formatter.statements import Gap, Printer
from policyd.language.parser import parse


class Formatted(msgspec.Struct, frozen=True):
    """`text` is `None` where the source has errors; then nothing may be written."""

    text: str | None
    diagnostics: tuple[Diagnostic, ...]


def format_source(source: Source) -> Formatted:
    """Format one file. Raises `FormatterError` when the result cannot be proven the same."""
    parsed = parse(source)
    if parsed.file is None or has_errors(parsed.diagnostics):
        return Formatted(None, parsed.diagnostics)
    text = _print(parsed.file)
    _prove(parsed.file, text)
    return Formatted(text, parsed.diagnostics)


def _print(file: nodes.File) -> str:
    comments = find_comments(file.source)
    printer = Printer(file, [comment.span for comment in comments])
    lines = []
    for statement in printer.statements():
        first, *rest = lay_out(statement.body, statement.indent, LINE_LIMIT)
        lines.append(Printed(first, statement.gap))
        lines += (Printed(line, Gap.NONE) for line in rest)
    return weave(file.source, comments, lines)


def _prove(file: nodes.File, text: str) -> None:
    name = file.source.name
    again = parse(Source(name, text))
    if again.file is None or has_errors(again.diagnostics):
        raise FormatterError(f"formatting {name} would make a file that does not parse")
    if _meaning(again.file) != _meaning(file):
        raise FormatterError(f"formatting {name} would change its meaning")
    if _comments(again.file.source) != _comments(file.source):
        raise FormatterError(f"formatting {name} would change its comments")
    if _print(again.file) != text:
        raise FormatterError(f"formatting {name} twice would not give the same text")


def _meaning(value: object) -> object:
    """Return a tree as plain tuples, without places in the source."""
    if isinstance(value, Span | Source):
        return None
    if isinstance(value, tuple):
        return tuple(map(_meaning, value))
    if isinstance(value, msgspec.Struct):
        fields = (_meaning(getattr(value, field)) for field in value.__struct_fields__)
        return (type(value).__name__, *fields)
    return value


def _comments(source: Source) -> list[str]:
    return sorted(comment.text for comment in find_comments(source))


__all__ = ["LINE_LIMIT", "Formatted", "FormatterError", "format_source"]
