"""Conditions of the syntax tree to formulas: references become facts, literals become values.

A condition is lowered for one resource at a time, since `resource.x` means another fact on each.
An invalid part is reported and replaced by `Always`; a policy with errors never loads.
"""

from __future__ import annotations

import msgspec

from policyd.diagnostics import Label, Source, Span
from policyd.language import limits, nodes, policy
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
from policyd.language.types import Fact, Type

_ORDERED = frozenset({Type.INT, Type.DECIMAL, Type.TIME})


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
                return self._compare(node)
            case nodes.HasSome():
                return self._has_some(node)

    def _has_some(self, node: nodes.HasSome) -> policy.Formula:
        if self._list is not None:
            self._nested(node.span)
            return policy.Always(node.span)
        fact = self._fact(node.operand)
        if fact is None and isinstance(node.operand, nodes.Reference):
            return policy.Always(node.span)  # which was said already
        if fact is None or fact.type is not Type.LIST:
            self._reporter.error(
                "P2003",
                "`has some` needs a list of records on its left",
                node.operand.span,
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
        if kind.text != "application":
            self._reporter.error(
                "P1009",
                f"a subject is not `{kind.text}`",
                kind.span,
                help="`subject is user` or `subject is application`",
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

    # -- comparisons -------------------------------------------------------------------------

    def _compare(self, node: nodes.Compare) -> policy.Formula:
        left_fact = self._fact(node.left)
        right_fact = self._fact(node.right)
        unreadable = (isinstance(node.left, nodes.Reference) and left_fact is None) or (
            isinstance(node.right, nodes.Reference) and right_fact is None
        )
        formula: policy.Formula | None
        if left_fact is None and right_fact is None and not unreadable:
            self._reporter.error(
                "P2007",
                "the condition compares two constants",
                node.span,
                help="one side reads a fact: `token.…`, `userinfo.…`, `resource.…`, `context.…` or "
                "`now`",
            )
            formula = None
        elif unreadable:
            formula = None
        else:
            formula = self._compare_known(node, left_fact, right_fact)
        return policy.Always(node.span) if formula is None else formula

    def _fact(self, operand: nodes.Operand) -> Fact | None:
        return self._facts.read(operand) if isinstance(operand, nodes.Reference) else None

    def _compare_known(
        self, node: nodes.Compare, left: Fact | None, right: Fact | None
    ) -> policy.Formula | None:
        match node.operator:
            case "==" | "!=":
                return self._equal(node, left, right)
            case "<" | "<=" | ">" | ">=":
                return self._less(node, left, right)
            case "in":
                return self._in(node, left, right)
            case "has any" | "has all":
                return self._has(node, left, right)
            case "starts with" | "ends with":
                return self._affix(node, left)
            case "within last" | "within next":
                return self._within(node, left)

    def _pair(
        self, node: nodes.Compare, left: Fact | None, right: Fact | None
    ) -> tuple[policy.Operand, policy.Operand] | None:
        """Two operands of one type, of which at least one is a fact."""
        fact = left or right
        assert fact is not None  # two constants were refused before
        if left is not None and right is not None:
            if not self._match(node, left, right, left.type, right.type):
                return None
            return left, right
        literal = self._operands.literal(node.right if left else node.left, fact)
        if literal is None:
            return None
        return (fact, literal) if left else (literal, fact)

    def _equal(
        self, node: nodes.Compare, left: Fact | None, right: Fact | None
    ) -> policy.Formula | None:
        for fact, other in ((left, node.right), (right, node.left)):
            if fact is not None and fact.type is Type.LIST:
                self._wrong_type(node, fact, "values that are no list")
                return None
            if fact is not None and fact.type.element is not None:
                self._reporter.error(
                    "P2008",
                    f"`{fact.path}` is a set and cannot be compared with `{node.operator}`",
                    node.operator_span,
                    help=_set_help(fact, other),
                )
                return None
        pair = self._pair(node, left, right)
        if pair is None:
            return None
        equal = policy.Equal(node.span, *pair)
        return equal if node.operator == "==" else policy.Not(node.span, equal)

    def _less(
        self, node: nodes.Compare, left: Fact | None, right: Fact | None
    ) -> policy.Formula | None:
        for fact in (left, right):
            if fact is not None and fact.type not in _ORDERED:
                self._wrong_type(node, fact, "`int`, `decimal` or `time`")
                return None
        pair = self._pair(node, left, right)
        if pair is None:
            return None
        if node.operator in (">", ">="):
            pair = (pair[1], pair[0])
        return policy.Less(node.span, *pair, or_equal=node.operator in ("<=", ">="))

    def _in(
        self, node: nodes.Compare, left: Fact | None, right: Fact | None
    ) -> policy.Formula | None:
        if isinstance(node.left, nodes.List):
            self._no_list(node.left, "`set has any […]` asks for several")
            return None
        if left is not None and left.type.element is not None:
            self._reporter.error(
                "P2003",
                f"`{left.path}` is a set; `in` looks for one value",
                node.operator_span,
                help=f"write `{left.path} has any …` or `{left.path} has all …`",
            )
            return None
        if right is not None:
            if right.type.element is None:
                self._wrong_type(node, right, "a list or a set on its right")
                return None
            return self._in_set(node, left, right)
        assert left is not None
        items = self._operands.items(node.right, left.type, node.operator, left)
        return None if items is None else policy.In(node.span, left, items)

    def _in_set(self, node: nodes.Compare, left: Fact | None, right: Fact) -> policy.Formula | None:
        element = right.type.element
        assert element is not None
        if left is None:
            literal = self._operands.element(node.left, right, element)
            return None if literal is None else policy.In(node.span, literal, right)
        if not self._match(node, left, right, left.type, element):
            return None
        return policy.In(node.span, left, right)

    def _has(
        self, node: nodes.Compare, left: Fact | None, right: Fact | None
    ) -> policy.Formula | None:
        if left is None or left.type.element is None:
            if left is not None:
                self._wrong_type(node, left, "a set on its left")
            else:
                self._reporter.error(
                    "P2003",
                    f"`{node.operator}` needs a set on its left",
                    node.left.span,
                    help="a set is a claim or an attribute of type `set<…>`",
                )
            return None
        operand: policy.Operand | None = right
        if right is not None:
            if not self._match(node, left, right, left.type, right.type):
                return None
        else:
            operand = self._operands.items(node.right, left.type.element, node.operator, left)
        if operand is None:
            return None
        make = policy.HasAny if node.operator == "has any" else policy.HasAll
        return make(node.span, left, operand)

    def _affix(self, node: nodes.Compare, left: Fact | None) -> policy.Formula | None:
        if left is None or left.type is not Type.STRING:
            self._reporter.error(
                "P2003",
                f"`{node.operator}` needs a `string` on its left",
                node.left.span,
                label="" if left is None else f"has type `{left.type_name}`",
            )
            return None
        if not isinstance(node.right, nodes.Text) or not node.right.value:
            self._reporter.error(
                "P2011",
                f"`{node.operator}` takes a text in quotes that is not empty",
                node.right.span,
                help="a variable prefix would let the caller choose how much is compared",
            )
            return None
        self._operands.affix(node.right, left, node.operator)
        make = policy.StartsWith if node.operator == "starts with" else policy.EndsWith
        return make(node.span, left, node.right.value)

    def _within(self, node: nodes.Compare, left: Fact | None) -> policy.Formula | None:
        if left is None or left.type is not Type.TIME:
            self._reporter.error(
                "P2003",
                f"`{node.operator}` needs a `time` on its left",
                node.left.span,
                label="" if left is None else f"has type `{left.type}`",
            )
            return None
        if not isinstance(node.right, nodes.Duration):
            self._reporter.error(
                "P2012",
                f"`{node.operator}` takes a duration",
                node.right.span,
                help="`30s`, `15m`, `8h` or `7d`",
            )
            return None
        make = policy.WithinLast if node.operator == "within last" else policy.WithinNext
        return make(node.span, left, node.right.seconds)

    # -- findings ----------------------------------------------------------------------------

    def _match(self, node: nodes.Compare, left: Fact, right: Fact, mine: Type, other: Type) -> bool:
        """Whether two facts can be compared by their types `mine` and `other`, those of elements
        where sets hold them; reports them where they cannot."""
        if mine is not other:
            self._types_differ(node, f"`{left.type_name}`", f"`{right.type_name}`")
            return False
        one, another = left.vocabulary, right.vocabulary
        if one is None or another is None or not one.values.isdisjoint(another.values):
            return True
        self._reporter.error(
            "P2020",
            f"no value of `{one.name}` is one of `{another.name}`",
            node.operator_span,
            secondary=(
                self._reporter.label(node.left.span, f"`{left.type_name}`"),
                self._reporter.label(node.right.span, f"`{right.type_name}`"),
            ),
            help="they never match: compare two facts of one vocabulary",
        )
        return False

    def _types_differ(self, node: nodes.Compare, left: str, right: str) -> None:
        self._reporter.error(
            "P2002",
            f"`{node.operator}` compares {left} with {right}",
            node.operator_span,
            secondary=(
                self._reporter.label(node.left.span, left),
                self._reporter.label(node.right.span, right),
            ),
        )

    def _wrong_type(self, node: nodes.Compare, fact: Fact, needed: str) -> None:
        self._reporter.error(
            "P2003",
            f"`{node.operator}` needs {needed}",
            node.operator_span,
            label=f"`{fact.path}` has type `{fact.type_name}`",
        )

    def _no_list(self, node: nodes.List, help: str) -> None:
        self._reporter.error(
            "P2009", "a list stands to the right of the operator", node.span, help=help
        )


def _truth_help(fact: Fact) -> str:
    if fact.type is Type.LIST:
        return f"ask about its elements: `{fact.path} has some (…)`"
    if fact.type.element is not None:
        return f"ask what is in it: `{fact.path} has any […]`"
    if fact.type is Type.TIME:
        return f"ask how long ago: `{fact.path} within last 15m`"
    return f"compare it: `{fact.path} == …`; to test that it is given: `{fact.path} is present`"


def _set_help(fact: Fact, other: nodes.Operand) -> str:
    if fact.name == "scopes" and isinstance(other, nodes.Text):
        return f"ask for one scope: `scope {other.value}`" if other.value else "`scope NAME`"
    if isinstance(other, nodes.List):
        return f"`{fact.path} has all […]` or `{fact.path} has any […]`"
    return f"ask whether it is in it: `… in {fact.path}`"
