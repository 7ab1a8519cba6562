"""The engine: order of failures, what an answer carries, one snapshot and one clock a call."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable

import msgspec
import pytest

from policyd.decision.challenge import Challenger, Protection
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest, NotReady, quoted
from policyd.decision.model import BatchItem, BatchRequest, Decision, Request
from policyd.json_types import Json
from policyd.language.policy import Api, PolicySet
from policyd.program.compiler import compile_policies
from policyd.program.index import Program
from policyd.reasons import Reason
from policyd.tokens.details import quote
from policyd.tokens.model import ResourceServer, SenderProof, VerifiedToken, new_memo
from policyd.tokens.refusals import ClaimInvalid, KeysUnavailable, TokenExpired, TokenMissing
from tests.support.program import AUDIENCE, NOW_SECONDS, FixedValidator, engine, policies, token

POLICY = """
api documents
audience "https://api.example/"
audience "urn:second"
scope read "Read"
claim tenant: string from "/org/id"
claim level: int?
context {
    ip: ip?
    site: string
}
resource document {
    tenant: string
    size: int?
    actions view, edit
}
resource folder {
    actions list
}
resource vault {
    actions open, close
}
allow view: view on document
    when scope read and token.tenant == resource.tenant
allow edit: edit on document
    when resource.size < 10
deny closed: any on document
    when context.site == "closed"
    because "we are closed"
deny small: edit on document
    when resource.size < 5
allow list: list on folder
    when token.auth_time within last 15m or now < "2023-11-14T22:13:22Z"
allow open: open on vault
    when token.auth_time within last 15m
allow close: close on vault
    when now < "2023-11-14T22:13:22Z"
"""
OTHER = """
api other
audience "urn:other"
resource thing {
    actions look
}
allow look: look on thing
    when true
