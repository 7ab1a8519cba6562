"""What is certain of a question with open facts, and on which of them it depends."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from policyd.decision import partial
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import BatchItem, BatchRequest, Decision, Partial, Request
from policyd.json_types import Json
from policyd.reasons import Reason
from policyd.tokens.model import Binding, VerifiedToken
from policyd.tokens.refusals import TokenExpired
from tests.support.program import NOW_SECONDS, engine, policies, token

POLICY = """
api shop
audience "https://api.example/"
scope orders "Orders"
claim desk: string?
context {
    site: string
    ip: ip?
}
values state: "open", "paid", "sent"
resource order {
    owner: string
    amount: int?
    state: state
    note: string? (for annotate)
    lines: list? {
        sku:   string
        price: int?
    }
    actions view, pay, cancel, annotate, list
}
resource shelf {
    owner: string
    actions view
}
allow view: view on order, shelf
    when scope orders and token.subject == resource.owner
allow pay: pay on order
    when scope orders and resource.amount <= 100
deny shut: pay on order
    when context.site == "shut"
    because "the shop is shut"
allow cancel: cancel on order
    when resource.state in ["open", "paid", "sent"] and resource.id is present
deny sent: cancel on order
    when resource.state == "sent" and resource.owner == token.desk
allow annotate: annotate on order
    when resource.note is present and not resource.note == ""
allow list: list on order
    when resource.lines has some (item.sku == "book" and item.price < 5)
