"""The ways in which an action is allowed, beside random questions and the interpreter."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.language.policy import Api, Not
from policyd.program.interpreter import World, interpret
from policyd.prover.universe import Side
from policyd.prover.ways import Condition, ways
from policyd.tooling.blast import rules_of, what_can
from tests.support.program import ACTIONS, SPAN, apis, rule, told, world
from tests.support.random_questions import random_questions

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(suppress_health_check=_SLOW, deadline=None)
@given(apis(), st.integers(0, 2**32 - 1))
def test_who_is_allowed_goes_one_of_the_ways(api: Api, seed: int) -> None:
    side = Side(api, api.resources["thing"], ACTIONS[0])
    rules = rules_of(side)
    found = ways(side, rules)
    assert all(one.confirmed for one in found.ways)
    for made, request in random_questions(api, random.Random(seed), 40):
        sub = made.claims.get("sub")
        if sub is not None and (not isinstance(sub, str) or not sub):
            continue  # no token that policyd accepts has it
        asked = world(made, request)
        goes = any(_goes(api, one.conditions, asked) for one in found.ways)
        applying = {one.rule.effect for one in interpret(api, rules, asked).rules if one.applies}
        if goes:
            assert applying == {"allow"}
        elif found.complete:
            assert applying != {"allow"}


def _goes(api: Api, conditions: tuple[Condition, ...], asked: World) -> bool:
    """Tell whether a question meets all conditions, as the interpreter sees them."""
    for number, one in enumerate(conditions):
        formula = one.test if one.holds else Not(SPAN, one.test)
        (traced,) = interpret(api, [rule(f"r{number}", "allow", formula)], asked).rules
        if traced.value is not True:
            return False
    return True


@settings(suppress_health_check=_SLOW, deadline=None)
@given(apis(), st.integers(0, 2**32 - 1))
def test_what_a_token_can_do_holds_of_its_requests(api: Api, seed: int) -> None:
    dice = random.Random(seed)
    for made, first in random_questions(api, dice, 2):
        now = world(made, first).now
        report = what_can(api, made, told(made) or {}, now)
        by_action = {one.action: one for one in report.actions}
        assert all(one.confirmed for one in report.actions)
        for _, request in random_questions(api, dice, 15):
            asked = world(made, request)
            side = Side(api, api.resources["thing"], request.action)
            traced = interpret(api, rules_of(side), asked).rules
            allowed = {one.rule.effect for one in traced if one.applies} == {"allow"}
            outcome = by_action[request.action].outcome
            assert outcome in ("depends", "always" if allowed else "never")
