"""A line of the decision log, decided again."""

from __future__ import annotations

import json

import msgspec
import pytest

from policyd.audit import Mask, Recorder
from policyd.audit.record import CallDetails, Entry
from policyd.decision.engine import Engine
from policyd.decision.model import BatchItem, Decision, Request
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.replay.recorded import RecordUnusable, question_of, read_record
from policyd.tokens.claims import facts
from policyd.tooling.subjects import TakenForGranted

POLICY = """\
api health

audience "https://example.com/health-api"

scope read:patients  "Read"

claim roles: set<string>? from "/realm_access/roles"

context {
    ip: ip?
}

resource patient {
    sealed: bool
    actions read
}

allow reads: read on patient
    when scope read:patients

deny sealed: any on patient
    when resource.sealed
    unless "doctor" in token.roles and token.acr == "strong" and context.ip is present
"""
NOW = 1_800_000_000
CLAIMS: dict[str, Json] = {
    "iss": "https://issuer.example/",
    "sub": "u-1",
    "azp": "app",
    "aud": "https://example.com/health-api",
    "exp": NOW + 60,
    "iat": NOW - 60,
    "scope": "read:patients",
    "acr": "strong",
    "realm_access": {"roles": ["doctor"]},
}


def policies(text: str = POLICY) -> PolicySet:
    loaded = load([Source("health.policy", text)])
    assert loaded.policies is not None, loaded.diagnostics
    return loaded.policies


def recorded(sealed: bool, mask: frozenset[str] = frozenset()) -> bytes:
    """Decide, and return the line that the log would have."""
    known = policies()
    engine = Engine(TakenForGranted(facts.read("oidc", {}, CLAIMS)), lambda: float(NOW))
    engine.load(known)
    context: dict[str, Json] = {"ip": "192.0.2.1"}
    request = Request(
        access_token="",
        api="health",
        action="read",
        resource_type="patient",
        resource_id="p1",
        attributes={"sealed": sealed},
        context=context,
    )
    decision: Decision = engine.check(request)
    recorder = Recorder(Mask(mask))
    recorder.use(known)
    item = BatchItem(
        action="read", resource_type="patient", resource_id="p1", attributes={"sealed": sealed}
    )
    details = CallDetails(0.001, context=context)
    return recorder.lines([Entry(details, "d-1", item, decision)])


def again(line: bytes, text: str = POLICY) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    known = policies(text)
    question = question_of(read_record(line), known)
    validator = TakenForGranted(question.token, question.userinfo)
    engine = Engine(validator, lambda: question.now)
    engine.load(known)
    decision = engine.check(question.request)
    return str(decision.reason), decision.rules, question.masked


def test_the_same_question_has_the_same_answer() -> None:
    assert again(recorded(sealed=False)) == ("ALLOWED", ("reads",), ())
    assert again(recorded(sealed=True)) == ("ALLOWED", ("reads",), ())


def test_another_policy_has_another_answer() -> None:
    stricter = POLICY.replace('"doctor" in', '"surgeon" in')
    assert again(recorded(sealed=True), stricter)[:2] == ("DENIED_BY_RULE", ("sealed",))


def test_what_was_masked_is_named_and_missing() -> None:
    line = recorded(sealed=True, mask=frozenset({"token.roles", "token.sub", "resource.id"}))
    reason, rules, masked = again(line)
    assert (reason, rules) == ("DENIED_BY_RULE", ("sealed",))
    assert {"token.roles", "resource.id"} <= set(masked)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "one line of the decision log is wanted, and there are 0"),
        (b"{}\n{}\n", "there are 2: choose it by its decision_id"),
        (b"nonsense", "no record of the decision log: JSON is malformed"),
        (b'{"type":"decision","decision_id":"a"}', "the line names no `schema`"),
        (b'{"type":"decision","schema":2}', "the record has schema 2; this version reads 1"),
        (b'{"type":"decision","schema":1}', "missing required field"),
        (b'{"type":"other","schema":1}', "no record of the decision log"),
        (b"[" * 100_000, "no record of the decision log"),
        (b'{"schema":1,"type":"\xff"}', "no record of the decision log"),
        (
            b'{"type":"gap","schema":1,"time":"2026-01-01T00:00:00Z","dropped":1}',
            "records are missing here; it is no decision",
        ),
    ],
)
def test_what_is_no_record(line: bytes, said: str) -> None:
    with pytest.raises(RecordUnusable, match=said):
        read_record(line)


def test_a_refused_token_is_not_in_the_record() -> None:
    record = json.loads(recorded(sealed=False))
    del record["token"]
    line = msgspec.json.encode({**record, "reason": "TOKEN_EXPIRED", "detail": "long ago"})
    with pytest.raises(RecordUnusable, match="refused as TOKEN_EXPIRED: long ago; no rule"):
        question_of(read_record(line), policies())
    line = msgspec.json.encode({**record, "api": "other"})
    with pytest.raises(RecordUnusable, match="is about the API other; there are health"):
        question_of(read_record(line), policies())
