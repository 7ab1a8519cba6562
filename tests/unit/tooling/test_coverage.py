"""Coverage: what can be seen of a policy, and what the tests have shown."""

from __future__ import annotations

import pytest

from policyd.language.policy import Truth
from policyd.tooling.coverage import Coverage, Covered
from tests.support.catalogue import preamble
from tests.support.tooling import OPEN, ORDERS, POLICY, SEALED, run

AT = 'at "2026-11-22T10:00:00Z"'
READER = "token { scope: [read:patients] }"
ALL: tuple[Truth, ...] = (True, False, None)
BOTH: tuple[Truth, ...] = (True, False)


def _named(coverage: Coverage, name: str) -> Covered:
    (part,) = [part for part in coverage.parts if part.name == name]
    return part


def _unseen(coverage: Coverage) -> list[tuple[str, tuple[Truth, ...]]]:
    return [
        (part.name if item is part.sides else item.text, item.unseen)
        for part in coverage.parts
        for item in part.items
        if item.unseen
    ]


def test_both_sides_of_a_rule_and_all_values_of_its_operands() -> None:
    half = run(READER, f"allow read on patient {OPEN}").coverage
    assert _unseen(half) == [
        ('token.acr == "strong"', BOTH),
        ("token.auth_time within last 15m", BOTH),
        ("reads", (False,)),
        ("scope read:patients", (False,)),
        ("sealed", (True,)),
        ("resource.sealed", (True,)),
    ]
    assert (half.seen, half.possible) == (6, 14)


def test_nothing_is_left_when_all_was_shown() -> None:
    whole = run(
        AT,
        READER,
        f"allow read on patient {OPEN}",
        "token {}",
        f"deny read on patient {SEALED}",
        'token { acr: "strong", auth_time: "2026-11-22T09:00:00Z" }',
        f"deny read on patient {SEALED}",
        'token { acr: "weak", auth_time: "2026-11-22T10:00:00Z" }',
        f"deny read on patient {SEALED}",
    ).coverage
    assert _unseen(whole) == []
    assert (whole.percentage, whole.rounded) == (100, 100)
    assert all(part.complete for part in whole.parts)


@pytest.mark.parametrize(
    ("condition", "possible"),
    [
        ("scope read:patients", BOTH),
        ("subject is user", ALL),
        ("resource.sealed", BOTH),
        ("resource.visits > 3", BOTH),
        ("resource.visits != 3", BOTH),
        ('resource.id == "x"', ALL),
        ('token.org_id == "x"', ALL),
        ('token.org_id != "x"', ALL),
        ("token.org_id == resource.org_id", ALL),
        ('token.sub starts with "a"', ALL),
        ('"x" in token.permissions', BOTH),
        ('"x" in token.roles', ALL),
        ('token.iss == "x"', BOTH),
        ("token.issued_at within last 1h", BOTH),
        ("token.auth_time within last 1h", ALL),
        ('now > "2026-01-01T00:00:00Z"', BOTH),
        ('context.ip in ["10.0.0.0/8"]', ALL),
        ('userinfo.town == "Bern"', ALL),
        ("userinfo.town is present", BOTH),
        ("token.org_id is present", BOTH),
        ("token.org_id is missing", BOTH),
        ("true", (True,)),
    ],
)
def test_what_can_be_seen_of_an_operand(condition: str, possible: tuple[Truth, ...]) -> None:
    told = "userinfo town: string?\n"
    policy = f"{preamble()}\n{told}allow reads: read on patient\n    when {condition}\n"
    part = _named(run(AT, "token {}", f"deny update on patient {OPEN}", policy=policy).coverage,
                  "reads")  # fmt: skip
    assert [item.possible for item in part.operands] == [possible]
    assert part.sides is not None
    assert part.sides.possible == ((True,) if condition == "true" else BOTH)


