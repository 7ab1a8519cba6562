"""Names that were meant, and what looking for them may cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.diagnostics import Source, Suggestions, closest
from policyd.language import load, load_tests

WORDS = st.text("abAB", max_size=7)


def _distance(a: str, b: str) -> int:
    """The textbook's whole table (optimal string alignment)."""
    table = [[i + j if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(
                table[i - 1][j] + 1,
                table[i][j - 1] + 1,
                table[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
            )
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@given(WORDS, st.lists(WORDS, max_size=6))
def test_the_nearest_is_found_as_the_whole_table_has_it(word: str, candidates: list[str]) -> None:
    near = [
        (_distance(word.casefold(), one.casefold()), one)
        for one in candidates
        if one != word
        if _distance(word.casefold(), one.casefold()) <= max(1, max(len(word), len(one)) // 3)
        if abs(len(word) - len(one)) <= max(1, max(len(word), len(one)) // 3)
    ]
    assert closest(word, candidates) == (min(near)[1] if near else None)
    assert closest(word, candidates[::-1]) == closest(word, candidates)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("raed", "read"),
        ("READ", "read"),
        ("reed", "read"),
        ("x" * 101, None),
        ("strasse", "straße"),
    ],
)
def test_a_slip_is_understood(word: str, meant: str | None) -> None:
    assert closest(word, ["write", "read", "x" * 102, "straße"]) == meant


def test_all_searches_share_the_budget_and_a_search_it_ends_tells_nothing() -> None:
    names = [f"name-{number:04}" for number in range(500)]
    suggestions = Suggestions(budget=100_000)

    found = [suggestions.closest(f"nane-{number:04}", names) for number in range(100)]

    count = found.index(None)
    assert 0 < count < 100
    assert found == [f"name-{number:04}" for number in range(count)] + [None] * (100 - count)
    assert suggestions.used_up
    assert found == [
        again.closest(f"nane-{number:04}", names)
        for again in [Suggestions(budget=100_000)]
        for number in range(100)
    ]


def test_a_search_after_the_end_looks_at_one_candidate() -> None:
    suggestions = Suggestions(budget=1)
    assert suggestions.closest("raed", ["read", "write"]) is None
    assert suggestions.used_up

    candidates = iter(["read", "write"])
    assert suggestions.closest("raed", candidates) is None
    assert next(candidates) == "write"


UNKNOWN = "".join(
    f"\nallow r{number}: read on thing\n    when scope s:{number * 7919:030}x\n"
    for number in range(90)
)
POLICY = 'api a\n\naudience "a"\n\nresource thing {\n    actions read\n}\n' + "".join(
    f'scope s:{number * 104729:030} "s"\n' for number in range(3000)
)


@pytest.mark.slow
def test_the_findings_of_a_load_share_one_budget() -> None:
    found = load([Source("a.policy", POLICY + UNKNOWN)]).diagnostics

    assert [finding.code for finding in found] == ["P1003"] * 90
    similar = [(finding.help or "").startswith("a similar") for finding in found]
    # Some are told, the first; the others come with the other help.
    assert 0 < sum(similar) < 90
    assert similar == sorted(similar, reverse=True)
    assert found == load([Source("a.policy", POLICY + UNKNOWN)]).diagnostics


def test_the_findings_in_test_files_share_one_budget() -> None:
    policies = load([Source("a.policy", POLICY)]).policies
    assert policies is not None
    tests = "api a\n" + "".join(
        f'\ntest "t{number}" {{\n    token user {{ scope: [s:{number * 7919:030}x] }}\n'
        "    allow read on thing\n}\n"
        for number in range(90)
    )
    found = load_tests([Source("a_test.policy", tests)], policies).diagnostics
    unknown = [finding for finding in found if finding.code == "P1003"]
    similar = [(finding.help or "").startswith("a similar") for finding in unknown]
    assert 0 < sum(similar) < len(unknown)
