"""Text to declarations' tokens.

Each declaration begins in the first column, and its further lines are indented. So the text can be
split into declarations before any of it is parsed, and a mistake in one does not affect the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import msgspec
from lark import Lark, Token
from lark.parsers.lalr_interactive_parser import InteractiveParser

from policyd.diagnostics import Source, Span
from policyd.language import limits

SECTIONS = (
    "allow", "api", "audience", "claim", "context", "define", "deny", "prove", "resource", "route",
    "scope", "test", "userinfo", "values",
)  # fmt: skip
#: Words that continue a declaration and can begin none.
CONTINUATIONS = frozenset({
    "when", "unless", "because", "and", "or", "not", "actions", "from", "for", "of", "on",
    "includes",
})  # fmt: skip
#: Terminals that are accepted wherever a name is, besides NAME itself.
NAME_WORDS = frozenset({
    "ACTIONS", "ALL", "ALLOW", "API", "AT", "AUDIENCE", "CLAIM", "CONTEXT", "DEFINE", "DENY",
    "FOR", "INCLUDES", "KEY", "LAST", "MISSING", "NEVER", "NEXT", "OF", "PROVE", "RESOURCE",
    "ROUTE", "SCOPE", "SOME", "SUBJECT", "TEST", "TOKEN", "USERINFO", "VALUES",
})  # fmt: skip
#: Terminals that are accepted before the colon of an attribute or a value, besides.
KEY_WORDS = frozenset({
    "ANY", "AS", "BY", "ENDS", "FROM", "HAS", "IN", "IS", "ON", "STARTS", "WITH", "WITHIN",
})  # fmt: skip
NAMES = NAME_WORDS | {"NAME"}
KEYS = NAMES | KEY_WORDS
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]*")
#: Terminals that the lexer reads and no declaration can hold.
UNPARSED = frozenset({"GLUED", "UNTERMINATED", "ILLEGAL"})


@cache
def grammar() -> Lark:
    """Build the parser, once a process. Needs about 50 ms."""
    text = files("policyd.language").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        text,
        parser="lalr",
        lexer="basic",
        start=["head", "declaration", "unparsed"],
        propagate_positions=True,
        maybe_placeholders=False,
    )


@cache
def keywords() -> dict[str, str]:
    """Return the words of the language, each with its terminal."""
    return {
        terminal.pattern.value: terminal.name
        for terminal in grammar().terminals
        if terminal.pattern.type == "str" and terminal.pattern.value.isalpha()
    }


def is_name(text: str) -> bool:
    """Tell whether a text can stand as a name without quotes."""
    return _NAME.fullmatch(text) is not None and keywords().get(text, "NAME") in NAMES


def quoted(text: str) -> str:
    """Return a text as a policy writes it in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Piece(msgspec.Struct):
    """The tokens of one declaration with the documentation before it.

    `strays` are tokens that stand in the first column though they continue the declaration.
    """

    tokens: list[Token]
    strays: list[Token]

    @property
    def first(self) -> Token | None:
        """The first token that is no documentation."""
        return next((token for token in self.tokens if token.type != "DOC"), None)


def span_of(token: Token) -> Span:
    """The place of a token."""
    start, end = token.start_pos, token.end_pos
    assert start is not None  # the lexer sets both on what it reads
    assert end is not None
    return Span(start, end)


def lex(source: Source) -> Iterator[Token]:
    """Read all tokens, comments included. Never fails: what fits nothing is `ILLEGAL`."""
    parser = begin("unparsed", source.text)
    return iter(parser.lexer_thread.lex(parser.parser_state))


def terminal_of(text: str) -> str | None:
    """Return the terminal that a text is as a whole, `None` when it is none or several."""
    tokens = list(lex(Source("", text)))
    return tokens[0].type if len(tokens) == 1 and tokens[0] == text else None


def begin(rule: str, text: str = "") -> InteractiveParser:
    """Start a parser that is fed token by token."""
    return grammar().parse_interactive(text, start=rule)


def comments(source: Source) -> list[tuple[Span, str]]:
    """All `//` comments in order, as written. Documentation (`///`) is part of the tree instead."""
    return [(span_of(token), str(token)) for token in lex(source) if token.type == "COMMENT"]


def words(source: Source, within: Span) -> Iterator[tuple[Span, str]]:
    """Yield the words and signs of a range that begins and ends between them, comments included."""
    start, end = within
    for token in lex(Source(source.name, source.text[start:end])):
        first, last = span_of(token)
        yield Span(start + first, start + last), str(token)


def split(source: Source) -> list[Piece] | None:
    """Cut a text into declarations, or give up on one that has too many tokens."""
    pieces: list[Piece] = []
    in_docs = False
    for number, token in enumerate(lex(source)):
        if number == limits.FILE_TOKENS:
            return None
        if token.type == "COMMENT":
            continue
        if token.column == 1 and not in_docs and token.type != "RBRACE":
            if token in CONTINUATIONS and pieces:
                pieces[-1].strays.append(token)
            else:
                pieces.append(Piece([], []))
        elif not pieces:
            pieces.append(Piece([], []))
        pieces[-1].tokens.append(token)
        in_docs = token.type == "DOC" and token.column == 1
    return pieces
