"""The parser: what becomes of a text, and how it recovers from mistakes."""

from __future__ import annotations

import logging
from importlib.resources import files

import lark
import pytest

from policyd.diagnostics import Source
from policyd.language import case_nodes, limits, nodes, parse
from policyd.language.parser.tokens import comments


def parsed(text: str, name: str = "a.policy") -> nodes.File:
    result = parse(Source(name, text))
    assert result.diagnostics == ()
    assert result.file is not None
    return result.file


def codes(text: str, name: str = "a.policy") -> list[str]:
    return [found.code for found in parse(Source(name, text)).diagnostics]


def condition(text: str) -> nodes.Condition:
    declaration = parsed(f"api a\n\ndefine x as {text}\n").declarations[0]
    assert isinstance(declaration, nodes.Define)
    return declaration.condition


def test_documentation_belongs_to_the_declaration_after_it() -> None:
    file = parsed(
        "/// The API.\n/// Two lines.\napi a\n\n/// A thing.\nresource r {\n"
        "    /// Whether it is closed.\n    closed: bool\n    /// What may be done.\n"
        "    actions read\n}\n"
    )
    assert file.docs == ("The API.", "Two lines.")
    resource = file.declarations[0]
    assert isinstance(resource, nodes.Resource)
    assert resource.docs == ("A thing.",)
    assert resource.fields[0].docs == ("Whether it is closed.",)
    assert resource.actions_docs == ("What may be done.",)


def test_comments_are_read_in_order_and_stand_in_no_tree() -> None:
    source = Source("a.policy", 'api a // one\n// two\nscope x "X // no comment" // three\n')
    assert [text for _, text in comments(source)] == ["// one", "// two", "// three"]
    assert parse(source).diagnostics == ()


def test_a_rule() -> None:
    file = parsed(
        'api a\n\ndeny d: read, write on r\n    when scope x\n    unless y\n    because "why"\n'
    )
    rule = file.declarations[0]
    assert isinstance(rule, nodes.Rule)
    assert (rule.effect, rule.name.text, rule.target) == ("deny", "d", "r")
    assert rule.actions is not None
    assert [action.text for action in rule.actions] == ["read", "write"]
    assert isinstance(rule.when, nodes.HasScope)
    assert isinstance(rule.unless, nodes.BareReference)
    assert rule.because is not None
    assert rule.because.value == "why"


def test_spans_cover_what_was_written() -> None:
    text = "api a\n\nallow r: read on thing\n    when not (scope x or token.n == 5)\n"
    rule = parsed(text).declarations[0]
    assert text[rule.span.start : rule.span.end] == text[7:-1]
    assert isinstance(rule, nodes.Rule)
    assert rule.when is not None
    assert text[rule.when.span.start : rule.when.span.end] == "not (scope x or token.n == 5)"


@pytest.mark.parametrize(
    ("glued", "spaced"),
    [
        ("allow r:read on t when scope x", "allow r: read on t when scope x"),
        ("claim c:string?", "claim c: string?"),
        ("claim c:set<int>?", "claim c: set<int>?"),
        ("resource r {\n    n:int\n    actions a\n}", "resource r {\n    n: int\n    actions a\n}"),
    ],
)
def test_a_forgotten_space_after_a_colon_is_understood(glued: str, spaced: str) -> None:
    def shape(text: str) -> str:
        import re

        return re.sub(
            r"Span\(start=\d+, end=\d+\)", "", repr(parsed(f"api a\n\n{text}\n").declarations)
        )

    assert shape(glued) == shape(spaced)


def test_a_forgotten_space_in_a_test_is_understood() -> None:
    text = 'api a\n\ntest "t" {\n    token { n:5, b:true, s:x }\n    deny a on r { c:false }\n}\n'
    test = parsed(text, "a_test.policy").declarations[0]
    assert isinstance(test, case_nodes.Test)
    token, expectation = test.items
    assert isinstance(token, case_nodes.TokenBlock)
    assert isinstance(expectation, case_nodes.Expectation)
    values = [pair.value for pair in (*token.pairs, *expectation.attributes)]
    assert [type(value) for value in values] == [
        nodes.Number, nodes.Boolean, nodes.Name, nodes.Boolean,
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["allow", "api", "test", "token", "scope", "last", "all", "at"])
def test_section_words_stay_usable_as_names(word: str) -> None:
    file = parsed(
        f"api {word}\n\nresource {word} {{\n    {word}: string\n    actions {word}\n}}\n"
        f'allow {word}: {word} on {word}\n    when resource.{word} == "x" and scope {word}\n'
    )
    assert len(file.declarations) == 2


