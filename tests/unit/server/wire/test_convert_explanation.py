"""Explanations to protobuf: trees as lists, values as JSON, masks."""

from __future__ import annotations

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict

from policyd.audit import Mask
from policyd.decision.explain import Explanation
from policyd.decision.missing import Alternatives
from policyd.decision.model import Decision, StepUp
from policyd.diagnostics import Source, Span
from policyd.json_types import Json
from policyd.language import load
from policyd.language.types import Fact, Origin, Type
from policyd.program.trace import ConditionTrace, RuleTrace, Seen, Trace, Traces
from policyd.reasons import Reason
from policyd.server.wire.convert_explanation import explain_response
from policyd.tokens.details import quote
from policyd.tokens.refusals import ClaimInvalid
from policyd.v1 import explanation_pb2 as messages

DECISION = Decision(False, Reason.NO_RULE_ALLOWS, "", "health", "r1", 1.0)
SOURCE = Source("a.policy", "define x as\n    resource.a == 1\n    and resource.b == 2\n")
FACT = Fact(Origin.RESOURCE, "a", Type.INT)


def explained(trace: Trace, mask: Mask | None = None) -> messages.ConditionExplanation:
    """Return a named condition as an explanation shows it."""
    condition = ConditionTrace("x", SOURCE, trace.value, trace)
    explanation = Explanation(DECISION, Traces((), (condition,)))
    data = explain_response((explanation, "d-1"), mask or Mask())
    (shown,) = messages.ExplainResponse.FromString(data).conditions
    return shown


def test_a_tree_is_listed_with_depths_in_the_order_of_the_text() -> None:
    left = Trace("test", Span(16, 31), True)
    inner = Trace("not", Span(40, 55), False, (Trace("test", Span(40, 55), None),))
    shown = explained(Trace("and", Span(16, 55), None, (left, inner)))
    assert [(step.depth, step.text, step.value) for step in shown.steps] == [
        (0, "resource.a == 1 and resource.b == 2", messages.TRUTH_UNKNOWN),
        (1, "resource.a == 1", messages.TRUTH_TRUE),
        (1, "resource.b == 2", messages.TRUTH_FALSE),
        (2, "resource.b == 2", messages.TRUTH_UNKNOWN),
    ]
    assert (shown.location.file, shown.location.line) == ("a.policy", 2)


def test_a_tree_may_be_deeper_than_messages_nest() -> None:
    trace = Trace("test", Span(0, 1), True)
    for _ in range(1000):
        trace = Trace("not", Span(0, 1), True, (trace,))
    assert [step.depth for step in explained(trace).steps] == list(range(1001))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "text"),
        (True, True),
        (7, 7.0),
        (None, None),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (1.5, 1.5),
        ([1, [None], "a"], [1.0, [None], "a"]),
        ({"a": {"b": False}}, {"a": {"b": False}}),
        (2**53 + 1, str(2**53 + 1)),  # no double is equal to it
        (10**400, str(10**400)),
    ],
)
def test_values_are_shown_as_they_are(value: Json, shown: object) -> None:
    seen = Seen(FACT, "known", value)
    (step,) = explained(Trace("test", Span(0, 1), True, seen=(seen,))).steps
    assert MessageToDict(step)["facts"][0]["value"] == shown
    kind = {
        bool: "bool_value",
        type(None): "null_value",
        str: "string_value",
        float: "number_value",
    }.get(type(shown))
    assert kind is None or step.facts[0].value.WhichOneof("kind") == kind


def test_a_masked_value_is_not_shown_and_a_missing_one_is_not_masked() -> None:
    mask = Mask(frozenset({"resource.a"}))
    facts = (Seen(FACT, "ill-typed", "SECRET"), Seen(FACT, "missing", None))
    (step,) = explained(Trace("test", Span(0, 1), None, seen=facts), mask).steps
    ill_typed, missing = step.facts
    assert ill_typed.masked
    assert not ill_typed.HasField("value")
    assert ill_typed.state == messages.SeenFact.STATE_ILL_TYPED
    assert not missing.masked
    assert missing.state == messages.SeenFact.STATE_MISSING


LIST = Fact(Origin.CLAIM, "orders", Type.LIST)
FIELD = Fact(Origin.ITEM, "size", Type.INT)


def test_elements_of_a_list_are_named_and_hidden_with_the_list() -> None:
    test = Trace("test", Span(16, 31), True, seen=(Seen(FIELD, "known", 4, of=LIST),))
    element = Trace("element", Span(16, 31), True, (test,), '"acme"')
    other = Trace("element", Span(16, 31), False, (), "2")
    seen = Seen(LIST, "known", [{"size": 4}])
    trace = Trace("some", Span(16, 31), True, (element, other), seen=(seen,))
    steps = explained(trace).steps
    assert [(one.depth, one.text, one.condition) for one in steps] == [
        (0, "resource.a == 1", ""),
        (1, 'element "acme"', ""),
        (2, "resource.a == 1", ""),
    ]
    assert steps[2].facts[0].value.number_value == 4
    # A list is hidden as a whole, whatever else the test reads beside it.
    beside = msgspec.structs.replace(trace, seen=(seen, Seen(FACT, "known", 1)))
    partly = explained(beside, Mask(frozenset({"token.orders"}))).steps
    assert partly[1].text == "an element"
    assert [fact.masked for fact in partly[0].facts] == [True, False]
    hidden = explained(trace, Mask(frozenset({"token.orders"}))).steps
    assert [fact.masked for one in hidden for fact in one.facts] == [True, True]
    assert hidden[1].text == "an element"
    bare = explained(element).steps
    assert bare[0].text == 'element "acme"'


