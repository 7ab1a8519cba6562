"""The short ways through a token's bytes, each beside the long way that it stands for.

JSON that msgspec would write the same way is read by msgspec, and base64 always: neither may take
or make anything else than Python's own strict readers do.
"""

from __future__ import annotations

import binascii
import json
from binascii import a2b_base64
from collections.abc import Callable
from typing import Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.refusals import TokenMalformed
from tests.support.issuer_tokens import IssuerToken, fixtures

#: One name in several spellings, so that it often stands twice.
NAMES = ('"a"', '"\\u0061"', '"A"', '"b"', '""', '"\u00e9"', '"\\u00e9"', '"a\\/"', '"a/"')
NUMBERS = (
    *("0", "-0", "1", "-1", "00", "01", "+1", "1.", ".5", "1.0", "-0.0", "0.1", "1.50", "0x1"),
    *("1e5", "1E5", "1e16", "1e22", "100000.0", "5e-324", "2e-324", "1e308", "1e999", "-1e999"),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *("-9223372036854775809", "18446744073709551615", "18446744073709551616", "9" * 39, "9" * 40),
    *("9" * 41, "-" + "9" * 39, "-" + "9" * 40, "9" * 5000, "0." + "1" * 38, "0." + "1" * 60),
    *("NaN", "Infinity", "-Infinity", "nan", "1_000", "\u0661"),
)
TEXTS = (
    *('""', '"x"', '"\u00e9"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\U0001f600"', '"\\ud800"'),
    *('"\\udc00x"', '"\\u0000"', '"\\u001f"', '"\\u001F"', '"\x01"', '"\x7f"', '"\\n"', '"\n"'),
    *('"\\/"', '"/"', '"\\x"', '"\\', '"[[{{"', '"\u2028"', "'x'", '"a":1', '"\\""', '"\\\\"'),
)
WORDS = ("null", "true", "false", "None", "True", "nul", "")

numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-(10**42), 10**42).map(str)
    | st.floats(allow_nan=True).map(repr)
)
texts = st.sampled_from(TEXTS) | st.text(max_size=8).map(lambda text: json.dumps(text))
names = st.sampled_from(NAMES) | st.text("abc", max_size=2).map(json.dumps)
# Now and then a space, which is JSON, or something that looks like one.
gaps = st.sampled_from(("",) * 60 + (" ", "\n\t", "\r", "\x0b", "\u00a0", "\ufeff"))


def listed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.lists(st.tuples(gaps, inner, gaps).map("".join), max_size=3)
    return items.map(lambda found: f"[{','.join(found)}]")


def members(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(gaps, names, gaps, st.just(":"), gaps, inner, gaps).map("".join)
    return st.lists(member, max_size=4).map(lambda found: f"{{{','.join(found)}}}")


def canonical(value: object) -> str:
    return msgspec.json.encode(value).decode()


values = st.recursive(
    numbers | texts | st.sampled_from(WORDS),
    lambda inner: listed(inner) | members(inner),
    max_leaves=8,
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
).map(canonical)
deep = st.tuples(st.sampled_from((1, 3, 4, 5, 6, 30, 31, 32, 33, 40)), plain_values).map(
    lambda pair: '{"a":' * pair[0] + pair[1] + "}" * pair[0]
)
documents = (
    st.tuples(gaps, members(values | plain_values), gaps).map("".join)
    | members(plain_values)
    | deep
    | values
    | plain_values
).map(lambda text: text.encode("utf-8", "surrogatepass"))


def outcome(
    read: Callable[[bytes, str], dict[str, Json]], data: bytes
) -> tuple[Literal["read", "refused"], str]:
    """Return the value with the type of each part and in its order, or why there is none."""
    try:
        return "read", repr(read(data, "payload"))
    except TokenMalformed as refusal:
        return "refused", str(refusal)


def assert_alike(data: bytes) -> None:
    strictly = outcome(jws.read_strictly, data)
    assert outcome(jws.read_object, data) == strictly
    at_once = jws.read_canonical(data)
    assert at_once is None or ("read", repr(at_once)) == strictly


@given(documents)
@example(b'{"a":1,"\\u0061":1}')
@example(b'{"a":{"b":1,"b":1}}')
@example(b'[{"a":1,"a":1}]')
@example(b'{"a":1}{"a":1}')
@example(b'\xef\xbb\xbf{"a":1}')
@example(b'{"a":1}\x00')
@example(b"")
def test_both_readers_say_the_same(data: bytes) -> None:
    assert_alike(data)


@given(documents, st.binary(max_size=3), st.integers(0, 10_000), st.integers(0, 3))
def test_both_readers_say_the_same_of_damaged_documents(
    data: bytes, put: bytes, at: int, instead_of: int
) -> None:
    at %= len(data) + 1

    assert_alike(data[:at] + put + data[at + instead_of :])


@pytest.mark.parametrize("one", fixtures(""), ids=lambda one: f"{one.dialect}/{one.name}")
def test_what_issuers_write_is_read_at_once(one: IssuerToken) -> None:
    data = json.dumps(one.claims, separators=(",", ":")).encode()

    assert repr(jws.read_canonical(data)) == repr(one.claims)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":[{"b":null,"b":null}]}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"\\u0061":1}',
        b'{"a":1e5}',
        b'{"a":-0}',
        b'{"a":' + b"9" * 41 + b"}",
        b'{"a":9223372036854775808}',
        b'{"a":' * 6 + b"1" + b"}" * 6,
        b"[]",
        b"1",
        b"null",
    ],
)
def test_what_is_not_plain_is_left_to_the_strict_reader(data: bytes) -> None:
    assert jws.read_canonical(data) is None


def by_binascii(segment: bytes) -> bytes | None:
    """Decode base64url by the book: its alphabet alone, no padding, one spelling."""
    if set(segment) & set(b"+/="):
        return None
    padded = segment.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(segment) % 4)
    try:
        data = a2b_base64(padded, strict_mode=True)
    except binascii.Error:
        return None
    return data if jws.encode_segment(data) == segment else None


near_segments = st.text('AQgwZ_-+/=!" \n\\\x00.', max_size=12).map(str.encode)


@given(
    st.binary(max_size=80).map(jws.encode_segment)
    | near_segments
    | st.tuples(st.binary(max_size=12).map(jws.encode_segment), near_segments).map(b"".join)
    | st.text(st.characters(max_codepoint=127), max_size=9).map(str.encode)
)
def test_base64url_is_decoded_as_by_the_book(segment: bytes) -> None:
    try:
        decoded = jws.decode_segment(segment, "payload")
    except TokenMalformed:
        decoded = None

    assert decoded == by_binascii(segment)