"""
GOOD = token(["read"], {"org": {"id": "t1"}})
REQUEST = Request(
    access_token="a.b.c",
    api="documents",
    action="view",
    resource_type="document",
    resource_id="d1",
    attributes={"tenant": "t1"},
    context={"site": "open"},
)


def made(outcome: VerifiedToken | Exception = GOOD) -> Engine:
    return engine(policies(POLICY, OTHER), outcome)


def ask(outcome: VerifiedToken | Exception = GOOD, **changes: object) -> Decision:
    return made(outcome).check(changed(**changes))


def changed(**changes: object) -> Request:
    fields = {name: getattr(REQUEST, name) for name in REQUEST.__struct_fields__}
    return Request(**{**fields, **changes})


def mistake(outcome: VerifiedToken | Exception = GOOD, **changes: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        ask(outcome, **changes)
    with pytest.raises(InvalidRequest):
        made(outcome).explain(changed(**changes))
    return caught.value


# -- an answer -----------------------------------------------------------------------------------


def test_policies_are_compiled_by_the_compiler_that_is_given() -> None:
    compiled: list[PolicySet] = []

    def compiling(given: PolicySet) -> Program:
        compiled.append(given)
        return compile_policies(given)

    given = policies(POLICY)
    Engine(FixedValidator(GOOD), compiler=compiling).load(given)
    assert compiled == [given]


@pytest.mark.parametrize(("identifier", "rules"), [("d1", ("known",)), ("", ("nameless",))])
def test_an_empty_identifier_is_a_missing_one(identifier: str, rules: tuple[str, ...]) -> None:
    text = (
        'api a\naudience "urn:a"\nresource r {\n    actions use\n}\n'
        'allow known: use on r when resource.id == "d1"\n'
        "allow nameless: use on r when resource.id is missing\n"
    )
    asked = engine(policies(text), GOOD)
    assert asked.check(Request("t", "a", "use", "r", identifier)).rules == rules


def test_an_allow() -> None:
    loaded = policies(POLICY, OTHER)
    assert engine(loaded, GOOD).check(REQUEST) == Decision(
        allowed=True,
        reason=Reason.ALLOWED,
        message="",
        api="documents",
        revision=loaded.revision,
        time=NOW_SECONDS + 0.5,
        rules=("view",),
        token=GOOD,
        cacheable_until=NOW_SECONDS + 5,
    )


def test_a_deny_by_a_rule_with_its_message() -> None:
    decision = ask(context={"site": "closed"})
    assert (decision.allowed, decision.reason) == (False, Reason.DENIED_BY_RULE)
    assert (decision.rules, decision.message) == (("closed",), "we are closed")
    assert (decision.http_status, decision.www_authenticate) == (403, "")


def test_the_message_is_the_first_determining_rules_own() -> None:
    attributes: dict[str, Json] = {"tenant": "t1", "size": 4}
    both = ask(action="edit", attributes=attributes, context={"site": "closed"})
    assert (both.rules, both.message) == (("closed", "small"), "we are closed")
    small = ask(action="edit", attributes=attributes)
    assert (small.rules, small.message) == (("small",), "a rule denies this")


def test_a_deny_that_is_unknown_applies() -> None:
    decision = ask(action="edit")
    assert (decision.allowed, decision.rules) == (False, ("small",))


def test_nothing_allows() -> None:
    decision = ask(attributes={"tenant": "t2"})
    assert (decision.allowed, decision.rules) == (False, ())
    assert decision.reason is Reason.NO_RULE_ALLOWS
    assert decision.message == "no rule allows this"


def test_a_missing_scope() -> None:
    decision = ask(token([], {"org": {"id": "t1"}}))
    assert decision.reason is Reason.INSUFFICIENT_SCOPE
    assert decision.missing_scopes == ("read",)
    assert decision.http_status == 403
    assert decision.www_authenticate == (
        'Bearer realm="documents", error="insufficient_scope", scope="read"'
    )


class _Telling(Challenger):
    def protection(self, api: Api) -> Protection:
        return Protection(api.name, tells_details=True)


@pytest.mark.parametrize(
    ("challenger", "said"),
    [
        (Challenger(), ""),
        (_Telling(), 'Bearer realm="bank", error="insufficient_authorization_details", '),
    ],
    ids=["by-default", "where-told"],
)
def test_a_missing_authorization_detail(challenger: Challenger, said: str) -> None:
    asking = Engine(FixedValidator(token([], {})), challenger=challenger)
    asking.load(
        policies(
            'api bank\naudience "urn:bank"\nclaim authorization_details: list? {\n'
            "    type: string\n}\nresource thing {\n    actions look\n}\n"
            "allow look: look on thing\n"
            '    when token.authorization_details has some (item.type == "look")\n'
        )
    )
    decision = asking.check(Request("a.b.c", "bank", "look", "thing"))
    assert decision.reason is Reason.INSUFFICIENT_AUTHORIZATION_DETAILS
    assert decision.http_status == 403
    assert decision.www_authenticate.startswith(said)
    assert bool(decision.www_authenticate) is bool(said)


def test_a_detail_of_another_issuer_would_not_help() -> None:
    asking = Engine(FixedValidator(token([], {})))
    asking.load(
        policies(
            'api bank\naudience "urn:bank"\n'
            'claim authorization_details: list? of "https://elsewhere.example/" {\n'
            "    type: string\n}\nresource thing {\n    actions look\n}\n"
            "allow look: look on thing\n"
            '    when token.authorization_details has some (item.type == "look")\n'
        )
    )
    decision = asking.check(Request("a.b.c", "bank", "look", "thing"))
    assert decision.reason is Reason.NO_RULE_ALLOWS


@pytest.mark.parametrize("audience", [AUDIENCE, "urn:second"])
def test_an_api_may_be_named_by_an_audience(audience: str) -> None:
    decision = ask(api=audience)
    assert decision.allowed
    assert decision.api == "documents"


def test_the_validator_is_asked_for_this_api_at_this_moment() -> None:
    validator = FixedValidator(GOOD)
    asked = Engine(validator, lambda: 12.5)
    asked.load(policies(POLICY))
    proof = SenderProof(client_certificate_sha256="x")
    request = msgspec.structs.replace(REQUEST, proof=proof)
    asked.check(request)
    asked.explain(request)
    asked.check_batch(BatchRequest("a.b.c", "documents", [], proof=proof))
    server = ResourceServer("documents", frozenset({AUDIENCE, "urn:second"}))
    assert validator.asked == [("a.b.c", server, 12.5, proof)] * 3


# -- order of failures ---------------------------------------------------------------------------


def test_without_policies_there_is_no_answer() -> None:
    unready = Engine(FixedValidator(GOOD))
    assert unready.snapshot is None
    for ask_it in (unready.check, unready.explain):
        with pytest.raises(NotReady, match="no policy is loaded"):
            ask_it(REQUEST)
    with pytest.raises(NotReady):
        unready.check_batch(BatchRequest("a.b.c", "documents", []))


def test_first_the_api_and_it_is_never_suggested() -> None:
    found = mistake(TokenExpired("x"), api="documentz", action="nope")
    assert (found.field, found.code, found.suggestion) == ("api", "UNKNOWN_API", None)
    assert found.description == "no API has the name or audience `documentz`"
    assert found.token is None


def test_then_the_token_and_nothing_of_the_policy_is_told() -> None:
    decision = ask(TokenExpired("`exp` was 5 s ago"), action="nope", resource_type="nope")
    assert decision.reason is Reason.TOKEN_EXPIRED
    assert decision.detail == "`exp` was 5 s ago"
    assert "exp`" not in decision.message + decision.www_authenticate
    assert (decision.http_status, decision.rules, decision.cacheable_until) == (401, (), None)
    assert decision.token is None


def test_a_refusal_brings_what_a_log_wants_to_know() -> None:
    refusal = TokenExpired("late")
    refusal.token, refusal.unverified_issuer, refusal.unverified_key_id = GOOD, "'i'", "'k'"
    decision = ask(refusal)
    assert decision.token is GOOD
    assert (decision.unverified_issuer, decision.unverified_key_id) == ("'i'", "'k'")


def test_no_token() -> None:
    decision = ask(TokenMissing("none"))
    assert decision.reason is Reason.TOKEN_MISSING
    assert decision.www_authenticate == 'Bearer realm="documents", scope="read"'


def test_keys_out_of_reach() -> None:
    decision = ask(KeysUnavailable("old", retry_after=7))
    assert (decision.allowed, decision.reason) == (False, Reason.KEYS_UNAVAILABLE)
    assert (decision.http_status, decision.www_authenticate, decision.retry_after) == (503, "", 7)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({}, Reason.CLAIM_MISSING),
        ({"org": None}, Reason.CLAIM_MISSING),
        ({"org": {"id": None}}, Reason.CLAIM_MISSING),
        ({"org": {"id": 5}}, Reason.CLAIM_INVALID),
        ({"org": "t1"}, Reason.CLAIM_INVALID),
    ],
)
def test_a_claim_that_the_api_demands(claims: dict[str, Json], reason: Reason) -> None:
    """Of every token and every action, also where no rule reads it; still before the request."""
    verified = token(["read"], claims)
    decision = ask(verified, resource_type="nope")
    assert (decision.allowed, decision.reason) == (False, reason)
    assert decision.token is verified
    assert "`token.tenant`" in decision.detail
    assert "tenant" not in decision.message + decision.www_authenticate
    assert ask(verified, api="other", action="look", resource_type="thing").allowed


def test_an_optional_claim_may_be_ill_typed() -> None:
    assert ask(token(["read"], {"org": {"id": "t1"}, "level": "high"})).allowed


def test_then_the_action_then_the_resource() -> None:
    found = mistake(action="vieww", resource_type="documentt")
    assert (found.field, found.code, found.suggestion) == ("action", "UNKNOWN_ACTION", "view")
    assert found.token is GOOD
    found = mistake(resource_type="documentt")
    assert (found.field, found.code) == ("resource.type", "UNKNOWN_RESOURCE_TYPE")
    assert found.suggestion == "document"
    assert found.description == "`documents` declares no resource type `documentt`"


def test_an_action_of_another_resource() -> None:
    found = mistake(action="list")
    assert (found.field, found.code, found.suggestion) == ("action", "UNKNOWN_ACTION", None)
    assert found.description == "no action `list` is declared on `document`"


def test_a_resource_or_action_that_is_like_nothing() -> None:
    assert mistake(resource_type="zzzzzzzz").suggestion is None
    assert mistake(action="zzzzzzzz").suggestion is None


@pytest.mark.parametrize(
    ("attributes", "code", "description", "suggestion"),
    [
        ({}, "ATTRIBUTE_MISSING", "is required, and absent", None),
        ({"tenant": None}, "ATTRIBUTE_MISSING", "is required, and absent", None),
        (
            {"tenent": "t1"},
            "ATTRIBUTE_MISSING",
            "is required, and absent; `tenent` is not declared",
            "tenant",
        ),
        ({"tenant": 1}, "ATTRIBUTE_INVALID", "is not of the declared type string", None),
    ],
)
def test_then_the_attributes(
    attributes: dict[str, Json], code: str, description: str, suggestion: str | None
) -> None:
    found = mistake(attributes=attributes, context={})
    assert (found.field, found.code) == ("resource.properties.tenant", code)
    assert (found.description, found.suggestion) == (description, suggestion)
    assert str(found) == f"resource.properties.tenant: {description}"


def test_very_many_undeclared_attributes_cost_little() -> None:
    attributes: dict[str, Json] = {f"tena{number:05}": 1 for number in range(100_000)}
    began = time.thread_time()
    found = mistake(attributes=attributes, context={})
    assert time.thread_time() - began < 0.5
    assert found.code == "ATTRIBUTE_MISSING"
    assert found.token is GOOD


@pytest.mark.parametrize("size", [1.5, 2.0**53, "1", True, [], {}])
def test_an_optional_attribute_that_is_ill_typed(size: Json) -> None:
    found = mistake(attributes={"tenant": "t1", "size": size})
    assert (found.field, found.code) == ("resource.properties.size", "ATTRIBUTE_INVALID")
    beyond = ": a number is beyond 2^53 - 1, up to which JSON is exact; declare it as string"
    assert found.description == "is not of the declared type int" + (
        beyond if size == 2.0**53 else ""
    )


def test_attributes_are_demanded_for_every_action() -> None:
    assert mistake(action="edit", attributes={"size": 7}).field == "resource.properties.tenant"


def test_then_the_context() -> None:
    found = mistake(context={})
    assert (found.field, found.code) == ("context.site", "CONTEXT_MISSING")
    found = mistake(context={"site": "open", "ip": "here"})
    assert (found.field, found.code) == ("context.ip", "CONTEXT_INVALID")
    assert found.description == "is not of the declared type ip"
    found = mistake(context={"sight": "open"})
    assert (found.suggestion, found.token) == (None, GOOD)
    assert mistake(context={"sites": "open"}).suggestion == "site"


def test_an_id_that_is_no_text() -> None:
    found = mistake(resource_id="\ud800")
    assert (found.field, found.code) == ("resource.id", "RESOURCE_ID_INVALID")
    assert ask(resource_id="é").allowed
    assert ask(resource_id="").allowed


def test_what_is_not_declared_is_ignored() -> None:
    assert ask(attributes={"tenant": "t1", "more": 1}, context={"site": "open", "x": []}).allowed


def test_a_name_in_a_message_is_escaped_and_cut() -> None:
    assert quoted("a\nb") == "`a\\nb`"
    assert quoted("é") == "`é`"
    assert quoted("x" * 100) == f"`{'x' * 100}`"
    assert quoted("x" * 101) == f"`{'x' * 100}…`"
    assert quoted("\x00" * 101).isprintable()


# -- time ----------------------------------------------------------------------------------------


def test_the_clock_is_read_once() -> None:
    ticks = iter([float(NOW_SECONDS)])
    assert engine(policies(POLICY), GOOD, lambda: next(ticks)).check(REQUEST).allowed


def cacheable(
    verified: VerifiedToken, seconds: float, action: str = "list", resource: str = "folder"
) -> int | None:
    asked = Engine(FixedValidator(verified), lambda: seconds, max_decision_age=1000)
    asked.load(policies(POLICY))
    return asked.check(changed(action=action, resource_type=resource)).cacheable_until


def logged_in(ago: int, expires_at: int = NOW_SECONDS + 3600) -> VerifiedToken:
    claims: dict[str, Json] = {"org": {"id": "t"}, "auth_time": NOW_SECONDS - ago}
    return token([], claims, expires_at=expires_at)


def test_an_answer_may_be_kept_until_a_condition_can_change() -> None:
    late = NOW_SECONDS + 10  # past the instant that the policy names
    assert cacheable(logged_in(800), late) == NOW_SECONDS + 101
    assert cacheable(logged_in(800), late + 0.9) == NOW_SECONDS + 101
    assert cacheable(logged_in(900), NOW_SECONDS) == NOW_SECONDS + 1
    # Logged in ahead of the clock: the test becomes true sixty seconds before that.
    assert cacheable(logged_in(-100), late) == NOW_SECONDS + 40
    # The instant that the policy names, and the second after it.
    assert cacheable(logged_in(5000), NOW_SECONDS) == NOW_SECONDS + 2
    assert cacheable(logged_in(5000), NOW_SECONDS + 2) == NOW_SECONDS + 3
    assert cacheable(logged_in(5000), NOW_SECONDS + 3) == NOW_SECONDS + 1003


def test_a_moment_that_is_now_has_passed() -> None:
    late = NOW_SECONDS + 10
    ahead = logged_in(-70)
    assert cacheable(ahead, late - 1) == late
    assert cacheable(ahead, late) == NOW_SECONDS + 70 + 901


def test_an_answer_may_depend_on_the_clock_in_one_way_alone() -> None:
    assert cacheable(logged_in(800), NOW_SECONDS, "open", "vault") == NOW_SECONDS + 101
    assert cacheable(logged_in(800), NOW_SECONDS, "close", "vault") == NOW_SECONDS + 2


CONSENTS = """
api consents
audience "https://consents.example"
claim consents: list? {
    kind:  string
    since: time?
    ends:  time?
}
resource page {
    due: time?
    actions look, open
}
allow looks: look on page
    when token.consents has some (item.kind == "look" and item.since within last 100s)
    or token.consents has some (item.kind == "look" and item.ends within next 100s)