"""

SHOP = policies(POLICY)


def ask(
    action: str,
    *unknown: str,
    kind: str = "order",
    held: VerifiedToken | None = None,
    id_: str = "o1",
    context: dict[str, Json] | None = None,
    **attributes: Json,
) -> Decision:
    asked = Request(
        "t", "shop", action, kind, id_, attributes, {"site": "here"} if context is None else context
    )
    return engine(SHOP, held or token(["orders"])).check_partially(asked, unknown)


def outcome(decision: Decision) -> tuple[str, tuple[str, ...]]:
    assert decision.partial is not None
    return decision.partial.outcome, decision.partial.depends_on


def test_it_depends_on_what_decides_and_on_nothing_else() -> None:
    decision = ask("view", "resource")
    assert outcome(decision) == ("maybe", ("resource.owner",))
    assert decision.partial is not None
    assert decision.partial.assumed == (
        "resource.amount",
        "resource.lines",
        "resource.owner",
        "resource.state",
    )
    assert (decision.allowed, decision.reason, decision.http_status, decision.rules) == (
        False, Reason.UNDECIDED, 403, ()
    )  # fmt: skip


def test_what_is_certain_whatever_the_facts_are() -> None:
    denied = ask("view", "resource", held=token())
    assert outcome(denied) == ("deny", ())
    assert (denied.reason, denied.rules) == (Reason.NO_RULE_ALLOWS, ())

    allowed = ask("cancel", "resource.state", owner="user-1", held=token(claims={"desk": "d"}))
    assert outcome(allowed) == ("allow", ())
    assert (allowed.allowed, allowed.reason, allowed.http_status) == (True, Reason.ALLOWED, 200)
    assert allowed.rules == ("cancel",)


def test_a_deny_that_is_certain_is_named_with_its_message() -> None:
    shut = ask("pay", "resource", context={"site": "shut"})
    assert outcome(shut) == ("deny", ())
    assert (shut.reason, shut.rules) == (Reason.DENIED_BY_RULE, ("shut",))
    assert shut.message == "the shop is shut"
    assert outcome(ask("pay", "resource", "context", context={}))[1] == (
        "context.site", "resource.amount",
    )  # fmt: skip


def test_a_deny_whose_known_operand_is_missing_is_certain_only_of_what_makes_it_unknown() -> None:
    """`token.desk` is missing: the deny is false unless the state is `sent`, and then unknown."""
    assert outcome(ask("cancel", "resource.state", owner="o")) == ("maybe", ("resource.state",))
    assert outcome(ask("cancel", "resource.owner", state="sent"))[0] == "deny"
    assert outcome(ask("cancel", "resource.owner", state="open"))[0] == "allow"


def test_what_the_question_gives_is_known_though_it_is_named() -> None:
    assert outcome(ask("view", "resource", owner="user-1")) == ("allow", ())
    assert outcome(ask("view", "resource.owner", owner="user-2", state="open")) == ("deny", ())


def test_an_attribute_that_other_actions_have_is_not_open() -> None:
    decision = ask("annotate", "resource")
    assert outcome(decision) == ("maybe", ("resource.note",))
    with pytest.raises(InvalidRequest, match=r"`resource\.note` is no attribute"):
        ask("view", "resource.note")


def test_an_identifier_may_be_open() -> None:
    assert outcome(ask("cancel", "resource", id_="", owner="o")) == (
        "maybe", ("resource.id", "resource.state"),
    )  # fmt: skip
    assert outcome(ask("cancel", "resource.state", id_="", owner="o"))[0] == "deny"
    assert outcome(ask("cancel", "resource.id", "resource.state", id_="", owner="o")) == (
        "maybe", ("resource.id", "resource.state"),
    )  # fmt: skip


def test_lists_may_hold_anything_or_something_known() -> None:
    assert outcome(ask("list", "resource")) == ("maybe", ("resource.lines",))
    book: Json = {"sku": "book", "price": 3}
    pen: Json = {"sku": "pen", "price": 1}
    known = ["resource.owner", "resource.state"]
    assert outcome(ask("list", *known, lines=[pen]))[0] == "deny"
    assert outcome(ask("list", *known, lines=[pen, book]))[0] == "allow"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("resource.ownr", "resource.owner"), ("token.desk", None), ("", None), ("owner", None)],
)
def test_names_that_nobody_declares_are_the_callers_mistake(
    name: str, suggestion: str | None
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("view", name)
    assert (caught.value.field, caught.value.code) == ("assumed_unknown", "UNKNOWN_FACT")
    assert caught.value.suggestion == suggestion


def test_what_is_not_open_is_demanded_as_ever() -> None:
    with pytest.raises(InvalidRequest, match=r"properties\.state: is required, and absent"):
        ask("view", "resource.owner")
    with pytest.raises(InvalidRequest, match=r"amount: is not of the declared type int"):
        ask("view", "resource", amount="much")
    with pytest.raises(InvalidRequest, match=r"context\.site: is required, and absent"):
        ask("view", "resource", context={"ip": "::1"})
    with pytest.raises(InvalidRequest, match="no action `fly`"):
        ask("fly", "resource.nonsense")
    with pytest.raises(InvalidRequest, match="no resource type `ordr`"):
        ask("view", "resource.nonsense", kind="ordr")


def test_a_refused_token_is_denied_for_certain() -> None:
    asked = Request("t", "shop", "view", "order")
    decision = engine(SHOP, TokenExpired("late")).check_partially(asked, ["resource"])
    assert (decision.reason, decision.partial) == (Reason.TOKEN_EXPIRED, Partial("deny"))


def test_a_batch_shares_its_names_and_says_of_each_item_what_is_certain() -> None:
    items = [
        BatchItem("view", "order", "o1"),
        BatchItem("view", "shelf", "s1", {"owner": "user-1"}),
        BatchItem("fly", "shelf"),
        BatchItem("pay", "order", "o1", {"amount": 1000}),
    ]
    batch = BatchRequest("t", "shop", items, {"site": "here"})
    found = engine(SHOP, token(["orders"])).check_batch_partially(batch, ["resource"])
    assert [outcome(one)[0] if isinstance(one, Decision) else one.code for one in found] == [
        "maybe", "allow", "UNKNOWN_ACTION", "deny",
    ]  # fmt: skip


def test_items_of_a_batch_are_each_asked_about_their_own_action() -> None:
    items = [BatchItem(action, "order", "o1") for action in ("view", "list", "view")]
    batch = BatchRequest("t", "shop", items, {"site": "here"})
    found = engine(SHOP, token(["orders"])).check_batch_partially(batch, ["resource"])
    assert [outcome(one)[1] for one in found if isinstance(one, Decision)] == [
        ("resource.owner",), ("resource.lines",), ("resource.owner",)
    ]  # fmt: skip


def test_a_name_that_one_item_of_a_batch_declares_is_known() -> None:
    items = [BatchItem("view", "shelf", "s1"), BatchItem("view", "order", "o1")]
    batch = BatchRequest("t", "shop", items, {"site": "here"})
    asked = engine(SHOP, token(["orders"]))
    unknown = ["resource.owner", "resource.state"]
    assert all(isinstance(one, Decision) for one in asked.check_batch_partially(batch, unknown))
    with pytest.raises(InvalidRequest, match=r"`resource\.colour` is no attribute"):
        asked.check_batch_partially(batch, [*unknown, "resource.colour"])


LACKING = """
api shop
audience "https://api.example/"
scope orders "Orders" includes orders.read
scope orders.read "Orders, to read"
scope refunds "Refunds"
claim since: time? from "auth_time"
resource order {
    owner: string
    grade: string?
    sealed: bool
    actions view, pay, refund, open, log-in, file, enter
}
allow view: view on order
    when scope orders.read and resource.owner is present
