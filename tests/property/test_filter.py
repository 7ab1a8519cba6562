"""Filters beside checks: a resource is allowed exactly when the filter's condition is true of it.

The interpreter evaluates the condition, on resources that the token's question says nothing of.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.decision.engine import Engine
from policyd.decision.model import Filter, Request
from policyd.language.policy import Api
from policyd.language.types import Origin
from policyd.language.walks import facts
from policyd.program.interpreter import interpret
from policyd.server.wire.convert_filter import filter_response
from policyd.tokens.model import VerifiedToken
from policyd.v1.authorization_pb2 import FilterResponse
from tests.support.program import NOW_SECONDS, FixedValidator, apis, policy_set, rule, world
from tests.support.random_questions import random_questions

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
_RESOURCES = 25


def _outcomes(api: Api, dice: random.Random) -> Iterator[str]:
    validator = FixedValidator(AssertionError("no token yet"))
    engine = Engine(validator, lambda: NOW_SECONDS + 0.5)
    engine.load(policy_set(api))
    for token, asked in random_questions(api, dice, 3):
        validator.outcome = token
        decision = engine.filter(asked)
        partial = decision.partial
        assert partial is not None
        assert FilterResponse.FromString(filter_response((decision, "id"))).IsInitialized()
        if partial.filter is not None and partial.filter.condition is not None:
            read = facts(partial.filter.condition)
            assert {one.origin for one in read} <= {Origin.RESOURCE}
            assert partial.depends_on == tuple(sorted(one.path for one in read))
        for _, other in random_questions(api, dice, _RESOURCES):
            request = msgspec.structs.replace(other, action=asked.action, context=asked.context)
            allowed = engine.check(request).allowed
            assert allowed == _lets_through(api, partial.filter, token, request), request
            if partial.outcome != "maybe":
                assert allowed == (partial.outcome == "allow")
        yield partial.outcome


def _lets_through(api: Api, made: Filter | None, token: VerifiedToken, asked: Request) -> bool:
    if made is None:
        return False
    if made.condition is None:
        return True
    (traced,) = interpret(api, [rule("f", "allow", made.condition)], world(token, asked)).rules
    return traced.value is True


def test_a_filter_lets_through_what_a_check_allows() -> None:
    met = {"allow": 0, "deny": 0, "maybe": 0}

    @settings(suppress_health_check=_SLOW, deadline=None)
    @given(apis(), st.integers(0, 2**32 - 1))
    def holds(api: Api, seed: int) -> None:
        for outcome in _outcomes(api, random.Random(seed)):
            met[outcome] += 1

    holds()
    assert all(met.values()), met
