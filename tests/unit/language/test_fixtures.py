"""What several tests share, payloads as issuers write them, expectations on missing scopes."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import cases, load, load_tests, nodes, policy
from policyd.language.formatter import format_source
from policyd.language.parser import parse

POLICY = """api a

audience "https://a.example"

scope x "X"
scope y "Y"

claim level: int?

resource r {
    owner: string
    count: int?
    actions read
}

allow reads: read on r when scope x and token.auth_time within last 5m
"""
SHARED = """define nurse as token user { scope: [x], level: 3 }
define mine as resource r "r1" { owner: "u", count: 1 }
"""


@pytest.fixture(scope="module")
def policies() -> policy.PolicySet:
    found = load([Source("a.policy", POLICY)]).policies
    assert found is not None
    return found


def _load(
    policies: policy.PolicySet, body: str, shared: str = SHARED
) -> tuple[list[str], cases.TestExpectation]:
    text = f'api a\n\n{shared}\ntest "t" {{\n    {body}\n}}\n'
    loaded = load_tests([Source("a_test.policy", text)], policies)
    ((*_, last),) = [case.expectations for case in loaded.tests]
    return [found.code for found in loaded.diagnostics], last


def test_a_fixture_stands_for_what_it_holds(policies: policy.PolicySet) -> None:
    codes, found = _load(policies, "token nurse deny read on mine")
    assert codes == []
    assert found.token == cases.TestToken("user", {"scope": ["x"], "level": 3})
    assert (found.resource_type, found.resource_id) == ("r", "r1")
    assert found.attributes == {"owner": "u", "count": 1}


def test_a_test_changes_what_it_says_and_no_more(policies: policy.PolicySet) -> None:
    body = 'token nurse { level: 4 } deny read on mine "r2" { count: 2 }'
    codes, found = _load(policies, body)
    assert codes == []
    assert found.token == cases.TestToken("user", {"scope": ["x"], "level": 4})
    assert found.resource_id == "r2"
    assert found.attributes == {"owner": "u", "count": 2}
    _, unchanged = _load(policies, body + " token nurse deny read on mine")
    assert unchanged.token == cases.TestToken("user", {"scope": ["x"], "level": 3})
    assert unchanged.attributes["count"] == 1


def test_fixtures_stand_anywhere_in_the_file(policies: policy.PolicySet) -> None:
    text = f'api a\n\ntest "t" {{\n    token nurse\n    deny read on mine\n}}\n\n{SHARED}'
    loaded = load_tests([Source("a_test.policy", text)], policies)
    assert loaded.diagnostics == ()


def test_what_a_fixture_lacks_the_test_gives(policies: policy.PolicySet) -> None:
    half = "define half as resource r { count: 1 }\n"
    assert _load(policies, "token { } deny read on half", half)[0] == ["P4007"]
    assert _load(policies, 'token { } deny read on half { owner: "u" }', half)[0] == []


def test_the_clock_is_asked_for_by_what_a_fixture_holds(policies: policy.PolicySet) -> None:
    timed = 'define t as token { auth_time: "2026-11-22T10:00:00Z" }\n' + SHARED
    assert _load(policies, "token t deny read on mine", timed)[0] == ["P4002"]


@pytest.mark.parametrize(
    ("shared", "body", "code"),
    [
        (SHARED, "token nrse deny read on mine", "P4011"),
        (SHARED, "token mine deny read on mine", "P4011"),
        (SHARED, "token nurse deny read on nurse", "P1001"),
        (SHARED, "token nurse deny read on mine { cuont: 1 }", "P4006"),
        (SHARED + "define mine as token { }", "token nurse deny read on mine", "P1010"),
        ("define r as resource r", 'token { } deny read on r { owner: "u" }', "P1010"),
        ("define user as token { }", 'token { } deny read on r { owner: "u" }', "P1010"),
        (SHARED + "define other as token nurse { }", "token nurse deny read on mine", "P4011"),
        (SHARED + "define other as token nobody", "token nurse deny read on mine", "P4011"),
        (SHARED + "define other as resource s", "token nurse deny read on mine", "P1001"),
        (SHARED + "define other as token { lvel: 1 }", "token nurse deny read on mine", "P4006"),
        (SHARED, "token nurse deny read on mine missing z", "P1003"),
    ],
)
def test_mistakes(policies: policy.PolicySet, shared: str, body: str, code: str) -> None:
    assert _load(policies, body, f"{shared}\n")[0] == [code]


def test_an_unknown_token_gets_a_suggestion(policies: policy.PolicySet) -> None:
    text = f'api a\n\n{SHARED}\ntest "t" {{\n    token nrse deny read on mine\n}}\n'
    (found,) = load_tests([Source("a_test.policy", text)], policies).diagnostics
    assert found.help == "did you mean `nurse`?"


def test_a_payload_as_an_issuer_writes_it(policies: policy.PolicySet) -> None:
    body = """token from auth0 {
        sub: "auth0|ann", "https://a.example/roles": ["r", ["s"], { deep: true }],
        act: { sub: "svc", level: -5 }, empty: {}, none: [],
    } deny read on mine"""
    timed = 'at "2026-11-22T10:00:00Z" ' + body
    codes, found = _load(policies, timed)
    assert codes == []
    assert found.token == cases.TestClaims(
        "auth0",
        {
            "sub": "auth0|ann",
            "https://a.example/roles": ["r", ["s"], {"deep": True}],
            "act": {"sub": "svc", "level": -5},
            "empty": {},
            "none": [],
        },
    )
    assert _load(policies, body)[0] == ["P4002"]  # the payload may hold what the rules compare


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ('token from auth0 { sub: "a", "sub": "b" }', "P1024"),
        ("token from auth0 { age: 15m }", "P4005"),
        ("token from auth0 { age: 1.23456 }", "P0007"),
        (f"token from auth0 {{ deep: {'[' * 60}{']' * 60} }}", "P0014"),
        ("token idp { level: 1 }", "P4011"),
    ],
)
def test_mistakes_in_a_payload(policies: policy.PolicySet, token: str, code: str) -> None:
    shared = SHARED + "define idp as token from auth0 { }\n"
    body = f'at "2026-11-22T10:00:00Z" {token} deny read on mine'
    assert _load(policies, body, shared)[0] == [code]


def test_missing_scopes(policies: policy.PolicySet) -> None:
    codes, found = _load(policies, "token nurse deny read on mine missing y, x because NO_RULE")
    assert codes == ["P4003"]
    assert found.missing == ("x", "y")


def test_conditions_have_no_place_among_tests_nor_fixtures_among_rules() -> None:
    condition = parse(Source("a_test.policy", "api a\n\ndefine c as token\n"))
    assert [found.code for found in condition.diagnostics] == ["P0018"]
    fixture = parse(Source("a.policy", "api a\n\ndefine c as token { }\n"))
    assert [found.code for found in fixture.diagnostics] == ["P0018"]
    assert fixture.diagnostics[0].headline == "a fixture outside a test file"


@pytest.mark.parametrize(
    "condition", ["token", "resource", "missing", "token and resource", "resource is missing"]
)
def test_the_words_of_fixtures_still_name_conditions(condition: str) -> None:
    parsed = parse(Source("a.policy", f"api a\n\ndefine c as {condition}\n"))
    assert parsed.diagnostics == ()
    assert parsed.file is not None
    assert isinstance(parsed.file.declarations[0], nodes.Define)


def test_layout_of_a_payload() -> None:
    text = """api a

