"""Which scopes a challenge asks for: those that an action needs, whoever asks."""

from __future__ import annotations

import pytest

from policyd.decision import wanted
from policyd.decision.challenge import Challenger, Protection
from policyd.decision.engine import Engine
from policyd.decision.model import BatchItem, BatchRequest, Decision, Request
from policyd.language.policy import Api
from policyd.tokens.refusals import KeysUnavailable, TokenExpired, TokenMissing, TokenRefused
from tests.support.program import FixedValidator, engine, policies, token

POLICY = """
api docs
audience "https://api.example/"
scope read "Read"
scope write "Write" includes read
scope admin "Everything" includes write
scope audit "Audit"
claim level: int?
resource doc {
    owner: string
    actions look, change, share, audit, wipe, ping, lock, never, shut, guard
}
allow looks: look on doc
    when scope read or scope write or scope admin
allow changes: change on doc
    when scope write and (resource.owner == token.subject or token.level > 5)
allow shares: share on doc
    when scope read and scope audit and subject is user
allow audits: audit on doc
    when scope admin or scope audit
allow wipes: wipe on doc
    when token.level > 9
deny wipes-not: wipe on doc
    when not scope admin
allow pings: ping on doc
    when true
allow locks: lock on doc
    when scope write and token.level is present
deny no-lock: lock on doc
    when not subject is user and not scope audit
allow shuts: shut on doc
    when scope write
deny no-shut: shut on doc
    when true
allow guards: guard on doc
    when scope write
deny no-guard: guard on doc
    when token.level > 9
"""
DOCS = policies(POLICY)


class WithBase(Challenger):
    def protection(self, api: Api) -> Protection:
        return Protection(api.name, base_scopes=("openid", "read"))


def refused(refusal: TokenRefused, action: str, challenger: Challenger | None = None) -> Decision:
    made = Engine(FixedValidator(refusal), lambda: 0.0, challenger=challenger)
    made.load(DOCS)
    return made.check(Request("", "docs", action, "doc", "d"))


@pytest.mark.parametrize(
    ("action", "scopes"),
    [
        ("look", "read"),
        ("change", "write"),
        ("share", "audit read"),
        ("audit", "audit"),
        ("wipe", "admin"),
        ("lock", "write"),
        ("ping", ""),
        ("never", ""),
        ("shut", ""),  # no scope helps
        ("guard", "write"),  # a deny that may be false allows nothing by itself
        ("unknown", ""),
    ],
)
def test_a_caller_without_a_token_is_told_what_the_action_needs(action: str, scopes: str) -> None:
    written = f', scope="{scopes}"' if scopes else ""
    header = refused(TokenMissing("none"), action).www_authenticate
    assert header == f'Bearer realm="docs"{written}'
    assert refused(TokenExpired("late"), action).www_authenticate.endswith(written)


def test_what_it_asks_for_is_enough_and_not_too_much() -> None:
    asked = Request("t", "docs", "share", "doc", "d", {"owner": "o"})
    assert engine(DOCS, token(["audit", "read"])).check(asked).allowed
    for scope in ("audit", "read"):
        assert not engine(DOCS, token([scope])).check(asked).allowed


@pytest.mark.parametrize("action", ["ping", "never", "unknown"])
def test_where_the_question_tells_none_the_base_scopes_are_named(action: str) -> None:
    header = refused(TokenMissing("none"), action, WithBase()).www_authenticate
    assert header == 'Bearer realm="docs", scope="openid read"'
    assert 'scope="write"' in refused(TokenMissing("none"), "change", WithBase()).www_authenticate


def test_troubles_of_the_daemon_ask_for_no_scope() -> None:
    assert refused(KeysUnavailable("away"), "look").www_authenticate == ""


def test_each_item_of_a_batch_is_told_its_own() -> None:
    items = [BatchItem(action, "doc") for action in ("look", "change", "look")]
    made = engine(DOCS, TokenMissing("none"))
    answers = made.check_batch(BatchRequest("", "docs", items))
    told = [one.www_authenticate for one in answers if isinstance(one, Decision)]
    assert [header.partition("scope=")[2] for header in told] == ['"read"', '"write"', '"read"']
    assert answers[0] is answers[2]


def test_a_plan_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(policies(POLICY), TokenMissing("none"))
    asked = Request("", "docs", "look", "doc", "d")
    first = made.check(asked).www_authenticate
    monkeypatch.setattr(wanted, "STEPS", 0)
    assert made.check(asked).www_authenticate == first


def test_too_many_rules_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wanted, "STEPS", 3)
    made = engine(policies(POLICY), TokenMissing("none"))
    asked = Request("", "docs", "share", "doc", "d")
    assert made.check(asked).www_authenticate == 'Bearer realm="docs"'
