"""What the resolver advises where a type has no such name."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import limits, load

OF_WHAT = "say of what: `set<string>`, `set<int>` or `set<ip>`"
TYPES = (
    "the types are `string`, `int`, `decimal`, `bool`, `time`, `ip`, `set<string>`, `set<int>`, "
    "`set<ip>`, `list`, and the vocabularies that `values NAME: …` declares"
)


@pytest.mark.parametrize(
    ("written", "help"),
    [
        ("set", OF_WHAT),
        ("list<string>", OF_WHAT),
        ("array<int>", OF_WHAT),
        ("text", "did you mean `string`?"),
        ("datetime", "did you mean `time`?"),
        ("text<int>", TYPES),
        ("set<bool>", TYPES),
        ("double", "did you mean `decimal`?"),
    ],
)
def test_the_type_that_was_meant(written: str, help: str) -> None:
    text = f'api a\n\naudience "https://a.example"\n\nclaim c: {written}\n'
    found = load([Source("a.policy", text)]).diagnostics
    assert [(one.code, one.help) for one in found] == [("P2001", help)]


@pytest.mark.parametrize("written", ["rol", "set<rol>"])
def test_a_vocabulary_that_was_meant(written: str) -> None:
    head = 'api a\n\naudience "https://a.example"\n\nvalues role: "x"\n'
    found = load([Source("a.policy", f"{head}claim c: {written}?\n")]).diagnostics
    assert [(one.code, one.help) for one in found] == [
        ("P2001", "a similar vocabulary exists: `role`")
    ]


def test_a_vocabulary_that_does_not_parse_is_not_unknown() -> None:
    head = 'api a\n\naudience "https://a.example"\n\nvalues role "x"\n'
    found = load([Source("a.policy", f"{head}claim c: role?\n")]).diagnostics
    assert [one.code for one in found] == ["P0008"]


def test_values_beyond_the_limit() -> None:
    head = 'api a\n\naudience "https://a.example"\n\nvalues role: '
    values = [f'"{number}"' for number in range(limits.VALUES)]
    assert load([Source("a.policy", head + ", ".join(values))]).diagnostics == ()
    found = load([Source("a.policy", head + ", ".join([*values, '"x"']))]).diagnostics
    assert [one.code for one in found] == ["P0015"]


def test_what_has_a_wrong_type_is_there_all_the_same() -> None:
    """Who reads it hears nothing more of it."""
    head = 'api a\n\naudience "https://a.example"\n\nclaim c: text\n\n'
    text = f'{head}resource r {{\n    actions x\n}}\n\nallow y: x on r\n    when token.c == "a"\n'
    found = load([Source("a.policy", text)]).diagnostics
    assert [one.code for one in found] == ["P2001"]
