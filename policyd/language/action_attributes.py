"""Attributes that only some actions of their resource have: `reason: string (for cancel refund)`.

A request for one of these actions has the attribute, and any other has not, whatever its caller
passes. So what reads it for another action could only ever find it missing, and is an error: a
deny would hold always, an allow never.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from policyd.diagnostics import Diagnostic, Label, Source, Span
from policyd.language import nodes, policy, walks
from policyd.language.reporter import Report
from policyd.language.symbols import Symbols
from policyd.language.types import Fact


def actions_of(
    field: nodes.Field, owner: nodes.Resource, symbols: Symbols, source: Source, report: Report
) -> tuple[str, ...]:
    """Return the actions that an attribute of `owner` is declared for, sorted; none for all.

    One that names an unknown action counts as for all: what reads it is not reported as well.
    """
    declared = tuple(dict.fromkeys(action.text for action in owner.actions))
    found: set[str] = set()
    for action in field.actions:
        label = Label(source, action.span)
        if action.text in found:
            report(
                Diagnostic(
                    "P1024",
                    f"action `{action.text}` is listed twice",
                    label,
                    help="remove one of the two",
                )
            )
        elif action.text not in declared:
            symbols.report_unknown(
                report, "P1002", "action", action.text, label, declared,
                on=f" on resource `{owner.name.text}`",
                otherwise="an attribute is for actions that its resource declares",
            )  # fmt: skip
        found.add(action.text)
    return tuple(sorted(found)) if found.issubset(declared) else ()


def no_actions(field: nodes.Field, source: Source) -> Diagnostic:
    """The finding about `(for …)` on what belongs to no resource's actions."""
    return Diagnostic(
        "P2022",
        f"`{field.name.text}` cannot be for some actions only",
        Label(source, field.actions[0].span.to(field.actions[-1].span)),
        help="only attributes of a resource can; declare it with `?`, or as an attribute",
    )


def check_reads(
    rule: policy.Rule, node: nodes.Rule, resource: policy.ResourceType, report: Report
) -> None:
    """Report what a rule on `resource` reads though one of its actions does not have it."""
    for attribute in resource.limited:
        lacking = lacked_by(attribute, rule.actions, resource)
        if not lacking:
            continue
        place = next(_readings(rule.formula, attribute.fact, rule.source), None)
        if place is None:
            continue
        is_own = place.source is rule.source and _within(place.span, rule.span)
        name = Label(rule.source, node.name.span)
        report(
            Diagnostic(
                "P2023",
                f"rule `{rule.name}` reads `{attribute.fact.path}`, which requests for "
                f"{_listed(lacking)} on `{resource.name}` do not have",
                place if is_own else name,
                () if is_own else (Label(place.source, place.span, "read here"),),
                help=f"it is declared for {_listed(attribute.actions)}: give the other actions a "
                "rule of their own, or add them to its declaration",
            )
        )


def lacked_by(
    attribute: policy.Attribute, actions: Collection[str], resource: policy.ResourceType
) -> tuple[str, ...]:
    """Return those of some actions that do not have an attribute of their resource."""
    return tuple(one for one in actions if one in resource.actions and not attribute.is_for(one))


def filled_in_vain(
    attribute: policy.Attribute, action: str, resource: policy.ResourceType, label: Label
) -> Diagnostic:
    """The finding about a route that fills an attribute which its action does not have."""
    return Diagnostic(
        "P2023",
        f"the route fills `{attribute.fact.path}`, which requests for `{action}` on "
        f"`{resource.name}` do not have",
        label,
        help=f"it is declared for {_listed(attribute.actions)}: add the action there, or give the "
        "parameter another attribute",
    )


def _readings(formula: policy.Formula, fact: Fact, source: Source) -> Iterator[Label]:
    """Yield where a formula of a file reads a fact: first what stands in it, then in conditions."""
    conditions = []
    for one in walks.walk(formula, lambda part: not isinstance(part, policy.NamedCondition)):
        if isinstance(one, policy.NamedCondition):
            conditions.append(one)
        elif fact in walks.own_facts(one):
            yield Label(source, one.span)
    for one in conditions:
        if fact in walks.facts(one):
            yield from _readings(one.formula, fact, one.source)


def _within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _listed(actions: Collection[str]) -> str:
    return ", ".join(f"`{action}`" for action in actions)
