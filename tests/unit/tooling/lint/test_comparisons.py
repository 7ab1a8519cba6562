"""P3010 to P3019: what a rule compares with."""

from __future__ import annotations

import pytest

from tests.support.lint import SCOPE, Case, allow, assert_found

CASES = [
    Case("P3010 sub in a list", allow('token.sub in ["a", "b"]'), ('token.sub in ["a", "b"]',)),
    Case("P3010 owner", allow("token.subject == resource.org_id")),
    Case("P3010 client", allow('token.client == "a"')),
    Case("P3010 prefix", allow('token.subject starts with "auth0|"')),
    Case("P3011 other claim", 'claim email: string? from "mail"\n' + allow('token.email == "a"')),
    Case(
        "P3011 other name",
        'claim mail: string? from "email"\n' + allow('token.mail == "a"'),
        ('token.mail == "a"',),
    ),
    Case(
        "P3011 userinfo",
        "claim email_verified: bool?\nuserinfo email: string?\n" + allow('userinfo.email == "a"'),
        ('userinfo.email == "a"',),
    ),
    Case(
        "P3011 userinfo verified",
        'userinfo email: string?\nuserinfo checked: bool? from "email_verified"\n'
        + allow('userinfo.email == "a" and userinfo.checked'),
    ),
    Case("P3011 presence", "claim email: string?\n" + allow("token.email is present")),
    Case("P3012 suffix", allow('token.client ends with "x"'), ('token.client ends with "x"',)),
    Case("P3012 two characters", allow('token.client starts with "xy"')),
    Case("P3013 thirty days", allow("token.auth_time within last 30d")),
    Case(
        "P3013 in a define used twice",
        "define d as token.auth_time within last 31d\n"
        + allow("d")
        + allow(f"d and {SCOPE}", name="two"),
        ("token.auth_time within last 31d",),
    ),
    Case(
        "P3014 IPv6",
        allow('context.ip in ["10.0.0.0/8", "::/0"]'),
        ('context.ip in ["10.0.0.0/8", "::/0"]',),
    ),
    Case("P3015 suffix", allow('token.client ends with "*x"'), ('token.client ends with "*x"',)),
    Case("P3015 scope", 'scope "x:*" "x"\n' + allow('"x:*" in token.scopes and scope "x:*"')),
    Case("P3015 number", allow("resource.visits == 3")),
    Case("P3016 two facts", allow('token.client == "a"') + allow('token.actor == "A"', name="two")),
    Case(
        "P3016 same case", allow('token.client == "a"') + allow('token.client == "a"', name="two")
    ),
    Case("P3016 in one list", allow('token.client in ["a", "A"]'), ('token.client in ["a", "A"]',)),
    Case("P3016 number", allow("resource.visits == 3")),
    Case("P3017 any", allow("token.roles has any []"), ("token.roles has any []",)),
    Case("P3017 set", allow("token.client in token.roles")),
    Case(
        "P3018 required claim",
        "claim a: string\n" + allow("token.a is missing"),
        ("token.a is missing",),
    ),
    Case(
        "P3018 required userinfo",
        "userinfo a: string\nuserinfo b: string?\n"
        + allow("userinfo.a is missing or userinfo.b is missing"),
        ("userinfo.a is missing",),
    ),
    Case("P3018 every token's", allow("token.iss is present"), ("token.iss is present",)),
    Case("P3018 optional", allow("token.acr is present and context.ip is present")),
    Case(
        "P3018 required entry",
        "context {\n    x: int\n}\n" + allow("context.x is present"),
        ("context.x is present",),
    ),
    Case(
        "P3019 order",
        allow("resource.visits <= resource.visits"),
        ("resource.visits <= resource.visits",),
    ),
    Case(
        "P3019 sets", allow("token.roles has all token.roles"), ("token.roles has all token.roles",)
    ),
    Case("P3019 another", allow("token.client in token.roles")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule(case: Case) -> None:
    assert_found(case)
