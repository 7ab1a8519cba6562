"""What an explanation says of a claim that cannot be reached."""

from __future__ import annotations

import pytest

from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.tooling.traces import trace_lines
from tests.support.program import engine, policies, token

POLICY = """\
api things

audience "https://example.com/things"

claim group: string? from "/org/a~1b/group"

resource thing {
    actions look
}

allow look: look on thing
    when token.group == "x"
"""


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"org": []}, "token.group cannot be reached: /org is an array"),
        ({"org": "x"}, "token.group cannot be reached: /org is a text"),
        ({"org": {"a/b": 1.5}}, "token.group cannot be reached: /org/a~1b is a number"),
        ({"org": {"a/b": True}}, "token.group cannot be reached: /org/a~1b is a boolean"),
        ({"org": {"a/b": {"group": 1}}}, "token.group is 1, which is not a value of type string"),
        ({"org": {"a/b": None}}, "token.group is missing"),
        ({}, "token.group is missing"),
    ],
)
def test_says_what_stood_in_the_way(claims: dict[str, Json], said: str) -> None:
    asked = Request("t", "things", "look", "thing", "", {}, {})
    traces = engine(policies(POLICY), token([], claims)).explain(asked).traces
    lines = list(trace_lines(traces, traces.rules))
    assert lines[1].endswith(said)
