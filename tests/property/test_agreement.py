"""The compiled program and the interpreter agree, on at least 100,000 questions.

Each generated policy is asked many questions, which costs far less than a policy each. A profile's
`max_examples` scales the number of policies: `HYPOTHESIS_PROFILE=nightly` asks millions of
questions. How many pairs of policy and question were compared is printed.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.decision.engine import Engine
from policyd.language.policy import Api
from policyd.program.interpreter import interpret
from tests.support.program import NOW_SECONDS, FixedValidator, apis, policy_set, world
from tests.support.varied import varied, varied_questions

#: At least 60 examples, which the smallest profile has, times 10, times this: 102,000.
QUESTIONS_PER_POLICY = 340
POLICIES = 5 * settings().max_examples


def test_100_000_questions(capsys: pytest.CaptureFixture[str]) -> None:
    policies = pairs = allowed = 0

    @settings(
        max_examples=POLICIES,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(apis(), st.integers(0, 2**32 - 1))
    def agree(api: Api, seed: int) -> None:
        nonlocal policies, pairs, allowed
        allowed += compare(api, random.Random(seed))
        policies += 1
        pairs += QUESTIONS_PER_POLICY

    agree()
    with capsys.disabled():
        print(f"\n{pairs:,} questions to {policies:,} policies, of which {allowed:,} are allowed")
    assert pairs >= 100_000
    # Neither evaluator is given an easy time by policies that allow nothing, or everything.
    assert pairs // 20 < allowed < pairs - pairs // 20


def compare(plain: Api, dice: random.Random) -> int:
    """Ask both; return how often the answer was allow."""
    api = varied(plain, dice)
    validator = FixedValidator(AssertionError("no token yet"))
    engine = Engine(validator, lambda: NOW_SECONDS + 0.5)
    engine.load(policy_set(api))
    rules = {
        (type_.name, action): [
            rule for rule in api.rules if rule.resource == type_.name and action in rule.actions
        ]
        for type_ in api.resources.values()
        for action in type_.actions
    }
    allowed = 0
    for token, request in varied_questions(api, plain, dice, QUESTIONS_PER_POLICY):
        validator.outcome = token
        decision = engine.check(request)
        asked = world(token, request)
        applying: dict[str, list[str]] = {"allow": [], "deny": []}
        looked_at = rules[request.resource_type, request.action]
        for each in interpret(api, looked_at, asked).rules:
            if each.applies:
                applying[each.rule.effect].append(each.rule.name)
        expected = not applying["deny"] and bool(applying["allow"])
        determining = applying["deny"] or applying["allow"]
        assert (decision.allowed, list(decision.rules)) == (expected, determining), request
        allowed += decision.allowed
    return allowed
