"""Conditions of the syntax tree to formulas: references become facts, literals become values.

A condition is lowered for one resource at a time, since `resource.x` means another fact on each.
An invalid part is reported and replaced by `Always`; a policy with errors never loads.
"""

from __future__ import annotations

import msgspec

from policyd.diagnostics import Label, Source, Span
from policyd.language import limits, nodes, policy
from policyd.language.comparisons import ComparisonLowering
from policyd.language.facts import FactReader
from policyd.language.operands import OperandReader
from policyd.language.reporter import Report, Reporter
from policyd.language.sharing import (
    Lowered,
    Reading,
    Readings,
    differs_too_often,
    rule_differs_too_often,
)
from policyd.language.symbols import Symbols
from policyd.language.types import ASSERTED, TOKEN_FACTS, Fact, Type


class Site(msgspec.Struct, frozen=True):
    """Where a condition is read: in which file, on which resource (`None`: an unknown one), and
    for which rule, whose label goes with findings that depend on the resource."""

    source: Source
    resource: policy.ResourceType | None
    user: Label | None = None


class ConditionLowering:
    """Lowers the conditions of one API. Each is lowered once for all resources on which it reads
    the same facts, and shared.

    `before` are those that are lowered already.
    """

    def __init__(self, symbols: Symbols, report: Report, before: Lowered | None = None) -> None:
        self._symbols = symbols
        self._report = report
        self._readings = Readings(symbols)
        # Of rules on several resources, by condition and how it reads.
        self._rules: dict[int, dict[Reading, policy.Formula]] = {}
        self.lowered = Lowered() if before is None else before.copy()

    def lower(self, node: nodes.Condition, site: Site) -> policy.Formula:
        """Lower one condition as it reads at a site."""
        return _SiteLowering(self, self._symbols, self._report, site).lower(node)

    def of_elements(self, node: nodes.Condition, site: Site, of: Fact) -> policy.Formula:
        """Lower a condition about an element of a list."""
        return _SiteLowering(self, self._symbols, self._report, site, of).lower(node)

    def quantifies(self, name: str) -> bool:
        """Tell whether a condition, or one that it names, has a `has some`."""
        return self._readings.quantifies(name)

    def of_rule(self, rule: nodes.Rule, node: nodes.Condition, site: Site) -> policy.Formula:
        """Lower the `when` or `unless` of a rule: once for all of its resources on which it reads
        the same facts."""
        if rule.resources is not None and len(rule.resources) == 1:
            return self.lower(node, site)
        known = self._rules.setdefault(id(node), {})
        if self.lowered.left < 0 and known:  # one finding was enough
            return next(iter(known.values()))
        reading = self._readings.of_condition(
            rule.name.text, node, site.resource, lambda other: self.condition(other, site)
        )
        found = known.get(reading)
        if known:
            self.lowered.left -= limits.TRIAL + len(reading[1]) + len(reading[2])
        if found is None:
            if known:
                self.lowered.left -= node.span.end - node.span.start
            found = known[reading] = self.lower(node, site)
        if self.lowered.left < 0:
            self._report(rule_differs_too_often(rule, site.source))
        return found

    def condition(self, name: str, site: Site) -> policy.NamedCondition:
        """Lower a named condition for the resource of a site."""
        on = site.resource.name if site.resource and self._readings.depends(name) else None
        found = self.lowered.on.get((name, on))
        if found is None:
            found = self.lowered.on[name, on] = self._shared(name, site)
        return found

    def _shared(self, name: str, site: Site) -> policy.NamedCondition:
        if self.lowered.left < 0 and name in self.lowered.firsts:  # one finding was enough
            return self.lowered.firsts[name]
        reading = self._readings.of(name, site.resource, lambda other: self.condition(other, site))
        one = self._symbols.conditions[name]
        found = self.lowered.find(reading)
        if found is None:
            formula = self.lower(one.node.condition, Site(one.source, site.resource, site.user))
            found = policy.NamedCondition(one.node.condition.span, name, one.source, formula)
            self.lowered.keep(reading, found)
        elif self.lowered.left < 0:
            self._report(differs_too_often(one))
        return found


