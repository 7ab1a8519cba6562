"""A log, replayed against the policies that wrote it and against others.

Against the policies that wrote it, nothing differs, and everything can be told as long as no mask
kept anything out. Against others, whatever the replay is sure of is what the engine decides.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.audit import CallDetails, Entry, Mask, Recorder
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import BatchItem, Decision, Request
from policyd.json_types import Json
from policyd.language.policy import Api, PolicySet
from policyd.replay import replay
from policyd.replay.deciding import Decider
from policyd.replay.outcomes import Outcome
from policyd.replay.records import Asked, read_record
from policyd.replay.verdicts import recorded
from policyd.tokens.model import VerifiedToken
from tests.support.program import (
    ATTRIBUTES,
    CLAIMS,
    ENTRIES,
    NOW_SECONDS,
    TOLD,
    TOLD_CLAIMS,
    FixedValidator,
    apis,
    policy_set,
)
from tests.support.random_questions import random_questions

_QUESTIONS = 6
_FACTS = (
    *(fact.path for facts in (CLAIMS, TOLD_CLAIMS, ATTRIBUTES, ENTRIES) for fact in facts.values()),
    *("token.scopes", "token.permissions", "token.subject", "token.client", "token.iss"),
    *("token.acr", "token.amr", "token.auth_time", "token.jti", "resource.id"),
)
_SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class Written(msgspec.Struct, frozen=True):
    """A line of a log, and what was asked."""

    line: bytes
    token: VerifiedToken
    request: Request
    moment: float


def engine_of(policies: PolicySet, written: Written) -> Engine:
    made = Engine(FixedValidator(written.token), lambda: written.moment)
    made.load(policies)
    return made


def log(policies: PolicySet, dice: random.Random, mask: Mask) -> Iterator[Written]:
    """Write the decisions of some questions."""
    api = next(iter(policies.apis.values()))
    recorder = Recorder(mask)
    recorder.use(policies)
    for token, request in random_questions(api, dice, _QUESTIONS):
        moment = NOW_SECONDS + dice.choice((0.0, 0.25, 0.999_999_9, 3.0))
        made = Written(b"", _obstructed(token, dice), request, moment)
        # Readers of tokens and requests refuse half a surrogate pair, so no record has one.
        if "\\ud800" in json.dumps([token.claims, request.attributes, request.context]):
            continue
        try:
            decision = engine_of(policies, made).check(request)
        except InvalidRequest:
            continue
        yield msgspec.structs.replace(made, line=_line(recorder, request, decision))


def _line(recorder: Recorder, request: Request, decision: Decision) -> bytes:
    item = BatchItem(request.action, request.resource_type, request.resource_id, request.attributes)
    return recorder.lines([Entry(CallDetails(0.001, context=request.context), "d", item, decision)])


def _obstructed(token: VerifiedToken, dice: random.Random) -> VerifiedToken:
    """Put something other than an object in the way of some claims, now and then."""
    claims: dict[str, Json] = dict(token.claims)
    if dice.random() < 0.2:
        claims["outer"] = dice.choice([7, "text", True])
    if dice.random() < 0.2:
        told = claims.get(TOLD)
        claims[TOLD] = {**(told if isinstance(told, dict) else {}), "outer": "text"}
    return msgspec.structs.replace(token, claims=claims, memo=[None, None])


def answer(policies: PolicySet, written: Written) -> Outcome:
    """Decide a question with all its facts."""
    try:
        decision = engine_of(policies, written).check(written.request)
    except InvalidRequest:
        return "mistake"
    if decision.allowed:
        return "allow"
    return "refused" if decision.reason.startswith("CLAIM_") else "deny"


@_SLOW
@given(apis(), st.integers(0, 2**32 - 1))
def test_policies_decide_their_own_log_again(api: Api, seed: int) -> None:
    policies = policy_set(api)
    written = list(log(policies, random.Random(seed), Mask()))
    decider = Decider(policies)
    for one in written:
        record = read_record(one.line)
        assert isinstance(record, Asked)
        # The engine itself decides, not the knowledge that the policies are the same.
        found = decider.decide(record).each
        jti = "token.jti" in decider.decide(record).facts
        assert found == recorded(record).each or jti
    assert {one.kind for one in replay((one.line for one in written), policies)} <= {"same"}


def test_what_is_sure_is_what_the_engine_decides() -> None:
    met = {"same": 0, "differs": 0, "cannot tell": 0}

    @_SLOW
    @given(apis(), apis(), st.sets(st.sampled_from(_FACTS), max_size=6), st.booleans(),
           st.integers(0, 2**32 - 1))  # fmt: skip
    def holds(old: Api, new: Api, masks: set[str], at_hand: bool, seed: int) -> None:
        before = policy_set(old)
        after = msgspec.structs.replace(policy_set(new), revision="another")
        written = list(log(before, random.Random(seed), Mask(frozenset(masks))))
        baseline = before if at_hand else None
        decider = Decider(after, (before,) if at_hand else ())
        verdicts = replay((one.line for one in written), after, baseline)
        for one, verdict in zip(written, verdicts, strict=True):
            record = read_record(one.line)
            assert isinstance(record, Asked)
            truth, was = answer(after, one), answer(before, one)
            assert truth in decider.decide(record).each
            met[verdict.kind] += 1
            if verdict.kind == "same":
                assert truth == was
            elif verdict.kind == "differs":
                assert truth != was

    holds()
    assert min(met.values()) > 0, met
