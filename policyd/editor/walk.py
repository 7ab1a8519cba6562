"""The parts of a condition that name something, where they stand, and what each names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal as OneOf
from typing import NamedTuple

from policyd.diagnostics import Span
from policyd.language import nodes

_SCOPES = "token.scopes"


class Part(NamedTuple):
    """A name in a condition. `text` is a scope, a condition's name, or a fact such as `now`.

    `of` is the list around it, to whose elements `item` belongs.
    """

    kind: OneOf["scope", "condition", "fact"]
    text: str
    span: Span
    of: str = ""


def condition_parts(condition: nodes.Condition) -> Iterator[Part]:
    """Yield the parts in the order of the text."""
    stack = [condition]
    while stack:
        match stack.pop():
            case nodes.HasSome(operand=operand, condition=inner):
                yield from _operand(operand, operand)
                of = operand.text if isinstance(operand, nodes.Reference) else ""
                yield from (part._replace(of=of) for part in condition_parts(inner))
            case nodes.And(operands=operands) | nodes.Or(operands=operands):
                stack.extend(reversed(operands))
            case nodes.Not(operand=operand):
                stack.append(operand)
            case nodes.HasScope(scope=scope):
                yield Part("scope", scope.text, scope.span)
            case nodes.BareReference(reference=reference):
                yield _reference(reference, alone=True)
            case nodes.Is(reference=reference):
                yield _reference(reference)
            case nodes.Compare(left=left, right=right):
                yield from _operand(left, right)
                yield from _operand(right, left)


def references(condition: nodes.Condition) -> Iterator[str]:
    """Yield the names of conditions in a condition."""
    return (part.text for part in condition_parts(condition) if part.kind == "condition")


def _reference(reference: nodes.Reference, *, alone: bool = False) -> Part:
    is_fact = "." in reference.text or reference.text == "now" or not alone
    return Part("fact" if is_fact else "condition", reference.text, reference.span)


def _operand(operand: nodes.Operand, other: nodes.Operand) -> Iterator[Part]:
    """Yield what an operand names; a literal names a scope where `token.scopes` is the other."""
    if isinstance(operand, nodes.Reference):
        yield _reference(operand)
    elif isinstance(other, nodes.Reference) and other.text == _SCOPES:
        for literal in operand.items if isinstance(operand, nodes.List) else (operand,):
            if isinstance(literal, nodes.Name):
                yield Part("scope", literal.text, literal.span)
            elif isinstance(literal, nodes.Text):
                yield Part("scope", literal.value, literal.span)
