"""What a caller could bring along: scopes, or another login."""

from __future__ import annotations

import pytest

from policyd.decision.effort import Effort
from policyd.decision.explain import Explanation
from policyd.decision.missing import ALTERNATIVES, _cost, missing_scopes
from policyd.decision.model import BatchItem, BatchRequest, Decision, Request, StepUp
from policyd.decision.question import Question
from policyd.json_types import Json
from policyd.program.index import Plan
from policyd.program.layout import SCOPES_SLOT, Facts
from policyd.program.values import Value
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken
from tests.support.program import NOW_SECONDS, engine, policies, token

POLICY = """
api things
audience "https://api.example/"
scope a "A"
scope b "B"
scope c "C"
scope d "D"
claim level: string?
resource thing {{
    needs: set<string>?
    login: string?
    logins: set<string>?
    method: string?
    methods: set<string>?
    actions look
}}
{rules}
"""


def ask(
    rules: str, verified: VerifiedToken, attributes: dict[str, Json] | None = None
) -> Explanation:
    request = Request("t", "things", "look", "thing", "", attributes or {})
    asked = engine(policies(POLICY.format(rules=rules)), verified)
    explanation = asked.explain(request)
    assert asked.check(request) == explanation.decision
    return explanation


def missing(rules: str, *granted: str, attributes: dict[str, Json] | None = None) -> Decision:
    return ask(rules, token(granted), attributes).decision


def scopes(rules: str, *granted: str, attributes: dict[str, Json] | None = None) -> tuple[str, ...]:
    decision = missing(rules, *granted, attributes=attributes)
    assert not decision.allowed
    assert bool(decision.missing_scopes) is (decision.reason is Reason.INSUFFICIENT_SCOPE)
    return decision.missing_scopes


def test_scopes_that_one_rule_asks_for_together() -> None:
    rules = "allow r: look on thing when scope a and scope b and scope c"
    assert scopes(rules) == ("a", "b", "c")
    assert scopes(rules, "b") == ("a", "c")
    assert scopes(rules, "b", "c") == ("a",)
    assert missing(rules, "a", "b", "c").allowed
    assert missing(rules, "a", "b", "c").missing_scopes == ()


def test_of_alternatives_one_is_reported() -> None:
    rules = "allow r: look on thing when scope a or (scope b and scope c) or scope d"
    explanation = ask(rules, token())
    assert explanation.decision.missing_scopes == ("a",)
    assert explanation.missing_scopes.sets == (("a",), ("d",), ("b", "c"))
    assert not explanation.missing_scopes.stopped
    assert explanation.step_up is None


def test_a_scope_cannot_help_where_something_else_is_wrong() -> None:
    assert scopes('allow r: look on thing when scope a and token.level == "high"') == ()
    decision = missing('allow r: look on thing when scope a and token.level == "high"')
    assert decision.reason is Reason.NO_RULE_ALLOWS
    assert decision.http_status == 403
    assert decision.www_authenticate == ""


def test_a_scope_that_keeps_a_deny_away() -> None:
    rules = "allow r: look on thing when scope a\ndeny d: any on thing when scope a unless scope b"
    assert scopes(rules) == ("a", "b")
    assert scopes(rules, "a") == ("b",)
    decision = missing(rules, "a")
    assert decision.rules == ("d",)
    assert decision.http_status == 403
    assert 'scope="b"' in decision.www_authenticate


def test_a_scope_that_only_hurts_is_left_out() -> None:
    rules = "allow r: look on thing when scope a\ndeny d: any on thing when scope b"
    assert scopes(rules) == ("a",)
    assert scopes(rules, "b") == ()
    assert missing(rules, "a", "b").reason is Reason.DENIED_BY_RULE


def test_a_scope_that_helps_here_and_hurts_there() -> None:
    rules = "allow r: look on thing when scope a or scope b\ndeny d: any on thing when scope b"
    assert scopes(rules) == ("a",)
    either = "allow r: look on thing when (scope a and not scope b) or (scope b and not scope a)"
    assert scopes(either) == ("a",)
    several = (
        "allow r: look on thing when scope a or scope b or scope c\n"
        "deny d: any on thing when scope b\n"
        "deny e: any on thing when scope c"
    )
    assert scopes(several) == ("a",)
    other_way = (
        "allow r: look on thing when scope a and scope b\n"
        "allow s: look on thing when scope c and not scope b"
    )
    assert scopes(other_way) == ("c",)
    never = "allow r: look on thing when scope a and not scope a"
    assert scopes(never) == ()


def test_scopes_named_by_a_literal_set() -> None:
    assert scopes('allow r: look on thing when token.scopes has all ["a", "b"]') == ("a", "b")
    assert scopes('allow r: look on thing when token.scopes has any ["a", "b"]') == ("a",)
    assert scopes('allow r: look on thing when "c" in token.scopes') == ("c",)
    assert scopes('allow r: look on thing when not ("c" in token.scopes)', "c") == ()


