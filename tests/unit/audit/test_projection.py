"""What of a request and a token stands in a record: what rules can read, except masked."""

from __future__ import annotations

import json

import msgspec
import pytest

from policyd.audit import CallDetails, Entry, Mask, Recorder
from policyd.audit.projection import Projection
from policyd.decision.model import BatchItem, Decision
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.reasons import Reason
from policyd.tokens.model import Binding, VerifiedToken
from tests.support.audit import verified_token

ISSUER = verified_token().issuer
POLICY = f"""\
api shop

audience "https://shop.example"

scope x "X"

claim level: int?
claim city: string? from "/home/address/city"
claim ours: string? of "{ISSUER}"
claim theirs: string? of "https://other.example/"

userinfo email: string? of "{ISSUER}"
userinfo phone: string? of "https://other.example/"

context {{
    ip: string?
    zone: string? (from "/net/zone/name")
    rack: string? (from "/net/rack")
}}

resource order {{
    open: bool?
    amount: int? (from "/money/amount")
    currency: string? (from "/money/currency")
    reason: string? (for cancel)
    actions read, cancel
}}

resource customer {{
    name: string?
    actions read
}}

allow reads: read on order
    when scope x
"""
CLAIMS: dict[str, Json] = {
    "level": 3,
    "home": {"address": {"city": "Bern", "street": "s"}},
    "ours": "o",
    "theirs": "t",
    "undeclared": "u",
}
USERINFO: dict[str, Json] = {"email": "e", "phone": "p", "undeclared": "u"}
CONTEXT: dict[str, Json] = {
    "ip": "192.0.2.1",
    "net": {"zone": {"name": "inside"}, "rack": "r7", "other": 1},
    "undeclared": "u",
}
ATTRIBUTES: dict[str, Json] = {
    "open": True,
    "money": {"amount": 7, "currency": "CHF"},
    "reason": "late",
    "undeclared": "u",
}


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    loaded = load([Source("shop.policy", POLICY)]).policies
    assert loaded is not None
    return msgspec.structs.replace(loaded, revision="r1")


def token(**changes: object) -> VerifiedToken:
    return msgspec.structs.replace(verified_token(CLAIMS), **changes)


DECISION = Decision(
    False,
    Reason.DENIED_BY_RULE,
    "not today",
    "shop",
    "r1",
    1_800_000_000.25,
    ("a", "b"),
    rules_truncated=True,
    missing_scopes=("x", "y"),
    detail="why",
    unverified_issuer="https://nobody.example/",
    unverified_key_id="k",
    userinfo=USERINFO,
    unknown_facts=("token.level",),
)
DETAILS = CallDetails(
    duration=0.0123,
    request_id="request-1",
    context=CONTEXT,
    traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01",
    caller="dns:shop.example",
)


def record(
    policies: PolicySet,
    *masked: str,
    action: str = "cancel",
    resource_type: str = "order",
    light: bool = False,
    subject: VerifiedToken | None = None,
) -> dict[str, Json]:
    recorder = Recorder(Mask(frozenset(masked)))
    recorder.use(policies)
    item = BatchItem(action, resource_type, "o-1", ATTRIBUTES)
    decision = msgspec.structs.replace(DECISION, token=subject or token())
    entries = [Entry(DETAILS, "d-1", item, decision)]
    if light:
        entries = recorder.lightened(entries)
    found: dict[str, Json] = json.loads(recorder.lines(entries))
    return found


WHOLE: dict[str, Json] = {
    "type": "decision",
    "schema": 1,
    "time": "2027-01-15T08:00:00.250000Z",
    "decision_id": "d-1",
    "effect": "deny",
    "reason": "DENIED_BY_RULE",
    "revision": "r1",
    "api": "shop",
    "action": "cancel",
    "resource_type": "order",
    "rules": ["a", "b"],
    "rules_truncated": True,
    "missing_scopes": ["x", "y"],
    "message": "not today",
    "detail": "why",
    "unverified_iss": "https://nobody.example/",
    "unverified_kid": "k",
    "unknown_facts": ["token.level"],
    "resource_id": "o-1",
    "attributes": {"open": True, "reason": "late", "amount": 7, "currency": "CHF"},
    "duration_us": 12300,
    "caller": "dns:shop.example",
    "request_id": "request-1",
    "trace_id": "ab" * 16,
    "context": {"ip": "192.0.2.1", "zone": "inside", "rack": "r7"},
    "userinfo": {"email": "e"},
}


@pytest.mark.parametrize("light", [False, True])
def test_a_record_is_what_rules_can_read_and_nothing_else(policies: PolicySet, light: bool) -> None:
    """Also where what no rule can read was let go before."""
    found = record(policies, light=light)
    told = found.pop("token")
    assert found == WHOLE
    assert isinstance(told, dict)
    assert told["claims"] == {"level": 3, "city": "Bern", "ours": "o"}


