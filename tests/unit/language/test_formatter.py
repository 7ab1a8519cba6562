"""The formatter's layout, one point at a time. Its promises are in tests/property."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policyd.diagnostics import Source
from policyd.errors import InternalError
from policyd.language import formatter
from policyd.language.formatter import FormatterError, format_source
from tests.support.catalogue import preamble

POLICIES = Path(__file__).parents[3] / "policies"


def _format(text: str, name: str = "a.policy") -> str:
    formatted = format_source(Source(name, text))
    assert formatted.text is not None, [found.headline for found in formatted.diagnostics]
    return formatted.text


def _declared(text: str) -> str:
    """Format declarations, and return them without the `api` line."""
    return _format(f"api health\n{text}").removeprefix("api health\n\n")


def _tested(text: str) -> str:
    inside = re.sub("^", " ", text, flags=re.MULTILINE)
    formatted = _format(f'api health\ntest "t" {{\n{inside}\n}}', "a_test.policy")
    return formatted.removeprefix('api health\n\ntest "t" {\n').removesuffix("}\n")


@pytest.mark.parametrize("path", sorted(POLICIES.rglob("*.policy")), ids=lambda path: path.stem)
def test_sample_policies_are_formatted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert _format(text, path.name) == text


def test_catalogue_declarations_are_formatted() -> None:
    assert _format(preamble()) == preamble()


def test_declarations_of_one_line_stand_in_columns() -> None:
    assert _declared(
        'scope a "A"\nscope long:name   "B"\n'
        'claim a:int\nclaim groups :set< string >? from   "g"\nclaim xs: int? from "x"\n'
        'userinfo b:bool?\nuserinfo town :string? from "/address/locality"\n'
        "define a as now<now\ndefine longer as   scope a\n"
    ) == (
        'scope a          "A"\nscope long:name  "B"\n\n'
        'claim a:      int\nclaim groups: set<string>? from "g"\n'
        'claim xs:     int?         from "x"\n\n'
        'userinfo b:    bool?\nuserinfo town: string? from "/address/locality"\n\n'
        "define a      as now < now\ndefine longer as scope a\n"
    )


def test_blank_line_ends_columns_and_is_kept() -> None:
    assert _declared('scope a "A"\n\n\n\nscope long:name "B"\n') == (
        'scope a  "A"\n\nscope long:name  "B"\n'
    )


def test_blocks_stand_apart() -> None:
    assert _declared(
        "context{ip:ip?}\nresource r{\n\n  a:int\n  long_name:bool?\n  actions x,y }\n"
        "allow a:x on r when true\ndeny b:any on r"
    ) == (
        "context {\n    ip: ip?\n}\n\n"
        "resource r {\n    a:         int\n    long_name: bool?\n    actions x, y\n}\n\n"
        "allow a: x on r\n    when true\n\n"
        "deny b: any on r\n"
    )


def test_clauses_have_lines_of_their_own() -> None:
    assert _declared('deny a: x,y on r when scope a unless scope b because "no"') == (
        'deny a: x, y on r\n    when scope a\n    unless scope b\n    because "no"\n'
    )


def test_slips_of_the_colon_are_mended() -> None:
    assert _declared("allow reads:read on r when true") == (
        "allow reads: read on r\n    when true\n"
    )
    assert _declared("claim a:string?") == "claim a: string?\n"
    assert _declared("deny a:any on r") == "deny a: any on r\n"
    assert _tested("allow x on r { sealed:false }") == "    allow x on r { sealed: false }\n"


@pytest.mark.parametrize(
    "declaration",
    [
        "claim a.b:string",
        "claim a:b:string",
        "claim a:set.of",
        "claim a:9x",
        "allow a:not on r when true",
        "allow a:b.c on r when true",
        "allow a:b:c on r when true",
        "deny a:any, b on r",
        "deny a.b:c on r",
    ],
)
def test_slips_that_mean_nothing_are_refused(declaration: str) -> None:
    formatted = format_source(Source("a.policy", f"api health\n{declaration}\n"))
    assert formatted.text is None
    assert {found.code for found in formatted.diagnostics} == {"P0008"}


@pytest.mark.parametrize("pair", ["a:.b", "a:when", "a:b:c", "a.b:1", "not:1"])
def test_slips_in_tests_that_mean_nothing_are_refused(pair: str) -> None:
    text = f'api health\ntest "t" {{\n    token {{ {pair} }}\n}}\n'
    formatted = format_source(Source("a_test.policy", text))
    assert formatted.text is None
    assert {found.code for found in formatted.diagnostics} == {"P0008"}


LONG = " and ".join(f'token.some_claim_{letter} == "a value"' for letter in "abc")


def test_long_condition_has_one_operand_a_line() -> None:
    assert _declared(f"allow a: x on r when {LONG} and (scope a or scope b)") == (
        "allow a: x on r\n"
        '    when token.some_claim_a == "a value"\n'
        '        and token.some_claim_b == "a value"\n'
        '        and token.some_claim_c == "a value"\n'
        "        and (scope a or scope b)\n"
    )


def test_long_condition_in_parentheses() -> None:
    assert _declared(f"allow a: x on r when scope a or ({LONG})") == (
        "allow a: x on r\n"
        "    when scope a\n"
        "        or (\n"
        '            token.some_claim_a == "a value"\n'
        '            and token.some_claim_b == "a value"\n'
        '            and token.some_claim_c == "a value"\n'
        "        )\n"
    )


def test_long_define() -> None:
    assert _declared(f"define a as {LONG}") == (
        "define a as\n"
        '    token.some_claim_a == "a value"\n'
        '    and token.some_claim_b == "a value"\n'
        '    and token.some_claim_c == "a value"\n'
    )


def test_long_list_has_one_item_a_line() -> None:
    items = [f'"https://example.com/{number}"' for number in range(5)]
    assert _declared(f"allow a: x on r when token.sub in [{', '.join(items)}]") == (
        "allow a: x on r\n    when token.sub in [\n"
        + "".join(f"            {item},\n" for item in items)
        + "        ]\n"
    )


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("((scope a))", "scope a"),
        ("not(scope a)", "not scope a"),
        ("not not scope a", "not not scope a"),
        ("not token.a == 1", "not (token.a == 1)"),
        ("not (scope a and scope b)", "not (scope a and scope b)"),
        ("(scope a and scope b) and scope c", "(scope a and scope b) and scope c"),
        ("token.a in[1,2,]", "token.a in [1, 2]"),
        ("token.a in []", "token.a in []"),
        ("token.t within  last 15m", "token.t within last 15m"),
        ('token.s starts\n with "a  b"', 'token.s starts with "a  b"'),
        ("token.a is  missing", "token.a is missing"),
        ("subject  is user", "subject is user"),
        ("subject is  asserted", "subject is asserted"),
        ('scope "a/b"', 'scope "a/b"'),
    ],
)
def test_conditions(written: str, canonical: str) -> None:
    assert _declared(f"define c as {written}") == f"define c as {canonical}\n"


def test_tests() -> None:
    assert _tested(
        'at "2026-11-22T10:00:00Z" token user{scope:[a,b]} token {}\n'
        'userinfo{a:"x",}\ncontext{ip:"::1"}\n'
        'allow x on r "1"{a:1}by p,q\ndeny x on r because NO_RULE_ALLOWS\n\ndeny y on r {}'
    ) == (
        '    at "2026-11-22T10:00:00Z"\n    token user { scope: [a, b] }\n    token {}\n'
        '    userinfo { a: "x" }\n    context { ip: "::1" }\n'
        '    allow x on r "1" { a: 1 } by p, q\n    deny  x on r because NO_RULE_ALLOWS\n\n'
        "    deny y on r {}\n"
    )


def test_long_attributes_break_before_what_follows() -> None:
    values = ", ".join(f'name_{letter}: "some value"' for letter in "abcd")
    assert _tested(f"allow x on r {{ {values} }} by rule because ALLOWED").splitlines() == [
        "    allow x on r {",
        *(f'        name_{letter}: "some value",' for letter in "abcd"),
        "    } by rule because ALLOWED",
    ]


def test_comments_stay_where_they_are() -> None:
    text = (
        "// licence\n\n/// docs\napi health   // beside\n\n"
        '// above\n/// docs of a\nscope a   "A"   // one\n// between\nscope bb  "B"   // two\n\n'
        "context {   // opens\n    // first\n    ip: ip?   // field\n\n    // last\n}\n\n"
        "allow a: x on r\n    // before when\n    when scope a   // why a\n"
        "        // alone\n        and scope bb\n    // or scope c\n\n// end\n"
    )
    assert _format(text) == text


def test_comments_in_a_joined_line_are_kept() -> None:
    assert _declared("allow a:  // name\n  // actions\n  x on r  // resource\n  when true") == (
        "// name\n// actions\nallow a: x on r   // resource\n    when true\n"
    )


def test_comments_at_ends_of_lines_are_aligned() -> None:
    assert _declared('scope a "A" // x\nscope bcd "B" // y\n\nscope e "E" // z') == (
        'scope a    "A"   // x\nscope bcd  "B"   // y\n\nscope e  "E"   // z\n'
    )


def test_windows_line_ends_become_plain() -> None:
    assert _format("api health\r\n\r\n// note\r\n") == "api health\n\n// note\n"


def test_wide_characters_count_twice_in_columns() -> None:
    assert _declared('scope "日本" "A"\nscope abc "B"') == (
        'scope "日本"  "A"\nscope abc     "B"\n'
    )


def test_file_with_errors_is_not_formatted() -> None:
    formatted = format_source(Source("a.policy", "api health\nallow\n"))
    assert formatted.text is None
    assert [found.code for found in formatted.diagnostics] == ["P0026"]


@pytest.mark.parametrize(
    ("results", "complaint"),
    [
        (["api other\n"], "meaning"),
        (["api\n"], "parse"),
        (["api health\n"], "comments"),
        (["api health // note\n", "api health  // note\n"], "twice"),
    ],
)
def test_formatter_does_not_trust_itself(
    monkeypatch: pytest.MonkeyPatch, results: list[str], complaint: str
) -> None:
    monkeypatch.setattr(formatter, "weave", lambda *_: results.pop(0))
    with pytest.raises(FormatterError, match=complaint):
        format_source(Source("a.policy", "api health   // note\n"))


def test_lost_words_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formatter, "lay_out", lambda *_: ["api"])
    with pytest.raises(FormatterError, match="words"):
        format_source(Source("a.policy", "api health\n"))


def test_formatter_error_is_an_internal_one() -> None:
    assert issubclass(FormatterError, InternalError)


def test_a_name_in_quotes_is_plain_where_it_can_be() -> None:
    text = """\