def test_scopes_named_by_an_attribute_are_all_that_are_declared() -> None:
    rules = "allow r: look on thing when token.scopes has all resource.needs"
    assert scopes(rules, attributes={"needs": ["b", "d"]}) == ("b", "d")
    assert scopes(rules, attributes={"needs": ["b", "undeclared"]}) == ()
    assert scopes(rules) == ()


def test_a_set_that_must_hold_all_scopes_is_hurt_by_more() -> None:
    rules = "allow r: look on thing when scope a and resource.needs has all token.scopes"
    assert scopes(rules, attributes={"needs": ["a"]}) == ("a",)
    assert scopes(rules, attributes={"needs": ["b"]}) == ()


def test_a_condition_in_a_named_condition_counts() -> None:
    rules = (
        "define may as scope a\nallow r: look on thing when may\ndeny d: any on thing when not may"
    )
    assert scopes(rules) == ("a",)


@pytest.mark.parametrize(("needed", "asked"), [(("a",), 1), (("b", "c"), 4), (("a", "b", "c"), 4)])
def test_the_rules_are_asked_once_and_once_for_each_scope(
    needed: tuple[str, ...], asked: int
) -> None:
    """Of one scope alone the answer is known: the token was denied without it."""
    named = ("a",) if needed == ("a",) else ("a", "b", "c")
    grants: list[frozenset[str]] = []

    def allows(verified: Facts, *_: object) -> list[str]:
        granted = verified[SCOPES_SLOT]
        assert isinstance(granted, frozenset)
        grants.append(frozenset(str(scope) for scope in granted))
        return ["r"] if granted >= set(needed) else []

    plan = Plan(
        denies=(lambda *_: [],),
        allows=(allows,),
        reads_clock=False,
        because={},
        helping_scopes=frozenset(named),
        hurting_scopes=frozenset(),
        login=None,
        moments=(),
        fixed_moments=(),
        rules=(),
    )
    question = Question(plan, (frozenset({"x"}), None), (), (), 0)
    assert missing_scopes(question, Effort()) == (needed, False)
    assert len(grants) == asked <= 1 + len(named)
    assert all("x" in granted for granted in grants)


def many(count: int) -> tuple[str, str]:
    """Return a policy with `count` scopes, each of which alone allows."""
    names = [f"s{number:03}" for number in range(count)]
    declared = "\n".join(f'scope {name} "S"' for name in names)
    either = " or ".join(f"scope {name}" for name in names)
    return declared, f"allow r: look on thing when {either}"


@pytest.mark.parametrize(("count", "stopped"), [(ALTERNATIVES, False), (ALTERNATIVES + 1, True)])
def test_alternatives_stop_at_sixty_four(count: int, stopped: bool) -> None:
    explanation = ask("\n".join(many(count)), token())
    assert len(explanation.missing_scopes.sets) == ALTERNATIVES == 64
    assert explanation.missing_scopes.stopped is stopped
    assert explanation.missing_scopes.sets[0] == explanation.decision.missing_scopes


def test_the_search_for_alternatives_is_bounded() -> None:
    pairs = [(f"x{number}", f"y{number}") for number in range(20)]
    declared = "\n".join(f'scope {name} "S"' for pair in pairs for name in pair)
    # 2 ** 20 sets of twenty scopes each.
    needed = " and ".join(f"(scope {x} or scope {y})" for x, y in pairs)
    explanation = ask(f"{declared}\nallow r: look on thing when {needed}", token())
    assert explanation.missing_scopes.stopped
    assert ALTERNATIVES // 2 < len(explanation.missing_scopes.sets) <= ALTERNATIVES
    assert len(explanation.decision.missing_scopes) == 20


def test_the_search_stops_where_only_ways_to_forbid_are_many() -> None:
    groups = [[f"{letter}{number}" for number in range(8)] for letter in "pqrst"]
    declared = "\n".join(f'scope {name} "S"' for group in groups for name in group)
    either = " or ".join(
        "(" + " and ".join(f"scope {name}" for name in group) + ")" for group in groups
    )
    explanation = ask(f"{declared}\nallow r: look on thing when {either}", token())
    found = explanation.missing_scopes.sets
    assert len(found) > 1
    assert set(found) <= {tuple(group) for group in groups}
    assert explanation.missing_scopes.stopped


# -- login ---------------------------------------------------------------------------------------

MFA = 'token.acr == "urn:mfa"'
FRESH = "token.auth_time within last 15m"


