"""Explanations: the decision, the rules that were looked at, and what was ignored."""

from __future__ import annotations

from policyd.decision.explain import Explanation
from policyd.decision.missing import Alternatives
from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import TokenExpired
from tests.support.program import engine, policies, token

POLICY = """
api things
audience "https://api.example/"
scope read "Read"
claim level: int?
context {
    site: string?
}
resource thing {
    size: int?
    actions look, touch
}
define senior as token.level >= 3
define trusted as senior and not (context.site == "street")
allow looks: look on thing
    when scope read or trusted
allow touches: touch on thing
    when trusted
deny big: any on thing
    when resource.size > 10 unless senior
"""


def explain(
    outcome: VerifiedToken | Exception,
    attributes: dict[str, Json] | None = None,
    context: dict[str, Json] | None = None,
) -> Explanation:
    request = Request("t", "things", "look", "thing", "", attributes or {}, context or {})
    return engine(policies(POLICY), outcome).explain(request)


def text(source_text: str, span: tuple[int, int]) -> str:
    return source_text[span[0] : span[1]]


def test_the_rules_that_were_looked_at() -> None:
    explanation = explain(token(["read"]), {"size": 5})
    assert explanation.decision.allowed
    big, looks = explanation.traces.rules
    assert (big.rule.name, big.value, big.applies) == ("big", False, False)
    assert (looks.rule.name, looks.value, looks.applies) == ("looks", True, True)
    assert looks.trace.kind == "or"
    assert [part.kind for part in looks.trace.parts] == ["test", "condition"]
    assert [part.value for part in looks.trace.parts] == [True, None]
    assert looks.trace.parts[1].name == "trusted"
    source = looks.rule.source.text
    assert text(source, looks.trace.parts[0].span) == "scope read"


def test_named_conditions_are_traced_once_each() -> None:
    explanation = explain(token(["read"], {"level": 3}), {"size": 11}, {"site": "street"})
    conditions = {each.name: each for each in explanation.traces.conditions}
    assert list(conditions) == ["senior", "trusted"]
    assert conditions["senior"].value is True
    assert conditions["trusted"].value is False
    senior = conditions["senior"].trace
    assert text(conditions["senior"].source.text, senior.span) == "token.level >= 3"
    (inside,) = (part for part in conditions["trusted"].trace.parts if part.kind == "condition")
    assert (inside.name, inside.value, inside.parts) == ("senior", True, ())


def test_a_test_shows_what_it_saw() -> None:
    explanation = explain(token(["read"], {"level": "high"}), {"size": 11.0})
    big = explanation.traces.rules[0]
    assert (big.value, big.applies) == (None, True)
    (size,) = big.trace.parts[0].seen
    assert (size.fact.path, size.state, size.value) == ("resource.size", "known", 11.0)
    seen = {
        each.fact.path: each
        for condition in explanation.traces.conditions
        for part in (condition.trace, *condition.trace.parts)
        for each in part.seen
    }
    assert (seen["token.level"].state, seen["token.level"].value) == ("ill-typed", "high")
    assert explanation.decision.rules == ("big",)


def test_what_is_not_declared_is_shown() -> None:
    explanation = explain(token(), {"siez": 1, "a": None, "size": 1}, {"sites": "x", "site": "y"})
    assert explanation.ignored_attributes == ("a", "siez")
    assert explanation.ignored_context == ("sites",)


def test_missing_scopes() -> None:
    explanation = explain(token(), {"size": 1})
    assert explanation.decision.reason is Reason.INSUFFICIENT_SCOPE
    assert explanation.missing_scopes == Alternatives((("read",),), stopped=False)
    assert explanation.step_up is None
    allowed = explain(token(["read"]), {"size": 1})
    assert allowed.missing_scopes == Alternatives((), stopped=False)


def test_no_rule_was_looked_at_where_the_token_is_refused() -> None:
    explanation = explain(TokenExpired("late"), {"siez": 1})
    assert explanation.decision.reason is Reason.TOKEN_EXPIRED
    assert explanation == Explanation(decision=explanation.decision)
    assert explanation.traces.rules == ()


DETAILS = """
api things
audience "https://api.example/"
claim authorization_details: list? {
    type: string
}
resource thing {
    actions look
}
allow looks: look on thing
    when token.authorization_details has some (item.type == "look")
"""


def test_details_have_the_numbers_that_they_have_in_the_token() -> None:
    foreign: Json = {"type": "look", "locations": ["https://other.example/"]}
    details: list[Json] = [foreign, {"type": "touch"}, foreign, {"type": "look"}]
    asked = Request("t", "things", "look", "thing")
    explained = engine(policies(DETAILS), token((), {"authorization_details": details}))
    (looks,) = explained.explain(asked).traces.rules
    assert [(part.name, part.value) for part in looks.trace.parts] == [("2", False), ("4", True)]
    assert looks.trace.seen[0].value == details
