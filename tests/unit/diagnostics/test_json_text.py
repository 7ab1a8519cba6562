"""JSON for logs and terminals: the same value, and nothing in it that hides or is obeyed."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.diagnostics.json_text import encode_json, visible_json
from policyd.diagnostics.visibility import is_hidden
from policyd.json_types import Json

HIDDEN = [
    *("\x00", "\x1b", "\x7f", "\x80", "\x9b", "\xa0", "\xad"),  # controls, odd spaces, soft hyphen
    *("\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2800", "\u3164"),
    *("\ue000", "\U000e0041", "\U0010ffff"),
]
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("character", HIDDEN, ids=ascii)
def test_what_hides_is_escaped(character: str) -> None:
    data = encode_json({character: f"a{character}b"})
    assert character.encode() not in data
    assert json.loads(data) == {character: f"a{character}b"}


def test_what_is_seen_stays_as_it_is() -> None:
    text = "Zoë, 渡辺, עברית, 👍"
    assert encode_json(text) == f'"{text}"'.encode()


def test_lines_stay_lines() -> None:
    data = b'{"a":"\xe2\x80\xae"}\n{"b":"\xc3\xab"}\n'
    assert visible_json(data) == b'{"a":"\\u202e"}\n{"b":"\xc3\xab"}\n'


def test_indents_where_asked() -> None:
    assert encode_json({"a": [1]}, indent=2) == b'{\n  "a": [\n    1\n  ]\n}'


def test_bytes_without_anything_to_hide_are_not_copied() -> None:
    data = msgspec.json.encode(["plain"])
    assert visible_json(data) is data


@given(values)
def test_whoever_parses_it_reads_the_same_value(value: Json) -> None:
    data = encode_json(value)
    assert json.loads(data) == value
    assert not any(map(is_hidden, data.decode()))
