"""What a formula requires of the client: scopes, its name, and its user's permissions."""

from __future__ import annotations

from policyd.analysis.formulas import EITHER, FALSE, Part, Truths, possible
from policyd.language import policy
from policyd.language.policy import Formula
from policyd.language.types import TOKEN_FACTS, Fact
from policyd.language.walks import own_facts

_SCOPES = TOKEN_FACTS["scopes"]
_PERMISSIONS = TOKEN_FACTS["permissions"]
_NAMES = frozenset({TOKEN_FACTS["client"], TOKEN_FACTS["actor"]})


def asks_scope(formula: Formula) -> bool:
    """Tell whether an atom asks what the application was granted."""
    return isinstance(formula, policy.Granted) or _SCOPES in _compared(formula)


def asks_permission(formula: Formula) -> bool:
    """Tell whether an atom asks what the user may do."""
    return _PERMISSIONS in _compared(formula)


def may_hold_for_any(rule: policy.Rule, *, permitted: bool) -> bool:
    """Tell whether a rule may be true for an application without scopes that it does not name.

    `permitted`: its user may have permissions; else the user has none.
    """

    def given(part: Part) -> Truths | None:
        formula = part.formula
        if asks_permission(formula) and permitted:
            return EITHER
        if asks_permission(formula) or asks_scope(formula):
            return EITHER if _holds_of_nothing(formula) else FALSE
        return FALSE if _NAMES.intersection(_compared(formula)) else None

    return True in possible(rule.formula, given, rule.source)


def _compared(formula: Formula) -> tuple[Fact, ...]:
    """What an atom reads; `is present` asks nothing of the value."""
    return () if isinstance(formula, policy.Present) else own_facts(formula)


def _holds_of_nothing(formula: Formula) -> bool:
    """Whether an atom may be true of no scopes: each of none is in every set.

    A set of the resource's is taken to hold something.
    """
    match formula:
        case policy.HasAll(right=policy.Literal(value=())):
            return True
        case policy.HasAll(right=Fact() as fact):
            return fact in (_SCOPES, _PERMISSIONS)
    return False
