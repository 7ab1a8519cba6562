"""Test files: what they say, and what is wrong with them."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import cases as models
from policyd.language import limits, load, load_tests, policy

POLICY = """api a

audience "https://a.example"

scope x "X"

claim level: int?
claim born: time?

userinfo email: string?
userinfo joined: time?

context {
    ip: ip?
}

resource r {
    owner: string
    count: int?
    tags: set<string>?
    actions read, write
}

allow reads: read on r when scope x and resource.owner == token.sub
allow writes: write on r when scope x and token.auth_time within last 5m
deny old: write on r when resource.count > 5 and now > "2026-01-01T00:00:00Z"
deny new: write on r when userinfo.joined within last 1d
"""


@pytest.fixture(scope="module")
def policies() -> policy.PolicySet:
    found = load([Source("a.policy", POLICY)]).policies
    assert found is not None
    return found


def cases(policies: policy.PolicySet, body: str) -> tuple[list[str], tuple[models.TestCase, ...]]:
    text = f'api a\n\ntest "t" {{\n{body}\n}}\n'
    loaded = load_tests([Source("a_test.policy", text)], policies)
    return [found.code for found in loaded.diagnostics], loaded.tests


def test_each_expectation_has_the_state_where_it_stands(policies: policy.PolicySet) -> None:
    codes, (case,) = cases(
        policies,
        """    at "2026-01-01T00:00:00Z"
    token user { scope: [x, openid], sub: "u", born: "2000-01-01T00:00:00Z" }
    allow read on r "1" { owner: "u", tags: ["a"] } by reads because ALLOWED
    token application { level: 3 }
    userinfo { email: "u@example.com" }
    context { ip: "192.0.2.1" }
    deny write on r { owner: "u", count: 7 }
""",
    )
    assert codes == []
    first, second = case.expectations
    assert (first.effect, first.action, first.resource_type, first.resource_id) == (
        "allow", "read", "r", "1",
    )  # fmt: skip
    assert isinstance(first.token, models.TestToken)
    assert first.token.kind == "user"
    assert first.token.values == {
        "scope": ["x", "openid"], "sub": "u", "born": "2000-01-01T00:00:00Z",
    }  # fmt: skip
    assert (first.attributes, first.context) == ({"owner": "u", "tags": ["a"]}, {})
    assert (first.userinfo, second.userinfo) == ({}, {"email": "u@example.com"})
    assert (first.by, first.reason, first.now) == (("reads",), "ALLOWED", 1767225600)
    assert second.token == models.TestToken("application", {"level": 3})
    assert (second.context, second.now) == ({"ip": "192.0.2.1"}, 1767225600)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('deny read on r { owner: "u" }', "P4001"),
        ("token { }", "P4008"),
        ('token { auth_time: "2026-01-01T00:00:00Z" }\ndeny write on r { owner: "u" }', "P4002"),
        ('token { }\ndeny write on r { owner: "u", count: 7 }', "P4002"),
        (
            'token { }\nuserinfo { joined: "2026-01-01T00:00:00Z" }\n'
            'deny write on r { owner: "u" }',
            "P4002",
        ),
        ('token { }\ndeny read on r { owner: "u" } because NO_RULE', "P4003"),
        ('token { }\ndeny read on r { owner: "u" } by raeds', "P4004"),
        ('token { level: "high" }\ndeny read on r { owner: "u" }', "P4005"),
        ('token { sub: ["u"] }\ndeny read on r { owner: "u" }', "P4005"),
        ('token { }\ndeny read on r { owner: "u", tags: "a" }', "P4005"),
        ('token { }\ndeny read on r { owner: "u", tags: [5] }', "P4005"),
        ("token { }\ndeny read on r { owner: 5 }", "P4005"),
        ('token { }\ndeny read on r { owner: "u", size: 5 }', "P4006"),
        ('token { scopes: [x] }\ndeny read on r { owner: "u" }', "P4006"),
        ('token { }\ncontext { ipp: "x" }\ndeny read on r { owner: "u" }', "P4006"),
        ('token { }\nuserinfo { mail: "x" }\ndeny read on r { owner: "u" }', "P4006"),
        ('token { }\nuserinfo { email: 5 }\ndeny read on r { owner: "u" }', "P4005"),
        ("token { }\ndeny read on r", "P4007"),
        ('token { scope: [y] }\ndeny read on r { owner: "u" }', "P1003"),
        ('token { scope: ["y"] }\ndeny read on r { owner: "u" }', "P1003"),
        ('token { }\ndeny read on s { owner: "u" }', "P1001"),
        ('token { }\ndeny raed on r { owner: "u" }', "P1002"),
        ('token { sub: u }\ndeny read on r { owner: "u" }', "P2010"),
        ('token { sub: "u", sub: "v" }\ndeny read on r { owner: "u" }', "P1024"),
        ('token { born: "soon" }\ndeny read on r { owner: "u" }', "P2004"),
        ('token { }\ncontext { ip: "300.0.0.1" }\ndeny read on r { owner: "u" }', "P2004"),
        ('at "noon"\ntoken { }\ndeny read on r { owner: "u" }', "P2004"),
        ('token robot { }\ndeny read on r { owner: "u" }', "P4011"),
    ],
)
def test_mistakes(policies: policy.PolicySet, body: str, code: str) -> None:
    lines = "\n".join("    " + line for line in body.splitlines())
    codes, _ = cases(policies, lines)
    assert codes == [code]


def test_the_clock_is_needed_only_where_it_is_read(policies: policy.PolicySet) -> None:
    codes, _ = cases(policies, '    token { scope: [x] }\n    deny read on r { owner: "u" }')
    assert codes == []


def test_an_unknown_api(policies: policy.PolicySet) -> None:
    loaded = load_tests([Source("b_test.policy", 'api b\n\ntest "t" { }\n')], policies)
    assert [found.code for found in loaded.diagnostics] == ["P4009"]


def test_titles_are_unique_in_an_api(policies: policy.PolicySet) -> None:
    body = '    token { }\n    deny read on r { owner: "u" }'
    text = f'api a\n\ntest "t" {{\n{body}\n}}\n\ntest "t" {{\n{body}\n}}\n'
    loaded = load_tests([Source("a_test.policy", text)], policies)
    assert [found.code for found in loaded.diagnostics] == ["P1010"]


def test_a_file_that_does_not_parse(policies: policy.PolicySet) -> None:
    loaded = load_tests([Source("a_test.policy", 'test "t" { }\n')], policies)
    assert [found.code for found in loaded.diagnostics] == ["P0010"]


def test_of_very_many_mistakes_a_hundred_are_told(policies: policy.PolicySet) -> None:
    tests = "api a\n" + '\ntest "t" {\n    allow fly on r\n}\n' * 200
    found = load_tests([Source("a_test.policy", tests)], policies).diagnostics
    assert len(found) == limits.DIAGNOSTICS_PER_FILE + 1
    assert found[-1].code == "P0015"
