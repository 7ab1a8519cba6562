"""Parse trees to syntax trees.

The grammar accepts slightly more than the language, so that this module can report frequent
mistakes with a message that says what to do. A mistake is reported once, and the node is built
anyway if possible, so that later stages find other mistakes.
"""

from __future__ import annotations

from collections.abc import Callable

from lark import Token, Tree

from policyd.diagnostics import Source
from policyd.language import case_nodes, limits, nodes
from policyd.language.parser.cases import CaseBuilder
from policyd.language.parser.conditions import ConditionBuilder
from policyd.language.parser.literals import LiteralBuilder
from policyd.language.parser.rules import RuleBuilder
from policyd.language.parser.tokens import span_of
from policyd.language.parser.trees import ParseTree, as_token, as_tree, docs_of, extent, subtrees
from policyd.language.parser.types import TypeBuilder
from policyd.language.reporter import Report, Reporter

#: What may stand in parentheses after an attribute.
_OPTIONS = frozenset({"from", "for"})
_SECTION_BUILDERS: dict[str, Callable[[Builder, ParseTree, tuple[str, ...]], nodes.Declaration]]


class Builder:
    """Builds the nodes of one file. `report` takes what is found on the way."""

    def __init__(self, source: Source, report: Report) -> None:
        self._reporter = Reporter(source, report)
        self._literals = LiteralBuilder(self._reporter)
        self._conditions = ConditionBuilder(self._reporter, self._literals)
        self._rules = RuleBuilder(self._reporter, self._literals, self._conditions)
        self._cases = CaseBuilder(self._reporter, self._literals)
        self._types = TypeBuilder(self._literals)

    def head(self, tree: ParseTree) -> tuple[tuple[str, ...], nodes.Name]:
        """Build the documentation and the name of the `api` line."""
        docs, name = subtrees(tree)
        return docs_of(docs), self._literals.name(name)

    def declaration(self, tree: ParseTree) -> nodes.Declaration:
        """Build one declaration."""
        docs, section = subtrees(tree)
        return _SECTION_BUILDERS[section.data](self, section, docs_of(docs))

    # -- sections --------------------------------------------------------------------------

    def _audience(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Audience:
        return nodes.Audience(extent(tree), docs, self._literals.text(as_token(tree.children[0])))

    def _scope(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Scope:
        first, *rest = tree.children
        name = self._literals.scope_name(as_tree(first))
        description = None
        includes: tuple[nodes.Name, ...] = ()
        for child in rest:
            if isinstance(child, Token):
                description = self._literals.text(child)
            else:
                includes = tuple(self._literals.scope_name(one) for one in subtrees(child))
        if description is None or not description.value.strip():
            self._reporter.error(
                "P0023",
                f"scope `{name.text}` has no description",
                name.span,
                help='say in quotes what it lets an application do: `scope read:patients "…"`',
            )
        return nodes.Scope(extent(tree), docs, name, description, includes)

    def _vocabulary(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Values:
        name, *values = tree.children
        if len(values) > limits.VALUES:
            self._reporter.error(
                "P0015",
                f"a vocabulary has more than {limits.VALUES:,} values",
                span_of(as_token(values[limits.VALUES])),
                help="a set that grows is data: let callers pass it as an attribute",
            )
        texts = tuple(self._literals.text(value) for value in values[: limits.VALUES])
        return nodes.Values(extent(tree), docs, self._literals.name(as_tree(name)), texts)

    def _claim(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Claim:
        return nodes.Claim(extent(tree), docs, *self._located(tree))

    def _userinfo(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Userinfo:
        return nodes.Userinfo(extent(tree), docs, *self._located(tree))

    def _located(
        self, tree: ParseTree
    ) -> tuple[
        nodes.Name, nodes.TypeName, nodes.Text | None, nodes.Text | None, nodes.Record | None
    ]:
        """`NAME: TYPE from "PATH" of "ISSUER" { … }`"""
        children = list(tree.children)
        record = self._record(children)
        issuer = None
        if not isinstance(children[-1], Token) and children[-1].data == "of":
            issuer = self._literals.text(as_tree(children.pop()).children[0])
        path = self._literals.text(children.pop()) if isinstance(children[-1], Token) else None
        return *self._types.typed(children), path, issuer, record

    def _context(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Context:
        fields = tuple(self._field(child) for child in subtrees(tree))
        return nodes.Context(extent(tree), docs, fields)

    def _resource(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Resource:
        first, *children = tree.children
        name = self._literals.named(first)
        actions: tuple[nodes.Name, ...] = ()
        actions_docs: tuple[str, ...] = ()
        if children and as_tree(children[-1]).data == "actions":
            docs_of_actions, *listed = as_tree(children.pop()).children
            actions_docs = docs_of(as_tree(docs_of_actions))
            actions = tuple(self._literals.named(child) for child in listed)
        else:
            self._reporter.error(
                "P0025",
                f"resource `{name.text}` has no actions",
                name.span,
                help="end its block with `actions`, for example `actions read, update`",
            )
        fields = tuple(self._field(as_tree(child)) for child in children)
        return nodes.Resource(extent(tree), docs, name, fields, actions, actions_docs)

    def _field(self, tree: ParseTree) -> nodes.Field:
        docs, *typed = tree.children
        record = self._record(typed)
        options: list[ParseTree] = []
        while isinstance(typed[-1], Tree) and typed[-1].data in _OPTIONS:
            options.insert(0, typed.pop())  # type: ignore[arg-type]  # a tree, as was just seen
        name, type_ = self._types.typed(typed)
        found: dict[str, ParseTree] = {}
        for option in options:
            if found.setdefault(option.data, option) is not option:
                self._reporter.error("P0008", f"`{option.data}` is given twice", extent(option))
            elif option.data == "from" and "for" in found:
                self._reporter.error(
                    "P0008",
                    "`from` stands before `for`",
                    extent(option),
                    help='write `(from "PATH", for ACTION …)`',
                )
        origin = found.get("from")
        path = self._literals.text(origin.children[0]) if origin and origin.children else None
        from_key = origin is not None and path is None
        actions = tuple(map(self._literals.named, found["for"].children)) if "for" in found else ()
        return nodes.Field(
            extent(tree), docs_of(as_tree(docs)), name, type_, path, from_key, record, actions
        )

    def _record(self, children: list[ParseTree | Token]) -> nodes.Record | None:
        """Take what a list's elements have off the children of a declaration."""
        last = children[-1]
        if isinstance(last, Token) or last.data != "record":
            return None
        children.pop()
        return nodes.Record(extent(last), tuple(self._field(child) for child in subtrees(last)))

    def _define(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Define:
        name, condition = subtrees(tree)
        return nodes.Define(
            extent(tree), docs, self._literals.name(name), self._conditions.build(condition)
        )

    def _rule(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Rule:
        return self._rules.build(tree, docs)

    def _proof(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Proof:
        return self._rules.proof(tree, docs)

    def _route(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Route:
        method, template, action, resource = tree.children
        word = as_token(method)
        return nodes.Route(
            extent(tree),
            docs,
            self._literals.checked_name(str(word), span_of(word)),
            self._literals.text(as_token(template)),
            self._literals.named(action),
            self._literals.named(resource),
        )

    def _test(self, tree: ParseTree, docs: tuple[str, ...]) -> case_nodes.Test:
        return self._cases.test(tree, docs)

    def _fixture(self, tree: ParseTree, docs: tuple[str, ...]) -> case_nodes.Fixture:
        return self._cases.fixture(tree, docs)


_SECTION_BUILDERS = {
    "audience": Builder._audience,
    "scope": Builder._scope,
    "values": Builder._vocabulary,
    "claim": Builder._claim,
    "userinfo": Builder._userinfo,
    "context": Builder._context,
    "resource": Builder._resource,
    "define": Builder._define,
    "rule": Builder._rule,
    "rule_glued": Builder._rule,
    "route": Builder._route,
    "proof": Builder._proof,
    "test": Builder._test,
    "fixture": Builder._fixture,
}
