"""Trees of conditions and values to documents."""

from __future__ import annotations

from collections.abc import Sequence

from policyd.language import case_nodes, nodes
from policyd.language.formatter.document import Document, Group, IfBroken, Indent, Line, joined
from policyd.language.formatter.source import WrittenSource


class ExpressionPrinter:
    """Prints conditions and values of one file."""

    def __init__(self, source: WrittenSource) -> None:
        self._source = source

    def condition(self, condition: nodes.Condition) -> Document:
        """Print a condition; the lines after its first stand at the margin around it."""
        match condition:
            case nodes.And(operands=operands):
                return self._chain("and", operands)
            case nodes.Or(operands=operands):
                return self._chain("or", operands)
            case nodes.Not(operand=operand):
                bare = isinstance(operand, nodes.Not | nodes.HasScope | nodes.BareReference)
                inner = self.condition(operand) if bare else self._enclosed(operand)
                return ("not ", inner)
            case nodes.HasScope(scope=scope):
                return f"scope {self._source.raw(scope)}"
            case nodes.SubjectIs(kind=kind):
                return f"subject is {self._source.raw(kind)}"
            case nodes.BareReference(reference=reference):
                return self._source.raw(reference)
            case nodes.Is(reference=reference, state=state):
                return f"{self._source.raw(reference)} is {self._source.raw(state)}"
            case nodes.Compare(operator=operator, left=left, right=right):
                return (self._operand(left), f" {operator} ", self._operand(right))
            case nodes.HasSome(operand=operand, condition=inner):
                return (self._operand(operand), " has some ", self._enclosed(inner))
            case nodes.Always():
                return "true"

    def _chain(self, word: str, operands: Sequence[nodes.Condition]) -> Document:
        written: list[Document] = []
        for operand in operands:
            nested = isinstance(operand, nodes.And | nodes.Or)
            part = self._enclosed(operand) if nested else self.condition(operand)
            written.append((Line(), f"{word} ", part) if written else part)
        return Group(tuple(written), self._source.has_comment_between(operands))

    def _enclosed(self, condition: nodes.Condition) -> Document:
        inner = self.condition(condition)
        return Group(("(", Indent((Line(""), inner)), Line(""), ")"))

    def _stated(
        self, value: nodes.Literal | nodes.List | case_nodes.Object | case_nodes.Array
    ) -> Document:
        if isinstance(value, case_nodes.Object | case_nodes.Array):
            return self.json(value)
        return self._operand(value)

    def _operand(self, operand: nodes.Operand) -> Document:
        if not isinstance(operand, nodes.List):
            return self._source.raw(operand)
        if not operand.items:
            return "[]"
        broken = self._source.has_comment_inside(operand, operand.items)
        items = joined((",", Line()), map(self._source.raw, operand.items))
        return Group(("[", Indent((Line(""), items)), IfBroken(","), Line(""), "]"), broken)

    def json(self, value: case_nodes.JsonNode) -> Document:
        """Print a claim's value as JSON."""
        match value:
            case case_nodes.Object(members=members) if members:
                written = [
                    (f"{self._source.raw(one.key)}: ", self.json(one.value)) for one in members
                ]
                return self._braced(written, self._source.has_comment_between(members))
            case case_nodes.Array(items=items) if items:
                body = joined((",", Line()), map(self.json, items))
                inner = (Indent((Line(""), body)), IfBroken(","), Line(""))
                return Group(("[", *inner, "]"), self._source.has_comment_inside(value, items))
            case case_nodes.Object():
                return "{}"
            case case_nodes.Array():
                return "[]"
        return self._source.raw(value)

    def pairs(self, pairs: Sequence[case_nodes.Pair]) -> Document:
        """Print names and their values, in braces."""
        if not pairs:
            return "{}"
        written = [(f"{self._source.raw(pair.key)}: ", self._stated(pair.value)) for pair in pairs]
        return self._braced(written, self._source.has_comment_between(pairs))

    def _braced(self, written: Sequence[Document], broken: bool) -> Document:
        body = (Indent((Line(), joined((",", Line()), written))), IfBroken(","), Line())
        return Group(("{", *body, "}"), broken)
