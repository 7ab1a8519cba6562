from __future__ import annotations

import pytest

from policyd.tooling.traces import trace_lines
from tests.support.tooling import OPEN, ORDERS, POLICY, run

MORE = """
define a as resource.org_id == "{value}" or b
define b as not (token.org_id is present)
define c as a and b

allow by-c: update on patient
    when c
    unless token.roles has any ["x"]
"""


def _lines(token: str, value: str = "v") -> list[str]:
    policy = POLICY + MORE.format(value=value)
    ran = run(token, f"allow update on patient {OPEN}", policy=policy)
    looked_at = ran.results[0].traces  # kept, since the expectation does not hold
    return list(
        trace_lines(looked_at, [rule for rule in looked_at.rules if rule.rule.name == "by-c"])
    )


def test_conditions_follow_the_rule_once_each() -> None:
    assert _lines('token { org_id: "o", roles: ["x"] }') == [
        "allow by-c: false, so it does not apply",
        "  false    and",
        "  false      c",
        "  false      not",
        '  true         token.roles has any ["x"]   token.roles is ["x"]',
        "c",
        "  false    and",
        "  false      a",
        "  false      b",
        "a",
        "  false    or",
        '  false      resource.org_id == "v"   resource.org_id is "org_red"',
        "  false      b",
        "b",
        "  false    not",
        '  true       token.org_id is present   token.org_id is "o"',
    ]


@pytest.mark.parametrize(
    ("roles", "shown"),
    [
        ("", "token.roles is missing"),
        (f', roles: ["{"r" * 80}"]', f'token.roles is ["{"r" * 57}…'),
    ],
)
def test_values_are_cut_and_missing_ones_named(roles: str, shown: str) -> None:
    assert any(line.endswith(shown) for line in _lines(f'token {{ org_id: "o"{roles} }}'))


def test_text_over_lines_is_joined() -> None:
    lines = _lines('token { org_id: "o" }', 'v" or resource.org_id ==\n    "w')
    assert any('resource.org_id == "w"' in line for line in lines)


def _of_orders(orders: str) -> list[str]:
    stated = orders and f"orders: {orders}"
    ran = run(f"token {{ {stated} }}", "deny read on order by reads", policy=ORDERS)
    looked_at = ran.results[0].traces
    return list(trace_lines(looked_at, looked_at.rules))[1:]


def test_a_list_shows_the_elements_that_decide() -> None:
    orders = '[{ kind: "b", size: 9 }, { kind: "a", size: 4 }, { kind: "a" }]'
    first, *lines = _of_orders(orders)
    assert first.startswith("  true     token.orders has some   token.orders is [{")
    assert lines == [
        "  true       element 2",
        "  true         and",
        '  true           item.kind == "a"   item.kind is "a"',
        "  true           item.size > 3   item.size is 4",
    ]
    assert "  unknown    element 1" in _of_orders('[{ kind: "a" }]')
    assert [line.strip() for line in _of_orders("[]")] == [
        "false    token.orders has some   token.orders is []"
    ]
    assert [line.strip() for line in _of_orders("")] == [
        "unknown  token.orders has some   token.orders is missing"
    ]


def test_an_element_of_an_object_is_called_by_its_key_and_many_are_counted() -> None:
    assert '  false      element "acme"' in _of_orders('{ acme: { kind: "b", size: 1 } }')
    many = ", ".join('{ kind: "b", size: 1 }' for _ in range(11))
    lines = _of_orders(f"[{many}]")
    assert sum("element " in line for line in lines) == 8
    assert lines[-1] == "             and 3 more elements"
