"""Conditions as written: all of them, and when two say the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from policyd.diagnostics import Label
from policyd.language import nodes
from policyd.language.symbols import Located
from policyd.tooling.lint.model import View


def outermost(view: View) -> Iterator[Located[nodes.Condition]]:
    """The conditions of rules (`when`, then `unless`) and of defines, in the order of the files."""
    for file in view.files:
        for declaration in file.declarations:
            match declaration:
                case nodes.Define(condition=condition):
                    yield Located(condition, file.source)
                case nodes.Rule(when=when, unless=unless):
                    yield from (Located(one, file.source) for one in (when, unless) if one)


def conditions(view: View) -> Iterator[Located[nodes.Condition]]:
    """All conditions and their parts, from the outside in."""
    for whole in outermost(view):
        stack = [whole.node]
        while stack:
            one = stack.pop()
            yield Located(one, whole.source)
            match one:
                case nodes.And(operands=operands) | nodes.Or(operands=operands):
                    stack.extend(reversed(operands))
                case nodes.Not(operand=operand):
                    stack.append(operand)
                case nodes.HasSome(condition=inner):
                    stack.append(inner)


def shape(condition: nodes.Condition) -> tuple[object, ...]:
    """What a condition says: equal for two that differ in places, order or spelling only."""
    match condition:
        case nodes.And(operands=operands) | nodes.Or(operands=operands):
            return (type(condition), frozenset(shape(one) for one in operands))
        case nodes.Not(operand=operand):
            return (nodes.Not, shape(operand))
        case nodes.HasScope(scope=scope):
            return (nodes.HasScope, scope.text)
        case nodes.SubjectIs(kind=kind):
            return (nodes.SubjectIs, kind.text)
        case nodes.BareReference(reference=reference):
            return (nodes.BareReference, reference.text)
        case nodes.Is(reference=reference, state=state):
            return (nodes.Is, reference.text, state.text)
        case nodes.Compare(operator=operator, left=left, right=right):
            return (operator, operand_shape(left), operand_shape(right))
        case nodes.HasSome(operand=of, condition=inner):
            return (nodes.HasSome, operand_shape(of), shape(inner))
        case nodes.Always():
            return (nodes.Always,)


def operand_shape(operand: nodes.Operand) -> tuple[object, ...]:
    """What an operand says."""
    match operand:
        case nodes.List(items=items):
            return (nodes.List, frozenset(operand_shape(item) for item in items))
        case nodes.Reference(text=text):
            return (nodes.Reference, text)
        case nodes.Text(value=text) | nodes.Name(text=text):  # in a list, `a:b` is "a:b"
            return (nodes.Text, text)
        case nodes.Duration(seconds=seconds):
            return (nodes.Duration, seconds)
        case nodes.Number(value=number) | nodes.Decimal(value=number):
            return (nodes.Number, number)
        case nodes.Boolean(value=value):
            return (nodes.Boolean, value)


def uses(view: View) -> Mapping[str, Sequence[Label]]:
    """Where each condition is named, by rules and other conditions; nothing where it is not."""
    found: defaultdict[str, list[Label]] = defaultdict(list)
    for one in conditions(view):
        match one.node:
            case nodes.BareReference(reference=reference):
                label = Label(one.source, reference.span, "used here")
                found[reference.text].append(label)
    return found
