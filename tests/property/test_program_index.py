"""Finding rules by what discriminates them decides the same as trying every rule."""

from __future__ import annotations

from functools import partial

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from policyd.decision.combine import RULES_SHOWN
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.explain import Explanation
from policyd.decision.model import Request
from policyd.language.policy import (
    All,
    AnyOf,
    Api,
    Equal,
    Formula,
    Granted,
    In,
    Literal,
    NamedCondition,
    Not,
    Rule,
)
from policyd.language.types import TOKEN_FACTS, Fact, Type
from policyd.program.compiler import compile_policies
from policyd.program.interpreter import interpret
from policyd.tokens.model import VerifiedToken
from tests.support.program import (
    ACTIONS,
    ATTRIBUTES,
    CLAIMS,
    EFFECTS,
    FACTS,
    LITERALS,
    NOW_SECONDS,
    SCOPES,
    SOURCE,
    SPAN,
    FixedValidator,
    api_of,
    apis,
    policy_set,
    questions,
    rule,
    world,
)

slow_to_draw = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

#: Few facts, so that rules meet in them; some more, rarely.
COMMON = [CLAIMS[Type.STRING], ATTRIBUTES[Type.INT], TOKEN_FACTS["acr"]]
RARE = [
    fact
    for type_ in (Type.STRING, Type.INT, Type.BOOL, Type.TIME, Type.IP)
    for fact in FACTS[type_]
]
SETS = {
    Type.STRING: Type.SET_OF_STRING,
    Type.INT: Type.SET_OF_INT,
    Type.IP: Type.SET_OF_IP,
}


@st.composite
def discriminating(draw: st.DrawFn) -> Formula:
    """Draw what may discriminate: an equality, a list, or a scope."""
    if draw(_ONE_IN_FOUR) == 0:
        return Granted(SPAN, draw(_SCOPE))
    fact: Fact = draw(_FACT)
    known = LITERALS[fact.type]
    if fact.type in SETS and draw(_ONE_IN_FOUR) == 0:
        items = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
        return In(SPAN, fact, Literal(SETS[fact.type], tuple(items)))
    literal = Literal(fact.type, draw(st.sampled_from(known)))
    return Equal(SPAN, literal, fact) if draw(_ONE_IN_FOUR) == 0 else Equal(SPAN, fact, literal)


_ONE_IN_FOUR = st.integers(0, 3)
_SCOPE = st.sampled_from(SCOPES)
_FACT = st.sampled_from(COMMON * 10 + RARE)
_EFFECT = st.sampled_from(EFFECTS)
_COPIES = st.sampled_from([1, 1, 1, 1, 1, RULES_SHOWN // 2, RULES_SHOWN + 20])
_FEWEST = st.sampled_from([1, 1, 2, 4])


@st.composite
def crowded(draw: st.DrawFn) -> Api:
    """Draw a policy of many rules that are conjunctions, of tests that discriminate and others."""
    others = [each.formula for each in draw(apis()).rules]
    conditions: list[NamedCondition] = []

    def conjunct() -> Formula:
        kind = draw(_KIND)
        if kind == "condition" and conditions:
            return draw(st.sampled_from(conditions))
        if kind == "other":
            return draw(st.sampled_from(others))
        test = draw(discriminating())
        if kind == "not":
            return Not(SPAN, test)
        return AnyOf(SPAN, (test, draw(discriminating()))) if kind == "or" else test

    def conjunction() -> Formula:
        formula = conjunct()
        for _ in range(draw(_ONE_IN_FOUR)):
            # Nested to either side, as `when … unless …` does.
            more = conjunct()
            formula = All(SPAN, (formula, more) if draw(st.booleans()) else (more, formula))
        return formula

    for number in range(draw(_ONE_IN_FOUR)):
        conditions.append(NamedCondition(SPAN, f"condition_{number}", SOURCE, conjunction()))
    rules: list[Rule] = []
    for number in range(draw(st.integers(1, 12))):
        effect, formula = draw(_EFFECT), conjunction()
        if draw(_ONE_IN_FOUR) < 2 and rules:
            formula = draw(alike(draw(st.sampled_from(rules)).formula, conditions))
        for copy in range(draw(_COPIES)):
            # Neighbours by name are not neighbours by number.
            name = f"{(number * 7 + copy * 37) % 101:03}-{number}-{copy}"
            rules.append(rule(name, effect, formula, actions=ACTIONS, because=f"because {name}"))
    return api_of(rules)


@st.composite
def alike(draw: st.DrawFn, formula: Formula, conditions: list[NamedCondition]) -> Formula:
    """Draw a formula that differs from another in its constants and conditions, if at all."""

    def other(part: Formula) -> Formula:
        match part:
            case All(operands=operands) | AnyOf(operands=operands):
                return type(part)(SPAN, tuple(map(other, operands)))
            case Not(operand=operand):
                return Not(SPAN, other(operand))
            case NamedCondition():
                return draw(st.sampled_from(conditions)) if conditions else part
            case Granted():
                return Granted(SPAN, draw(_SCOPE))
            case Equal(left=Fact() as fact, right=Literal()):
                literal = Literal(fact.type, draw(st.sampled_from(LITERALS[fact.type])))
                return Equal(SPAN, fact, literal)
            case _:
                return part

    return other(formula)


_KIND = st.sampled_from(["test", "test", "test", "test", "condition", "not", "or", "other"])


def ask(
    api: Api, token: VerifiedToken, request: Request, fewest: int
) -> Explanation | tuple[object, ...]:
    """Return a decision and all that explains it, or what is wrong with the question."""
    engine = Engine(
        FixedValidator(token),
        lambda: NOW_SECONDS + 0.5,
        compiler=partial(compile_policies, fewest=fewest),
    )
    engine.load(policy_set(api))
    try:
        return engine.explain(request)
    except InvalidRequest as mistake:
        return mistake.args


@slow_to_draw
@given(st.data())
def test_an_index_changes_no_decision(data: st.DataObject) -> None:
    """Outcome, reason, message, determining rules, their order, missing scopes, the login asked
    for: nothing differs from a program that tries every rule, nor from the interpreter."""
    api = data.draw(crowded())
    token, request = data.draw(questions(api))
    found = ask(api, token, request, data.draw(_FEWEST))
    assert found == ask(api, token, request, len(api.rules) + 1)
    if not isinstance(found, Explanation) or not found.traces.rules:  # the rules were not asked
        return
    decision = found.decision
    traced = interpret(api, api.rules, world(token, request)).rules
    applying = [each.rule for each in traced if each.applies]
    denies = [each.name for each in applying if each.effect == "deny"]
    names = denies or [each.name for each in applying]
    assert decision.allowed is (bool(names) and not denies)
    assert decision.rules == tuple(names[:RULES_SHOWN])
    assert decision.rules_truncated is (len(names) > RULES_SHOWN)
    if denies:
        assert decision.message == f"because {names[0]}"
    event(f"{decision.reason}{', cut' if decision.rules_truncated else ''}")
