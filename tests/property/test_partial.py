"""Partial checks against brute force: every value that an open fact may have is tried.

A question with open facts is asked partially, and then once for each way in which these facts may
turn out, by the compiled program and by the interpreter. Whatever was certain holds each time: the
outcome, and the scopes or the login that a deny asks for. And
the set of values of a single test is no larger than what was met, nor smaller.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.analysis.partial import ANY_STATE, KNOWN, PartialTruths, States
from policyd.decision.engine import Engine
from policyd.decision.model import Decision, Request
from policyd.json_types import Json
from policyd.language.policy import Api, Formula, HasSome, Leaf, Literal
from policyd.language.types import RESOURCE_ID, Fact, Origin, Type
from policyd.language.walks import facts, operands, walk
from policyd.program.interpreter import interpret
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken
from tests.support.program import (
    ATTRIBUTES,
    CLAIMS,
    ENTRIES,
    LITERALS,
    NOW_SECONDS,
    FixedValidator,
    api_of,
    apis,
    bad_of,
    good_of,
    leaves,
    payload,
    policy_set,
    rule,
    world,
)
from tests.support.random_questions import random_questions

_ASSUMABLE = (*ATTRIBUTES.values(), *ENTRIES.values(), RESOURCE_ID)
#: Reasons that say what the caller lacks.
_ASKING = (Reason.INSUFFICIENT_SCOPE, Reason.INSUFFICIENT_USER_AUTHENTICATION)
#: Questions asked of one policy, and facts left open in each.
_QUESTIONS, _OPEN = 4, 2


def _values(fact: Fact, *, optional: bool) -> list[Json]:
    """Return what a fact may turn out to be."""
    if fact == RESOURCE_ID:
        return ["", "a", "b", "read:x", "urn:y"]
    return [*good_of(fact), None] if optional else good_of(fact)


def _with(request: Request, values: Mapping[Fact, Json]) -> Request:
    """Return a request in which facts have these values; `None` where they are missing."""
    attributes, context = dict(request.attributes), dict(request.context)
    for fact, value in values.items():
        if fact == RESOURCE_ID:
            assert isinstance(value, str)
            request = msgspec.structs.replace(request, resource_id=value)
            continue
        holder = attributes if fact.origin is Origin.RESOURCE else context
        _put(holder, payload({fact.name: value}))
    return msgspec.structs.replace(request, attributes=attributes, context=context)


def _put(holder: dict[str, Json], values: Mapping[str, Json]) -> None:
    for name, value in values.items():
        inner = holder.get(name)
        if isinstance(value, dict) and isinstance(inner, dict) and name in ("outer", "inner"):
            holder[name] = inner = dict(inner)
            _put(inner, value)
        elif value is None:
            holder.pop(name, None)
        else:
            holder[name] = value


def _allows(api: Api, token: VerifiedToken, request: Request) -> bool:
    """Ask the interpreter."""
    rules = [one for one in api.rules if request.action in one.actions]
    traced = interpret(api, rules, world(token, request)).rules
    applying = {one.rule.effect for one in traced if one.applies}
    return applying == {"allow"}


def _asked_for(decision: Decision) -> tuple[object, ...]:
    return (
        decision.reason,
        decision.missing_scopes,
        decision.http_status,
        decision.www_authenticate,
    )


def _check(api: Api, dice: random.Random) -> Iterator[Decision]:
    validator = FixedValidator(AssertionError("no token yet"))
    engine = Engine(validator, lambda: NOW_SECONDS + 0.5)
    engine.load(policy_set(api))
    fields = (*api.context, *api.resources["thing"].attributes)
    optional = {RESOURCE_ID} | {one.fact for one in fields if one.optional}
    used = set().union(*(facts(one.formula) for one in api.rules))
    read = [fact for fact in _ASSUMABLE if fact in used] or [*_ASSUMABLE]
    for token, asked in random_questions(api, dice, _QUESTIONS):
        opened = dice.sample(read, min(_OPEN, len(read)))
        validator.outcome = token
        request = _with(asked, {one: "" if one == RESOURCE_ID else None for one in opened})
        decision = engine.check_partially(request, [one.path for one in opened])
        assert decision.partial is not None
        assert decision.partial.assumed == tuple(sorted(one.path for one in opened))
        each = [_values(one, optional=one in optional) for one in opened]
        for values in itertools.product(*each):
            turned_out = _with(request, dict(zip(opened, values, strict=True)))
            allowed = engine.check(turned_out).allowed
            assert allowed == _allows(api, token, turned_out)
            assert decision.partial.outcome in ("maybe", "allow" if allowed else "deny"), turned_out
            if decision.reason in _ASKING:
                assert _asked_for(engine.check(turned_out)) == _asked_for(decision), turned_out
        yield decision


def test_what_is_certain_holds_however_open_facts_turn_out() -> None:
    outcomes = {"allow": 0, "deny": 0, "maybe": 0}
    asking = dict.fromkeys(_ASKING, 0)

    @settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(apis(), st.integers(0, 2**32 - 1))
    def holds(api: Api, seed: int) -> None:
        for decision in _check(api, random.Random(seed)):
            assert decision.partial is not None
            outcomes[decision.partial.outcome] += 1
            if decision.partial.assumed and decision.reason in _ASKING:
                asking[decision.reason] += 1
            maybe = decision.partial.outcome == "maybe"
            assert bool(decision.partial.depends_on) is maybe
            assert set(decision.partial.depends_on) <= set(decision.partial.assumed)

    holds()
    assert min(outcomes.values()) > 0, outcomes
    assert asking[Reason.INSUFFICIENT_SCOPE] > 0, asking  # logins are rarer


#: Values at the ends of their types, and some that no test names.
_BESIDE: Mapping[Type, list[Json]] = {
    Type.STRING: ["", "é", "urn:", "read", "https://api.example/", "https://issuer.example/"],
    Type.INT: [-(2**53) + 1, 2**53 - 1, 77],
    Type.DECIMAL: [-(2**53), 2**53, "7.7"],
    Type.TIME: ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", NOW_SECONDS + 1],
    Type.IP: ["192.0.2.77", "2001:db8:77::"],
    Type.SET_OF_STRING: [["é"], ["https://api.example/"]],
    Type.SET_OF_INT: [[77]],
    Type.SET_OF_IP: [["192.0.2.77"]],
}


def _everything(fact: Fact) -> list[Json]:
    """Return values enough that whatever a test on the fact can come to, one of them shows."""
    if fact.vocabulary is not None or fact.type is Type.LIST:
        return good_of(fact)
    element = fact.type.element
    literals = [
        one if isinstance(one, bool | int | str) else str(one)
        for one in LITERALS[element or fact.type]
    ]
    named: list[Json] = [*literals] if element is None else [[*literals]]
    return [*good_of(fact), *named, *_BESIDE.get(fact.type, [])]


@settings(max_examples=300)
@given(leaves(presence=True), st.integers(0, 2**32 - 1))
def test_a_test_may_come_to_what_it_can_and_to_nothing_else(formula: Formula, seed: int) -> None:
    dice = random.Random(seed)
    tested = rule("tested", "allow", formula)
    api = api_of([tested])
    read = [fact for fact in (*ATTRIBUTES.values(), *CLAIMS.values()) if fact in facts(formula)]
    if not read or _is_foreign(formula):
        return
    opened = dice.choice(read)
    each: list[States] = [KNOWN, frozenset({"known", "missing"}), ANY_STATE]
    states = dice.choice(each)
    ((token, request),) = random_questions(api, dice, 1)

    possible = PartialTruths(api, "thing", world(token, request), {opened: states}).of(tested)

    met = set()
    for value in _turns(opened, states):
        if opened.origin is Origin.RESOURCE:
            turned, asked = token, _with(request, {opened: value})
        else:
            claims = dict(token.claims)
            _put(claims, payload({opened.name: value}))
            turned, asked = msgspec.structs.replace(token, claims=claims), request
        met.add(interpret(api, [tested], world(turned, asked)).rules[0].value)
    assert met <= possible
    if not isinstance(formula, HasSome):  # of which there are more elements than can be tried
        assert met == possible


def _is_foreign(formula: Formula) -> bool:
    """Tell whether a test names a text that is no value of a vocabulary: no such policy loads."""
    known = [one.vocabulary.values for one in facts(formula) if one.vocabulary is not None]
    named = {
        value
        for one in walk(formula)
        if isinstance(one, Leaf)
        for operand in operands(one)
        if isinstance(operand, Literal)
        for value in (operand.value if isinstance(operand.value, tuple) else (operand.value,))
    }
    return any(not named <= values for values in known)


def _turns(fact: Fact, states: States) -> Iterator[Json]:
    if "known" in states:
        yield from _everything(fact)
    if "missing" in states:
        yield None
    if "ill-typed" in states:
        yield from bad_of(fact)