def test_a_mask_hides_what_it_names_and_nothing_else(policies: PolicySet) -> None:
    plain = record(policies)
    masks = {
        "resource.open": ("attributes", "open"),
        "resource.amount": ("attributes", "amount"),
        "resource.currency": ("attributes", "currency"),
        "resource.reason": ("attributes", "reason"),
        "context.ip": ("context", "ip"),
        "context.zone": ("context", "zone"),
        "context.rack": ("context", "rack"),
        "userinfo.email": ("userinfo", "email"),
    }
    for mask, (part, name) in masks.items():
        group = plain[part]
        assert isinstance(group, dict)
        rest = {key: value for key, value in group.items() if key != name}
        expected = {**plain, part: rest, "masked": [mask]}
        if not rest:
            del expected[part]
        for light in (False, True):
            found = record(policies, mask, light=light)
            # A mask may cover what a refusal cites; that is not this test's.
            assert {**found, "detail": plain["detail"]} == expected
    for name in ("level", "city", "ours"):
        found = record(policies, f"token.{name}")
        told, whole = found["token"], plain["token"]
        assert isinstance(told, dict)
        assert isinstance(whole, dict)
        assert isinstance(told["claims"], dict)
        assert isinstance(whole["claims"], dict)
        assert whole["claims"].keys() - told["claims"].keys() == {name}
        assert found["masked"] == [f"token.{name}"]
    hidden = record(policies, "resource.id")
    expected = {**plain, "masked": ["resource.id"]}
    del expected["resource_id"]
    assert {**hidden, "detail": plain["detail"]} == expected


def test_attributes_are_those_of_the_action_and_the_type(policies: PolicySet) -> None:
    for light in (False, True):
        read = record(policies, action="read", light=light)
        assert read["attributes"] == {"open": True, "amount": 7, "currency": "CHF"}
        assert "attributes" not in record(
            policies, action="read", resource_type="customer", light=light
        )
        assert "attributes" not in record(policies, resource_type="nothing", light=light)


def test_claims_are_those_of_the_tokens_issuer(policies: PolicySet) -> None:
    found = record(policies, subject=token(issuer="https://other.example/"))
    told = found["token"]
    assert isinstance(told, dict)
    assert told["claims"] == {"level": 3, "city": "Bern", "theirs": "t"}
    assert found["userinfo"] == {"phone": "p"}


def test_a_bound_token_says_how(policies: PolicySet) -> None:
    for binding, expected in ((Binding("dpop", "thumb"), "dpop"), (None, None)):
        told = record(policies, subject=token(binding=binding))["token"]
        assert isinstance(told, dict)
        assert told.get("binding") == expected


def test_paths_through_what_is_no_object_lead_nowhere(policies: PolicySet) -> None:
    projection = Projection(Mask(), policies.apis["shop"])
    nowhere: list[tuple[dict[str, Json], tuple[str, ...]]] = [
        ({"home": 1}, ("token.city",)),
        ({"home": {"address": "a"}}, ("token.city",)),
        ({"home": {}}, ()),
        ({}, ()),
    ]
    for claims, ill_typed in nowhere:
        found = projection.token(msgspec.structs.replace(token(), claims=claims))
        assert found.values["claims"] == {}
        assert found.ill_typed == ill_typed
    assert projection.context.of({"net": "a"}).values == {}
    assert projection.context.among({"net": "a", "other": 1}) == {"net": "a"}


def test_every_name_of_every_api_and_type_can_be_masked(policies: PolicySet) -> None:
    text = POLICY.replace("api shop", "api second").replace("https://shop", "https://second")
    both = load(
        [Source("shop.policy", POLICY), Source("b.policy", text.replace("name:", "alias:"))]
    ).policies
    assert both is not None
    known = ["resource.name", "resource.alias", "resource.amount", "context.zone", "token.theirs"]
    assert Mask(frozenset([*known, "userinfo.phone"])).unknown(both) == []


def test_records_of_one_call_have_their_own_resources(policies: PolicySet) -> None:
    """And share the rest, whatever stands between them."""
    recorder = Recorder(Mask(frozenset({"resource.open"})))
    recorder.use(policies)
    decision = msgspec.structs.replace(DECISION, token=token())
    asked: list[tuple[str, str, dict[str, Json]]] = [
        ("o-1", "read", {"open": True, "money": {"amount": 1}}),
        ("o-2", "cancel", {"reason": "a"}),
        ("o-3", "read", {"money": {"amount": 3}}),
        ("", "cancel", {"reason": "b"}),
    ]
    entries = [
        Entry(DETAILS, f"d-{name}", BatchItem(action, "order", name, attributes), decision)
        for name, action, attributes in asked
    ]
    lines = [json.loads(line) for line in recorder.lines(entries).splitlines()]
    assert [(one["decision_id"], one.get("resource_id"), one["attributes"]) for one in lines] == [
        ("d-o-1", "o-1", {"amount": 1}),
        ("d-o-2", "o-2", {"reason": "a"}),
        ("d-o-3", "o-3", {"amount": 3}),
        ("d-", None, {"reason": "b"}),
    ]
    assert [one.get("masked") for one in lines] == [["resource.open"], None, None, None]
    assert all(one["context"] == WHOLE["context"] for one in lines)
