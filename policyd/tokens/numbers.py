"""Numbers of JSON (RFC 8259, section 6), judged by their text.

A double has 53 bits, so the nearest one may be whole where the text is not: 1e-400 becomes 0.0,
and 2.9999999999999998 becomes 3.0. Code that tests afterwards whether the number is whole would be
told what the text does not say. So such a text is read as a double beside the nearest one that is
not whole either. Everything else is read as usual; how long a text is does not matter, beyond that
reading it takes time linear in its length.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

#: Digits of integers that are kept exactly; more than tokens need, and no trouble for `int`.
_LONGEST_EXACT: Final = 40
#: Doubles tell numbers of so many digits apart, the whole ones from the others too.
_TOLD_APART: Final = 15
#: Beyond all times. The double after it still has more digits than a decimal may have.
_NO_TIME: Final = 2.0**38
_NO_VALUE: Final = math.nextafter(_NO_TIME, math.inf)
#: Stands for any exponent beyond, which no text makes up for by its length.
_HUGE_EXPONENT: Final = 10**9


def read_whole(digits: str) -> int | float:
    """Read a number without fraction and exponent: one of more than 40 characters is the nearest
    double. Raises OverflowError beyond the range of doubles."""
    return int(digits) if len(digits) <= _LONGEST_EXACT else _finite(digits)


def read_fraction(digits: str) -> float:
    """Read a number with fraction or exponent; the result is whole exactly when the text is.

    It is the nearest double, or else the next one on the text's side; beyond 2^38, where that
    one might be read as a decimal, it is one that no type reads. Raises OverflowError beyond the
    range of doubles.
    """
    value = _finite(digits)
    if not value.is_integer() or (value and len(digits) <= _TOLD_APART) or is_whole(digits):
        return value
    if abs(value) >= _NO_TIME:
        return math.copysign(_NO_VALUE, value)
    # Of a number this small, `Decimal` might not bear the exponent.
    below = digits.startswith("-") if value == 0 else Decimal(digits) < Decimal(value)
    return math.nextafter(value, -math.inf if below else math.inf)


def is_whole(digits: str) -> bool:
    """Tell whether the text of a number is that of an integer, such as 3.0, 1e2 or 10.0e-1."""
    mantissa, _, exponent = digits.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    significant = whole.lstrip("-") + fraction
    kept = significant.rstrip("0")
    if not kept:
        return True
    # How far behind the point the last digit stands that is not zero.
    places = len(fraction) - (len(significant) - len(kept))
    return places <= _exponent(exponent)


def _exponent(text: str) -> int:
    digits = text.lstrip("+-0")
    size = _HUGE_EXPONENT if len(digits) > 9 else int(digits or "0")
    return -size if text.startswith("-") else size


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise OverflowError(f"{len(digits)} characters that no double comes near")
    return value
