"""P3021 to P3038: what is not used, and how it is written."""

from __future__ import annotations

import pytest

from tests.support.lint import SCOPE, Case, allow, assert_found, deny

CASES = [
    Case(
        "P3028 three texts",
        "claim a: string?\n" + allow('token.a in ["x", "y", "z"] or token.a == "x"'),
    ),
    Case(
        "P3028 in several rules",
        "claim a: set<string>?\n"
        + allow('token.a has any ["x", "y"] or "z" in token.a')
        + deny('"w" in token.a', name="two"),
        ('token.a has any ["x", "y"]',),
    ),
    Case(
        "P3028 what a policy cannot declare",
        allow('token.acr in ["1", "2", "3", "4"] or resource.id in ["1", "2", "3", "4"]'),
    ),
    Case(
        "P3028 a vocabulary",
        'values v: "1", "2", "3", "4"\nclaim a: v?\n' + allow('token.a in ["1", "2", "3", "4"]'),
    ),
    Case("P3030 no rule", 'values v: "x", "y"\n', ('"x"',)),
    Case(
        "P3030 every way to name one",
        'values v: "a", "b", "c", "d", "eg", "fh"\nclaim a: v?\nclaim s: set<v>?\n'
        + allow(
            'token.a == "a" or token.a in ["b"] or "c" in token.s or token.s has all ["d"] '
            'or token.a starts with "e" or token.a ends with "h"'
        ),
    ),
    Case(
        "P3030 another vocabulary's",
        'values v: "x", "y"\nvalues w: "x", "y"\nclaim a: v?\nclaim b: w?\n'
        + allow('token.a in ["x", "y"] and token.b == "y"'),
        ('"x"',),
    ),
    Case(
        "P3030 two facts compared",
        'values v: "x", "y"\nclaim a: v?\nclaim b: v?\n' + allow("token.a == token.b"),
    ),
    Case("P3021 in the set", 'scope a:b "x"\n' + allow("token.scopes has any [a:b]")),
    Case("P3021 in a define alone", 'scope a:b "x"\ndefine d as scope a:b\n', ("a:b",)),
    Case(
        "P3021 what it includes",
        'scope a:b "x"\nscope c:d "x" includes a:b\nscope e:f "x" includes c:d\n'
        + allow("scope a:b"),
    ),
    Case("P3022 presence", "claim a: string?\n" + allow("token.a is present")),
    Case("P3022 required", "claim a: string\n", ("a",)),
    Case("P3022 userinfo", "userinfo a: string?\n" + allow("userinfo.a is present")),
    Case(
        "P3022 userinfo of a claim's name",
        "claim a: string?\nuserinfo a: string?\n" + allow("token.a is present"),
        ("a",),
    ),
    Case("P3023 presence", "context {\n    a: string?\n}\n" + allow("context.a is present")),
    Case("P3023 no rule", "context {\n    a: string?\n}\n", ("a",)),
    Case(
        "P3024 another resource",
        "resource r {\n    sealed: bool\n    actions a\n}\n"
        "allow two: a on r\n    when true\n" + allow("resource.sealed"),
        ("sealed",),
    ),
    Case(
        "P3024 one of its actions",
        "resource r {\n    reason: string (for a b)\n    actions a, b, c\n}\n"
        'allow two: a on r\n    when resource.reason == "x"\n'
        "allow three: b, c on r\n    when scope read:patients\n",
        ("b",),
    ),
    Case("P3024 no rule", "resource r {\n    sealed: bool\n    actions a\n}\n"),
    Case("P3025 by another", "define c as resource.sealed\ndefine d as not c\n", ("d",)),
    Case("P3026 twice", "define c as resource.sealed\n" + allow("c") + deny("c", name="two")),
    Case("P3026 never", "define c as resource.sealed\n"),
    Case(
        "P3031 order",
        "define c as resource.sealed and resource.visits in [1, 2]\n"
        "define d as resource.visits in [2, 1] and resource.sealed\n",
        ("d",),
    ),
    Case(
        "P3031 every kind",
        "define a as subject is user or not resource.sealed or token.acr is missing\n"
        "define b as subject is user or not resource.sealed or token.acr is present\n"
        "define c as token.auth_time within last 60s\ndefine d as token.auth_time within last 1m\n",
        ("d",),
    ),
    Case(
        "P3031 true is not one",
        "define c as resource.sealed == true\ndefine d as resource.visits == 1\n",
    ),
    Case(
        "P3031 quoted scope",
        'define c as scope read:patients\ndefine d as scope "read:patients"\n',
        ("d",),
    ),
    Case(
        "P3032 one value",
        allow("resource.visits in [1]") + allow("resource.visits in [1]", name="two"),
    ),
    Case(
        "P3032 another fact",
        allow('token.client in ["a", "b"]') + allow('token.actor in ["a", "b"]', name="two"),
    ),
    Case(
        "P3032 in one condition",
        allow('token.client in ["a", "b"] or (resource.sealed and token.client in ["b", "a"])'),
        ('token.client in ["b", "a"]',),
    ),
    Case("P3033 or", "define d as resource.sealed or resource.sealed\n", ("resource.sealed",)),
    Case("P3033 nested", allow(f"{SCOPE} and (resource.sealed or not {SCOPE})")),
    Case("P3033 when true", allow("true")),
    Case("P3034 not unequal", allow("not (resource.visits != 1)"), ("not (resource.visits != 1)",)),
    Case("P3034 not not", allow("not (not resource.sealed)"), ("not (not resource.sealed)",)),
    Case("P3034 not equal", allow("not (resource.visits == 1)")),
    Case("P3034 not present", allow("not (token.acr is present)")),
    Case("P3034 not a condition", allow("not resource.sealed")),
    Case(
        "P3034 unless not",
        deny("resource.visits > 1", "not resource.sealed"),
        ("not resource.sealed",),
    ),
    Case("P3034 unless missing", deny("resource.sealed", "token.acr is missing")),
    Case(
        "P3034 unless unequal",
        deny("resource.sealed", 'token.acr != "x"'),
        ('token.acr != "x"',),
    ),
    Case("P3034 unless", deny("resource.visits > 1", "resource.sealed")),
    Case(
        "P3035 quoted",
        allow('"read:patients" in token.scopes'),
        ('"read:patients" in token.scopes',),
    ),
    Case("P3035 a claim", allow("token.client in token.scopes")),
    Case("P3035 has any", allow("token.scopes has any [read:patients]")),
    Case(
        "P3036 everything",
        "context {\n    siteOpen: bool\n}\nresource Report {\n    the-owner: string\n"
        "    actions readAll, read-all, read_all\n}\ndefine is-x as resource.sealed\n"
        + allow("is-x", name="r_d"),
        ("siteOpen", "Report", "the-owner", "readAll", "is-x", "r_d"),
    ),
    Case("P3036 a claim", 'claim orgId: string?\nscope Read.All "x"\n'),
    Case("P3037 one word", 'scope patients "x"\nscope a:read:patients "x"\nscope c:c "x"\n'),
    Case(
        "P3038 documented",
        "/// Why.\nresource r {\n    actions a\n}\n/// Why.\nallow one: a on r\n    when true\n",
    ),
    Case("P3038 a deny says why", deny("resource.sealed")),
    Case("P3038 a resource", "resource r {\n    actions a\n}\n", ("r",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule(case: Case) -> None:
    assert_found(case)