@pytest.mark.parametrize("name", ["allowuser", "allow-list", "token.org_id", "nothing", "order"])
def test_a_keyword_is_a_whole_word(name: str) -> None:
    found = condition(name)
    assert isinstance(found, nodes.BareReference)
    assert found.reference.text == name


def test_chains_are_flat() -> None:
    found = condition("a and b and (c or d or e) and not f")
    assert isinstance(found, nodes.And)
    assert [type(operand) for operand in found.operands] == [
        nodes.BareReference, nodes.BareReference, nodes.Or, nodes.Not,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\"b\\c\n\t"', 'a"b\\c\n\t'),
        (r'"\u{41}\u{1F600}"', "A\U0001f600"),
        ('"// no comment"', "// no comment"),
    ],
)
def test_texts(text: str, value: str) -> None:
    found = condition(f"x.y == {text}")
    assert isinstance(found, nodes.Compare)
    assert isinstance(found.right, nodes.Text)
    assert found.right.value == value


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("8h", 28800), ("7d", 604800)]
)
def test_durations(text: str, seconds: int) -> None:
    found = condition(f"token.t within last {text}")
    assert isinstance(found, nodes.Compare)
    assert isinstance(found.right, nodes.Duration)
    assert found.right.seconds == seconds


def test_four_mistakes_are_four_errors() -> None:
    assert codes(
        "api a\n\nscope x\nalow r: read on t when scope x\ndefine y as scope x & scope z\n"
        "resource r {\n    a: bool\nallow r: any on r when scope x\n"
    ) == ["P0023", "P0009", "P0004", "P0026", "P0022"]


def test_a_mistake_does_not_hide_other_declarations() -> None:
    result = parse(Source("a.policy", 'api a\n\nallow (\n\nscope x "X"\n'))
    assert result.file is not None
    assert [type(one) for one in result.file.declarations] == [nodes.Scope]
    assert len(result.diagnostics) == 1


def test_errors_of_a_file_are_limited() -> None:
    found = codes("api a\n" + "nonsense\n" * 500)
    assert len(found) == limits.DIAGNOSTICS_PER_FILE + 1
    assert "P0015" in found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "P0010"),
        ("// nothing\n", "P0010"),
        ('scope x "X"\n', "P0010"),
        ("api\n", "P0026"),
        ("  }\napi a\n", "P0010"),
    ],
)
def test_a_file_begins_with_its_api(text: str, code: str) -> None:
    result = parse(Source("a.policy", text))
    assert code in [found.code for found in result.diagnostics]
    assert result.file is None


def test_tests_and_rules_stand_in_files_of_their_own() -> None:
    assert codes('api a\n\ntest "t" { }\n') == ["P0018"]
    assert codes('api a\n\nscope x "X"\n', "a_test.policy") == ["P0018"]


@pytest.mark.parametrize("opening", ["(", "not "])
def test_depth_is_limited(opening: str) -> None:
    closing = ")" if opening == "(" else ""

    def nested(depth: int) -> str:
        return f"api a\n\ndefine x as {opening * depth}scope y{closing * depth}\n"

    assert codes(nested(limits.NESTING)) == []
    expected = [] if opening == "(" else ["P0014"]  # parentheses alone nest nothing
    assert codes(nested(limits.NESTING + 1)) == expected
    assert codes(nested(20_000)) == expected


@pytest.mark.slow
def test_deep_alternation_is_limited() -> None:
    text = "scope y"
    for _ in range(2000):
        text = f"scope x and (scope z or ({text}))"
    assert codes(f"api a\n\ndefine x as {text}\n") == ["P0014"]


@pytest.mark.parametrize(
    "text",
    [
        "define x as " + " and ".join(["scope y"] * (limits.OPERANDS + 1)),
        "define x as token.c in [" + ", ".join(["5"] * (limits.LIST_ITEMS + 1)) + "]",
        "define " + "x" * (limits.NAME_CHARACTERS + 1) + " as scope y",
        'scope y "' + "x" * limits.TEXT_CHARACTERS + '"',
    ],
)
def test_lengths_are_limited(text: str) -> None:
    assert codes(f"api a\n\n{text}\n") == ["P0015"]


def conflicts(grammar: str, starts: list[str], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What Lark says of conflicts when it builds a parser; it resolves them in silence."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
        lark.Lark(grammar, parser="lalr", lexer="basic", start=starts, debug=True)
    return [record.message for record in caplog.records if "onflict" in record.message]


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    text = files("policyd.language").joinpath("grammar.lark").read_text(encoding="utf-8")
    assert conflicts(text, ["head", "declaration", "unparsed"], caplog) == []
    ambiguous = 'start: start "+" start | X\nX: "x"\n'
    assert conflicts(ambiguous, ["start"], caplog) != []
