"""Literals as values of one type: what a rule compares with, and what a test states."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from policyd.diagnostics import Edit
from policyd.language import nodes, policy
from policyd.language.literals import read_address, read_time
from policyd.language.reporter import Reporter
from policyd.language.types import Type

#: How to read the text of a type that has no literals of its own, and what the text is to be.
_READ: dict[Type, tuple[Callable[[str], policy.Scalar], str]] = {
    Type.STRING: (str, "a text"),
    Type.TIME: (read_time, "a time"),
    Type.IP: (read_address, "an IP address"),
}


def read_scalar(
    node: nodes.Literal, type_: Type, reporter: Reporter, mismatched: Callable[[], None]
) -> policy.Scalar | None:
    """Return the value, or report what is wrong and return `None`.

    `mismatched` reports a literal of another type.
    """
    match node:
        case nodes.Name(text=text, span=span):
            reporter.error(
                "P2010",
                f"`{text}` is not quoted",
                span,
                help=f'write `"{text}"`',
                fix=(Edit(span, f'"{text}"'),),
            )
            return None
        case nodes.Text(value=text, span=span) if type_ in _READ:
            read, meant = _READ[type_]
            try:
                return read(text)
            except ValueError as error:
                reporter.error("P2004", f'"{text}" is not {meant}', span, help=str(error))
                return None
        case nodes.Number(value=value) if type_ is Type.INT:
            return value
        case nodes.Number(value=value) if type_ is Type.DECIMAL:
            return Decimal(value)
        case nodes.Decimal(value=value) if type_ is Type.DECIMAL:
            return value
        case nodes.Decimal(span=span) if type_ is Type.INT:
            reporter.error(
                "P0007",
                "an `int` is whole",
                span,
                help="count in a smaller unit, such as cents, or declare a `decimal`",
            )
            return None
        case nodes.Boolean(value=value) if type_ is Type.BOOL:
            return value
    mismatched()
    return None
