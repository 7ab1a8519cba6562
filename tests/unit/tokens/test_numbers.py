"""Numbers of JSON are judged by their text."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policyd.json_types import Json
from policyd.language.literals import json_number
from policyd.language.types import Type
from policyd.program import plain_values, values
from policyd.tokens import jws
from policyd.tokens.numbers import is_whole, read_fraction, read_whole
from policyd.tokens.refusals import TokenMalformed

NO_INTEGERS = [
    "1e-400",
    "-1e-400",
    "4503599627370497.5",
    "-4503599627370497.5",
    "9007199254740990.9",
    "2.9999999999999998",
    "3.0000000000000001",
    "0." + "9" * 40,
    "1764513362.00000000001",
    "1." + "0" * 5000 + "1",
    "1e-999999999999999999999999",
    "29999999999999998e-16",
    "35184372088832.0000001",
    "1.5",
]
INTEGERS = {
    "3.0": 3,
    "1e2": 100,
    "1E+2": 100,
    "10.0e-1": 1,
    "-0.0": 0,
    "0e-999999999999": 0,
    "1" + "0" * 400 + "e-400": 1,
    "0." + "0" * 400 + "7e401": 7,
    "9007199254740991.000": 2**53 - 1,
    "1e000000000000000000000000000002": 100,
}


@pytest.mark.parametrize("text", NO_INTEGERS)
def test_no_integer(text: str) -> None:
    value = jws.read_object(f'{{"n":{text}}}'.encode(), "payload")["n"]
    assert isinstance(value, float)
    assert not value.is_integer()
    read: tuple[tuple[Json, Type], ...] = ((value, Type.INT), ([value], Type.SET_OF_INT))
    for json, type_ in read:
        assert values.reader(type_)(json) is values.ILL_TYPED
        assert plain_values.typed(json, type_) is None
    exact = Fraction(float(text)) if "e-99" in text else Fraction(Decimal(text))
    if abs(exact) < 2**38 and "e-99" not in text:
        # A time is cut as its text says.
        assert values.read_time(value) == math.floor(exact) == plain_values.typed(value, Type.TIME)
        assert abs(Fraction(value) - exact) <= Fraction(math.ulp(float(text)))


@pytest.mark.parametrize("text", INTEGERS)
def test_integers(text: str) -> None:
    value = jws.read_object(f'{{"n":{text}}}'.encode(), "payload")["n"]
    assert values.read_int(value) == INTEGERS[text] == plain_values.typed(value, Type.INT)


@pytest.mark.parametrize("text", NO_INTEGERS)
def test_no_decimal_either(text: str) -> None:
    """What rounding would make of them is not what they say."""
    value = jws.read_object(f'{{"n":{text}}}'.encode(), "payload")["n"]
    expected = Decimal(text) if text == "1.5" else None
    assert plain_values.typed(value, Type.DECIMAL) == expected
    scaled = values.read_decimal(value)
    assert scaled == 15_000 if expected else scaled is values.ILL_TYPED


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_decimals(number: Decimal) -> None:
    """Each literal that a policy may hold is what JSON carries of it."""
    assume(abs(number) <= 2**53)
    for json in (json_number(number), str(number) if "E" not in str(number) else "0"):
        if json != "0":
            assert values.read_decimal(json) == number * 10_000
            assert plain_values.typed(json, Type.DECIMAL) == number


@given(st.floats())
def test_doubles_as_decimals(number: float) -> None:
    """Both evaluators read the same doubles as decimals."""
    plain = plain_values.typed(number, Type.DECIMAL)
    scaled = values.read_decimal(number)
    assert scaled == (int(plain * 10_000) if isinstance(plain, Decimal) else values.ILL_TYPED)


@given(st.integers(-(10**20), 10**20), st.integers(-25, 25), st.integers(0, 25))
def test_a_text_is_whole_where_its_value_is(mantissa: int, exponent: int, places: int) -> None:
    sign, digits = "-" * (mantissa < 0), str(abs(mantissa)).rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :]
    text = f"{sign}{whole}.{fraction or '0'}e{exponent}"
    exact = Fraction(mantissa) * Fraction(10) ** (exponent - places)
    assert is_whole(text) is (exact.denominator == 1)
    value = read_fraction(text)
    assert value.is_integer() is (exact.denominator == 1)
    if exact.denominator == 1:
        assert value == float(text)


@pytest.mark.parametrize("digits", [40, 41, 100, 300])
def test_long_numbers_are_legal(digits: int) -> None:
    for text in ("9" * digits, "-" + "9" * digits):
        value = jws.read_object(f'{{"n":{text}}}'.encode(), "payload")["n"]
        assert value == pytest.approx(float(text))
        assert values.read_int(value) is values.ILL_TYPED
        assert values.read_time(value) is values.ILL_TYPED
    assert read_whole("9" * 40) == 10**40 - 1


@pytest.mark.parametrize(
    "text", ["1e999", "-1e999", "1e999999999", "9" * 5000, "1e" + "9" * 4000, "9" * 5000 + ".5"]
)
def test_numbers_that_no_double_comes_near_are_refused(text: str) -> None:
    with pytest.raises(TokenMalformed, match="too large"):
        jws.read_object(f'{{"n":{text}}}'.encode(), "payload")
