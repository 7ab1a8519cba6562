"""What the issuer tells of the user: when it is asked for, and that it is never remembered."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from policyd.decision.engine import Engine
from policyd.decision.model import BatchItem, BatchRequest, Decision, Request
from policyd.json_types import Json
from policyd.language.policy import PolicySet
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import TokenExpired
from tests.support.program import NOW_SECONDS, FixedValidator, policies, token

HEAD = """\
api notes

audience "https://notes.example/"

scope read "Read notes"

claim org: string

resource note {
    owner: string
    actions read, list
}
"""
POLICY = f"""\
{HEAD}
userinfo email:  string?
userinfo unread: string?

allow own: read on note
    when userinfo.email == resource.owner

deny unknown-users: list on note
    when userinfo.email is missing
    because "nobody knows who you are"
"""
TOKEN = "a.b.c"


class MustAskFirst(Exception):
    """What a validator raises that cannot answer without asking the issuer."""


class Telling(FixedValidator):
    """Tells what `answer` is, and counts how often it is asked."""

    def __init__(
        self,
        outcome: VerifiedToken | Exception,
        answer: Mapping[str, Json] | Exception | None = None,
    ) -> None:
        super().__init__(outcome)
        self.answer = answer
        self.questions: list[tuple[VerifiedToken, str, float]] = []

    def userinfo(
        self, token: VerifiedToken, access_token: str, now: float
    ) -> Mapping[str, Json] | None:
        self.questions.append((token, access_token, now))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def engine_of(validator: Telling, loaded: PolicySet) -> Engine:
    made = Engine(validator, lambda: NOW_SECONDS + 0.5)
    made.load(loaded)
    return made


def question(action: str = "read") -> Request:
    return Request(TOKEN, "notes", action, "note", "n1", {"owner": "ann@example.com"})


def ask(validator: Telling, action: str = "read", policy: str = POLICY) -> Decision:
    return engine_of(validator, policies(policy)).check(question(action))


def test_is_asked_for_after_the_token_was_verified() -> None:
    verified = token(claims={"org": "red"})
    validator = Telling(verified, {"email": "ann@example.com"})
    assert ask(validator).rules == ("own",)
    assert validator.questions == [(verified, TOKEN, NOW_SECONDS + 0.5)]


@pytest.mark.parametrize(
    "declared", ["", "userinfo email: string?\n"], ids=["not declared", "not read"]
)
def test_is_not_asked_for_where_nothing_reads_it(declared: str) -> None:
    validator = Telling(token(claims={"org": "red"}), MustAskFirst())
    policy = f"{HEAD}{declared}allow all: read on note\n    when true\n"
    assert ask(validator, policy=policy).allowed
    assert validator.questions == []


@pytest.mark.parametrize(
    "outcome", [TokenExpired("late"), token(claims={})], ids=["refused", "without a demanded claim"]
)
def test_is_not_asked_for_a_token_that_is_no_good(outcome: VerifiedToken | Exception) -> None:
    validator = Telling(outcome, MustAskFirst())
    assert not ask(validator).allowed
    assert validator.questions == []


def test_an_issuer_that_tells_nothing() -> None:
    validator = Telling(token(claims={"org": "red"}), None)
    assert ask(validator).reason is Reason.NO_RULE_ALLOWS
    assert ask(validator, "list").rules == ("unknown-users",)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, Reason.CLAIM_MISSING),
        ({}, Reason.CLAIM_MISSING),
        ({"level": None}, Reason.CLAIM_MISSING),
        ({"level": "3"}, Reason.CLAIM_INVALID),
    ],
)
def test_a_claim_that_the_api_demands(answer: dict[str, Json] | None, reason: Reason) -> None:
    """Also where no rule reads it, and before what is wrong with the request."""
    verified = token(claims={"org": "red"})
    policy = f"{HEAD}userinfo level: int\nallow all: read on note\n    when true\n"
    decision = ask(Telling(verified, answer), "fly", policy)
    assert (decision.allowed, decision.reason) == (False, reason)
    assert "`userinfo.level`" in decision.detail
    assert "level" not in decision.message + decision.www_authenticate
    assert decision.token is verified
    assert ask(Telling(verified, {"level": 3}), policy=policy).allowed


def test_a_token_remembers_nothing_of_it() -> None:
    validator = Telling(token(claims={"org": "red"}), {"email": "ann@example.com"})
    engine = engine_of(validator, policies(POLICY))
    assert engine.check(question()).allowed
    validator.answer = {"email": "bob@example.com"}
    assert not engine.check(question()).allowed
    validator.answer = None
    assert not engine.check(question()).allowed
    validator.answer = {"email": "ann@example.com"}
    assert engine.check(question()).allowed


def test_who_must_ask_first_decides_nothing() -> None:
    engine = engine_of(Telling(token(claims={"org": "red"}), MustAskFirst()), policies(POLICY))
    with pytest.raises(MustAskFirst):
        engine.check(question())
    with pytest.raises(MustAskFirst):
        engine.explain(question())
    with pytest.raises(MustAskFirst):
        engine.check_batch(BatchRequest(TOKEN, "notes", [BatchItem("read", "note")]))


def test_a_batch_asks_once() -> None:
    validator = Telling(token(claims={"org": "red"}), {"email": "ann@example.com"})
    items = [
        BatchItem(action, "note", "n1", {"owner": "ann@example.com"}) for action in ("read", "list")
    ]
    read, listed = engine_of(validator, policies(POLICY)).check_batch(
        BatchRequest(TOKEN, "notes", items)
    )
    assert isinstance(read, Decision) and read.allowed
    assert isinstance(listed, Decision) and listed.reason is Reason.NO_RULE_ALLOWS
    assert len(validator.questions) == 1


def test_an_explanation_shows_what_was_told() -> None:
    validator = Telling(token(claims={"org": "red"}), {"email": "bob@example.com"})
    explanation = engine_of(validator, policies(POLICY)).explain(question())
    (rule,) = explanation.traces.rules
    assert [(seen.fact.path, seen.state, seen.value) for seen in rule.trace.seen] == [
        ("userinfo.email", "known", "bob@example.com"),
        ("resource.owner", "known", "ann@example.com"),
    ]
    assert explanation.decision.userinfo == {"email": "bob@example.com"}


def test_what_is_told_is_no_scope_and_no_login() -> None:
    claims: dict[str, Json] = {"scope": "read", "acr": "urn:mfa", "sub": "user-1", "aud": "x"}
    policy = (
        f"{HEAD}userinfo email: string?\n"
        "allow reads: read on note\n    when scope read and userinfo.email is missing\n"
        'allow lists: list on note\n    when token.acr == "urn:mfa" and userinfo.email is missing\n'
    )
    validator = Telling(token(claims={"org": "red"}), claims)
    assert ask(validator, policy=policy).missing_scopes == ("read",)
    assert ask(validator, "list", policy).reason is Reason.INSUFFICIENT_USER_AUTHENTICATION
