"""Filters as SQL: what is refused, and what is never spliced."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from policyd.client import Answer, AuthorizationFailed, Filter, messages
from policyd.client.filtering import (
    All,
    AnyOf,
    Attribute,
    Condition,
    Declared,
    HasSome,
    Literal,
    Not,
    Test,
    read_filter,
)
from policyd.client.filters import Expression, FilterRefused, postgres, sqlite

ANSWER = Answer(False, "UNDECIDED", "", (), False, (), 403, "", 0, "", None, "", "", None)
OWNER = Attribute("owner", "string")
NAMES = Attribute("names", "set_of_string")


def made(condition: Condition | None, *attributes: Declared, outcome: str = "some") -> Filter:
    declared = attributes or (
        Declared("id", "string", optional=True),
        Declared("owner", "string", optional=False),
        Declared("names", "set_of_string", optional=True),
    )
    return Filter(outcome, condition, declared, None, ANSWER)


def equal(value: str) -> Test:
    return Test("equal", OWNER, Literal(value, "string"))


def test_values_are_parameters() -> None:
    evil = "'; DROP TABLE things; --"
    where = sqlite.where(made(equal(evil)), {"owner": "t.owner"})
    assert where.parameters == (evil,)
    assert where.text == ("((t.owner COLLATE BINARY = ? COLLATE BINARY) AND t.owner IS NOT NULL)")
    where = postgres.where(made(equal(evil)), {"owner": "t.owner"})
    assert where.text == '(((t.owner COLLATE "C") = %s::text) AND t.owner IS NOT NULL)'
    assert where.parameters == (evil,)


@pytest.mark.parametrize(
    "column", ["", "a b", "a; b", "a.b.c.d.e", '"a" "b"', "1a", "a--", '"', "'a'"]
)
def test_a_column_is_a_name(column: str) -> None:
    with pytest.raises(FilterRefused, match="the column of `owner` is no name of SQL"):
        sqlite.where(made(equal("a")), {"owner": column})


@pytest.mark.parametrize("column", ["a", "t.a", '"a b"."c"""', Expression("lower(a)")])
def test_names_and_expressions(column: str) -> None:
    assert column in sqlite.where(made(equal("a")), {"owner": column}).text


def test_percent_signs_are_no_placeholders() -> None:
    assert '"100%%"' in postgres.where(made(equal("a")), {"owner": '"100%"'}).text
    text = postgres.where(made(equal("a")), {"owner": '"100%"'}, lambda n: f"${n + 1}").text
    assert '"100%"' in text
    assert "$1::text" in text


def test_none_and_all() -> None:
    none = made(None, outcome="none")
    assert sqlite.where(none, {}).text == "1 = 0"
    every = made(None, outcome="all")
    assert sqlite.where(every, {"owner": "o"}).text == "o IS NOT NULL"
    assert (
        sqlite.where(made(None, Declared("id", "string", True), outcome="all"), {}).text == "1 = 1"
    )
    unknown = messages.FilterResponse(outcome=77)  # type: ignore[arg-type]  # of a later daemon
    assert read_filter(unknown).outcome == "none"


def test_what_has_no_column() -> None:
    with pytest.raises(FilterRefused, match=r"demands `resource\.owner`, and there is no column"):
        sqlite.where(made(None, outcome="all"), {})
    member = Test("in", Literal("a", "string"), NAMES)
    with pytest.raises(FilterRefused, match=r"reads `resource\.names`, and there is no column"):
        sqlite.where(made(member), {"owner": "o"})
    assert sqlite.where(made(equal("a")), {"owner": "o", "other": "p"}).text


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (Test("equal", Attribute("ip", "ip"), Literal("10.0.0.1", "ip")), "it has no addresses"),
        (Test("less", Attribute("ip", "decimal"), Literal(1, "decimal")), "are binary"),
        (HasSome("ip", Test("always")), "a list of records"),
        (Test("sounds_like", OWNER, Literal("a", "string")), "an operator that it does not have"),
    ],
)
def test_what_sqlite_cannot_say(condition: Condition, said: str) -> None:
    declared = (Declared("ip", "ip", True), Declared("owner", "string", True))
    with pytest.raises(FilterRefused, match=said) as refused:
        sqlite.where(made(condition, *declared), {"ip": "i", "owner": "o"})
    assert isinstance(refused.value, AuthorizationFailed)
    assert not refused.value.allowed


def test_a_vocabulary_closes_a_column() -> None:
    kind = Declared("kind", "string", optional=True, values=("a", "b"))
    where = sqlite.where(made(None, kind, outcome="all"), {"kind": "k"})
    assert where.text == "(k IS NULL OR (k COLLATE BINARY IN (?, ?)))"
    assert where.parameters == ("a", "b")


def test_what_cannot_be_stored_is_equal_to_nothing() -> None:
    where = postgres.where(made(equal("a\0")), {"owner": "o"})
    assert "ELSE FALSE" in where.text
    assert where.parameters == ()
    names = Test("has_all", NAMES, Literal(frozenset(("a", "\0")), "set_of_string"))
    assert "ELSE FALSE" in postgres.where(made(names), {"owner": "o", "names": "n"}).text


def test_many_conditions_are_not_deep() -> None:
    many = AnyOf(tuple(equal(str(n)) for n in range(5000)))
    where = sqlite.where(made(All((many, Not(equal("x"))))), {"owner": "o"})
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (o TEXT)")
    connection.executemany("INSERT INTO t VALUES (?)", [("7",), ("x",), ("5001",), (None,)])
    found = connection.execute(f"SELECT o FROM t WHERE {where.text}", where.parameters)
    assert found.fetchall() == [("7",)]
    connection.close()


def test_a_filter_is_no_truth_value() -> None:
    with pytest.raises(TypeError, match="put it into a query"):
        bool(replace(made(None), outcome="all"))


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"all": {}},
        {"test": {}},
        {"test": {"operator": "FILTER_OPERATOR_EQUAL", "left": {}}},
        {"negated": {}},
    ],
)
def test_what_a_client_does_not_know_is_an_error(condition: dict[str, object]) -> None:
    from google.protobuf.json_format import ParseDict

    message = messages.FilterResponse()
    ParseDict({"outcome": "FILTER_OUTCOME_SOME", "condition": condition}, message)
    with pytest.raises(AuthorizationFailed, match="that this client does not know"):
        read_filter(message)