deny unread: view on order
    when not scope orders.read and resource.owner == "o"
allow pay: pay on order
    when scope orders.read and resource.sealed
allow refund: refund on order
    when scope refunds and (scope orders or resource.sealed)
deny no-refund: refund on order
    when not scope refunds
    because "who refunds needs the scope for it"
allow open: open on order
    when token.auth_time within last 60s and resource.owner is present
allow log-in: log-in on order
    when token.acr == resource.grade
allow file: file on order
    when token.acr == "mfa" and token.amr has any ["otp"] and resource.owner is present
allow enter-by-grade: enter on order
    when token.acr == resource.grade
allow enter-by-mfa: enter on order
    when token.acr == "mfa" and resource.owner is present
"""
ORDERS = policies(LACKING)


def lacking(
    action: str, *unknown: str, held: VerifiedToken | None = None, **given: Json
) -> Decision:
    asked = Request("t", "shop", action, "order", "o1", given)
    return engine(ORDERS, held or token()).check_partially(asked, unknown)


def test_scopes_that_are_missing_whatever_is_open_are_named_as_check_names_them() -> None:
    for owner in ("o", "p"):
        asked = Request("t", "shop", "view", "order", "o1", {"owner": owner, "sealed": False})
        decided = engine(ORDERS, token()).check(asked)
        denied = lacking("view", "resource")
        assert outcome(denied) == ("deny", ())
        assert denied.reason is decided.reason is Reason.INSUFFICIENT_SCOPE
        assert denied.missing_scopes == decided.missing_scopes == ("orders.read",)
        assert denied.www_authenticate == decided.www_authenticate
        assert 'error="insufficient_scope", scope="orders.read"' in denied.www_authenticate
        assert (denied.http_status, denied.message) == (403, decided.message)


def test_where_it_depends_on_what_is_open_no_scopes_are_named() -> None:
    """With the scope it is allowed for a sealed order alone."""
    denied = lacking("pay", "resource")
    assert (outcome(denied)[0], denied.reason) == ("deny", Reason.NO_RULE_ALLOWS)
    assert (denied.missing_scopes, denied.www_authenticate) == ((), "")
    known = lacking("pay", "resource", sealed=True)
    assert (known.reason, known.missing_scopes) == (
        Reason.INSUFFICIENT_SCOPE, ("orders.read",),
    )  # fmt: skip


def test_scopes_of_which_some_depend_on_what_is_open_are_not_named() -> None:
    """Two scopes give allow for certain, and of a sealed order one would do."""
    denied = lacking("refund", "resource")
    assert (denied.reason, denied.rules) == (Reason.DENIED_BY_RULE, ("no-refund",))
    assert denied.missing_scopes == ()
    given = lacking("refund", "resource", sealed=False)
    assert (given.reason, given.missing_scopes) == (
        Reason.INSUFFICIENT_SCOPE, ("orders", "refunds"),
    )  # fmt: skip
    assert given.message == "who refunds needs the scope for it"
    granted = lacking("refund", "resource", held=token(["orders"]))
    assert (granted.reason, granted.missing_scopes) == (
        Reason.INSUFFICIENT_SCOPE, ("refunds",),
    )  # fmt: skip


def test_a_login_that_is_too_weak_whatever_is_open_is_named() -> None:
    filed = lacking("file", "resource")
    assert (filed.reason, filed.http_status) == (Reason.INSUFFICIENT_USER_AUTHENTICATION, 401)
    assert 'acr_values="mfa"' in filed.www_authenticate
    # `auth_time` is a claim of the policy's own too, and which `acr` would help is open.
    for action in ("open", "log-in"):
        denied = lacking(action, "resource")
        assert (outcome(denied)[0], denied.reason) == ("deny", Reason.NO_RULE_ALLOWS)
        assert denied.www_authenticate == ""
    known = lacking("log-in", "resource.owner", sealed=False, grade="high")
    assert 'acr_values="high"' in known.www_authenticate


def test_a_login_is_not_named_where_an_open_fact_could_name_another() -> None:
    attributes: dict[str, Json] = {"owner": "o", "grade": "high", "sealed": False}
    asked = Request("t", "shop", "enter", "order", "o1", attributes)
    decided = engine(ORDERS, token()).check(asked)
    assert 'acr_values="mfa high"' in decided.www_authenticate
    denied = lacking("enter", "resource.grade", owner="o", sealed=False)
    assert (outcome(denied)[0], denied.www_authenticate) == ("deny", "")


def test_a_search_that_spent_its_budget_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_DEAR", 200_000)
    denied = lacking("view", "resource")
    assert (outcome(denied)[0], denied.reason) == ("deny", Reason.NO_RULE_ALLOWS)
    assert denied.search_stopped


def test_items_of_a_batch_that_lack_the_same_are_searched_once() -> None:
    items = [BatchItem("view", "order", str(number)) for number in range(1000)]
    batch = BatchRequest("t", "shop", items)
    found = engine(ORDERS, token()).check_batch_partially(batch, ["resource"])
    told = {(one.reason, one.search_stopped) for one in found if isinstance(one, Decision)}
    assert told == {(Reason.INSUFFICIENT_SCOPE, False)}


CLOCK = """
api shop
audience "https://api.example/"
resource order {
    owner: string
    due: time
    actions view
}
allow view: view on order
    when resource.owner == "o" and resource.due within next 2s
