"""What of Python is a JSON value, and how it is said that something is none."""

from __future__ import annotations

from collections.abc import Set
from datetime import date, datetime
from math import isfinite

#: The daemon's own bound (`VALUE_INVALID`). A structure that holds itself ends here too.
DEEPEST = 32
GREATEST = 2**53 - 1


class Unsupported(Exception):
    """What is wrong with a value, and the path to it within the attribute."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


def number_of(value: float, path: str) -> float:
    """Return a number as JSON has it. Raises `Unsupported`, with the `path` to it."""
    if isinstance(value, int) and abs(value) > GREATEST:
        raise Unsupported(path, f"{value}, which binary64 does not hold exactly: pass a text")
    if not isfinite(value):
        raise Unsupported(path, f"{value}, which JSON does not have")
    return float(value)


def text_of(value: str, path: str) -> str:
    """Return a text as JSON has it. Raises `Unsupported`, with the `path` to it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unsupported(path, "a text with half a surrogate pair, which UTF-8 lacks") from None
    return str.__str__(value)  # the text of an enumeration's member, and not its name


def kind_of(value: object) -> str:
    """Return what something is, for messages."""
    return type(value).__qualname__


def advice_on(value: object) -> str:
    """Return what to pass in place of something that is no JSON value."""
    if isinstance(value, Set):
        return ": pass a list"
    if isinstance(value, datetime):
        return ": pass `value.isoformat()` of one that has a time zone"
    if isinstance(value, date | bytes):
        return ": pass a text"
    return ": pass a text, a number, a truth value, a list or a mapping"
