"""Dialects as data: which conditions hold, and which dialects make no sense."""

from __future__ import annotations

import msgspec
import pytest

from policyd.json_types import Json
from policyd.tokens.settings.dialect import (
    Dialect,
    InvalidDialect,
    check_dialect,
    described,
    holds,
    one_holds,
    read_conditions,
)
from policyd.tokens.settings.dialect_table import DIALECTS

Table = dict[str, object]


@pytest.mark.parametrize(
    ("table", "claims", "expected"),
    [
        ({"a": True}, {"a": None}, True),
        ({"a": True}, {}, False),
        ({"a": False}, {}, True),
        ({"a": False}, {"a": 1}, False),
        ({"a": "x"}, {"a": "x"}, True),
        ({"a": "x"}, {"a": "X"}, False),
        ({"a": "x"}, {"a": ["x"]}, False),
        ({"a": "x"}, {}, False),
        ({"a": ["x", "y"]}, {"a": "y"}, True),
        ({"a": ["x", "y"]}, {"a": "z"}, False),
        ({"a": {"same_as": "b"}}, {"a": "x", "b": "x"}, True),
        ({"a": {"same_as": "b"}}, {"a": "x", "b": "y"}, False),
        ({"a": {"same_as": "b"}}, {"a": "x"}, False),
        ({"a": {"same_as": "b"}}, {"b": "x"}, False),
        ({"a": {"same_as": "b"}}, {"a": 1, "b": 1}, False),
        ({"a": True, "b": "x"}, {"a": 1, "b": "x"}, True),
        ({"a": True, "b": "x"}, {"a": 1}, False),
        ({"a": False, "b": "x"}, {"b": "y"}, False),
    ],
)
def test_a_condition_holds_where_all_of_it_does(
    table: Table, claims: dict[str, Json], expected: bool
) -> None:
    (condition,) = read_conditions("marks", [table])

    assert holds(condition, claims) is expected


def test_of_several_conditions_one_is_enough_and_of_none_none_holds() -> None:
    conditions = read_conditions("user", [{"a": True}, {"b": True}])

    assert one_holds(conditions, {"b": 1})
    assert not one_holds(conditions, {"c": 1})
    assert not one_holds((), {"a": 1})


def test_a_condition_can_be_told() -> None:
    table: Table = {"a": True, "b": False, "c": ["y", "x"], "d": {"same_as": "e"}}
    (condition,) = read_conditions("marks", [table])

    assert described(condition) == "`a` and no `b` and `c` x or y and `d` equal to `e`"


@pytest.mark.parametrize(
    "value",
    [7, 1.5, None, [], [7], ["a", None], {}, {"same_as": 7}, {"same_as": "a"}, {"sameas": "b"}],
)
def test_what_cannot_be_asked_of_a_claim_is_refused(value: object) -> None:
    with pytest.raises(InvalidDialect, match="has an unsupported test") as caught:
        read_conditions("user", [{"a": value}])

    assert caught.value.setting == "user"
    assert caught.value.advice is not None


def test_a_condition_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidDialect, match="every token fits"):
        read_conditions("marks", [{}])


@pytest.mark.parametrize("name", DIALECTS)
def test_policyds_own_dialects_make_sense(name: str) -> None:
    check_dialect(DIALECTS[name])


def test_only_cognito_may_lack_an_audience() -> None:
    assert [name for name, row in DIALECTS.items() if row.audience_by_client] == ["cognito"]


def marked(*tables: Table) -> tuple[object, ...]:
    return read_conditions("marks", tables)


@pytest.mark.parametrize(
    ("changes", "setting", "message"),
    [
        ({"at_jwt": False}, "marks", "nothing would tell"),
        ({"at_jwt": False, "client_outside_audience": True}, "marks", "nothing would tell"),
        ({"marks": marked({"azp": True})}, "marks", "ID tokens may have it too"),
        ({"marks": marked({"azp": True, "email": True})}, "marks", "ID tokens may have it too"),
        ({"marks": marked({"roles": True})}, "marks", "ID tokens may have it too"),
        ({"marks": marked({"aud": "x"})}, "marks", "ID tokens may have it too"),
        ({"marks": marked({"scope": False})}, "marks", "ID tokens may have it too"),
        ({"marks": marked({"cid": True}, {"sub": True})}, "marks", "`sub` for the mark"),
        ({"marks": marked({"typ": True})}, "marks", "whether it is there"),
        ({"marks": marked({"token_use": False, "cid": True})}, "marks", "whether it is there"),
        ({"marks": marked({"typ": ["Bearer", "ID"]})}, "marks", "what ID tokens have"),
        ({"marks": marked({"token_use": "id"})}, "marks", "what ID tokens have"),
        ({"marks": marked({"scope": True}), "decisive": True}, "decisive", "into ID tokens"),
        ({"marks": marked({"client_id": True}), "decisive": True}, "decisive", "into ID tokens"),
        ({"client": ()}, "client", "names no claim"),
        ({"client": ("",)}, "client", "names no claim"),
        ({"client": ("a", "a")}, "client", "twice"),
        ({"client": ("sub",)}, "client", "another meaning"),
        ({"subject": ()}, "subject", "names no claim"),
        ({"subject": (("",),)}, "subject", "names no claim"),
        ({"subject": (("sub",), ("sub",))}, "subject", "twice"),
        ({"subject": (("tid", "tid"),)}, "subject", "itself"),
        ({"subject": (("tid", ""),)}, "subject", "none"),
        ({"scope": ""}, "scope", "names no claim"),
        ({"scope": "aud"}, "scope", "another meaning"),
        ({"token_id": "sub"}, "token_id", "another meaning"),
        ({"permissions": ""}, "permissions", "names no claim"),
        ({"permissions": "scope"}, "permissions", "is not what an application was granted"),
        ({"required": frozenset(("",))}, "required", "names no claim"),
        (
            {"user": marked({"a": True}), "application": marked({"b": True}, {"a": True})},
            "application",
            "a sign of users too",
        ),
        ({"application_suffix": ""}, "application_suffix", "is empty"),
        ({"user_separator": ""}, "user_separator", "is empty"),
    ],
)
def test_a_dialect_that_makes_no_sense_is_refused(
    changes: dict[str, object], setting: str, message: str
) -> None:
    sensible = Dialect(at_jwt=True)
    check_dialect(sensible)

    with pytest.raises(InvalidDialect, match=message) as caught:
        check_dialect(msgspec.structs.replace(sensible, **changes))

    assert caught.value.setting == setting
    assert f"`{setting}`" in str(caught.value)


@pytest.mark.parametrize(
    "marks",
    [
        ({"cid": True},),
        ({"tty": "at"},),
        ({"typ": "Bearer"},),
        ({"azp": True, "azpacr": True},),
        ({"scope": True}, {"scp": True}),
        ({"email": False, "scope": True},),
    ],
)
def test_a_mark_that_id_tokens_lack_makes_sense(marks: tuple[Table, ...]) -> None:
    check_dialect(Dialect(marks=read_conditions("marks", marks)))
