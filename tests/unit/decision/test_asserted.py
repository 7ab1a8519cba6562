"""What a caller says of the subject: in place of a token, or beside one."""

from __future__ import annotations

import msgspec
import pytest

from policyd.decision.asserted import asserted_token
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Asserted, BatchItem, BatchRequest, Expected, Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.reasons import Reason
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken
from tests.support.audit import verified_token
from tests.support.program import token as token_of

POLICY = """\
api records

audience "https://example.com/health-api"

scope read:records  "Read"

claim role: string?
claim team: string?

resource record {
    actions read, write, erase, print, send
}

allow reads: read on record
    when token.subject == "alice" and token.iss == "asserted:pep"

allow writes: write on record
    when token.role == "admin" and subject is user

allow prints: print on record
    when subject is asserted and token.subject == "alice"

allow sends: send on record
    when not subject is asserted

allow erases: erase on record
    when scope read:records
"""
NOW = 1_800_000_000


class Validator:
    """Verifies one token, and must not be asked where there is none."""

    def __init__(self, token: VerifiedToken | None = None) -> None:
        self.token = token

    def verify(
        self, access_token: str, server: ResourceServer, now: float, proof: SenderProof = NO_PROOF
    ) -> VerifiedToken:
        assert self.token is not None
        return self.token

    def userinfo(self, token: VerifiedToken, access_token: str, now: float) -> None:
        raise AssertionError("nobody is asked about an asserted subject")


def engine(token: VerifiedToken | None = None) -> Engine:
    loaded = load([Source("records.policy", POLICY)])
    assert loaded.policies is not None
    made = Engine(Validator(token), lambda: NOW, trusted_until=lambda _: 0.0)
    made.load(loaded.policies)
    return made


ALICE = Asserted("asserted:pep", "alice", "user", (), {"role": "admin"})


def allowed(claim: Asserted, action: str = "read") -> bool:
    return engine().check(Request("", "records", action, "record", claim=claim)).allowed


def test_rules_tell_whether_a_subject_is_asserted() -> None:
    token = token_of(subject="alice")
    asked = [Request("t", "records", action, "record") for action in ("print", "send")]
    assert [engine(token).check(one).allowed for one in asked] == [False, True]
    assert [allowed(ALICE, action) for action in ("print", "send")] == [True, False]
    assert allowed(msgspec.structs.replace(ALICE, issuer="asserted:other"), "print")


def test_rules_read_what_was_asserted() -> None:
    assert allowed(ALICE)
    assert not allowed(msgspec.structs.replace(ALICE, subject="bob"))
    assert not allowed(msgspec.structs.replace(ALICE, issuer="asserted:other"))
    assert allowed(ALICE, "write")
    assert not allowed(msgspec.structs.replace(ALICE, kind=None), "write")
    assert not allowed(msgspec.structs.replace(ALICE, claims={}), "write")
    assert not allowed(ALICE, "erase")
    assert allowed(msgspec.structs.replace(ALICE, scopes=("read:records",)), "erase")


def test_an_answer_may_be_kept_as_any_other() -> None:
    decision = engine().check(Request("", "records", "read", "record", claim=ALICE))
    assert decision.cacheable_until == NOW + 5
    assert decision.token is not None
    assert decision.token.issuer == "asserted:pep"


def test_a_claim_of_another_type_is_refused_as_in_a_token() -> None:
    policy = POLICY.replace("claim role: string?", "claim role: string")
    loaded = load([Source("records.policy", policy)])
    assert loaded.policies is not None
    made = engine()
    made.load(loaded.policies)
    claim = msgspec.structs.replace(ALICE, claims={"role": 1})
    decision = made.check(Request("", "records", "write", "record", claim=claim))
    assert (decision.allowed, decision.reason) == (False, Reason.CLAIM_INVALID)


def test_a_batch_is_about_the_asserted_subject_too() -> None:
    batch = BatchRequest(
        "", "records", [BatchItem("read", "record"), BatchItem("erase", "record")], claim=ALICE
    )
    answers = engine().check_batch(batch)
    assert [not isinstance(one, InvalidRequest) and one.allowed for one in answers] == [True, False]


def test_about_another_subject_nothing_is_decided() -> None:
    made = engine(verified_token())
    question = Request("t", "records", "read", "record", claim=Expected("user-1"))
    assert made.check(question).reason is Reason.NO_RULE_ALLOWS
    for name in ("user-2", "", "USER-1"):
        with pytest.raises(InvalidRequest) as caught:
            made.check(msgspec.structs.replace(question, claim=Expected(name)))
        assert caught.value.code == "SUBJECT_MISMATCH"
        assert "user-1" not in str(caught.value)


def test_a_token_that_is_asserted_says_nothing_that_was_not() -> None:
    claim = Asserted("asserted:pep", "alice", "user", ("read:records",), {"role": "admin"})
    server = ResourceServer("records", frozenset({"https://example.com/health-api"}))
    token = asserted_token(claim, server, NOW)
    said = {name: value for name, value in msgspec.structs.asdict(token).items() if value}
    for name in ("memo", "algorithm", "expires_at"):
        assert said.pop(name)
    assert said == {
        "issuer": "asserted:pep",
        "subject": "alice",
        "kind": "user",
        "scopes": frozenset({"read:records"}),
        "audience": server.audiences,
        "claims": {"role": "admin"},
    }


def test_nobody_is_asked_about_a_subject_that_is_asserted() -> None:
    """Though the policy declares what an issuer tells of its users: here none does."""
    text = POLICY.replace("claim role:", "userinfo email: string?\n\nclaim role:")
    loaded = load([Source("records.policy", text + "    and userinfo.email is present\n")])
    assert loaded.policies is not None
    made = Engine(Validator(), lambda: NOW, trusted_until=lambda _: 0.0)
    made.load(loaded.policies)
    claim = msgspec.structs.replace(ALICE, scopes=("read:records",))
    assert made.check(Request("", "records", "read", "record", claim=claim)).allowed
    assert not made.check(Request("", "records", "erase", "record", claim=claim)).allowed