def login(
    rules: str, claims: dict[str, Json] | None = None, attributes: dict[str, Json] | None = None
) -> StepUp | None:
    explanation = ask(rules, token(["a"], claims), attributes)
    decision = explanation.decision
    assert not decision.allowed
    found = explanation.step_up
    assert (found is not None) is (decision.reason is Reason.INSUFFICIENT_USER_AUTHENTICATION)
    assert decision.http_status == (403 if found is None else 401)
    return found


def test_a_stronger_login() -> None:
    rules = f"allow r: look on thing when scope a and {MFA}"
    assert login(rules) == StepUp(("urn:mfa",), None)
    assert login(rules, {"acr": "urn:pwd"}) == StepUp(("urn:mfa",), None)
    assert login(rules, {"acr": 5}) == StepUp(("urn:mfa",), None)


def test_a_more_recent_login() -> None:
    rules = f"allow r: look on thing when {FRESH} and token.auth_time within last 1h"
    assert login(rules) == StepUp((), 900)
    assert login(rules, {"auth_time": NOW_SECONDS - 901}) == StepUp((), 900)
    assert ask(rules, token(claims={"auth_time": NOW_SECONDS - 900})).decision.allowed


def test_a_login_both_stronger_and_more_recent() -> None:
    rules = f"allow r: look on thing when {MFA} and {FRESH}"
    assert login(rules) == StepUp(("urn:mfa",), 900)
    assert login(rules, {"acr": "urn:mfa"}) == StepUp((), 900)
    assert login(rules, {"auth_time": NOW_SECONDS}) == StepUp(("urn:mfa",), None)


def test_an_auth_time_without_a_duration_asks_for_a_login_now() -> None:
    rules = "allow r: look on thing when token.auth_time is present"
    assert login(rules) == StepUp((), 0)


def test_all_fitting_values_of_acr_are_asked_for() -> None:
    rules = 'allow r: look on thing when token.acr in ["urn:b", "urn:a"] and token.acr != "urn:c"'
    assert login(rules, {"acr": "urn:c"}) == StepUp(("urn:a", "urn:b"), None)


def test_a_value_of_acr_that_an_attribute_names() -> None:
    equal = "allow r: look on thing when token.acr == resource.login"
    assert login(equal, attributes={"login": "urn:x"}) == StepUp(("urn:x",), None)
    assert login(equal) is None
    one_of = "allow r: look on thing when token.acr in resource.logins"
    assert login(one_of, attributes={"logins": ["urn:y", "urn:x"]}) == StepUp(
        ("urn:x", "urn:y"), None
    )


def test_an_attribute_names_a_bounded_number_of_logins() -> None:
    rules = "allow r: look on thing when token.acr in resource.logins"
    many_logins: list[Json] = [f"urn:{number:03}" for number in range(100)]
    found = login(rules, attributes={"logins": many_logins})
    assert found is not None
    assert len(found.acr_values) == 32


@pytest.mark.parametrize(
    "condition",
    ['token.acr != "urn:pwd"', 'token.acr starts with "urn:mfa:"', 'token.acr ends with ":mfa"'],
)
def test_any_login_of_a_kind_that_no_rule_names(condition: str) -> None:
    rules = f"allow r: look on thing when {condition}"
    assert login(rules, {"acr": "urn:pwd"}) == StepUp((), None)


def test_methods_of_login() -> None:
    assert login('allow r: look on thing when token.amr has all ["otp", "pwd"]') == StepUp()
    assert login('allow r: look on thing when "hwk" in token.amr', {"amr": ["pwd"]}) == StepUp()
    no_sms = 'allow r: look on thing when scope a\ndeny d: any on thing when "sms" in token.amr'
    assert login(no_sms, {"amr": ["sms"]}) == StepUp()
    deny_sms = 'deny d: any on thing when "sms" in token.amr'
    both = f'allow r: look on thing when "hwk" in token.amr\n{deny_sms}'
    assert login(both, {"amr": ["pwd"]}) == StepUp()
    assert login(both, {"amr": ["hwk", "sms"]}) == StepUp()
    either = 'allow r: look on thing when "hwk" in token.amr or "sms" in token.amr'
    assert login(f"{either}\n{deny_sms}", {"amr": ["pwd"]}) == StepUp()
    only = "allow r: look on thing when resource.methods has all token.amr"
    assert login(only, {"amr": ["pwd"]}, {"methods": ["hwk"]}) == StepUp()
    by_attribute = "allow r: look on thing when token.amr has all resource.methods"
    assert login(by_attribute, attributes={"methods": ["otp"]}) == StepUp()
    assert login(by_attribute) is None
    by_one = "allow r: look on thing when resource.method in token.amr"
    assert login(by_one, attributes={"method": "otp"}) == StepUp()


def test_presence_of_a_login() -> None:
    assert login("allow r: look on thing when token.acr is present") == StepUp()
    assert login("allow r: look on thing when token.amr is present") == StepUp()


