"""Generated policies and questions: the two evaluators agree, and the language's promises hold."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import combinations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Decision, Request
from policyd.json_types import Json
from policyd.language.policy import (
    All,
    AnyOf,
    Api,
    Formula,
    NamedCondition,
    Not,
    PolicySet,
    Present,
    Rule,
)
from policyd.language.types import Fact, Origin
from policyd.program.compiler import compile_policies
from policyd.program.interpreter import World, interpret
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken, new_memo
from tests.support.program import (
    ATTRIBUTES,
    CLAIMS,
    ENTRIES,
    NOW_SECONDS,
    PATHS,
    SCOPES,
    SOURCE,
    SPAN,
    TOLD,
    TOLD_CLAIMS,
    apis,
    engine,
    good_of,
    payload,
    policy_set,
    questions,
    told,
    world,
)

slow_to_draw = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def rules_looked_at(api: Api, request: Request) -> list[Rule]:
    return [rule for rule in api.rules if request.action in rule.actions]


def outcome(decision: Decision) -> tuple[object, ...]:
    """What must not depend on order: all that a caller sees."""
    return (
        decision.allowed,
        decision.reason,
        decision.message,
        decision.rules,
        decision.missing_scopes,
        decision.www_authenticate,
        decision.cacheable_until,
    )


def states(api: Api, facts: list[Fact], asked: World) -> dict[Fact, str]:
    """Tell, by the interpreter's reading, which facts are known, missing or ill-typed."""
    rules = [
        Rule("allow", fact.path, "thing", (), Present(SPAN, fact), None, (), SOURCE, SPAN)
        for fact in facts
    ]
    seen = [each.trace.seen[0] for each in interpret(api, rules, asked).rules]
    return {each.fact: each.state for each in seen}


@slow_to_draw
@given(st.data())
def test_the_compiled_program_decides_as_the_interpreter(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api))
    asked = world(token, request)
    declared = (*api.claims.values(), *api.userinfo.values())
    claims = states(api, [each.fact for each in declared if not each.optional], asked)
    fields = [*api.resources["thing"].attributes, *api.context]
    given_fields = states(api, [each.fact for each in fields], asked)
    try:
        decision = engine(policy_set(api), token).check(request)
    except InvalidRequest:
        optional = {each.fact for each in fields if each.optional}
        assert any(
            state == "ill-typed" or (state == "missing" and fact not in optional)
            for fact, state in given_fields.items()
        )
        return
    if decision.reason in (Reason.CLAIM_MISSING, Reason.CLAIM_INVALID):
        expected = "missing" if decision.reason is Reason.CLAIM_MISSING else "ill-typed"
        assert expected in claims.values()
        return
    assert set(claims.values()) <= {"known"}
    assert "ill-typed" not in given_fields.values()
    traced = interpret(api, rules_looked_at(api, request), asked).rules
    denies = [each.rule.name for each in traced if each.rule.effect == "deny" and each.applies]
    allows = [each.rule.name for each in traced if each.rule.effect == "allow" and each.applies]
    assert decision.allowed is (not denies and bool(allows))
    assert list(decision.rules) == (denies or allows)


@slow_to_draw
@given(st.data())
def test_order_never_matters(data: st.DataObject) -> None:
    """Order matters nowhere: not of rules, operands, elements or members."""
    api = data.draw(apis())
    token, request = data.draw(questions(api, ill_typed=False))
    shuffle = data.draw(st.randoms(use_true_random=False))
    decision = engine(policy_set(api), token).check(request)
    rules = [
        msgspec.structs.replace(rule, formula=shuffled(rule.formula, shuffle, {}))
        for rule in api.rules
    ]
    shuffle.shuffle(rules)
    other = msgspec.structs.replace(
        api,
        rules=tuple(rules),
        scopes=dict(reversed(api.scopes.items())),
        claims=dict(reversed(api.claims.items())),
        userinfo=dict(reversed(api.userinfo.items())),
        context=tuple(reversed(api.context)),
    )
    turned = msgspec.structs.replace(
        request,
        attributes=dict(reversed(list(request.attributes.items()))),
        context=dict(reversed(list(request.context.items()))),
    )
    assert outcome(engine(policy_set(other), token).check(turned)) == outcome(decision)


def shuffled(formula: Formula, shuffle: random.Random, known: dict[int, Formula]) -> Formula:
    """Return the same formula with the operands of `and` and `or` in another order."""
    if id(formula) in known:
        return known[id(formula)]
    made = formula
    match formula:
        case All(operands=operands) | AnyOf(operands=operands):
            turned = [shuffled(operand, shuffle, known) for operand in operands]
            shuffle.shuffle(turned)
            made = type(formula)(formula.span, tuple(turned))
        case Not(operand=operand):
            made = Not(formula.span, shuffled(operand, shuffle, known))
        case NamedCondition(formula=inner):
            made = msgspec.structs.replace(formula, formula=shuffled(inner, shuffle, known))
    known[id(formula)] = made
    return made


