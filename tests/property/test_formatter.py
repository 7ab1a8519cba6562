"""The formatter, over generated policies in any layout, with comments anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from policyd.diagnostics import Source
from policyd.language.formatter import LINE_LIMIT, format_source
from policyd.language.formatter.comments import find_comments
from policyd.language.parser import comments as lexed_comments

# A declaration is a list of words. Any white space may join them, so long as only the first word
# stands in the first column.
Words = list[str]

_NAME = st.sampled_from(
    ["a", "when-not", "scope_2", "actions", "a-name-that-takes-quite-some-room"]
)
_SCOPE = st.sampled_from(["read:a", "User.Read", '"x/y"', "write:something-that-is-longer"])
_REFERENCE = st.sampled_from(
    ["token.sub", "resource.id", "now", "reader", "context.a-long.name", "userinfo.a"]
)
_TEXT = st.sampled_from(['""', '"a"', '"// no comment"', r'"\" // \\"', '"(some, text) of words"'])
_LITERAL = _TEXT | st.sampled_from(["1", "-20", "15m", "true"])
_ITEM = _LITERAL | _NAME | st.sampled_from(["read:a", "User.Read"])
_OPERATOR = st.sampled_from(
    ["==", "!=", "<", ">=", "in", "has any", "has all", "starts with", "within last"]
)
_TYPE = st.sampled_from([["string"], ["int", "?"], ["set", "<", "string", ">"], ["time", "?"]])


def _one(words: st.SearchStrategy[str]) -> st.SearchStrategy[Words]:
    return words.map(lambda word: [word])


def _in_a_row(*parts: st.SearchStrategy[Words]) -> st.SearchStrategy[Words]:
    return st.tuples(*parts).map(lambda drawn: [word for words in drawn for word in words])


def _said(*words: str) -> st.SearchStrategy[Words]:
    return st.just(list(words))


def _listed(
    items: st.SearchStrategy[Words], least: int = 1, trailing: bool = False
) -> st.SearchStrategy[Words]:
    def joined(drawn: tuple[list[Words], bool]) -> Words:
        parts, comma = drawn
        words = [word for part in parts for word in [*part, ","]]
        return words if comma and trailing else words[:-1]

    return st.tuples(st.lists(items, min_size=least, max_size=5), st.booleans()).map(joined)


_LIST = _in_a_row(_said("["), _listed(_one(_ITEM), 0, trailing=True), _said("]"))
_OPERAND = _one(_REFERENCE) | _one(_LITERAL) | _LIST
_ATOM = st.one_of(
    _in_a_row(_said("scope"), _one(_SCOPE)),
    _said("subject", "is", "user"),
    _one(_REFERENCE),
    _in_a_row(_one(_REFERENCE), _said("is"), _one(st.sampled_from(["present", "missing"]))),
    _in_a_row(_OPERAND, _OPERATOR.map(str.split), _OPERAND),
)


def _larger(inner: st.SearchStrategy[Words]) -> st.SearchStrategy[Words]:
    def chained(drawn: tuple[str, list[Words]]) -> Words:
        word, operands = drawn
        words = ["("]
        for operand in operands:
            words += [*operand, word]
        return [*words[:-1], ")"]

    chain = st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=4))
    some = _in_a_row(_one(_REFERENCE), _said("has", "some", "("), inner, _said(")"))
    return _in_a_row(_said("not"), inner) | chain.map(chained) | some


_CONDITION = st.recursive(_ATOM, _larger, max_leaves=8)
_FIELD = _in_a_row(_one(_NAME), _said(":"), _TYPE)
_FIELDS = st.lists(
    _FIELD
    | _in_a_row(_FIELD, _said("(", "from"), _one(st.sampled_from(['"/a/b"', '"x"'])), _said(")")),
    max_size=3,
).map(lambda drawn: [word for words in drawn for word in words])
_NAMES = _listed(_one(_NAME))
#: What others named, in quotes or not.
_NAMED = _one(
    _NAME | st.sampled_from(['"a"', '"tools/call"', '"any"', r'"\u{61}"', '"(a)"', r'"a\"b"'])
)
_OUTSIDE = _listed(_NAMED)
_PAIRS = _listed(
    _in_a_row(_one(_NAME), _said(":"), _one(_LITERAL | _NAME) | _LIST), least=0, trailing=True
)


def _maybe(words: st.SearchStrategy[Words]) -> st.SearchStrategy[Words]:
    return _said() | words


_DECLARATION = st.one_of(
    _in_a_row(_said("audience"), _one(_TEXT)),
    _in_a_row(_said("scope"), _one(_SCOPE), _said('"what it lets an application do"')),
    _in_a_row(_said("claim"), _FIELD, _maybe(_in_a_row(_said("from"), _one(_TEXT)))),
    _in_a_row(
        _said("claim"), _FIELD, _maybe(_in_a_row(_said("from"), _one(_TEXT))),
        _said("{"), _FIELDS, _FIELD, _said("(", "from", "key", ")", "}"),
    ),
    _in_a_row(
        _said("context", "{"), _FIELDS, _FIELD, _said("{"), _FIELDS, _FIELD, _said("}"), _FIELDS,
        _said("}"),
    ),
    _in_a_row(_said("userinfo"), _FIELD, _maybe(_in_a_row(_said("from"), _one(_TEXT)))),
    _in_a_row(_said("context", "{"), _FIELDS, _said("}")),
    _in_a_row(
        _said("resource"), _NAMED, _said("{"), _FIELDS, _said("actions"), _OUTSIDE, _said("}")
    ),
    _in_a_row(
        _said("resource"), _NAMED, _said("{"), _FIELDS, _FIELD, _said("("),
        _maybe(_in_a_row(_said("from"), _one(_TEXT), _said(","))), _said("for"), _NAMED,
        _maybe(_NAMED), _said(")"), _FIELDS, _said("actions"), _OUTSIDE, _said("}"),
    ),
    _in_a_row(_said("define"), _one(_NAME), _said("as"), _CONDITION),
    _in_a_row(
        _said("allow"), _one(_NAME), _said(":"), _OUTSIDE, _said("on"), _OUTSIDE,
        _said("when"), _CONDITION, _maybe(_in_a_row(_said("unless"), _CONDITION)),
    ),
    _in_a_row(
        _said("deny"), _one(_NAME), _said(":"), _said("any") | _OUTSIDE, _said("on"),
        _said("any") | _OUTSIDE,
        _maybe(_in_a_row(_said("when"), _CONDITION)),
        _maybe(_in_a_row(_said("unless"), _CONDITION)),
        _maybe(_in_a_row(_said("because"), _one(_TEXT))),
    ),
)  # fmt: skip
_EXPECTATION = _in_a_row(
    _said("allow") | _said("deny"), _NAMED, _said("on"), _NAMED, _maybe(_one(_TEXT)),
    _maybe(_in_a_row(_said("{"), _PAIRS, _said("}"))),
    _maybe(_in_a_row(_said("by"), _NAMES)),
    _maybe(_said("because", "INSUFFICIENT_SCOPE")),
)  # fmt: skip
_TEST_ITEM = st.one_of(
    _in_a_row(_said("at"), _one(_TEXT)),
    _in_a_row(_said("token"), _maybe(_said("user")), _said("{"), _PAIRS, _said("}")),
    _in_a_row(_said("userinfo", "{"), _PAIRS, _said("}")),
    _in_a_row(_said("context", "{"), _PAIRS, _said("}")),
    _EXPECTATION,
)
_TEST = _in_a_row(
    _said("test", '"a title"', "{"),
    st.lists(_TEST_ITEM, max_size=4).map(lambda drawn: [word for words in drawn for word in words]),
    _said("}"),
)

_SPACES = st.sampled_from([" ", "   ", "\n  ", "\t", "\r\n    "])
_TRIVIA = _SPACES | st.sampled_from(
    [
        "  // beside\n ",
        "\n  // alone\n    ",
        "\n\n // apart\n\n  ",
        " // a\n // b\n  //// c\n ",
        "\n\n ",
    ]
)
_BETWEEN = st.sampled_from(
    ["\n", "\n\n", "\n\n\n", " // beside\n", "\n// alone\n", "\n  // inside\n",
     "\n/// docs\n// x\n", "\n\n// apart\n\n", "\n // in\n// out\n\n  // in\n/// docs\n"]
)  # fmt: skip


@st.composite
def _texts(
    draw: st.DrawFn,
    declaration: st.SearchStrategy[Words],
    within: st.SearchStrategy[str],
    between: st.SearchStrategy[str],
) -> str:
    declarations = [["api", "health"], *draw(st.lists(declaration, min_size=1, max_size=4))]
    return draw(_layouts(declarations, within, between))


@st.composite
def _layouts(
    draw: st.DrawFn,
    declarations: Sequence[Words],
    within: st.SearchStrategy[str],
    between: st.SearchStrategy[str],
) -> str:
    parts = []
    for words in declarations:
        joints = draw(st.lists(within, min_size=len(words) - 1, max_size=len(words) - 1))
        parts.append("".join(map("".join, zip(words, [*joints, ""], strict=True))))
    joints = draw(st.lists(between, min_size=len(parts) - 1, max_size=len(parts) - 1))
    return "".join(map("".join, zip(parts, [*joints, "\n"], strict=True)))


def _format(text: str, name: str = "generated.policy") -> str:
    formatted = format_source(Source(name, text))
    assert formatted.diagnostics == ()
    assert formatted.text is not None
    return formatted.text


def _check(text: str, name: str) -> None:
    formatted = _format(text, name)
    before, after = Source(name, text), Source(name, formatted)
    assert [found.text for found in find_comments(after)] == [
        found.text for found in find_comments(before)
    ]
    assert _format(formatted, name) == formatted
    assert formatted.endswith("\n")
    assert "\n\n\n" not in formatted
    assert not any(line != line.rstrip() or "\t" in line for line in formatted.split("\n"))


@given(_texts(_DECLARATION, _TRIVIA, _BETWEEN))
def test_policies_keep_their_meaning_and_comments(text: str) -> None:
    _check(text, "generated.policy")


@given(_texts(_TEST, _TRIVIA, _BETWEEN))
def test_tests_keep_their_meaning_and_comments(text: str) -> None:
    _check(text, "generated_test.policy")


@given(st.data())
def test_layout_does_not_depend_on_layout(data: st.DataObject) -> None:
    declarations = [["api", "health"], *data.draw(st.lists(_DECLARATION, min_size=1, max_size=4))]
    newline = st.just("\n")
    one = data.draw(_layouts(declarations, st.just(" "), newline))
    other = data.draw(_layouts(declarations, _SPACES, newline))
    assert _format(one) == _format(other)


@given(_texts(_DECLARATION, st.just(" "), st.just("\n")))
def test_only_what_cannot_break_is_wider_than_the_limit(text: str) -> None:
    for line in _format(text).split("\n"):
        breakable = any(f" {word} " in line.lstrip() for word in ("and", "or"))
        assert len(line) <= LINE_LIMIT or not breakable


@given(_texts(_DECLARATION, _TRIVIA, _BETWEEN))
def test_comments_are_those_of_the_lexer(text: str) -> None:
    source = Source("generated.policy", text)
    found = [(c.span.start, c.text) for c in find_comments(source) if not c.is_documentation]
    assert found == [(span.start, word.rstrip()) for span, word in lexed_comments(source)]


_SAMPLES = sorted((Path(__file__).parents[2] / "policies").rglob("*.policy"))
_SNIPPETS = st.sampled_from(
    ["(", ")", ",", ":", " ", "\n", "\n    ", "// c\n", "/// d\n", "{", "}", '"', "and ", " or ",
     "not ", "true", "any", "[", "]", "a", "1", ".", "?", "//", "\r\n", "\t"]
)  # fmt: skip


@st.composite
def _mutated(draw: st.DrawFn) -> tuple[str, str]:
    path = draw(st.sampled_from(_SAMPLES))
    text = path.read_text(encoding="utf-8")
    blocks = text.split("\n\n")
    start = draw(st.integers(0, len(blocks) - 1))
    text = "\n\n".join([blocks[0], *blocks[start : start + 3]])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 3))
        text = text[:at] + draw(st.just("") | _SNIPPETS) + text[at + length :]
    return path.name, text


@given(_mutated())
def test_mutated_sources_are_refused_or_formatted(given_: tuple[str, str]) -> None:
    name, text = given_
    formatted = format_source(Source(name, text))
    if formatted.text is None:
        assert formatted.diagnostics
    else:
        assert format_source(Source(name, formatted.text)).text == formatted.text
