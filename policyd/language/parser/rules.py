"""Parse trees of rules to syntax trees.

An allow that grants more than its author may have meant is reported here: one without a condition,
for any action, or on any resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lark import Token

from policyd.diagnostics import Span
from policyd.diagnostics.visibility import cite
from policyd.language import nodes
from policyd.language.parser.conditions import ConditionBuilder
from policyd.language.parser.literals import LiteralBuilder
from policyd.language.parser.tokens import NAMES, span_of
from policyd.language.parser.trees import ParseTree, as_token, as_tree, extent, subtrees
from policyd.language.reporter import Reporter
from policyd.language.text import first_hidden

R = TypeVar("R", bound=nodes.Rule)


class RuleBuilder:
    """Builds rules, and promises."""

    def __init__(
        self, reporter: Reporter, literals: LiteralBuilder, conditions: ConditionBuilder
    ) -> None:
        self._reporter = reporter
        self._literals = literals
        self._conditions = conditions

    def build(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Rule:
        """Build a rule."""
        effect_tree, *children = tree.children
        effect = str(as_token(as_tree(effect_tree).children[0]))
        rule = self._built(nodes.Rule, effect, tree, children, docs)
        self._check(rule)
        return rule

    def proof(self, tree: ParseTree, docs: tuple[str, ...]) -> nodes.Proof:
        """Build a promise, which has the form of a deny."""
        return self._built(nodes.Proof, "deny", tree, tree.children, docs)

    def _built(
        self,
        kind: type[R],
        effect: str,
        tree: ParseTree,
        children: Sequence[ParseTree | Token],
        docs: tuple[str, ...],
    ) -> R:
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
                unless = self._conditions.build(subtrees(child)[0])
            else:
                because = self._message(as_token(child.children[0]))
        label, *actions = names
        any_action = next((one for one in actions if one.text == "any" and not one.quoted), None)
        if any_action is not None:  # `deny sealed:any on …`
            any_span = any_action.span
            if len(actions) > 1:
                self._reporter.error("P0008", "write `any` alone: it means all actions", any_span)
        return kind(
            extent(tree), docs, "allow" if effect == "allow" else "deny", label,
            None if any_span else tuple(actions), any_span,
            None if any_resource_span else resources, any_resource_span,
            when, unless, because,
        )  # fmt: skip

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

    def _check(self, rule: nodes.Rule) -> None:
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
