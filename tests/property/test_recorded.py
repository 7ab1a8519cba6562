"""What the log holds of a decision decides it again, with the same outcome."""

from __future__ import annotations

import json

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from policyd.audit import CallDetails, Entry, Mask, Recorder
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import BatchItem, Decision
from policyd.json_types import Json
from policyd.replay.recorded import question_of, read_record
from policyd.tokens.model import VerifiedToken, new_memo
from policyd.tooling.subjects import TakenForGranted
from tests.support.program import TOLD, apis, engine, policy_set, questions

WRONG: list[Json] = [7, "text", ["a"], True, None]


def obstructed(data: st.DataObject, token: VerifiedToken) -> VerifiedToken:
    """Put something other than an object in the way of some claims, now and then."""
    claims: dict[str, Json] = dict(token.claims)
    for holder in ("outer", TOLD):
        if data.draw(st.integers(0, 4)) == 0:
            wrong: Json = data.draw(st.sampled_from(WRONG))
            if holder == TOLD:
                known = claims.get(TOLD)
                claims[TOLD] = {**(known if isinstance(known, dict) else {}), "outer": wrong}
            else:
                claims[holder] = wrong
    # A record holds an identifier by its hash, which tells nothing of its text.
    return msgspec.structs.replace(token, claims=claims, token_id=None, memo=new_memo())


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_a_record_decides_again(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api))
    policies = policy_set(api)
    moment = 1_700_000_000 + data.draw(st.integers(0, 2**20 - 1)) / 2**20
    token = obstructed(data, token)
    # Readers of tokens and requests refuse half a surrogate pair, so no record has one.
    assume("\\ud800" not in json.dumps([token.claims, request.attributes, request.context]))
    try:
        decision = engine(policies, token, lambda: moment).check(request)
    except InvalidRequest:
        return
    recorder = Recorder(Mask())
    recorder.use(policies)
    item = BatchItem(request.action, request.resource_type, request.resource_id, request.attributes)
    details = CallDetails(0.001, context=request.context)
    record = read_record(recorder.lines([Entry(details, "d-1", item, decision)]))
    if record.token is None:
        assert decision.token is None
        return
    question = question_of(record, policies)
    again = Engine(TakenForGranted(question.token, question.userinfo), lambda: question.now)
    again.load(policies)
    assert outcome(again.check(question.request)) == outcome(decision)


def outcome(decision: Decision) -> tuple[object, ...]:
    return (decision.allowed, decision.reason, decision.rules, decision.missing_scopes)
