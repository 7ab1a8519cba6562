"""Names with their types: `NAME: TYPE`, parse trees to syntax trees."""

from __future__ import annotations

from collections.abc import Sequence

from lark import Token, Tree

from policyd.diagnostics import Span
from policyd.language import nodes
from policyd.language.parser.literals import LiteralBuilder
from policyd.language.parser.tokens import KEYS, NAMES, span_of

_Child = Tree[Token] | Token


class TypeBuilder:
    """Builds what `_typed` of the grammar reads."""

    def __init__(self, literals: LiteralBuilder) -> None:
        self._literals = literals

    def typed(self, children: Sequence[_Child]) -> tuple[nodes.Name, nodes.TypeName]:
        """`NAME: TYPE`, also where the space after the colon was forgotten."""
        first, tail = children
        assert not isinstance(tail, Token)  # the grammar has a type here
        if not isinstance(first, Token):
            word, *rest = tail.children
            assert not isinstance(word, Token)
            span = Span(tail.meta.start_pos, tail.meta.end_pos)
            return self._literals.name(first), self._type(span, self._literals.name(word), rest)
        left, _, right = str(first).partition(":")
        start, end = span_of(first)
        middle = start + len(left)
        name = self._literals.part(left, Span(start, middle), KEYS)
        written = self._literals.part(right, Span(middle + 1, end), NAMES)
        span = Span(middle + 1, _end(tail.children[-1]) if tail.children else end)
        return name, self._type(span, written, tail.children)

    def _type(self, span: Span, name: nodes.Name, rest: Sequence[_Child]) -> nodes.TypeName:
        optional = any(isinstance(one, Token) and one.type == "OPTIONAL" for one in rest)
        for one in rest:
            if not isinstance(one, Token):
                element = self._literals.name(one)
                return nodes.TypeName(span, name.text, element.text, optional, element)
        return nodes.TypeName(span, name.text, None, optional, name)


def _end(child: _Child) -> int:
    return span_of(child).end if isinstance(child, Token) else child.meta.end_pos
