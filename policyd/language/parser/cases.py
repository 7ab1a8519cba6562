"""Parse trees of tests and fixtures to syntax trees."""

from __future__ import annotations

from lark import Token, Tree

from policyd.diagnostics import Span
from policyd.language import case_nodes, nodes
from policyd.language.parser.json_values import ValueBuilder
from policyd.language.parser.literals import LiteralBuilder
from policyd.language.parser.tokens import KEYS, span_of
from policyd.language.parser.trees import ParseTree, as_token, as_tree, extent, subtrees
from policyd.language.reporter import Reporter


class CaseBuilder:
    """Builds tests and fixtures."""

    def __init__(self, reporter: Reporter, literals: LiteralBuilder) -> None:
        self._literals = literals
        self._values = ValueBuilder(reporter, literals)

    def test(self, tree: ParseTree, docs: tuple[str, ...]) -> case_nodes.Test:
        """Build a test."""
        title = self._literals.text(as_token(tree.children[0]))
        items = tuple(self._test_item(as_tree(child)) for child in tree.children[1:])
        return case_nodes.Test(extent(tree), docs, title, items)

    def _test_item(self, tree: ParseTree) -> case_nodes.TestItem:
        span = extent(tree)
        if tree.data == "clock":
            return case_nodes.Clock(span, self._literals.text(as_token(tree.children[0])))
        if tree.data == "userinfo_block":
            return case_nodes.UserinfoBlock(span, self._pairs(subtrees(tree)))
        if tree.data == "context_block":
            return case_nodes.ContextBlock(span, self._pairs(subtrees(tree)))
        if tree.data == "token_block":
            return self._token_block(tree)
        if tree.data == "claims_block":
            return self._claims_block(tree)
        return self._expectation(tree)

    def _claims_block(self, tree: ParseTree) -> case_nodes.ClaimsBlock:
        dialect, claims = subtrees(tree)
        return case_nodes.ClaimsBlock(
            extent(tree), self._literals.name(dialect), self._values.object(claims)
        )

    def _token_block(self, tree: ParseTree) -> case_nodes.TokenBlock:
        children = subtrees(tree)
        kind = None
        if children and children[0].data == "name":
            kind = self._literals.name(children.pop(0))
        return case_nodes.TokenBlock(extent(tree), kind, self._pairs(children))

    def fixture(self, tree: ParseTree, docs: tuple[str, ...]) -> case_nodes.Fixture:
        """Build a fixture: a named token or resource."""
        name, value = subtrees(tree)
        built: case_nodes.TokenBlock | case_nodes.ClaimsBlock | case_nodes.ResourceValue
        if value.data == "token_block":
            built = self._token_block(value)
        elif value.data == "claims_block":
            built = self._claims_block(value)
        else:
            resource, *rest = value.children
            identifier, attributes = self._described(rest)
            name_of = self._literals.named(resource)
            built = case_nodes.ResourceValue(extent(value), name_of, identifier, attributes)
        return case_nodes.Fixture(extent(tree), docs, self._literals.name(name), built)

    def _described(
        self, children: list[ParseTree | Token]
    ) -> tuple[nodes.Text | None, tuple[case_nodes.Pair, ...]]:
        """Build the id and the attributes of a resource, as far as they are among the children."""
        identifier: nodes.Text | None = None
        attributes: tuple[case_nodes.Pair, ...] = ()
        for child in children:
            if isinstance(child, Token):
                identifier = self._literals.text(child)
            elif child.data == "attributes":
                attributes = self._pairs(subtrees(child))
        return identifier, attributes

    def _expectation(self, tree: ParseTree) -> case_nodes.Expectation:
        effect_tree, action, resource, *rest = tree.children
        effect = str(as_token(as_tree(effect_tree).children[0]))
        identifier, attributes = self._described(rest)
        by: tuple[nodes.Name, ...] = ()
        missing: tuple[nodes.Name, ...] = ()
        reason: nodes.Name | None = None
        for child in rest:
            if isinstance(child, Token):
                continue
            if child.data == "by":
                by = tuple(self._literals.name(name) for name in subtrees(child))
            elif child.data == "missing":
                missing = tuple(self._literals.scope_name(name) for name in subtrees(child))
            elif child.data == "reason":
                reason = self._literals.name(subtrees(child)[0])
        return case_nodes.Expectation(
            extent(tree),
            "allow" if effect == "allow" else "deny",
            self._literals.named(action),
            self._literals.named(resource),
            identifier,
            attributes,
            by,
            missing,
            reason,
        )

    def _pairs(self, trees: list[ParseTree]) -> tuple[case_nodes.Pair, ...]:
        return tuple(self._pair(tree) for tree in trees)

    def _pair(self, tree: ParseTree) -> case_nodes.Pair:
        if tree.data == "pair":
            key, value = tree.children
            stated: nodes.Literal | nodes.List | case_nodes.Object | case_nodes.Array
            if isinstance(value, Tree) and value.data in ("object", "records"):
                stated = self._values.record(value)
            else:
                stated = self._literals.value(value)
            return case_nodes.Pair(extent(tree), self._literals.name(as_tree(key)), stated)
        token = as_token(tree.children[0])  # `sealed:false`
        left, _, right = str(token).partition(":")
        start, end = span_of(token)
        middle = start + len(left)
        key_name = self._literals.part(left, Span(start, middle), KEYS)
        return case_nodes.Pair(
            Span(start, end), key_name, self._literals.bare(right, Span(middle + 1, end))
        )
