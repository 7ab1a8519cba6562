"""What is left of a question about all resources of a type: a condition on their attributes.

Input: the rules that perhaps apply, by what is certain of the others, and what is left of them with
the token, the context and the clock known (`analysis.residual`). Output: `Filter`. A resource is
allowed when one `allow` is true of it and each `deny` false, so the condition is

    (some allow) and not (some deny)

A condition that is too large to be sent and put into a query is refused, and never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from policyd.analysis.formulas import EITHER, Truths
from policyd.analysis.residual import Residual, Residuals, conjunction, disjunction, negation
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Filter
from policyd.diagnostics import Span
from policyd.language import walks
from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Attribute,
    Formula,
    HasSome,
    Leaf,
    Literal,
    NamedCondition,
    Not,
    Rule,
)
from policyd.language.types import RESOURCE_ID, Fact
from policyd.tokens.model import VerifiedToken

#: Parts of a condition and values in it, and conditions within conditions.
LARGEST: Final = 20_000
DEEPEST: Final = 30
#: The identifier, as an attribute: a question may lack it.
_ID: Final = Attribute(RESOURCE_ID, optional=True, docs=(), path=())


def filtered(
    residuals: Residuals,
    denies: Iterable[Rule],
    allows: Iterable[Rule] | None,
    attributes: Sequence[Attribute],
    token: VerifiedToken,
) -> Filter:
    """Return the filter of these rules; no `allows` stand for one that surely applies.

    Raises `InvalidRequest` where it is too large.
    """
    allowed: Residual = True
    if allows is not None:
        allowed = disjunction(map(residuals.of, allows))
    denied = disjunction(map(residuals.of, denies))
    condition = conjunction((allowed, negation(denied)))
    if isinstance(condition, bool):
        always = Always(Span(0, 0))
        condition = always if condition else Not(always.span, always)
    _check(condition, token)
    return Filter(condition, (_ID, *attributes))


class FilterTruths:
    """What rules may come to, as far as what is left of them tells: see `PartialTruths`."""

    def __init__(self, residuals: Residuals) -> None:
        self._residuals = residuals

    def of(self, rule: Rule) -> Truths:
        """Return the values that the condition of a rule may take."""
        left = self._residuals.of(rule)
        return frozenset((left,)) if isinstance(left, bool) else EITHER

    def deciding(self, rule: Rule) -> frozenset[Fact]:
        """Return the open facts in what is left of a rule."""
        left = self._residuals.of(rule)
        return frozenset() if isinstance(left, bool) else frozenset(walks.facts(left))


def everything(attributes: Sequence[Attribute]) -> Filter:
    """Return the filter of all resources of a type."""
    return Filter(None, (_ID, *attributes))


def too_large(token: VerifiedToken, what: str) -> InvalidRequest:
    """Return the error for a filter that nobody should put into a query."""
    said = f"the filter is too large: {what}; ask about each resource instead"
    return InvalidRequest("action", said, "FILTER_TOO_LARGE", token=token)


def _check(condition: Formula, token: VerifiedToken) -> None:
    """See that a condition, written out, is not too large and not too deep."""
    size, depth = _measured(condition)
    if size > LARGEST:
        raise too_large(token, f"it has more than {LARGEST:,} parts and values")
    if depth > DEEPEST:
        raise too_large(token, f"it has conditions within conditions, more than {DEEPEST} deep")


def _measured(condition: Formula) -> tuple[int, int]:
    """Return the size and the depth of a condition. What is shared counts each time: nothing is
    shared in a message."""
    known: dict[int, tuple[int, int]] = {}
    stack = [(condition, False)]
    while stack:
        one, ready = stack.pop()
        if id(one) in known:
            continue
        inner = _inner(one)
        if not ready and inner:
            stack.append((one, True))
            stack.extend((part, False) for part in inner)
            continue
        parts = [known[id(part)] for part in inner]
        size = 1 + sum(part[0] for part in parts) + _values(one)
        known[id(one)] = size, 1 + max((part[1] for part in parts), default=0)
    return known[id(condition)]


def _inner(formula: Formula) -> Sequence[Formula]:
    match formula:
        case All(operands=operands) | AnyOf(operands=operands):
            return operands
        case Not(operand=operand) | HasSome(condition=operand):
            return (operand,)
        case NamedCondition(formula=inner):
            return (inner,)
        case Leaf():
            return ()
        case _:
            assert_never(formula)


def _values(formula: Formula) -> int:
    if not isinstance(formula, Leaf):
        return 0
    return sum(
        len(one.value)
        for one in walks.operands(formula)
        if isinstance(one, Literal) and isinstance(one.value, tuple)
    )
