"""What a caller hears of a text that is no value of a vocabulary."""

from __future__ import annotations

import pytest

from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Request
from policyd.json_types import Json
from tests.support.program import engine, policies, token

POLICY = """\
api shop

audience "https://example.com/shop"

scope read:orders "Read orders"

values kind: "internal", "customer"

resource order {
    kind:  kind
    kinds: set<kind>?
    actions read
}

allow read: read on order
    when scope read:orders
"""


@pytest.mark.parametrize(
    ("attributes", "description", "suggestion"),
    [
        (
            {"kind": "internl"},
            "is not of the declared type kind: `internl` is not one of its values",
            "internal",
        ),
        ({"kind": "x"}, "is not of the declared type kind: `x` is not one of its values", None),
        ({"kind": 1}, "is not of the declared type kind", None),
        (
            {"kind": "internal", "kinds": ["customer", "custmer"]},
            "is not of the declared type set<kind>: `custmer` is not one of its values",
            "customer",
        ),
        (
            {"kind": "internal", "kinds": ["customer", 1]},
            "is not of the declared type set<kind>",
            None,
        ),
    ],
)
def test_the_text_and_the_value_that_was_meant(
    attributes: dict[str, Json], description: str, suggestion: str | None
) -> None:
    asked = Request(
        access_token="a.b.c",
        api="shop",
        action="read",
        resource_type="order",
        resource_id="",
        attributes=attributes,
        context={},
    )
    with pytest.raises(InvalidRequest) as caught:
        engine(policies(POLICY), token(["read:orders"])).check(asked)
    found = caught.value
    assert (found.code, found.description) == ("ATTRIBUTE_INVALID", description)
    assert found.suggestion == suggestion
