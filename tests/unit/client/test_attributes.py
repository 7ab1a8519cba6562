"""What the client sends of attributes, and what it says of those that JSON cannot hold."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import cast
from uuid import UUID

import pytest

from policyd.client import AuthorizationFailed, Client, Json, QuestionInvalid, Resource
from policyd.client.attributes import json_of, struct_of


class Ward(enum.StrEnum):
    NORTH = "north"


SENT: dict[str, Json] = {
    "text": "å",
    "none": None,
    "yes": True,
    "whole": 2**53 - 1,
    "part": 1.5,
    "list": [1, "a", [], {}],
    "tuple": (1, 2),
    "object": {"a": {"b": [False]}},
    "empty": "",
    "member": Ward.NORTH,
}


def test_json_goes_and_comes_back() -> None:
    struct = struct_of(SENT, "attribute", "ATTRIBUTE_INVALID")
    assert {name: json_of(value) for name, value in struct.fields.items()} == {
        **SENT,
        "tuple": [1, 2],
        "member": "north",
    }


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)
#: An attribute `a`, and what is said of it.
UNSUPPORTED: list[tuple[object, str]] = [
    (datetime(2026, 1, 1, tzinfo=UTC), "attribute `a` is a datetime, which JSON does not have: "),
    (date(2026, 1, 1), "attribute `a` is a date, which JSON does not have: pass a text"),
    ({"x"}, "attribute `a` is a set, which JSON does not have: pass a list"),
    (b"x", "attribute `a` is a bytes, which JSON does not have: pass a text"),
    (Decimal(1), "attribute `a` is a Decimal, which JSON does not have: pass a text, a number, "),
    ([0, {"id": UUID(int=0)}], "attribute `a[1].id` is a UUID, which JSON does not have"),
    (float("nan"), "attribute `a` is nan, which JSON does not have"),
    ([2**53], "attribute `a[0]` is 9007199254740992, which binary64 does not hold exactly"),
    ("\ud800", "attribute `a` is a text with half a surrogate pair"),
    ({"b": {1: 2}}, "attribute `a.b` is an object with a int for a name: 1"),
    (ENDLESS, "attribute `a` is nested deeper than 32 levels"),
]


@pytest.mark.parametrize(("value", "said"), UNSUPPORTED, ids=lambda value: str(value)[:30])
def test_names_the_attribute_that_cannot_be_sent(value: object, said: str) -> None:
    properties = {"fine": 1, "a": cast("Json", value)}
    with Client("unix:/nowhere") as client, pytest.raises(QuestionInvalid) as caught:
        client.check("t", action="read", resource=Resource("patient", "p1", properties))
    assert caught.value.message.startswith(f"`patient` {said}")
    assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "ATTRIBUTE_INVALID")
    assert isinstance(caught.value, AuthorizationFailed)


def test_names_the_context_entry_that_cannot_be_sent() -> None:
    with Client("unix:/nowhere") as client:
        with pytest.raises(QuestionInvalid, match="context entry `at` is a datetime"):
            client.check(
                "t",
                action="read",
                resource=Resource("patient"),
                context={"at": cast("Json", datetime.now(UTC))},
            )
        with pytest.raises(QuestionInvalid, match=r"a mapping of .*attributes is needed"):
            client.check(
                "t",
                action="read",
                resource=Resource("patient", "p", cast("dict[str, Json]", "sealed")),
            )
        with pytest.raises(QuestionInvalid, match=r"the name of an .*attribute is a int: 1"):
            client.batch_check(
                "t", [("read", Resource("patient", "p", cast("dict[str, Json]", {1: True})))]
            )