def test_no_login_helps_where_something_else_is_wrong() -> None:
    assert login(f'allow r: look on thing when {MFA} and token.level == "high"') is None
    assert login("allow r: look on thing when token.acr == token.level", {"level": "x"}) is None
    assert login('allow r: look on thing when token.level == "high"') is None


def test_a_missing_scope_comes_before_a_missing_login() -> None:
    rules = f"allow r: look on thing when scope b or {MFA}"
    assert missing(rules, "a").reason is Reason.INSUFFICIENT_SCOPE
    both = f"allow r: look on thing when scope b and {MFA}"
    assert missing(both, "a").reason is Reason.NO_RULE_ALLOWS


def test_the_challenge_names_the_login() -> None:
    rules = f"allow r: look on thing when {MFA} and {FRESH}"
    header = ask(rules, token()).decision.www_authenticate
    assert header.startswith('Bearer realm="things", error="insufficient_user_authentication", ')
    assert header.endswith(', acr_values="urn:mfa", max_age="900"')


BATCH = """
allow looks: look on thing when scope a and not (resource.login is present)
allow turns: turn on thing when scope b
allow looks-again: look on thing when scope c and resource.login == "x"
allow looks-late: look on thing when scope a and scope b and resource.login == "y"
"""


def test_each_question_of_a_batch_is_told_what_it_lacks_itself() -> None:
    """By its action, and by the attributes that its rules read."""
    text = POLICY.format(rules=BATCH).replace("actions look", "actions look, turn")
    items = [
        BatchItem("look", "thing"),
        BatchItem("turn", "thing"),
        BatchItem("look", "thing", "", {"login": "x"}),
        BatchItem("look", "thing", "", {"login": "y"}),
        BatchItem("turn", "thing", "", {"login": "x"}),
        BatchItem("look", "thing"),
    ]
    answers = engine(policies(text), token()).check_batch(BatchRequest("t", "things", items))
    told = [answer.missing_scopes for answer in answers if isinstance(answer, Decision)]
    assert told == [("a",), ("b",), ("c",), ("a", "b"), ("b",), ("a",)]


def test_what_an_evaluation_costs_grows_with_what_it_looks_at() -> None:
    """Texts are compared by hash; a test of addresses or of a list may look at each."""
    asked = engine(policies(POLICY.format(rules=BATCH.replace("turn on", "look on"))), token())
    assert asked.snapshot is not None
    plan = asked.snapshot.program.apis["things"].resources["thing"].plans["look"]

    def cost(value: Value | None) -> int:
        facts: Facts = (value,)
        found = {
            _cost(Question(plan, facts, (), (), 0)),
            _cost(Question(plan, (), facts, (), 0)),
            _cost(Question(plan, (), (), facts, 0)),
        }
        assert len(found) == 1
        return found.pop()

    least = cost(None)
    assert least > plan.steps > 1
    texts = [f"t{number}" for number in range(1000)]
    assert cost(frozenset(texts[:64])) == least
    assert cost(frozenset(texts)) == least + 500
    addresses = [(number, number) for number in range(1000)]
    assert cost(frozenset(addresses[:64])) == least  # type: ignore[arg-type]
    assert cost(frozenset(addresses)) == least + plan.steps * 4000  # type: ignore[arg-type]
    assert cost(tuple(addresses)) == least + plan.steps * 1000
    assert cost((1, 2)) == cost(()) == cost("text") == least  # type: ignore[arg-type]


DETAILS = """
api payments
audience "https://api.example/"
claim authorization_details: list? {
    type: string
}
resource payment {
    actions pay
}
allow pays: pay on payment
    when token.authorization_details has some (item.type == "pay")
"""


@pytest.mark.parametrize(
    ("claims", "lacks"),
    [
        ({}, True),
        ({"authorization_details": [{"type": "look"}]}, True),
        ({"authorization_details": [{"type": "look"}] * 63}, True),
        ({"authorization_details": [{"type": "look"}] * 64}, False),  # no room for one more
        ({"authorization_details": [{"type": "look"}] * 65}, False),
        ({"authorization_details": "pay"}, False),  # no list that one could be added to
    ],
)
def test_a_detail_is_asked_for_where_there_is_room_for_it(
    claims: dict[str, Json], lacks: bool
) -> None:
    request = Request("t", "payments", "pay", "payment")
    decision = engine(policies(DETAILS), token((), claims)).check(request)
    assert not decision.allowed
    assert (decision.reason is Reason.INSUFFICIENT_AUTHORIZATION_DETAILS) is lacks


def test_a_login_comes_before_an_authorization_detail() -> None:
    text = DETAILS + 'allow strong: pay on payment when token.acr == "gold"\n'
    request = Request("t", "payments", "pay", "payment")
    decision = engine(policies(text), token()).check(request)
    assert decision.reason is Reason.INSUFFICIENT_USER_AUTHENTICATION
