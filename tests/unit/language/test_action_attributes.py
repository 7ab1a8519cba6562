"""Attributes that only some actions of their resource have: where what is wrong is shown."""

from __future__ import annotations

import pytest

from policyd.audit.projection import Mask, Projection
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Request
from policyd.diagnostics import Diagnostic, Source
from policyd.language import load
from policyd.program.compiler import compile_policies
from tests.support.program import engine, policies, token

HEAD = """api a

audience "https://a.example"

resource order {
    owner:  string
    reason: string (for cancel refund)
    actions read, cancel, refund, ship
}

define broken as resource.reason == "broken"
define excused as broken or resource.owner == "a"
"""


def findings(text: str) -> tuple[Diagnostic, ...]:
    return load([Source("a.policy", HEAD + text)]).diagnostics


@pytest.mark.parametrize(
    ("text", "shown", "actions"),
    [
        ('allow x: read on order when resource.reason == "x"', 'resource.reason == "x"', "`read`"),
        ("allow x: cancel, ship on order when resource.reason is present",
         "resource.reason is present", "`ship`"),
        ("deny x: any on order when broken", "x", "`read`, `ship`"),
        ("deny x: read on order when excused", "x", "`read`"),
    ],
)  # fmt: skip
def test_a_rule_is_shown_where_it_reads_what_its_action_lacks(
    text: str, shown: str, actions: str
) -> None:
    (found,) = findings(text)
    assert found.code == "P2023"
    assert found.headline == (
        f"rule `x` reads `resource.reason`, which requests for {actions} on `order` do not have"
    )
    assert found.primary is not None
    assert found.primary.source.text[slice(*found.primary.span)] == shown
    read = [one.source.text[slice(*one.span)] for one in found.secondary]
    assert read == (['resource.reason == "broken"'] if shown == "x" else [])


def test_each_rule_that_uses_a_condition_is_shown() -> None:
    found = findings("deny x: any on order when broken\ndeny y: ship on order when broken\n")
    assert [one.headline.split("`")[1] for one in found] == ["x", "y"]


def test_an_unknown_action_has_a_suggestion_and_no_consequence() -> None:
    (found,) = findings(
        "resource extra {\n    x: int (for raed)\n    actions read, list\n}\n"
        "allow x: read on extra when resource.x == 1\n"
    )
    assert (found.code, found.help) == ("P1002", "a similar action exists: `read`")


def test_a_comma_between_actions_is_explained() -> None:
    (found,) = findings("resource extra { x: int (for read, list) actions read, list }\n")
    assert found.code == "P0008"
    assert found.help == "names after `for` stand without commas: `(for cancel refund)`"


def test_actions_with_the_same_attributes_and_rules_share_a_plan() -> None:
    text = HEAD + 'deny x: any on order when resource.owner == "a"\n'
    plans = compile_policies(policies(text)).apis["a"].resources["order"].plans
    assert plans["cancel"] is plans["refund"]
    assert plans["read"] is plans["ship"]
    assert plans["read"].denies[0] is plans["cancel"].denies[0], "the code is the same"
    given = {"owner": "a", "reason": "x"}
    assert plans["read"].read_resource((None,), given) == (None, "a", None)
    assert plans["cancel"].read_resource((None,), given) == (None, "a", "x")


def test_a_caller_is_told_for_which_actions_an_attribute_is_required() -> None:
    asked = Request("a.b.c", "a", "cancel", "order", "", {"owner": "a", "resaon": "x"}, {})
    with pytest.raises(InvalidRequest) as caught:
        engine(policies(HEAD), token([])).check(asked)
    found = caught.value
    assert (found.code, found.suggestion) == ("ATTRIBUTE_MISSING", "reason")
    assert found.description == (
        "is required for `cancel`, `refund`, and absent; `resaon` is not declared"
    )


def test_the_log_holds_what_the_action_has() -> None:
    projection = Projection(Mask(), policies(HEAD).apis["a"])
    given = {"owner": "a", "reason": "x", "colour": "red"}

    def kept(action: str) -> object:
        selection = projection.attributes("order", action)
        assert selection is not None
        return selection.of(given).values

    assert kept("cancel") == {"owner": "a", "reason": "x"}
    assert kept("read") == {"owner": "a"}
