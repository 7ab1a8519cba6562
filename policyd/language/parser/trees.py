"""What lark types loosely: the parts of a parse tree, as what the grammar says they are."""

from __future__ import annotations

import re
from typing import cast

from lark import Token, Tree

from policyd.diagnostics import Span

ParseTree = Tree[Token]


def docs_of(tree: ParseTree) -> tuple[str, ...]:
    """The lines of documentation, each without its slashes and the one space after them."""
    return tuple(re.sub(r"^/// ?|\s+$", "", str(line)) for line in tree.children)


def extent(tree: ParseTree) -> Span:
    return Span(tree.meta.start_pos, tree.meta.end_pos)


def as_tree(child: ParseTree | Token) -> ParseTree:
    return cast(ParseTree, child)


def as_token(child: ParseTree | Token) -> Token:
    return cast(Token, child)


def subtrees(tree: ParseTree) -> list[ParseTree]:
    return cast(list[ParseTree], list(tree.children))