def test_what_stood_in_the_way_is_shown_unless_masked() -> None:
    seen = Seen(FACT, "ill-typed", None, "/a is an array")
    trace = Trace("test", Span(0, 1), None, seen=(seen,))
    (shown,) = explained(trace).steps[0].facts
    assert (shown.obstacle, shown.HasField("value")) == ("/a is an array", False)
    (hidden,) = explained(trace, Mask(frozenset({"resource.a"}))).steps[0].facts
    assert (hidden.obstacle, hidden.masked) == ("", True)


@pytest.mark.parametrize(
    ("masks", "detail"),
    [
        ((), "found 'jane'"),
        (("token.sub",), "found (masked)"),
        (("token.email",), "found (masked)"),  # a declared claim may be read from any
        (("resource.a",), "found 'jane'"),
    ],
)
def test_the_reason_of_a_refusal_does_not_tell_what_is_masked(
    masks: tuple[str, ...], detail: str
) -> None:
    refusal = ClaimInvalid(f"found {quote('jane', 'sub', 'token.subject')}")
    decision = Decision(
        False,
        Reason.CLAIM_INVALID,
        "",
        "health",
        "r1",
        1.0,
        detail=str(refusal),
        marked_detail=refusal.marked_detail,
    )
    data = explain_response((Explanation(decision), "d-1"), Mask(frozenset(masks)))
    assert messages.ExplainResponse.FromString(data).detail == detail


RULES = """api health

audience "https://health.example"

scope x "X"

resource patient {
    sealed: bool
    actions read
}

allow reads: read on patient
    when scope x

deny sealed: read on patient
    when resource.sealed
"""


OTHER = Fact(Origin.RESOURCE, "b", Type.STRING)
#: What a test read, and how it is told where `resource.a` is masked.
SEEN = (Seen(FACT, "known", 7), Seen(OTHER, "known", "open"))
HIDDEN = [
    {"path": "resource.a", "state": "STATE_KNOWN", "masked": True},
    {"path": "resource.b", "state": "STATE_KNOWN", "value": "open"},
]


def test_an_explanation_is_told_whole() -> None:
    loaded = load([Source("h.policy", RULES)])
    assert loaded.policies is not None
    rules = {rule.name: rule for rule in loaded.policies.apis["health"].rules}
    span = Span(RULES.index("scope x\n"), RULES.index("scope x\n") + 7)
    traces = (
        RuleTrace(rules["reads"], True, True, Trace("test", span, True, seen=SEEN)),
        RuleTrace(rules["sealed"], None, True, Trace("condition", span, None, name="c")),
    )
    condition = ConditionTrace("c", SOURCE, None, Trace("test", Span(16, 31), None, seen=SEEN))
    explanation = Explanation(
        DECISION,
        Traces(traces, (condition, msgspec.structs.replace(condition, name="d", value=True))),
        ignored_attributes=("colour", "shape"),
        ignored_context=("mood",),
        missing_scopes=Alternatives((("a",), ("b", "c")), stopped=True),
        step_up=StepUp(("gold",), 0),
    )
    data = explain_response((explanation, "d-1"), Mask(frozenset({"resource.a"})))
    assert MessageToDict(messages.ExplainResponse.FromString(data)) == {
        "response": {"reason": "NO_RULE_ALLOWS", "decisionId": "d-1", "policyRevision": "r1",
                     "httpStatus": 200},
        "rules": [
            {"rule": "reads", "effect": "EFFECT_ALLOW", "applies": True, "value": "TRUTH_TRUE",
             "steps": [{"text": "scope x", "value": "TRUTH_TRUE", "facts": HIDDEN}],
             "location": {"file": "h.policy", "line": 12}},
            {"rule": "sealed", "effect": "EFFECT_DENY", "applies": True, "value": "TRUTH_UNKNOWN",
             "steps": [{"text": "scope x", "value": "TRUTH_UNKNOWN", "condition": "c"}],
             "location": {"file": "h.policy", "line": 15}},
        ],
        "conditions": [
            {"condition": "c", "value": "TRUTH_UNKNOWN",
             "steps": [{"text": "resource.a == 1", "value": "TRUTH_UNKNOWN", "facts": HIDDEN}],
             "location": {"file": "a.policy", "line": 2}},
            {"condition": "d", "value": "TRUTH_TRUE",
             "steps": [{"text": "resource.a == 1", "value": "TRUTH_UNKNOWN", "facts": HIDDEN}],
             "location": {"file": "a.policy", "line": 2}},
        ],
        "ignoredAttributes": ["colour", "shape"],
        "ignoredContext": ["mood"],
        "missingScopeAlternatives": [{"scopes": ["a"]}, {"scopes": ["b", "c"]}],
        "alternativesTruncated": True,
        "stepUp": {"acrValues": ["gold"], "maxAgeSeconds": "0"},
    }  # fmt: skip
    bare = messages.ExplainResponse.FromString(
        explain_response((Explanation(DECISION), "d"), Mask())
    )
    assert not bare.HasField("step_up")
    login = Explanation(DECISION, step_up=StepUp(("gold",)))
    told = messages.ExplainResponse.FromString(explain_response((login, "d"), Mask())).step_up
    assert not told.HasField("max_age_seconds")