@slow_to_draw
@given(st.data())
def test_what_is_allowed_without_a_value_is_allowed_with_every_value(data: st.DataObject) -> None:
    """With a value absent allowed, with every value too, but for tests of presence."""
    api = data.draw(apis(presence=False))
    token, request = data.draw(questions(api, ill_typed=False))
    facts = [*CLAIMS.values(), *TOLD_CLAIMS.values(), *ATTRIBUTES.values(), *ENTRIES.values()]
    read = states(api, facts, world(token, request))
    absent = [fact for fact in facts if read[fact] == "missing"]
    if not absent or not engine(policy_set(api), token).check(request).allowed:
        return
    fact = data.draw(st.sampled_from(absent))
    value = data.draw(st.sampled_from(good_of(fact)))
    if fact.origin is Origin.CLAIM:
        present = {each.name: at(token.claims, each) for each in CLAIMS.values()}
        others = {name: token.claims[name] for name in (*LOGIN, TOLD) if name in token.claims}
        claims = payload({**present, **others, fact.name: value})
        token = msgspec.structs.replace(token, claims=claims, memo=new_memo())
    elif fact.origin is Origin.USERINFO:
        known = {each.name: at(told(token) or {}, each) for each in TOLD_CLAIMS.values()}
        claims = {**token.claims, TOLD: payload({**known, fact.name: value})}
        token = msgspec.structs.replace(token, claims=claims, memo=new_memo())
    elif fact.origin is Origin.RESOURCE:
        request = msgspec.structs.replace(
            request, attributes={**request.attributes, fact.name: value}
        )
    else:
        request = msgspec.structs.replace(request, context={**request.context, fact.name: value})
    assert engine(policy_set(api), token).check(request).allowed


LOGIN = ("sub", "acr", "amr", "auth_time")


def at(claims: Mapping[str, Json], fact: Fact) -> Json:
    found: Json = dict(claims)
    for name in PATHS[fact.name]:
        found = found.get(name) if isinstance(found, dict) else None
    return found


@slow_to_draw
@given(st.data())
def test_missing_scopes_are_what_trying_all_of_them_finds(data: st.DataObject) -> None:
    """The reason and the scopes of a deny hold, exactly so where no scope both helps and hurts."""
    api = data.draw(apis())
    token, request = data.draw(questions(api, ill_typed=False))
    policy = policy_set(api)
    explanation = engine(policy, token).explain(request)
    decision = explanation.decision
    assert decision == engine(policy, token).check(request)
    if decision.allowed:
        assert decision.missing_scopes == ()
        return
    more = sorted(set(SCOPES) - token.scopes)
    giving = [
        set(added)
        for size in range(1, len(more) + 1)
        for added in combinations(more, size)
        if allows_with(policy, token, added, request)
    ]
    minimal = sorted(
        tuple(sorted(added)) for added in giving if not any(less < added for less in giving)
    )
    plan = compile_policies(policy).apis["generated"].resources["thing"].plans[request.action]
    if not plan.helping_scopes & plan.hurting_scopes:
        assert sorted(explanation.missing_scopes.sets) == minimal
        assert not explanation.missing_scopes.stopped
    if decision.missing_scopes:
        assert decision.reason is Reason.INSUFFICIENT_SCOPE
        assert set(decision.missing_scopes) in giving
        assert explanation.missing_scopes.sets[0] == decision.missing_scopes
    for alternative in explanation.missing_scopes.sets:
        assert set(alternative) in giving


def allows_with(
    policy: PolicySet, token: VerifiedToken, added: tuple[str, ...], request: Request
) -> bool:
    more = msgspec.structs.replace(token, scopes=token.scopes | set(added), memo=new_memo())
    return engine(policy, more).check(request).allowed


@slow_to_draw
@given(st.data())
def test_an_answer_holds_until_it_says(data: st.DataObject) -> None:
    """Neither the outcome nor its rules change before `cacheable_until`."""
    api = data.draw(apis())
    token, request = data.draw(questions(api, ill_typed=False))
    decision = engine(policy_set(api), token).check(request)
    assert decision.cacheable_until is not None
    assert NOW_SECONDS < decision.cacheable_until <= NOW_SECONDS + 5
    for second in range(NOW_SECONDS, decision.cacheable_until):
        later = engine(policy_set(api), token, lambda: second).check(request)  # noqa: B023
        assert (later.allowed, later.rules) == (decision.allowed, decision.rules)


@slow_to_draw
@given(st.data())
def test_an_explanation_agrees_with_its_decision(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api, ill_typed=False))
    explanation = engine(policy_set(api), token).explain(request)
    applying = {each.rule.name for each in explanation.traces.rules if each.applies}
    assert applying >= set(explanation.decision.rules)
    assert [each.rule for each in explanation.traces.rules] == rules_looked_at(api, request)
    if explanation.decision.reason is Reason.INSUFFICIENT_USER_AUTHENTICATION:
        assert explanation.step_up is not None
    else:
        assert explanation.step_up is None