def test_a_not_equal_is_one_operand_and_counts_as_it_is_written() -> None:
    policy = f'{preamble()}\nallow reads: read on patient\n    when token.org_id != "x"\n'
    lines = ('token { org_id: "y" }', f"allow read on patient {OPEN}")
    (operand,) = _named(run(*lines, policy=policy).coverage, "reads").operands
    assert operand.seen == {True}


def test_an_exception_counts_as_what_stands_after_unless() -> None:
    policy = (
        f"{preamble()}\nallow reads: read on patient\n    when resource.sealed\n"
        "    unless resource.visits == 0\n"
    )
    lines = ("token {}", f"deny read on patient {OPEN}")
    operands = _named(run(*lines, policy=policy).coverage, "reads").operands
    assert [(one.text, one.seen) for one in operands] == [
        ("resource.sealed", frozenset({False})),
        ("resource.visits == 0", frozenset({True})),
    ]


def test_a_condition_on_two_resources_counts_once_with_all_that_it_can_be() -> None:
    policy = preamble() + (
        "define first as resource.number == 1\n"
        "resource bill {\n    number: int\n    actions list\n}\n"
        "allow bills: list on bill when first\n"
        "allow invoices: list on invoice when first\n"
    )
    lines = ("token {}", "allow list on bill { number: 1 }", "deny list on bill { number: 2 }")
    part = _named(run(*lines, policy=policy).coverage, "first")
    assert [(one.possible, one.unseen) for one in part.operands] == [(ALL, (None,))]


def test_a_little_less_than_all_is_not_said_to_be_all() -> None:
    coverage = run(READER, f"allow read on patient {OPEN}").coverage
    assert coverage.percentage == pytest.approx(42.857, abs=0.001)
    assert coverage.rounded == 42.8


def test_coverage_of_one_api() -> None:
    coverage = run(READER, f"allow read on patient {OPEN}").coverage
    assert coverage.of_api("health") == coverage
    assert coverage.of_api("other").percentage == 100


def test_policy_has_conditions_and_rules_in_the_order_of_the_text() -> None:
    coverage = run(READER, f"allow read on patient {OPEN}", policy=POLICY).coverage
    assert [(part.kind, part.name) for part in coverage.parts] == [
        ("define", "strong_login"),
        ("allow", "reads"),
        ("deny", "sealed"),
    ]


def test_a_rule_on_two_resources_counts_once_with_all_that_its_operands_can_be() -> None:
    policy = preamble() + (
        "resource bill {\n    number: int\n    actions list\n}\n"
        "allow both: list on bill, invoice when resource.number == 1\n"
    )
    lines = ("token {}", "allow list on bill { number: 1 }", "deny list on bill { number: 2 }")
    part = _named(run(*lines, policy=policy).coverage, "both")
    assert [(one.possible, one.unseen) for one in part.operands] == [(ALL, (None,))]
    assert part.sides is not None and part.sides.unseen == ()


def _of_orders(*orders: str) -> list[tuple[str, tuple[Truth, ...]]]:
    lines = [f"token {{ {one} }}\n    deny read on order" for one in orders]
    return _unseen(run(*lines, policy=ORDERS).coverage)


def test_what_is_asked_of_the_elements_of_a_list_is_shown_by_each_of_them() -> None:
    # A field that is declared without `?` need not be shown to be missing.
    assert _of_orders("") == [
        ("reads", (True,)),
        ("token.orders has some", BOTH),
        ('item.kind == "a"', BOTH),
        ("item.size > 3", ALL),
    ]
    assert _of_orders('orders: [{ kind: "a", size: 3 }, { kind: "b", size: 4 }]', "") == [
        ("reads", (True,)),
        ("token.orders has some", (True,)),
        ("item.size > 3", (None,)),
    ]
    assert _of_orders('orders: [{ kind: "a", size: 4 }, { kind: "b" }]', "orders: []", "") == [
        ("item.size > 3", (False,))
    ]