class _SiteLowering:
    def __init__(
        self,
        lowering: ConditionLowering,
        symbols: Symbols,
        report: Report,
        site: Site,
        of: Fact | None = None,
    ) -> None:
        self._lowering = lowering
        self._symbols = symbols
        self._reporter = Reporter(site.source, report)
        self._site = site
        self._list = of
        self._facts = FactReader(symbols, self._reporter, site.resource, site.user, of)
        self._operands = OperandReader(symbols, self._reporter)
        self._comparisons = ComparisonLowering(self._facts, self._operands, self._reporter)

    def lower(self, node: nodes.Condition) -> policy.Formula:
        span = node.span
        match node:
            case nodes.And(operands=operands):
                return policy.All(span, tuple(self.lower(operand) for operand in operands))
            case nodes.Or(operands=operands):
                return policy.AnyOf(span, tuple(self.lower(operand) for operand in operands))
            case nodes.Not(operand=operand):
                return policy.Not(span, self.lower(operand))
            case nodes.Always():
                return policy.Always(span)
            case nodes.HasScope(scope=scope):
                self._operands.check_scope(scope.text, scope.span)
                return policy.Granted(span, scope.text)
            case nodes.SubjectIs(kind=kind):
                return self._subject_is(span, kind)
            case nodes.BareReference(reference=reference):
                return self._truth(span, reference)
            case nodes.Is(reference=reference, state=state):
                return self._is(span, reference, state)
            case nodes.Compare():
                return self._comparisons.lower(node)
            case nodes.HasSome():
                return self._has_some(node)

    def _has_some(self, node: nodes.HasSome) -> policy.Formula:
        if self._list is not None:
            self._nested(node.span)
            return policy.Always(node.span)
        operand = node.operand
        fact = self._facts.read(operand) if isinstance(operand, nodes.Reference) else None
        if fact is None and isinstance(operand, nodes.Reference):
            return policy.Always(node.span)  # which was said already
        if fact is None or fact.type is not Type.LIST:
            self._reporter.error(
                "P2003",
                "`has some` needs a list of records on its left",
                operand.span,
                label="" if fact is None else f"has type `{fact.type_name}`",
                help="`has any` asks what is in a set; a list is declared with the fields of its "
                "elements: `list { … }`",
            )
            return policy.Always(node.span)
        condition = self._lowering.of_elements(node.condition, self._site, fact)
        return policy.HasSome(node.span, fact, condition)

    def _nested(self, span: Span) -> None:
        self._reporter.error(
            "P2021",
            "a `has some` within another: `item` stands for one element",
            span,
            help="ask about each list by itself, and join with `and`",
        )

    def _subject_is(self, span: Span, kind: nodes.Name) -> policy.Formula:
        if kind.text == "user":
            return policy.SubjectIs(span, "user")
        if kind.text == "asserted":  # of whichever kind: it is known by who says so
            return policy.StartsWith(span, TOKEN_FACTS["iss"], ASSERTED)
        if kind.text != "application":
            self._reporter.error(
                "P1009",
                f"a subject is not `{kind.text}`",
                kind.span,
                help="`subject is user`, `subject is application` or `subject is asserted`",
            )
        return policy.SubjectIs(span, "application")

    def _truth(self, span: Span, reference: nodes.Reference) -> policy.Formula:
        if "." not in reference.text and reference.text != "now":
            if reference.text in self._symbols.conditions:
                if self._list is not None and self._lowering.quantifies(reference.text):
                    self._nested(reference.span)
                return self._lowering.condition(reference.text, self._site)
            self._facts.unknown_condition(reference)
            return policy.Always(span)
        fact = self._facts.read(reference)
        if fact is None:
            return policy.Always(span)
        if fact.type is not Type.BOOL:
            self._reporter.error(
                "P2005",
                f"`{reference.text}` is a value of type `{fact.type_name}`, not a condition",
                span,
                help=_truth_help(fact),
            )
        return policy.IsTrue(span, fact)

    def _is(self, span: Span, reference: nodes.Reference, state: nodes.Name) -> policy.Formula:
        fact = self._facts.read(reference)
        if state.text not in ("present", "missing"):
            near = self._symbols.closest(state.text, ("present", "missing"))
            self._reporter.error(
                "P1009",
                f"unknown test `is {state.text}`",
                state.span,
                help=f"did you mean `is {near}`?"
                if near
                else "`is present` and `is missing` ask for a value; compare with `==`",
            )
            return policy.Always(span)
        if fact is None:
            return policy.Always(span)
        present = policy.Present(span, fact)
        return present if state.text == "present" else policy.Not(span, present)


def _truth_help(fact: Fact) -> str:
    if fact.type is Type.LIST:
        return f"ask about its elements: `{fact.path} has some (…)`"
    if fact.type.element is not None:
        return f"ask what is in it: `{fact.path} has any […]`"
    if fact.type is Type.TIME:
        return f"ask how long ago: `{fact.path} within last 15m`"
    return f"compare it: `{fact.path} == …`; to test that it is given: `{fact.path} is present`"
