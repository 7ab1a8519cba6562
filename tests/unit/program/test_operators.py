"""Each operator on known, missing and ill-typed operands, by both evaluators."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.language.policy import (
    EndsWith,
    Equal,
    Formula,
    Granted,
    HasAll,
    HasAny,
    In,
    IsTrue,
    Less,
    Literal,
    Not,
    Operand,
    Present,
    Scalar,
    StartsWith,
    SubjectIs,
    Truth,
    WithinLast,
    WithinNext,
)
from policyd.language.types import NOW, RESOURCE_ID, TOKEN_FACTS, Fact, Type
from policyd.program.interpreter import World, interpret
from policyd.tokens.model import SubjectKind, VerifiedToken
from tests.support.program import (
    ATTRIBUTES,
    BLOCKS,
    CLAIMS,
    ENTRIES,
    LITERALS,
    NOW_SECONDS,
    SPAN,
    api_of,
    engine,
    payload,
    policy_set,
    rule,
    token,
)

UNKNOWN = None


def evaluate(
    formula: Formula,
    verified: VerifiedToken,
    attributes: dict[str, Json] | None = None,
    *,
    resource_id: str = "",
) -> Truth:
    """Evaluate a formula by both evaluators, which must agree."""
    api = api_of([rule("p", "allow", formula), rule("n", "allow", Not(SPAN, formula))])
    given = attributes or {}
    request = Request("t", "generated", "look", "thing", resource_id, given)
    names = engine(policy_set(api), verified).check(request).rules
    compiled = {("p",): True, ("n",): False, (): None}[names]
    world = World(verified, resource_id, given, {}, NOW_SECONDS)
    traced = {each.rule.name: each.value for each in interpret(api, api.rules, world).rules}
    assert traced["p"] is compiled
    return compiled


def claims(**values: Json) -> VerifiedToken:
    """Return a token with claims, named as the types are."""
    named = {CLAIMS[Type(_TYPES[name])].name: value for name, value in values.items()}
    return token(claims=payload(named))


_TYPES = {
    "text": "string",
    "number": "int",
    "flag": "bool",
    "time": "time",
    "ip": "ip",
    "texts": "set<string>",
    "numbers": "set<int>",
    "ips": "set<ip>",
}

TEXT, NUMBER, FLAG = CLAIMS[Type.STRING], CLAIMS[Type.INT], CLAIMS[Type.BOOL]
TIME, IP = CLAIMS[Type.TIME], CLAIMS[Type.IP]
TEXTS, NUMBERS, IPS = (
    CLAIMS[Type.SET_OF_STRING],
    CLAIMS[Type.SET_OF_INT],
    CLAIMS[Type.SET_OF_IP],
)


def texts(*values: Scalar) -> Literal:
    return Literal(Type.SET_OF_STRING, values)


def string(value: str) -> Literal:
    return Literal(Type.STRING, value)


def number(value: int) -> Literal:
    return Literal(Type.INT, value)


def address(text: str) -> Literal:
    return Literal(Type.IP, ip_address(text))


NETWORK_V6 = Literal(Type.SET_OF_IP, (ip_network("2001:db8::/32"),))
MAPPED_10 = Literal(Type.SET_OF_IP, (ip_network("::ffff:10.0.0.0/104"),))
NETWORK_10 = Literal(Type.SET_OF_IP, (BLOCKS[0],))

CASES: list[tuple[Formula, dict[str, Json], Truth]] = [
    (Equal(SPAN, TEXT, string("a")), {"text": "a"}, True),
    (Equal(SPAN, TEXT, string("a")), {"text": "A"}, False),
    (Equal(SPAN, TEXT, string("é")), {"text": "e\u0301"}, False),
    (Equal(SPAN, TEXT, string("a")), {}, UNKNOWN),
    (Equal(SPAN, TEXT, string("a")), {"text": None}, UNKNOWN),
    (Equal(SPAN, TEXT, string("a")), {"text": 1}, UNKNOWN),
    (Equal(SPAN, string("a"), TEXT), {"text": "a"}, True),
    (Equal(SPAN, TEXT, TEXT), {"text": "a"}, True),
    (Equal(SPAN, TEXT, TEXT), {}, UNKNOWN),
    (Equal(SPAN, NUMBER, number(1)), {"number": 1.0}, True),
    (Equal(SPAN, NUMBER, number(1)), {"number": True}, UNKNOWN),
    (Equal(SPAN, NUMBER, number(0)), {"number": 0}, True),
    (Equal(SPAN, FLAG, Literal(Type.BOOL, False)), {"flag": False}, True),
    (Equal(SPAN, FLAG, Literal(Type.BOOL, False)), {"flag": True}, False),
    (Equal(SPAN, FLAG, Literal(Type.BOOL, False)), {}, UNKNOWN),
    (Equal(SPAN, IP, Literal(Type.IP, LITERALS[Type.IP][0])), {"ip": "::ffff:10.0.0.1"}, True),
    (Equal(SPAN, IP, Literal(Type.IP, LITERALS[Type.IP][0])), {"ip": "10.0.0.2"}, False),
    (Equal(SPAN, TIME, NOW), {"time": "2023-11-14T22:13:20.9Z"}, True),
    (Equal(SPAN, TIME, NOW), {"time": NOW_SECONDS + 1}, False),
    (Equal(SPAN, string("a"), string("a")), {}, True),
    (Less(SPAN, NUMBER, number(2), False), {"number": 1}, True),
    (Less(SPAN, NUMBER, number(2), False), {"number": 2}, False),
    (Less(SPAN, NUMBER, number(2), False), {"number": 3}, False),
    (Less(SPAN, NUMBER, number(2), True), {"number": 1}, True),
    (Less(SPAN, NUMBER, number(2), True), {"number": 2}, True),
    (Less(SPAN, NUMBER, number(2), True), {"number": 3}, False),
    (Less(SPAN, NUMBER, number(2), True), {}, UNKNOWN),
    (Less(SPAN, NUMBER, NUMBER, True), {}, UNKNOWN),
    (Less(SPAN, NOW, TIME, False), {"time": NOW_SECONDS}, False),
    (Less(SPAN, NOW, TIME, False), {"time": NOW_SECONDS + 1}, True),
    (IsTrue(SPAN, FLAG), {"flag": True}, True),
    (IsTrue(SPAN, FLAG), {"flag": False}, False),
    (IsTrue(SPAN, FLAG), {"flag": 1}, UNKNOWN),
    (IsTrue(SPAN, FLAG), {}, UNKNOWN),
    (StartsWith(SPAN, TEXT, "ab"), {"text": "abc"}, True),
    (StartsWith(SPAN, TEXT, "ab"), {"text": "xab"}, False),
    (StartsWith(SPAN, TEXT, "ab"), {"text": "a"}, False),
    (StartsWith(SPAN, TEXT, "ab"), {}, UNKNOWN),
    (EndsWith(SPAN, TEXT, "bc"), {"text": "abc"}, True),
    (EndsWith(SPAN, TEXT, "bc"), {"text": "bcx"}, False),
    (EndsWith(SPAN, TEXT, "bc"), {"text": "c"}, False),
    (EndsWith(SPAN, TEXT, "bc"), {"text": ["bc"]}, UNKNOWN),
    (WithinLast(SPAN, TIME, 90), {"time": NOW_SECONDS - 91}, False),
    (WithinLast(SPAN, TIME, 90), {"time": NOW_SECONDS - 90}, True),
    (WithinLast(SPAN, TIME, 90), {"time": NOW_SECONDS + 60}, True),
    (WithinLast(SPAN, TIME, 90), {"time": NOW_SECONDS + 61}, False),
    (WithinLast(SPAN, TIME, 90), {}, UNKNOWN),
    (WithinNext(SPAN, TIME, 90), {"time": NOW_SECONDS - 61}, False),
    (WithinNext(SPAN, TIME, 90), {"time": NOW_SECONDS - 60}, True),
    (WithinNext(SPAN, TIME, 90), {"time": NOW_SECONDS + 90}, True),
    (WithinNext(SPAN, TIME, 90), {"time": NOW_SECONDS + 91}, False),
    (WithinNext(SPAN, TIME, 90), {}, UNKNOWN),
    (WithinLast(SPAN, TIME, 90), {"time": "yesterday"}, UNKNOWN),
    (WithinLast(SPAN, NOW, 90), {}, True),
    (Present(SPAN, TEXT), {"text": "a"}, True),
    (Present(SPAN, TEXT), {"text": ""}, True),
    (Present(SPAN, TEXT), {"text": None}, False),
    (Present(SPAN, TEXT), {}, False),
    (Present(SPAN, TEXT), {"text": 1}, UNKNOWN),
    (Present(SPAN, FLAG), {"flag": False}, True),
    (Present(SPAN, TEXTS), {"texts": []}, True),
    (Present(SPAN, TEXTS), {"texts": ["a", None]}, UNKNOWN),
    (In(SPAN, TEXT, texts("a", "b")), {"text": "b"}, True),
    (In(SPAN, TEXT, texts("a", "b")), {"text": "c"}, False),
    (In(SPAN, TEXT, texts("a", "b")), {}, UNKNOWN),
    (In(SPAN, TEXT, texts()), {"text": "a"}, False),
    (In(SPAN, TEXT, texts()), {}, UNKNOWN),
    (In(SPAN, string("a"), TEXTS), {"texts": ["a"]}, True),
    (In(SPAN, string("a"), TEXTS), {"texts": ["b"]}, False),
    (In(SPAN, string("a"), TEXTS), {"texts": "a"}, UNKNOWN),
    (In(SPAN, string("a"), TEXTS), {}, UNKNOWN),
    (In(SPAN, TEXT, TEXTS), {"text": "a", "texts": ["a"]}, True),
    (In(SPAN, TEXT, TEXTS), {"text": "a", "texts": []}, False),
    (In(SPAN, TEXT, TEXTS), {"text": "a"}, UNKNOWN),
    (In(SPAN, TEXT, TEXTS), {"texts": []}, UNKNOWN),
    (In(SPAN, NUMBER, NUMBERS), {"number": 1, "numbers": [1.0]}, True),
    (In(SPAN, IP, NETWORK_10), {"ip": "10.9.9.9"}, True),
    (In(SPAN, IP, NETWORK_10), {"ip": "::ffff:10.9.9.9"}, True),
    (In(SPAN, IP, NETWORK_10), {"ip": "::a09:909"}, False),
    (In(SPAN, IP, NETWORK_10), {"ip": "11.0.0.0"}, False),
    (In(SPAN, IP, NETWORK_10), {}, UNKNOWN),
    (In(SPAN, IP, NETWORK_V6), {"ip": "2001:db8::1"}, True),
    (In(SPAN, IP, NETWORK_V6), {"ip": "2001:db9::1"}, False),
    (In(SPAN, IP, NETWORK_V6), {"ip": "10.0.0.1"}, False),
    (In(SPAN, IP, MAPPED_10), {"ip": "10.9.9.9"}, True),
    (In(SPAN, IP, MAPPED_10), {"ip": "::ffff:10.9.9.9"}, True),
    (In(SPAN, IP, MAPPED_10), {"ip": "11.0.0.0"}, False),
    (Equal(SPAN, IP, address("::ffff:10.0.0.1")), {"ip": "10.0.0.1"}, True),
    (Equal(SPAN, IP, address("::ffff:10.0.0.1")), {"ip": "::1"}, False),
    (Equal(SPAN, IP, address("::1")), {"ip": "0::1"}, True),
    (Equal(SPAN, IP, address("::1")), {"ip": "0.0.0.1"}, False),
    (In(SPAN, IP, IPS), {"ip": "10.0.0.1", "ips": ["::ffff:10.0.0.1"]}, True),
    (HasAny(SPAN, TEXTS, texts("a", "b")), {"texts": ["b", "c"]}, True),
    (HasAny(SPAN, TEXTS, texts("a", "b")), {"texts": ["c"]}, False),
    (HasAny(SPAN, TEXTS, texts("a", "b")), {}, UNKNOWN),
    (HasAny(SPAN, TEXTS, texts()), {"texts": ["a"]}, False),
    (HasAny(SPAN, TEXTS, texts()), {}, UNKNOWN),
    (HasAny(SPAN, TEXTS, TEXTS), {"texts": ["a"]}, True),
    (HasAny(SPAN, TEXTS, TEXTS), {"texts": []}, False),
    (HasAny(SPAN, IPS, NETWORK_10), {"ips": ["::1", "10.0.0.1"]}, True),
    (HasAny(SPAN, IPS, NETWORK_10), {"ips": ["::1"]}, False),
    (HasAny(SPAN, IPS, NETWORK_10), {"ips": ["10.0.0.1/32"]}, UNKNOWN),
    (HasAll(SPAN, TEXTS, texts("a", "b")), {"texts": ["b", "c", "a"]}, True),
    (HasAll(SPAN, TEXTS, texts("a", "b")), {"texts": ["a"]}, False),
    (HasAll(SPAN, TEXTS, texts("a", "b")), {}, UNKNOWN),
    (HasAll(SPAN, TEXTS, texts()), {"texts": []}, True),
    (HasAll(SPAN, TEXTS, texts()), {}, UNKNOWN),
    (HasAll(SPAN, IPS, Literal(Type.SET_OF_IP, BLOCKS[:2])), {"ips": ["10.0.0.9"]}, True),
    (HasAll(SPAN, IPS, Literal(Type.SET_OF_IP, BLOCKS[:2])), {"ips": ["10.1.0.9"]}, False),
    (HasAll(SPAN, IPS, Literal(Type.SET_OF_IP, BLOCKS[:2])), {}, UNKNOWN),
]


@pytest.mark.parametrize(("formula", "values", "expected"), CASES)
def test_operator(formula: Formula, values: dict[str, Json], expected: Truth) -> None:
    assert evaluate(formula, claims(**values)) is expected


def test_a_scope_is_never_unknown() -> None:
    assert evaluate(Granted(SPAN, "read:x"), token(["read:x"])) is True
    assert evaluate(Granted(SPAN, "read:x"), token(["write:x"])) is False


@pytest.mark.parametrize("kind", ["user", "application"])
def test_whom_a_token_acts_for(kind: SubjectKind) -> None:
    assert evaluate(SubjectIs(SPAN, kind), token(kind=kind)) is True
    other: SubjectKind = "user" if kind == "application" else "application"
    assert evaluate(SubjectIs(SPAN, kind), token(kind=other)) is False
    assert evaluate(SubjectIs(SPAN, kind), token(kind=None)) is UNKNOWN


def equal(fact: Fact, value: Scalar) -> Formula:
    return Equal(SPAN, fact, Literal(fact.type, value))


def test_the_names_that_every_token_has() -> None:
    verified = token(
        ["read:x"],
        {"sub": "s", "acr": "urn:mfa", "amr": ["pwd"], "auth_time": NOW_SECONDS - 1.5},
        permissions=["write:x"],
        actor="actor-1",
        token_id="id-1",
    )
    expected: dict[str, Scalar] = {
        "subject": "user-1",
        "sub": "s",
        "iss": "https://issuer.example/",
        "jti": "id-1",
        "client": "app-1",
        "issued_at": NOW_SECONDS - 60,
        "expires_at": NOW_SECONDS + 3600,
        "auth_time": NOW_SECONDS - 2,
        "acr": "urn:mfa",
        "actor": "actor-1",
    }
    for name, value in expected.items():
        assert evaluate(equal(TOKEN_FACTS[name], value), verified) is True, name
    sets = {"scopes": "read:x", "permissions": "write:x", "audience": "https://api.example/"}
    for name, value in {**sets, "amr": "pwd"}.items():
        assert evaluate(In(SPAN, string(value), TOKEN_FACTS[name]), verified) is True, name
    assert set(expected) | set(sets) | {"amr"} == set(TOKEN_FACTS)


def test_scopes_and_permissions_are_never_missing() -> None:
    bare = token()
    for name in ("scopes", "permissions"):
        assert evaluate(Present(SPAN, TOKEN_FACTS[name]), bare) is True
        assert evaluate(In(SPAN, string("read:x"), TOKEN_FACTS[name]), bare) is False


@pytest.mark.parametrize("name", ["sub", "acr", "amr", "auth_time", "actor", "jti"])
def test_what_a_token_does_not_tell_is_missing(name: str) -> None:
    assert evaluate(Present(SPAN, TOKEN_FACTS[name]), token()) is False


@pytest.mark.parametrize("name", ["sub", "acr", "amr", "auth_time"])
def test_a_claim_of_another_type_is_unknown(name: str) -> None:
    assert evaluate(Present(SPAN, TOKEN_FACTS[name]), token(claims={name: True})) is UNKNOWN


@pytest.mark.parametrize("in_the_way", ["text", 1, [], {"inner": "text"}, {"inner": []}])
def test_a_claim_behind_something_that_is_no_object_is_unknown(in_the_way: Json) -> None:
    assert evaluate(Present(SPAN, TEXT), token(claims={"outer": in_the_way})) is UNKNOWN


@pytest.mark.parametrize("holder", [None, {}, {"inner": None}, {"inner": {}}])
def test_a_claim_in_an_object_that_is_missing_is_missing(holder: Json) -> None:
    assert evaluate(Present(SPAN, TEXT), token(claims={"outer": holder})) is False


def test_attributes() -> None:
    fact = ATTRIBUTES[Type.INT]
    assert evaluate(equal(fact, 1), token(), {fact.name: 1.0}) is True
    assert evaluate(equal(fact, 1), token(), {fact.name: 2.0}) is False
    assert evaluate(equal(fact, 1), token(), {fact.name: None}) is UNKNOWN
    assert evaluate(Present(SPAN, fact), token(), {fact.name: 0}) is True
    assert evaluate(Present(SPAN, fact), token(), {}) is False
    assert evaluate(Present(SPAN, ENTRIES[Type.INT]), token()) is False


def test_the_id_of_a_resource() -> None:
    assert evaluate(equal(RESOURCE_ID, "a"), token(), resource_id="a") is True
    assert evaluate(equal(RESOURCE_ID, "a"), token(), resource_id="b") is False
    assert evaluate(equal(RESOURCE_ID, "a"), token()) is UNKNOWN
    assert evaluate(Present(SPAN, RESOURCE_ID), token(), resource_id="a") is True
    assert evaluate(Present(SPAN, RESOURCE_ID), token()) is False


def test_equal_claim_and_attribute() -> None:
    left: Operand = TEXT
    same = Equal(SPAN, left, ATTRIBUTES[Type.STRING])
    name = ATTRIBUTES[Type.STRING].name
    assert evaluate(same, claims(text="a"), {name: "a"}) is True
    assert evaluate(same, claims(text="a"), {name: "b"}) is False
    assert evaluate(same, claims(text="a")) is UNKNOWN
    assert evaluate(same, claims(), {name: "a"}) is UNKNOWN
    assert evaluate(same, claims()) is UNKNOWN
