"""Parse trees of conditions to syntax trees."""

from __future__ import annotations

from typing import cast

from lark import Token, Tree

from policyd.diagnostics import Span
from policyd.language import limits, nodes
from policyd.language.parser.literals import LiteralBuilder
from policyd.language.parser.tokens import span_of
from policyd.language.reporter import Reporter

_OPERATORS: dict[str, nodes.Operator] = {
    "op_in": "in",
    "op_has_any": "has any",
    "op_has_all": "has all",
    "op_starts_with": "starts with",
    "op_ends_with": "ends with",
    "op_within_last": "within last",
    "op_within_next": "within next",
}


class ConditionBuilder:
    """Builds conditions. Depth is bounded before Python's stack is."""

    def __init__(self, reporter: Reporter, literals: LiteralBuilder) -> None:
        self._reporter = reporter
        self._literals = literals

    def build(self, tree: Tree[Token], depth: int = 0) -> nodes.Condition:
        """Build a condition, of which `depth` others are around it."""
        span = Span(tree.meta.start_pos, tree.meta.end_pos)
        if depth >= limits.NESTING and tree.data in ("chain", "not"):
            return self._too_deep(span)
        kind = tree.data
        if kind == "chain":
            return self._chain(tree, span, depth)
        if kind == "not":
            return nodes.Not(span, self.build(cast(Tree[Token], tree.children[0]), depth + 1))
        children = cast(list[Tree[Token]], tree.children)
        if kind == "has_scope":
            return nodes.HasScope(span, self._literals.scope_name(children[0]))
        if kind == "subject_is":
            return nodes.SubjectIs(span, self._literals.name(children[0]))
        if kind == "truth":
            return nodes.BareReference(span, self._reference(children[0]))
        if kind == "is":
            reference, state = children
            return nodes.Is(span, self._reference(reference), self._literals.name(state))
        if kind == "has_some":
            operand, condition = children
            if depth >= limits.NESTING:
                return self._too_deep(span)
            return nodes.HasSome(span, self._operand(operand), self.build(condition, depth + 1))
        return self._compare(children, span)

    def _too_deep(self, span: Span) -> nodes.Condition:
        self._reporter.error(
            "P0014",
            f"a condition nests deeper than {limits.NESTING} levels",
            span,
            help="give its parts names with `define`",
        )
        return nodes.Always(span)

    def _chain(self, tree: Tree[Token], span: Span, depth: int) -> nodes.Condition:
        connectives = [child for child in tree.children if isinstance(child, Token)]
        operands = [child for child in tree.children if not isinstance(child, Token)]
        built = tuple(self.build(operand, depth + 1) for operand in operands)
        if len(built) > limits.OPERANDS:
            self._reporter.error(
                "P0015",
                f"a condition joins more than {limits.OPERANDS:,} operands",
                span,
                help="a list may say the same: `… in [a, b, c]`",
            )
        first = connectives[0]
        other = next((token for token in connectives if token.type != first.type), None)
        if other is not None:
            self._reporter.error(
                "P0013",
                "`and` and `or` are mixed without parentheses",
                span_of(other),
                label=f"`{other}` here",
                secondary=(self._reporter.label(span_of(first), f"`{first}` here"),),
                help="put parentheses around the part that belongs together",
            )
        return nodes.And(span, built) if first.type == "AND" else nodes.Or(span, built)

    def _compare(self, children: list[Tree[Token]], span: Span) -> nodes.Compare:
        left, operator, right = children
        if operator.data == "operator":
            token = cast(Token, operator.children[0])
            text = cast(nodes.Operator, str(token))
            operator_span = span_of(token)
        else:
            text = _OPERATORS[operator.data]
            operator_span = self._between(left, right)
        return nodes.Compare(span, text, operator_span, self._operand(left), self._operand(right))

    def _between(self, left: Tree[Token] | Token, right: Tree[Token] | Token) -> Span:
        """The place of an operator made of words: what stands between the operands."""
        start = left.end_pos if isinstance(left, Token) else left.meta.end_pos
        end = right.start_pos if isinstance(right, Token) else right.meta.start_pos
        assert start is not None  # the lexer sets both on what it reads
        assert end is not None
        text = self._reporter.source.text[start:end]
        return Span(start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip()))

    def _operand(self, child: Tree[Token] | Token) -> nodes.Operand:
        if isinstance(child, Token):
            return self._literals.literal(child)
        if child.data == "list":
            return self._literals.list(child)
        return self._reference(child)

    def _reference(self, tree: Tree[Token]) -> nodes.Reference:
        name = self._literals.name(tree)
        return nodes.Reference(name.span, name.text)