"""


def test_an_answer_is_kept_until_a_test_on_the_clock_changes() -> None:
    clock = policies(CLOCK)
    asked = Request("t", "shop", "view", "order", "o", {"due": NOW_SECONDS + 3})
    decision = engine(clock, token()).check_partially(asked, ["resource.owner"])
    assert (outcome(decision)[0], decision.cacheable_until) == ("deny", NOW_SECONDS + 1)


def test_an_answer_about_a_bound_token_is_not_kept_though_rules_read_the_clock() -> None:
    bound = msgspec.structs.replace(token(), binding=Binding("mtls", "x"))
    asked = Request("t", "shop", "view", "order", "o", {"due": NOW_SECONDS + 3})
    decision = engine(policies(CLOCK), bound).check_partially(asked, ["resource.owner"])
    assert (outcome(decision)[0], decision.cacheable_until) == ("deny", None)


def many(number: int, effect: str, condition: str) -> str:
    rules = "".join(
        f"{effect} rule-{place:04}: view on order\n    when {condition}\n"
        for place in range(number)
    )
    return f"""
api shop
audience "https://api.example/"
resource order {{
    owner: string
    sealed: bool
    actions view
}}
{rules}"""


@pytest.mark.parametrize("number", [100, 150])
@pytest.mark.parametrize("condition", ["resource.sealed", "resource.owner == resource.owner"])
def test_of_many_certain_denies_a_hundred_are_named(number: int, condition: str) -> None:
    asked = Request("t", "shop", "view", "order", "o", {"sealed": True})
    text = many(number, "deny", condition)
    decision = engine(policies(text), token()).check_partially(asked, ["resource.owner"])
    assert outcome(decision) == ("deny", ())
    assert decision.rules == tuple(f"rule-{place:04}" for place in range(100))
    assert decision.rules_truncated is (number > 100)


def test_rules_that_read_something_open_do_not_hide_one_that_does_not() -> None:
    """More denies are not false than a plan names, and the certain one is the last."""
    text = many(150, "deny", 'resource.owner == "o"') + "deny z: view on order when resource.sealed"
    text += "\nallow all: view on order when true"
    asked = Request("t", "shop", "view", "order", "o", {"sealed": True})
    decision = engine(policies(text), token()).check_partially(asked, ["resource.owner"])
    assert (outcome(decision), decision.rules) == (("deny", ()), ("z",))


def test_a_call_that_spent_its_budget_says_maybe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "STEPS", 1)
    decision = ask("view", "resource", held=token())
    assert decision.partial is not None
    assert (decision.partial.outcome, decision.partial.stopped) == ("maybe", True)
    assert decision.partial.depends_on == ("resource.owner",)
    assert not decision.allowed


@pytest.mark.parametrize("unknown", [(), ("resource.amount",)])
def test_with_nothing_that_matters_open_it_is_what_check_decides(unknown: Sequence[str]) -> None:
    for owner in ("user-1", "user-2"):
        attributes: dict[str, Json] = {"owner": owner, "state": "open"}
        asked = Request("t", "shop", "view", "order", "o1", attributes, {"site": "here"})
        shop = engine(SHOP, token(["orders"]))
        decision, certain = shop.check(asked), shop.check_partially(asked, unknown)
        assert outcome(certain)[0] == ("allow" if decision.allowed else "deny")
        assert (certain.reason, certain.rules) == (decision.reason, decision.rules)
        assert certain.missing_scopes == decision.missing_scopes
