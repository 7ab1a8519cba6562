"""P3001 to P3009: whom rules let in, what holds a deny, and what comes of rules together."""

from __future__ import annotations

import pytest

from tests.support.lint import SCOPE, Case, allow, assert_found, deny

CASES = [
    Case("P3001 as an alternative", allow(f'{SCOPE} or "x" in token.permissions'), ("one",)),
    Case("P3001 of a named client", allow('token.client == "a" and "x" in token.permissions')),
    Case("P3001 not by a condition", allow("token.permissions has all []")),
    Case("P3001 deny", deny('"x" in token.permissions')),
    Case("P3002 when true", allow("true"), ("one",)),
    Case("P3002 as an alternative", allow(f"{SCOPE} or subject is user"), ("one",)),
    Case("P3002 through a define", f"define d as {SCOPE}\n" + allow("d and subject is user")),
    Case("P3002 by scopes", allow('token.scopes has any ["read:patients"]')),
    Case("P3002 not by scopes", allow("token.scopes has all []"), ("one",)),
    Case("P3002 its own scopes", allow("token.roles has all token.scopes"), ("one",)),
    Case("P3002 by a set of scopes", allow("token.scopes has all token.roles")),
    Case("P3002 some client", allow("token.client is present"), ("one",)),
    Case("P3002 some scopes", allow("token.scopes is present"), ("one",)),
    Case("P3002 all but one", allow('token.client != "a"'), ("one",)),
    Case("P3002 by the actor", allow('token.actor == "console"')),
    Case("P3002 deny", deny("true")),
    Case("P3003 any in a deny", deny("resource.sealed")),
    Case("P3003 deny", deny("resource.sealed", actions="read, update")),
    Case("P3003 one action", "resource r {\n    actions a\n}\nallow one: a on r\n    when true\n"),
    Case("P3003 out of order", allow(SCOPE, actions="update, read"), ("update, read",)),
    Case(
        "P3004 in a define", 'define d as "x" in token.roles\n' + deny("d"), ('"x" in token.roles',)
    ),
    Case("P3004 not known to be", deny('not ("x" in token.roles)')),
    Case("P3004 unless", deny("resource.sealed", '"x" in token.roles')),
    Case(
        "P3004 unequal",
        deny("token.org_id != resource.org_id"),
        ("token.org_id != resource.org_id",),
    ),
    Case("P3004 unless unequal", deny("resource.sealed", "token.org_id != resource.org_id")),
    Case("P3004 required", deny("resource.sealed and resource.visits > 3")),
    Case("P3004 allow", allow('"x" in token.roles')),
    Case(
        "P3004 guarded beside",
        deny('resource.sealed or (token.roles is present and "x" in token.roles)'),
    ),
    Case(
        "P3004 guarded elsewhere",
        deny('"x" in token.roles or token.roles is present'),
        ('"x" in token.roles',),
    ),
    Case("P3004 missing denies", deny('token.roles is missing or "x" in token.roles')),
    Case(
        "P3004 once a fact",
        deny('"x" in token.roles and "y" in token.roles'),
        ('"x" in token.roles',),
    ),
    Case("P3004 context", deny('context.ip in ["10.0.0.0/8"]'), ('context.ip in ["10.0.0.0/8"]',)),
    Case(
        "P3004 userinfo",
        "userinfo town: string?\n" + deny('userinfo.town == "Bern"'),
        ('userinfo.town == "Bern"',),
    ),
    Case(
        "P3004 required userinfo",
        "userinfo town: string\n" + deny('userinfo.town == "Bern"'),
    ),
    Case("P3004 actor", deny('token.actor == "bot"'), ('token.actor == "bot"',)),
    Case("P3004 identity", deny("token.subject == resource.org_id")),
    Case("P3004 id", deny('resource.id == "1"'), ('resource.id == "1"',)),
    Case(
        "P3004 alternatives",
        deny('resource.sealed and (context.ip in ["::1"] or "x" in token.roles)'),
        ('context.ip in ["::1"]', '"x" in token.roles'),
    ),
    Case("P3005 allow", allow(SCOPE)),
    Case("P3005 empty", 'deny one: any on patient\n    when true\n    because ""\n', ("one",)),
    Case(
        "P3006 forbidden",
        "resource r {\n    actions a, b\n}\nallow one: a, b on r\n    when true\n"
        'deny two: b on r\n    when true\n    because "n"\n',
        ("b",),
    ),
    Case("P3006 another resource", "resource r {\n    actions read\n}\n" + allow(SCOPE), ("read",)),
    Case(
        "P3007 opposites",
        "define d as resource.sealed\n" + allow("d and not resource.sealed"),
        ("one",),
    ),
    Case("P3007 not a deny", deny("resource.sealed and not resource.sealed")),
    Case(
        "P3007 user and application", allow("subject is user and subject is application"), ("one",)
    ),
    Case(
        "P3007 missing and compared",
        allow('token.roles is missing and "x" in token.roles'),
        ("one",),
    ),
    Case("P3007 missing", allow("token.roles is missing and resource.sealed")),
    Case("P3007 two values", allow('token.client == "a" and "b" == token.client'), ("one",)),
    Case("P3007 unequal", allow('token.client != "a" and token.client != "b"')),
    Case(
        "P3007 none of the list",
        allow('token.client == "a" and token.client in ["b", "c"]'),
        ("one",),
    ),
    Case(
        "P3007 one of the list", allow('token.client in ["a", "b"] and token.client in ["b", "c"]')
    ),
    Case("P3007 not in the list", allow('token.client == "a" and not (token.client in ["a"])')),
    Case(
        "P3007 blocks overlap", allow('context.ip in ["10.0.0.0/8"] and context.ip in ["10.0.0.1"]')
    ),
    Case("P3007 below and above", allow("resource.visits < 3 and resource.visits > 1")),
    Case("P3007 nothing between", allow("resource.visits < 3 and resource.visits > 2"), ("one",)),
    Case("P3007 at the bound", allow("resource.visits <= 3 and resource.visits >= 3")),
    Case(
        "P3007 not at the bound",
        allow("resource.visits <= 3 and not (resource.visits <= 3)"),
        ("one",),
    ),
    Case(
        "P3007 negated bounds",
        allow("not (resource.visits < 3) and not (resource.visits > 2)"),
        ("one",),
    ),
    Case(
        "P3007 negated at the bound",
        allow("not (resource.visits < 3) and not (resource.visits > 3)"),
    ),
    Case(
        "P3007 literal first", allow("5 < resource.visits and not (4 < resource.visits)"), ("one",)
    ),
    Case(
        "P3007 value out of bounds", allow("resource.visits == 7 and resource.visits < 7"), ("one",)
    ),
    Case("P3007 value in bounds", allow("resource.visits == 6 and resource.visits < 7")),
    Case(
        "P3007 time",
        allow('now < "2026-01-01T00:00:00Z" and now > "2027-01-01T00:00:00Z"'),
        ("one",),
    ),
    Case(
        "P3007 empty list",
        allow(f"{SCOPE} and (token.client in [] or token.roles has any [])"),
        ("one",),
    ),
    Case("P3007 not in an empty list", allow("not (token.client in [])")),
    Case("P3008 equal", allow(SCOPE) + allow(SCOPE, name="two"), ("two",)),
    Case(
        "P3008 order",
        allow(f"{SCOPE} and resource.sealed") + allow(f"resource.sealed and {SCOPE}", name="two"),
        ("two",),
    ),
    Case("P3008 by when true", allow("true", name="z") + allow(SCOPE), ("one",)),
    Case(
        "P3008 fewer actions",
        allow(SCOPE) + allow(SCOPE, name="two", actions="read, update"),
        ("one",),
    ),
    Case(
        "P3008 more actions",
        allow(SCOPE) + allow(f"{SCOPE} and resource.sealed", name="two", actions="read, update"),
    ),
    Case(
        "P3008 through a define",
        f"define d as {SCOPE} and resource.sealed\n"
        + allow("d")
        + allow("resource.sealed", name="two"),
        ("one",),
    ),
    Case(
        "P3008 another value",
        allow("resource.visits == 1") + allow("resource.visits == 2", name="two"),
    ),
    Case(
        "P3008 a narrower deny",
        deny("resource.sealed") + deny("resource.sealed and resource.visits > 3", name="two"),
    ),
    Case(
        "P3008 an equal deny",
        deny("resource.sealed") + deny("resource.sealed", name="two"),
        ("two",),
    ),
    Case(
        "P3008 alternatives",
        allow(f"{SCOPE} or resource.sealed") + allow(f"resource.sealed or {SCOPE}", name="two"),
        ("two",),
    ),
    Case("P3008 other effect", allow("resource.sealed") + deny("resource.sealed", name="two")),
    Case("P3009 allow without", allow(f"not {SCOPE} and resource.sealed"), (SCOPE,)),
    Case("P3009 unless", deny("resource.sealed", SCOPE)),
    Case(
        "P3009 the set",
        deny('"read:patients" in token.scopes'),
        ('"read:patients" in token.scopes',),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule(case: Case) -> None:
    assert_found(case)
