"""Comparisons of the syntax tree to formulas: both operands are read, and their types are checked.

A comparison has a fact on one side at least. A comparison that is invalid is reported.
"""

from __future__ import annotations

from policyd.language import nodes, policy
from policyd.language.facts import FactReader
from policyd.language.operands import OperandReader
from policyd.language.reporter import Reporter
from policyd.language.types import Fact, Type

_ORDERED = frozenset({Type.INT, Type.DECIMAL, Type.TIME})


class ComparisonLowering:
    """Lowers the comparisons of one condition, with the readers of its place."""

    def __init__(self, facts: FactReader, operands: OperandReader, reporter: Reporter) -> None:
        self._facts = facts
        self._operands = operands
        self._reporter = reporter

    def lower(self, node: nodes.Compare) -> policy.Formula:
        """Lower a comparison; `Always` stands for one that was reported."""
        left, right = self._fact(node.left), self._fact(node.right)
        formula: policy.Formula | None = None
        if _is_unreadable(node.left, left) or _is_unreadable(node.right, right):
            pass  # which was said already
        elif left is None and right is None:
            self._reporter.error(
                "P2007",
                "the condition compares two constants",
                node.span,
                help="one side reads a fact: `token.…`, `userinfo.…`, `resource.…`, `context.…` or "
                "`now`",
            )
        else:
            formula = self._compare(node, left, right)
        return policy.Always(node.span) if formula is None else formula

    def _fact(self, operand: nodes.Operand) -> Fact | None:
        return self._facts.read(operand) if isinstance(operand, nodes.Reference) else None

    def _compare(
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


def _is_unreadable(operand: nodes.Operand, fact: Fact | None) -> bool:
    return isinstance(operand, nodes.Reference) and fact is None


def _set_help(fact: Fact, other: nodes.Operand) -> str:
    if fact.name == "scopes" and isinstance(other, nodes.Text):
        return f"ask for one scope: `scope {other.value}`" if other.value else "`scope NAME`"
    if isinstance(other, nodes.List):
        return f"`{fact.path} has all […]` or `{fact.path} has any […]`"
    return f"ask whether it is in it: `… in {fact.path}`"
