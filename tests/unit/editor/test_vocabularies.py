"""Vocabularies in an editor: their names are types, and their values are proposed."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.editor.completion import complete
from policyd.editor.hover import hover
from policyd.editor.outline import outline
from policyd.editor.rename import RenameRefused, rename
from policyd.editor.workspace import apply
from policyd.language import parse
from tests.support.editor import analysis, find

NAME = "/w/shop.policy"
SHOP = """\
api shop

audience "https://example.com/shop"

scope read:orders "Read orders"

/// What somebody works as.
values job: "internal", "customer"
values role: "admin", "clerk"

claim job: job?
claim roles: set<role>? from "/realm_access/roles"

resource order {
    kind: job
    actions read
}

allow read: read on order
    when scope read:orders and token.job == "internal" and token.roles has any ["admin"]
"""
ANALYSIS = analysis({NAME: SHOP})
HEAD = "api shop\n\n"


def proposed(text: str, name: str = "/w/new.policy") -> list[str]:
    before, _, after = (HEAD + text).partition("|")
    found = complete(ANALYSIS.index, Source(name, before + after), len(before))
    return [one.text for one in found.proposals]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("allow x: read on order when token.job == |", ['"internal"', '"customer"']),
        ("allow x: read on order when resource.kind != |", ['"internal"', '"customer"']),
        ('allow x: read on order when token.job in ["internal", |', ['"internal"', '"customer"']),
        ("allow x: read on order when token.roles has any [|", ['"admin"', '"clerk"']),
        ("allow x: read on order when token.roles has all |", ['"admin"', '"clerk"']),
        ("allow x: read on order when token.sub == |", []),
    ],
)
def test_proposes_the_values_of_the_other_side(text: str, values: list[str]) -> None:
    assert [one for one in proposed(text) if one.startswith('"')] == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('test "t" {\n    token { job: |', ['"internal"', '"customer"']),
        ('test "t" {\n    token { roles: [|', ['"admin"', '"clerk"']),
        ('test "t" {\n    allow read on order { kind: |', ['"internal"', '"customer"']),
        ('test "t" {\n    token { sub: |', []),
    ],
)
def test_proposes_values_in_tests(text: str, values: list[str]) -> None:
    found = proposed(text, "/w/new_test.policy")
    assert [one for one in found if one.startswith('"')] == values


def test_proposes_vocabularies_as_types() -> None:
    assert proposed("claim x: |")[-4:] == ["job", "role", "set<job>", "set<role>"]


def test_proposes_operators_of_a_set() -> None:
    found = proposed("allow x: read on order when token.roles |")
    assert found[:2] == ["has any", "has all"]


def test_shows_who_has_the_type() -> None:
    place = ANALYSIS.index.at(NAME, find(SHOP, "values jo|b"))
    assert place is not None
    assert hover(ANALYSIS.index, place) == (
        '```policy\nvalues job: "internal", "customer"\n```\n\nWhat somebody works as.\n\n'
        "Used by claim `job`; attribute `order.kind`."
    )


@pytest.mark.parametrize("marked", ["values ro|le:", "set<ro|le>"])
def test_renames_the_type_where_it_is_used(marked: str) -> None:
    place = ANALYSIS.index.at(NAME, find(SHOP, marked))
    assert place is not None
    (edits,) = rename(ANALYSIS, place, "duty").values()
    expected = SHOP.replace("values role", "values duty").replace("set<role>", "set<duty>")
    assert apply(SHOP, edits) == expected


def test_no_vocabulary_takes_the_name_of_a_type() -> None:
    place = ANALYSIS.index.at(NAME, find(SHOP, "values ro|le"))
    assert place is not None
    with pytest.raises(RenameRefused):
        rename(ANALYSIS, place, "int")


def test_the_outline_lists_the_values() -> None:
    file = parse(Source(NAME, SHOP)).file
    assert file is not None
    assert ("job", "internal, customer") in [(one.name, one.detail) for one in outline(file)]
