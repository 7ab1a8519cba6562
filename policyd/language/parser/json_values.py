"""Claims as JSON: trees to syntax trees."""

from __future__ import annotations

from lark import Token, Tree

from policyd.diagnostics import Span
from policyd.language import case_nodes, limits, nodes
from policyd.language.parser.literals import LiteralBuilder
from policyd.language.reporter import Reporter


class ValueBuilder:
    """Builds JSON values, no deeper than conditions may be: nothing recurses without end."""

    def __init__(self, reporter: Reporter, literals: LiteralBuilder) -> None:
        self._reporter = reporter
        self._literals = literals

    def object(self, tree: Tree[Token], depth: int = 0) -> case_nodes.Object:
        """Build an object, without what is nested too deep in it."""
        members = []
        for child in self._children(tree, depth):
            assert isinstance(child, Tree)  # by the grammar
            key, value = child.children
            name = self._key(key)
            members.append(case_nodes.Member(_span(child), name, self._value(value, depth)))
        return case_nodes.Object(_span(tree), tuple(members))

    def record(self, tree: Tree[Token]) -> case_nodes.Object | case_nodes.Array:
        """Build a list of records: an array of objects, or an object of them."""
        if tree.data == "object":
            return self.object(tree)
        items = (self._value(child, 1) for child in self._children(tree, 0))
        return case_nodes.Array(_span(tree), tuple(items))

    def _key(self, key: Tree[Token] | Token) -> nodes.Name | nodes.Text:
        return self._literals.text(key) if isinstance(key, Token) else self._literals.name(key)

    def _value(self, value: Tree[Token] | Token, depth: int) -> case_nodes.JsonNode:
        if isinstance(value, Token):
            return self._literals.literal(value)
        if value.data == "object":
            return self.object(value, depth + 1)
        items = (self._value(child, depth + 1) for child in self._children(value, depth + 1))
        return case_nodes.Array(_span(value), tuple(items))

    def _children(self, tree: Tree[Token], depth: int) -> list[Tree[Token] | Token]:
        if depth < limits.NESTING:
            return list(tree.children)
        headline = f"a claim nests deeper than {limits.NESTING} levels"
        self._reporter.error("P0014", headline, _span(tree))
        return []


def _span(tree: Tree[Token]) -> Span:
    return Span(tree.meta.start_pos, tree.meta.end_pos)