api a

resource "r" {
    long: string (from "/a/b")
    n: int? (from "n")
    actions "read", "a/b", "any", "when"
}

allow x: "read", "a/b" on "r"
    when true
"""
    formatted = format_source(Source("a.policy", text)).text
    assert (
        formatted
        == """\
api a

resource r {
    long: string (from "/a/b")
    n:    int?   (from "n")
    actions read, "a/b", "any", "when"
}

allow x: read, "a/b" on r
    when true
"""
    )


def test_actions_of_attributes() -> None:
    many = " ".join(f"action-{number}" for number in range(12))
    text = f"""\
api a
resource r {{
    n: int (from "/n" , for
      "b" "a/b"  )
    long: string (for {many})
    list: list (for b) {{ x: int }}
    actions {many.replace(" ", ", ")}, b, "a/b"
}}
"""
    formatted = format_source(Source("a.policy", text)).text
    assert formatted is not None
    assert formatted.startswith(
        """\
api a

resource r {
    n:    int    (from "/n", for b "a/b")
    long: string (for action-0
        action-1
"""
    )
    assert "    list: list (for b) {\n        x: int\n    }\n" in formatted
    assert format_source(Source("a.policy", formatted)).text == formatted


def test_lists_and_what_is_asked_of_their_elements() -> None:
    text = """\
api a
claim details: list? from "/details" { type: string
  limit: int? (from "/amount/limit") }
claim other: string?
resource r { n: int
 lines: list { name: string (from key) } actions x }
allow x: x on r when token.details has some (item.type == "something" and item.limit > 5
 and resource.n == item.limit)
"""
    formatted = format_source(Source("a.policy", text)).text
    assert (
        formatted
        == """\
api a

claim details: list? from "/details" {
    type:  string
    limit: int?   (from "/amount/limit")
}

claim other: string?

resource r {
    n: int
    lines: list {
        name: string (from key)
    }
    actions x
}

allow x: x on r
    when token.details has some (
            item.type == "something" and item.limit > 5 and resource.n == item.limit
        )
"""
    )