allow opens: open on page
    when resource.due within next 50s
"""


def consented(elements: Json, action: str = "look", due: Json = None) -> Callable[[int], Decision]:
    """Return what decides so many seconds after now."""
    now = [NOW_SECONDS]
    verified = token([], {"consents": elements}, expires_at=NOW_SECONDS + 100_000)
    asked = Engine(FixedValidator(verified), lambda: float(now[0]), max_decision_age=1000)
    asked.load(policies(CONSENTS))
    request = Request("t", "consents", action, "page", "", {} if due is None else {"due": due})

    def decide(seconds: int) -> Decision:
        now[0] = NOW_SECONDS + seconds
        return asked.check(request)

    return decide


NOW = float(NOW_SECONDS)
ELEMENTS: list[Json] = [
    {"kind": "look", "since": NOW - 70},
    {"kind": "look", "since": NOW + 200},
    {"kind": "look", "ends": NOW + 300},
    {"kind": "else", "since": NOW + 1},
]


@pytest.mark.parametrize(
    ("elements", "changes"),
    [
        # Each second at which the answer is another, after now.
        (ELEMENTS[:1], [31]),
        (ELEMENTS[1:2], [140, 301]),
        (ELEMENTS[2:3], [200, 361]),
        (ELEMENTS[:3], [31, 140]),
        ([{"kind": "look", "since": "soon"}, {"kind": "look"}, *ELEMENTS[:1]], [31]),
        ([], []),
        ("none", []),
        (None, []),
    ],
)
def test_an_answer_may_be_kept_until_an_element_can_change_it(
    elements: Json, changes: list[int]
) -> None:
    """And no answer is kept over a second at which it is another."""
    decide = consented(elements)
    first = decide(0)
    allowed = [decide(second).allowed for second in range(400)]
    seen = [second for second in range(1, 400) if allowed[second] != allowed[second - 1]]
    assert seen[: len(changes)] == changes
    for second in (0, 1, 29, 30, 31, 139, 140, 199, 200):
        until = decide(second).cacheable_until
        assert until is not None
        kept = until - NOW_SECONDS
        following = [change for change in seen if change > second]
        assert second < kept <= (following[0] if following else second + 1000)
    if len(changes) == 1:
        assert first.cacheable_until == NOW_SECONDS + changes[0]
    if not changes:
        assert first.cacheable_until == NOW_SECONDS + 1000


def test_an_answer_may_be_kept_until_a_time_of_the_resource_passes() -> None:
    decide = consented(None, "open", "2023-11-14T22:15:00Z")
    assert NOW_SECONDS == 1_700_000_000
    kept = [decide(second).cacheable_until for second in (0, 49, 50, 100, 160, 161)]
    assert kept == [NOW_SECONDS + one for one in (50, 50, 161, 161, 161, 1161)]


def test_an_answer_may_be_kept_no_longer_than_the_token_lives() -> None:
    assert cacheable(logged_in(5000, expires_at=NOW_SECONDS + 30), NOW_SECONDS + 3) == (
        NOW_SECONDS + 30
    )


def test_an_answer_may_be_kept_no_longer_than_the_keys_vouch_for_the_token() -> None:
    asked = Engine(
        FixedValidator(GOOD),
        lambda: NOW_SECONDS,
        trusted_until=lambda verified: NOW_SECONDS + (2.9 if verified is GOOD else 0),
    )
    asked.load(policies(POLICY))
    assert asked.check(REQUEST).cacheable_until == NOW_SECONDS + 2


# -- snapshots -----------------------------------------------------------------------------------


def test_a_load_replaces_everything_at_once() -> None:
    asked = made()
    before = asked.snapshot
    assert before is not None
    assert asked.check(REQUEST).revision == before.revision
    changed_policy = policies(POLICY.replace("when scope read and", "when not scope read and"))
    asked.load(changed_policy)
    decision = asked.check(REQUEST)
    assert (decision.allowed, decision.revision) == (False, changed_policy.revision)
    assert asked.snapshot is not None
    assert asked.snapshot.revision == changed_policy.revision != before.revision


def test_a_load_that_fails_leaves_the_old_policies() -> None:
    asked = made()
    with pytest.raises(AttributeError):
        asked.load(None)  # type: ignore[arg-type]
    assert asked.check(REQUEST).allowed


def test_a_tokens_facts_are_read_once_for_each_program() -> None:
    asked = made()
    asked.check(REQUEST)
    first = GOOD.memo[0]
    asked.check(REQUEST)
    assert GOOD.memo[0] is first
    asked.load(policies(POLICY))
    asked.check(REQUEST)
    assert GOOD.memo[0] is not first
    assert GOOD.memo[1:] == new_memo()[1:]


# -- batches -------------------------------------------------------------------------------------

VIEW = BatchItem("view", "document", "d1", {"tenant": "t1"})
ITEMS = [
    VIEW,
    BatchItem("view", "document", "d2", {"tenant": "t2"}),
    BatchItem("vieww", "document", "d1", {"tenant": "t1"}),
    BatchItem("view", "document", "d1", {}),
    VIEW,
]


def test_a_batch_answers_each_item_by_itself() -> None:
    validator = FixedValidator(GOOD)
    asked = Engine(validator, lambda: NOW_SECONDS)
    asked.load(policies(POLICY))
    results = asked.check_batch(BatchRequest("a.b.c", "documents", ITEMS, context={"site": "open"}))
    first, second, third, fourth, last = results
    single = asked.check(REQUEST)
    assert first == last == single
    assert isinstance(second, Decision)
    assert second.reason is Reason.NO_RULE_ALLOWS
    assert isinstance(third, InvalidRequest)
    assert third.code == "UNKNOWN_ACTION"
    assert isinstance(fourth, InvalidRequest)
    assert fourth.code == "ATTRIBUTE_MISSING"
    assert len(validator.asked) == 2
    assert asked.check_batch(BatchRequest("a.b.c", "documents", [], context={"site": "open"})) == []


LOANS = """
api loans
audience "https://api.example/"
resource loan {
    size: int
    due: time?
    actions look, keep
}
allow small: look on loan when resource.size < 10
allow late: look on loan when now < resource.due
allow any-size: look on loan when resource.size < 20
deny huge: look on loan when resource.size > 100 because "too large"
"""


def test_a_batch_answers_as_single_checks_do_and_shares_what_is_equal() -> None:
    asked = Engine(FixedValidator(GOOD), lambda: NOW_SECONDS, max_decision_age=1000)
    asked.load(policies(LOANS))
    # 2023-11-14T22:13:20Z is now; each of these lies another time ahead.
    dues = [None, "2023-11-14T22:14:00Z", "2023-11-14T22:15:00Z"]
    items = [
        BatchItem(action, "loan", f"l{size}", {"size": size} | ({"due": due} if due else {}))
        for size, due, action in itertools.product([1, 15, 1, 50, 200], dues, ["look", "keep"])
    ]
    answers = asked.check_batch(BatchRequest("a.b.c", "loans", items * 2))
    single = [
        asked.check(
            Request(
                "a.b.c", "loans", one.action, one.resource_type, one.resource_id, one.attributes
            )
        )
        for one in items
    ]
    assert answers == single * 2
    assert len({one.cacheable_until for one in single}) == 3
    for one, other in itertools.pairwise(answers):
        assert isinstance(one, Decision)
        assert isinstance(other, Decision)
        if one == other:
            assert one is other


def test_mistakes_in_the_context_are_not_kept() -> None:
    def alive() -> int:
        gc.collect()
        return sum(isinstance(one, InvalidRequest) for one in gc.get_objects())

    asked = made(GOOD)
    before = alive()
    item = BatchItem(action="view", resource_type="document", attributes={"tenant": "t1"})
    for _ in range(10):
        with pytest.raises(InvalidRequest):
            asked.check(msgspec.structs.replace(REQUEST, context={}))
        (found,) = asked.check_batch(BatchRequest("a.b.c", "documents", [item]))
        assert isinstance(found, InvalidRequest)
    del found
    assert alive() <= before


def test_a_batch_under_a_wrong_context() -> None:
    results = made().check_batch(BatchRequest("a.b.c", "documents", ITEMS))
    codes = [result.code for result in results if isinstance(result, InvalidRequest)]
    # Each item's own mistake comes first, as it does in a single check.
    assert codes == [
        "CONTEXT_MISSING",
        "CONTEXT_MISSING",
        "UNKNOWN_ACTION",
        "ATTRIBUTE_MISSING",
        "CONTEXT_MISSING",
    ]


def test_a_batch_with_a_bad_token() -> None:
    results = made(TokenExpired("late")).check_batch(BatchRequest("a.b.c", "documents", ITEMS))
    assert [isinstance(result, Decision) and result.reason for result in results] == [
        Reason.TOKEN_EXPIRED
    ] * len(ITEMS)


def test_a_batch_for_an_unknown_api() -> None:
    with pytest.raises(InvalidRequest, match="no API"):
        made().check_batch(BatchRequest("a.b.c", "nope", ITEMS))


TYPES = """
api types
audience "https://types.example"
resource thing {
    number: int?
    numbers: set<int>?
    amount: decimal?
    text: string?
    far: int? (from "/a/b")
    actions look
}
allow looks: look on thing when resource.number == 1
"""


@pytest.mark.parametrize(
    ("attributes", "path", "said"),
    [
        ({"number": 2.0**53}, "number", "type int: a number is beyond 2^53 - 1, up to which "),
        ({"numbers": [1.0, -(2.0**53)]}, "numbers", "a number is beyond 2^53 - 1"),
        ({"number": "x"}, "number", "declared type int"),
        ({"number": 1.5}, "number", "declared type int"),
        ({"amount": 0.00001}, "amount", "at most four digits stand after the point"),
        ({"text": 2.0**60}, "text", "declared type string"),
        ({"far": 1}, None, None),
        ({"a": 1}, "a.b", "something other than an object stands in its way"),
        ({"a": {"b": "x"}}, "a.b", "declared type int"),
    ],
)
def test_an_attribute_that_is_ill_typed_is_told_why(
    attributes: dict[str, Json], path: str | None, said: str | None
) -> None:
    request = Request("t", "types", "look", "thing", "", attributes)
    asked = engine(policies(TYPES), GOOD)
    if path is None or said is None:
        assert isinstance(asked.check(request), Decision)
        return
    with pytest.raises(InvalidRequest) as caught:
        asked.check(request)
    found = caught.value
    assert (found.field, found.code) == (f"resource.properties.{path}", "ATTRIBUTE_INVALID")
    assert said in found.description
    if said.startswith("declared type"):  # and that is all
        assert found.description.endswith(said)


def test_a_refusal_goes_to_the_log_with_what_its_masks_need() -> None:
    refusal = ClaimInvalid(f"found {quote('jane', 'sub', 'token.subject')}")
    refusal.unverified_issuer, refusal.unverified_key_id = "https://nobody.example/", "k-1"
    decision = engine(policies(POLICY), refusal).check(REQUEST)
    assert (decision.detail, decision.marked_detail) == (str(refusal), refusal.marked_detail)
    assert decision.detail != decision.marked_detail
    assert decision.unverified_issuer == "https://nobody.example/"
    assert decision.unverified_key_id == "k-1"
