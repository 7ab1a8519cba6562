"""Parse trees to syntax trees.

The grammar accepts slightly more than the language, so that this module can report frequent
mistakes with a message that says what to do. A mistake is reported once, and the node is built
anyway if possible, so that later stages find other mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from lark import Token, Tree

from policyd.diagnostics import Source, Span
from policyd.diagnostics.visibility import cite
from policyd.language import limits, nodes
from policyd.language.parser.conditions import ConditionBuilder
from policyd.language.parser.json_values import ValueBuilder
from policyd.language.parser.literals import LiteralBuilder
from policyd.language.parser.tokens import KEYS, NAMES, span_of
from policyd.language.parser.types import TypeBuilder
from policyd.language.reporter import Report, Reporter
from policyd.language.text import first_hidden

ParseTree = Tree[Token]
#: What may stand in parentheses after an attribute.
_OPTIONS = frozenset({"from", "for"})
_SECTION_BUILDERS: dict[str, Callable[[Builder, ParseTree, tuple[str, ...]], nodes.Declaration]]


class Builder:
    """Builds the nodes of one file. `report` takes what is found on the way."""

    def __init__(self, source: Source, report: Report) -> None:
        self._reporter = Reporter(source, report)
        self._literals = LiteralBuilder(self._reporter)
        self._values = ValueBuilder(self._reporter, self._literals)
        self._conditions = ConditionBuilder(self._reporter, self._literals)
        self._types = TypeBuilder(self._literals)

    def head(self, tree: ParseTree) -> tuple[tuple[str, ...], nodes.Name]:
        """Build the documentation and the name of the `api` line."""
        docs, name = _trees(tree)
        return _docs(docs), self._literals.name(name)

    def declaration(self, tree: ParseTree) -> nodes.Declaration:
        """Build one declaration."""
        docs, section = _trees(tree)
        return _SECTION_BUILDERS[section.data](self, section, _docs(docs))

    # -- sections --------------------------------------------------------------------------

    def _audience(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Audience:
        return nodes.Audience(_span(tree), docs, self._literals.text(_token(tree.children[0])))

    def _scope(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Scope:
        first, *rest = tree.children
        name = self._literals.scope_name(_tree(first))
        description = None
        includes: tuple[nodes.Name, ...] = ()
        for child in rest:
            if isinstance(child, Token):
                description = self._literals.text(child)
            else:
                includes = tuple(self._literals.scope_name(one) for one in _trees(child))
        if description is None or not description.value.strip():
            self._reporter.error(
                "P0023",
                f"scope `{name.text}` has no description",
                name.span,
                help='say in quotes what it lets an application do: `scope read:patients "…"`',
            )
        return nodes.Scope(_span(tree), docs, name, description, includes)

    def _vocabulary(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Values:
        name, *values = tree.children
        if len(values) > limits.VALUES:
            self._reporter.error(
                "P0015",
                f"a vocabulary has more than {limits.VALUES:,} values",
                span_of(_token(values[limits.VALUES])),
                help="a set that grows is data: let callers pass it as an attribute",
            )
        texts = tuple(self._literals.text(value) for value in values[: limits.VALUES])
        return nodes.Values(_span(tree), docs, self._literals.name(_tree(name)), texts)

    def _claim(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Claim:
        return nodes.Claim(_span(tree), docs, *self._located(tree))

    def _userinfo(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Userinfo:
        return nodes.Userinfo(_span(tree), docs, *self._located(tree))

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
            issuer = self._literals.text(_tree(children.pop()).children[0])
        path = self._literals.text(children.pop()) if isinstance(children[-1], Token) else None
        return *self._types.typed(children), path, issuer, record

    def _context(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Context:
        fields = tuple(self._field(child) for child in _trees(tree))
        return nodes.Context(_span(tree), docs, fields)

    def _resource(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Resource:
        first, *children = tree.children
        name = self._literals.named(first)
        actions: tuple[nodes.Name, ...] = ()
        actions_docs: tuple[str, ...] = ()
        if children and _tree(children[-1]).data == "actions":
            docs_of_actions, *listed = _tree(children.pop()).children
            actions_docs = _docs(_tree(docs_of_actions))
            actions = tuple(self._literals.named(child) for child in listed)
        else:
            self._reporter.error(
                "P0025",
                f"resource `{name.text}` has no actions",
                name.span,
                help="end its block with `actions`, for example `actions read, update`",
            )
        fields = tuple(self._field(_tree(child)) for child in children)
        return nodes.Resource(_span(tree), docs, name, fields, actions, actions_docs)

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
                self._reporter.error("P0008", f"`{option.data}` stands twice", _span(option))
            elif option.data == "from" and "for" in found:
                self._reporter.error(
                    "P0008",
                    "`from` stands before `for`",
                    _span(option),
                    help='write `(from "PATH", for ACTION …)`',
                )
        origin = found.get("from")
        path = self._literals.text(origin.children[0]) if origin and origin.children else None
        from_key = origin is not None and path is None
        actions = tuple(map(self._literals.named, found["for"].children)) if "for" in found else ()
        return nodes.Field(
            _span(tree), _docs(_tree(docs)), name, type_, path, from_key, record, actions
        )

    def _record(self, children: list[ParseTree | Token]) -> nodes.Record | None:
        """Take what a list's elements have off the children of a declaration."""
        last = children[-1]
        if isinstance(last, Token) or last.data != "record":
            return None
        children.pop()
        return nodes.Record(_span(last), tuple(self._field(child) for child in _trees(last)))

    def _define(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Define:
        name, condition = _trees(tree)
        return nodes.Define(
            _span(tree), docs, self._literals.name(name), self._conditions.build(condition)
        )

    def _rule(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Rule:
        effect_tree, *children = tree.children
        effect = "allow" if str(_token(_tree(effect_tree).children[0])) == "allow" else "deny"
        names: list[nodes.Name] = []
        any_span: Span | None = None
        any_resource_span: Span | None = None
        resources: tuple[nodes.Name, ...] = ()
        when: nodes.Condition | None = None
        unless: nodes.Condition | None = None
        because: nodes.Text | None = None
        for child in children:
            if isinstance(child, Token):
                if child.type == "SCOPED":  # `allow reads:read on …`
                    names.extend(self._unglue(child))
                elif child.type == "STRING":
                    names.append(self._literals.named(child))
                else:
                    any_span = span_of(child)
            elif child.data == "name":
                names.append(self._literals.name(child))
            elif child.data == "on":
                listed = child.children
                if isinstance(listed[0], Token) and listed[0].type == "ANY":
                    any_resource_span = span_of(listed[0])
                else:
                    resources = tuple(map(self._literals.named, listed))
            elif child.data == "when":
                when = self._when(child)
            elif child.data == "unless":
                unless = self._conditions.build(_trees(child)[0])
            else:
                because = self._message(_token(child.children[0]))
        label, *actions = names
        any_action = next((one for one in actions if one.text == "any" and not one.quoted), None)
        if any_action is not None:  # `deny sealed:any on …`
            any_span = any_action.span
            if len(actions) > 1:
                self._reporter.error("P0008", "`any` stands for all actions, alone", any_span)
        rule = nodes.Rule(
            _span(tree), docs, "allow" if effect == "allow" else "deny", label,
            None if any_span else tuple(actions), any_span,
            None if any_resource_span else resources, any_resource_span,
            when, unless, because,
        )  # fmt: skip
        self._check_rule(rule)
        return rule

    def _message(self, token: Token) -> nodes.Text:
        """A text that is shown to callers: what a policy may not hide, an escape may not either."""
        text = self._literals.text(token)
        hidden = first_hidden(text.value)
        if hidden is not None:
            self._reporter.error(
                "P0002",
                f"the character {cite(hidden)} is not allowed in a message",
                text.span,
                help="remove the escape: the message is shown to people",
            )
        return text

    def _when(self, tree: ParseTree) -> nodes.Condition:
        child = tree.children[0]
        if isinstance(child, Token):
            return nodes.Always(span_of(child))
        return self._conditions.build(child)

    def _check_rule(self, rule: nodes.Rule) -> None:
        if rule.effect == "deny":
            return
        if rule.when is None:
            self._reporter.error(
                "P0020",
                f"rule `{rule.name.text}` allows without `when`",
                rule.name.span,
                help="add a condition; `when true` grants to every valid token of the API",
            )
        if rule.any_span is not None:
            self._reporter.error(
                "P0022",
                f"rule `{rule.name.text}` allows any action",
                rule.any_span,
                help="list the actions: `any` would also grant those that are added later",
            )
        if rule.any_resource_span is not None:
            self._reporter.error(
                "P0029",
                f"rule `{rule.name.text}` allows on any resource",
                rule.any_resource_span,
                help="list the resources: `any` would also grant on those that are added later",
            )
        if rule.because is not None:
            self._reporter.error(
                "P0021",
                f"rule `{rule.name.text}` allows, and `because` explains a deny",
                rule.because.span,
                help="say it in a `///` comment above the rule",
            )

    def _unglue(self, token: Token) -> list[nodes.Name]:
        """Split `reads:read` into the two names that it was meant to be."""
        span = span_of(token)
        names = []
        start = span.start
        for part in str(token).split(":"):
            names.append(self._literals.part(part, Span(start, start + len(part)), NAMES | {"ANY"}))
            start += len(part) + 1
        if len(names) > 2:
            self._reporter.error(
                "P0008", f"unexpected `:` in `{token}`", span, label="a rule has one colon"
            )
            return names[:1]
        return names

    def _route(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Route:
        method, template, action, resource = tree.children
        word = _token(method)
        return nodes.Route(
            _span(tree),
            docs,
            self._literals.checked_name(str(word), span_of(word)),
            self._literals.text(_token(template)),
            self._literals.named(action),
            self._literals.named(resource),
        )

    def _reserved(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Reserved:
        word = _token(tree.children[0])
        self._reporter.error(
            "P0017",
            f"`{word}` is reserved and not supported by this version",
            span_of(word),
            label="will hold a property to be proven of all rules",
            help="remove the declaration",
        )
        return nodes.Reserved(_span(tree), docs, nodes.Name(span_of(word), str(word)))

    # -- tests -----------------------------------------------------------------------------

    def _test(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Test:
        title = self._literals.text(_token(tree.children[0]))
        items = tuple(self._test_item(_tree(child)) for child in tree.children[1:])
        return nodes.Test(_span(tree), docs, title, items)

    def _test_item(self, tree: ParseTree) -> nodes.TestItem:
        span = _span(tree)
        if tree.data == "clock":
            return nodes.Clock(span, self._literals.text(_token(tree.children[0])))
        if tree.data == "userinfo_block":
            return nodes.UserinfoBlock(span, self._pairs(_trees(tree)))
        if tree.data == "context_block":
            return nodes.ContextBlock(span, self._pairs(_trees(tree)))
        if tree.data == "token_block":
            return self._token_block(tree)
        if tree.data == "claims_block":
            return self._claims_block(tree)
        return self._expectation(tree)

    def _claims_block(self, tree: ParseTree) -> nodes.ClaimsBlock:
        dialect, claims = _trees(tree)
        return nodes.ClaimsBlock(
            _span(tree), self._literals.name(dialect), self._values.object(claims)
        )

    def _token_block(self, tree: ParseTree) -> nodes.TokenBlock:
        children = _trees(tree)
        kind = None
        if children and children[0].data == "name":
            kind = self._literals.name(children.pop(0))
        return nodes.TokenBlock(_span(tree), kind, self._pairs(children))

    def _fixture(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Fixture:
        name, value = _trees(tree)
        built: nodes.TokenBlock | nodes.ClaimsBlock | nodes.ResourceValue
        if value.data == "token_block":
            built = self._token_block(value)
        elif value.data == "claims_block":
            built = self._claims_block(value)
        else:
            resource, *rest = value.children
            identifier, attributes = self._described(rest)
            name_of = self._literals.named(resource)
            built = nodes.ResourceValue(_span(value), name_of, identifier, attributes)
        return nodes.Fixture(_span(tree), docs, self._literals.name(name), built)

    def _described(
        self, children: list[ParseTree | Token]
    ) -> tuple[nodes.Text | None, tuple[nodes.Pair, ...]]:
        """Build the id and the attributes of a resource, as far as they are among the children."""
        identifier: nodes.Text | None = None
        attributes: tuple[nodes.Pair, ...] = ()
        for child in children:
            if isinstance(child, Token):
                identifier = self._literals.text(child)
            elif child.data == "attributes":
                attributes = self._pairs(_trees(child))
        return identifier, attributes

    def _expectation(self, tree: ParseTree) -> nodes.Expectation:
        effect_tree, action, resource, *rest = tree.children
        effect = str(_token(_tree(effect_tree).children[0]))
        identifier, attributes = self._described(rest)
        by: tuple[nodes.Name, ...] = ()
        missing: tuple[nodes.Name, ...] = ()
        reason: nodes.Name | None = None
        for child in rest:
            if isinstance(child, Token):
                continue
            if child.data == "by":
                by = tuple(self._literals.name(name) for name in _trees(child))
            elif child.data == "missing":
                missing = tuple(self._literals.scope_name(name) for name in _trees(child))
            elif child.data == "reason":
                reason = self._literals.name(_trees(child)[0])
        return nodes.Expectation(
            _span(tree),
            "allow" if effect == "allow" else "deny",
            self._literals.named(action),
            self._literals.named(resource),
            identifier,
            attributes,
            by,
            missing,
            reason,
        )

    def _pairs(self, trees: list[ParseTree]) -> tuple[nodes.Pair, ...]:
        return tuple(self._pair(tree) for tree in trees)

    def _pair(self, tree: ParseTree) -> nodes.Pair:
        if tree.data == "pair":
            key, value = tree.children
            stated: nodes.Literal | nodes.List | nodes.Object | nodes.Array
            if isinstance(value, Tree) and value.data in ("object", "records"):
                stated = self._values.record(value)
            else:
                stated = self._literals.value(value)
            return nodes.Pair(_span(tree), self._literals.name(_tree(key)), stated)
        token = _token(tree.children[0])  # `sealed:false`
        left, _, right = str(token).partition(":")
        start, end = span_of(token)
        middle = start + len(left)
        key_name = self._literals.part(left, Span(start, middle), KEYS)
        return nodes.Pair(
            Span(start, end), key_name, self._literals.bare(right, Span(middle + 1, end))
        )


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
    "reserved": Builder._reserved,
    "test": Builder._test,
    "fixture": Builder._fixture,
}


def _docs(tree: ParseTree) -> tuple[str, ...]:
    """The lines of documentation, each without its slashes and the one space after them."""
    return tuple(re.sub(r"^/// ?|\s+$", "", str(line)) for line in tree.children)


def _span(tree: ParseTree) -> Span:
    return Span(tree.meta.start_pos, tree.meta.end_pos)


def _tree(child: ParseTree | Token) -> ParseTree:
    return cast(ParseTree, child)


def _token(child: ParseTree | Token) -> Token:
    return cast(Token, child)


def _trees(tree: ParseTree) -> list[ParseTree]:
    return cast(list[ParseTree], list(tree.children))
