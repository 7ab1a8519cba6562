"""A small layout algebra: text that may break over lines, fitted into a width.

After P. Wadler, "A prettier printer" (2003): a group is written on one line when it fits there up
to the next possible break, and with all its own breaks otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Line(msgspec.Struct, frozen=True):
    """A place to break: `flat` when its group stays on one line, a line break otherwise."""

    flat: str = " "


class IfBroken(msgspec.Struct, frozen=True):
    """Text that is there only when its group is broken: a trailing comma."""

    text: str


class Indent(msgspec.Struct, frozen=True):
    """Lines that begin inside are indented by one step more."""

    body: Document


class Group(msgspec.Struct, frozen=True):
    """Breaks together. `broken` groups never stay on one line, nor do the groups around them."""

    body: Document
    broken: bool = False


Document = str | Line | IfBroken | Indent | Group | tuple["Document", ...]

STEP = 4
LINE_LIMIT = 100


def joined(separator: Document, documents: Iterable[Document]) -> Document:
    """Put the separator between the documents."""
    parts: list[Document] = []
    for document in documents:
        parts += [separator, document] if parts else [document]
    return tuple(parts)


def must_break(document: Document) -> bool:
    """Tell whether the document holds a group that is broken in any case."""
    match document:
        case Group(body=body, broken=broken):
            return broken or must_break(body)
        case Indent(body=body):
            return must_break(body)
        case tuple():
            return any(map(must_break, document))
        case _:
            return False


def lay_out(document: Document, indent: int, limit: int) -> list[str]:
    """Return the lines of the document, the first one indented by `indent` columns."""
    lines: list[str] = []
    current = " " * indent
    stack: list[tuple[int, bool, Document]] = [(indent, True, document)]
    while stack:
        margin, broken, part = stack.pop()
        match part:
            case str():
                current += part
            case IfBroken(text=text):
                current += text if broken else ""
            case Line(flat=flat):
                if broken:
                    lines.append(current.rstrip())
                    current = " " * margin
                else:
                    current += flat
            case Indent(body=body):
                stack.append((margin + STEP, broken, body))
            case Group(body=body):
                breaks = must_break(part) or not _fits(body, stack, limit - len(current))
                stack.append((margin, breaks, body))
            case _:
                stack.extend((margin, broken, item) for item in reversed(part))
    lines.append(current.rstrip())
    return lines


def _fits(body: Document, rest: list[tuple[int, bool, Document]], room: int) -> bool:
    """Tell whether `body` on one line, and what follows up to the next break, takes `room`."""
    following = len(rest)
    stack: list[tuple[bool, Document]] = [(False, body)]
    while room >= 0:
        if not stack:
            if following == 0:
                return True
            following -= 1
            _, broken, part = rest[following]
            stack.append((broken, part))
        broken, part = stack.pop()
        match part:
            case str():
                room -= len(part)
            case IfBroken(text=text):
                room -= len(text) if broken else 0
            case Line(flat=flat):
                if broken:
                    return True
                room -= len(flat)
            case Indent(body=inner) | Group(body=inner):
                # A group that follows may break at its first place, if it stands in a broken one.
                stack.append((broken and isinstance(part, Indent), inner))
            case _:
                stack.extend((broken, item) for item in reversed(part))
    return False
