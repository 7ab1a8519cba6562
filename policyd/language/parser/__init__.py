"""A policy file's text to its syntax tree: the only package that uses Lark.

Input is a `Source`; output are the tree and all findings about the text. A declaration that does
not parse is left out of the tree. Its words are kept, so that later stages do not report names that
it may have declared.
"""

from __future__ import annotations

import re
from typing import cast

import msgspec
from lark import Token, UnexpectedToken
from lark.exceptions import UnexpectedInput

from policyd.diagnostics import Diagnostic, Label, Source, Span
from policyd.language import case_nodes, limits, nodes
from policyd.language.findings import Findings
from policyd.language.parser import messages
from policyd.language.parser.builder import Builder
from policyd.language.parser.tokens import (
    SECTIONS,
    UNPARSED,
    Piece,
    begin,
    span_of,
    split,
)
from policyd.language.parser.tokens import comments as comments
from policyd.language.parser.tokens import words as words
from policyd.language.text import check_text

TEST_SUFFIX = "_test.policy"
#: What begins a declaration of a policy, where one can begin: in the first column.
_OF_POLICIES = re.compile(
    rf"^(?:{'|'.join(sorted({*SECTIONS} - {'api', 'define', 'test'}))})(?=[ \t])", re.MULTILINE
)


class Parsed(msgspec.Struct, frozen=True):
    """`file` is `None` when the text has no `api` line or is unfit to be read at all.

    `broken_words` are the words of declarations that did not parse.
    """

    file: nodes.File | None
    diagnostics: tuple[Diagnostic, ...]
    broken_words: frozenset[str] = frozenset()


def parse(source: Source) -> Parsed:
    """Parse one file. Raises nothing, whatever the text is."""
    unfit = check_text(source)
    if unfit:
        return Parsed(None, unfit)
    return _FileParser(source).parse()


def misplaced(source: Source) -> Diagnostic | None:
    """Find the first declaration in a test file that belongs into a policy, without parsing it.

    For loaders that skip test files: they warn, where `policyd test` reports an error (P0018).
    """
    match = _OF_POLICIES.search(source.text)
    return None if match is None else messages.passed_over(source, Span(*match.span()))


class _FileParser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._found = Findings()
        self._broken: set[str] = set()
        self._builder = Builder(source, self._found.add)

    def parse(self) -> Parsed:
        pieces = split(self._source)
        if pieces is None:
            self._found.add(messages.too_many_tokens(self._source))
            return Parsed(None, self._found.sorted())
        head = self._head(pieces)
        is_test_file = self._source.name.endswith(TEST_SUFFIX)
        declarations = []
        for piece in pieces:
            if self._found.full(self._source.name):
                break
            if head is None:
                self._remember(piece)
            declaration = self._declaration(piece)
            if declaration is None:
                continue
            if isinstance(declaration, case_nodes.Test | case_nodes.Fixture) != is_test_file:
                self._found.add(messages.wrong_file(self._source, piece.first, is_test_file))
                continue
            declarations.append(declaration)
        file = None
        if head is not None:
            docs, name = head
            file = nodes.File(self._source, docs, name, tuple(declarations))
        return Parsed(file, self._found.sorted(), frozenset(self._broken))

    def _head(self, pieces: list[Piece]) -> tuple[tuple[str, ...], nodes.Name] | None:
        """Take the `api` line off the pieces."""
        first = pieces[0].first if pieces else None
        if first is None or first != "api":
            at = Span(0, 0) if first is None else span_of(first)
            self._found.add(
                Diagnostic(
                    "P0010",
                    "a file begins with the API that it belongs to",
                    Label(self._source, at, "expected `api`"),
                    help="write `api NAME` before all declarations",
                )
            )
            return None
        tree = self._feed(pieces.pop(0), "head")
        return None if tree is None else self._builder.head(tree)

    def _declaration(self, piece: Piece) -> nodes.Declaration | None:
        first = piece.first
        if first is None:
            self._found.add(messages.lonely_documentation(self._source, piece.tokens[-1]))
            return None
        if (first not in SECTIONS or first == "api") and first.type not in UNPARSED:
            self._found.add(messages.unknown_section(self._source, first))
            self._remember(piece)
            return None
        tree = self._feed(piece, "declaration")
        return None if tree is None else self._builder.declaration(tree)

    def _feed(self, piece: Piece, rule: str) -> messages.ParseTree | None:
        """Parse one piece, or report the first thing that is wrong with it."""
        for stray in piece.strays:
            self._found.add(messages.stray(self._source, stray))
        unparsed = messages.unparsed(self._source, piece.tokens)
        if len(piece.tokens) > limits.DECLARATION_TOKENS:
            unparsed = [messages.too_long(self._source, piece.tokens[0])]
        if unparsed:
            for finding in unparsed:
                self._found.add(finding)
            self._remember(piece)
            return None
        parser = begin(rule)
        token: Token | None = None
        previous: Token | None = None
        try:
            for token in piece.tokens:
                parser.feed_token(token)
                previous = token
            token = None
            return cast(messages.ParseTree, parser.feed_eof(previous))
        except UnexpectedToken as error:
            at = None if error.token.type == "$END" else token
            self._found.add(
                messages.unexpected(self._source, piece, at, previous, parser.accepts())
            )
        except UnexpectedInput as error:  # nothing else is raised for tokens that were lexed
            raise AssertionError(f"the parser met an unknown token: {error}") from error
        self._remember(piece)
        return None

    def _remember(self, piece: Piece) -> None:
        for token in piece.tokens:
            if token.type != "DOC":
                self._broken.update(str(token).split(":"), (str(token), str(token).strip('"')))
