"""Which findings a comment suppresses, and what is said of comments that do not."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import parse
from policyd.tooling.lint.suppressions import find
from tests.support.lint import linted, pointed

BASE = """/// An API.
api demo // A

audience "https://demo.example/"

// B
scope one:thing "One" // C
scope two:thing "Two"

/// D stands between the documentation and the declaration.
// D
resource thing { // E
    open: bool // F
    // G
    shut: bool
    actions use, // H
        drop
    // I
}

// J

// K
/// What it is for.
allow uses: use on thing
    // L
    when scope one:thing // M
    // N

// O
"""
COVERED = {
    "A": "api demo",
    "B": 'scope one:thing "One"',
    "C": 'scope one:thing "One"',
    "D": "resource",
    "E": "resource",
    "F": "open: bool",
    "G": "shut: bool",
    "H": "resource",
    "I": "resource",
    "J": "allow",
    "K": "allow",
    "L": "allow",
    "M": "allow",
    "N": "",
    "O": "",
}


@pytest.mark.parametrize("mark", sorted(COVERED))
def test_what_a_comment_covers(mark: str) -> None:
    text = BASE.replace(f"// {mark}\n", "// lint: allow P3021 (why)\n")
    source = Source("demo.policy", text)
    parsed = parse(source)
    assert parsed.file is not None
    (suppression,), wrong = find(parsed.file, ["P3021"])
    assert wrong == ()
    covered = text[slice(*suppression.covered)]
    if COVERED[mark] in ("resource", "allow"):
        assert covered.startswith(f"{COVERED[mark]} ")
    else:
        assert covered == COVERED[mark]


@pytest.mark.parametrize(
    ("comment", "found"),
    [
        ("// lint: allow P3021 (why)", []),
        ("//lint: allow P3021 (why)", []),
        ("// lint: allow P3021(why)", []),
        ("// lint: allow P3021 (why (and how))", []),
        ("// lint: allow P3021 (why)  ", []),
        ("// lint: allow P3021, P3002 (why)", ["P3094"]),
        ("// lint: allow P3002 (why)", ["P3021", "P3094"]),
        ("// lint: allow P3021", ["P3092"]),
        ("// lint: allow P3021 ()", ["P3092"]),
        ("// lint: allow P3021 (  )", ["P3092"]),
        ("// lint: allow P3021 because of this", ["P3092"]),
        ("// lint: allow", ["P3021", "P3091"]),
        ("// lint: allow (why)", ["P3021", "P3091"]),
        ("// lint: ignore P3021 (why)", ["P3021", "P3091"]),
        ("// lint : allow P3021 (why)", ["P3021", "P3091"]),
        ("// lint: allow p3021 (why)", ["P3021", "P3093"]),
        ("// lint: allow P3999 (why)", ["P3021", "P3093"]),
        ("// lint: allow P1003 (why)", ["P3021", "P3093"]),
        ("// lint: allow P3094 (why)", ["P3021", "P3093"]),
        ("// lint the policy before each release", ["P3021"]),
        ("/// lint: allow P3021 (why)", ["P3021"]),
    ],
)
def test_spelling(comment: str, found: list[str]) -> None:
    text = f'api demo\naudience "https://demo.example/"\n{comment}\nscope a:b "x"\n'
    assert sorted(one.code for one in linted(text)) == found


def test_help_of_unknown_codes() -> None:
    comment = "// lint: allow P3094, P1003, P3051, zzz (why)"
    text = f'api demo\naudience "https://demo.example/"\n{comment}\nclaim a: string\n'
    help = {pointed(one): one.help for one in linted(text, selected={"P3093"})}
    assert help == {
        "P3094": "a finding about a suppression cannot be suppressed",
        "P1003": "only findings of `policyd lint` (P3…) can be suppressed",
        "P3051": "a similar code exists: `P3001`",
        "zzz": "write `// lint: allow CODE (reason)`",
    }


def test_two_comments_for_one_finding_are_both_of_use() -> None:
    comment = "// lint: allow P3021 (why)"
    text = f'api demo\naudience "https://demo.example/"\n{comment}\nscope a:b "x" {comment}\n'
    assert linted(text) == ()


def test_suppression_of_a_rule_that_was_not_run_is_not_judged() -> None:
    text = 'api demo\naudience "https://demo.example/"\n// lint: allow P3041 (why)\nscope a:b "x"\n'
    assert linted(text, selected={"P3041", "P3094"}) == ()
    assert [one.code for one in linted(text, selected={"P3021", "P3094"})] == ["P3021"]
    judged = linted(text, tests="api demo\n", selected={"P3041", "P3094"})
    assert [one.code for one in judged] == ["P3041", "P3094"]


def test_suppression_in_a_test_file() -> None:
    policy = (
        'api demo\naudience "https://demo.example/"\nresource r {\n    actions a\n}\n'
        'deny no: a on r\n    when true\n    because "n"\n'
    )
    test = 'api demo\ntest "t" {\n    token { }\n    deny a on r // lint: allow P3042 (why)\n}\n'
    assert linted(policy, tests=test, selected={"P3042", "P3094"}) == ()
    other = test.replace("    token { }\n", "    token { }\n    deny a on r\n")
    (found,) = linted(policy, tests=other, selected={"P3042", "P3094"})
    assert found.primary is not None
    assert found.primary.source.position(found.primary.span.start).line == 4


def test_a_comment_in_a_text_is_none() -> None:
    text = 'api demo\naudience "https://demo.example/"\nscope a:b "// lint: allow P3021 (why)"\n'
    assert [one.code for one in linted(text)] == ["P3021"]