define c as token from  auth0{sub: "x",o: {a: [ ],b: {}},"l":[ true,{c: 1}]}
define d as token from rfc9068 {
  // first
  list: [ // second
 1, // third
 2 ] }
"""
    assert format_source(Source("a_test.policy", text)).text == (
        "api a\n\n"
        'define c as token from auth0 { sub: "x", o: { a: [], b: {} }, "l": [true, { c: 1 }] }\n'
        "define d as token from rfc9068 {\n"
        "    // first\n"
        "    list: [   // second\n"
        "        1,    // third\n"
        "        2,\n"
        "    ],\n"
        "}\n"
    )


def test_layout() -> None:
    text = (
        'api a\ndefine n as token   user {scope:[x],level:3}\ndefine m as resource r "1"{}\n\n'
        'define k as\n  token user\ntest "t" {\n token n\n token n{}\n token n {level:4}\n'
        " deny read on m missing x,y because NO_RULE\n allow read on m {count:2} by reads\n}\n"
    )
    assert format_source(Source("a_test.policy", text)).text == (
        "api a\n\n"
        "define n as token user { scope: [x], level: 3 }\n"
        'define m as resource r "1" {}\n\n'
        "define k as token user\n\n"
        'test "t" {\n'
        "    token n\n"
        "    token n {}\n"
        "    token n { level: 4 }\n"
        "    deny  read on m missing x, y because NO_RULE\n"
        "    allow read on m { count: 2 } by reads\n"
        "}\n"
    )
