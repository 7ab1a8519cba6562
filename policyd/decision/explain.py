"""Explanations of decisions. They show rules and values: for authors and operators, not callers.

The decision comes from the engine; the traces come from the interpreter, which evaluates the same
rules independently. If a token was refused, the decision's `detail` says why, and no rule was
evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from policyd.decision.effort import Effort
from policyd.decision.missing import Alternatives, alternatives, missing
from policyd.decision.model import Decision, Request, StepUp
from policyd.decision.question import Question
from policyd.json_types import Json
from policyd.language.policy import Api, Attribute
from policyd.program.interpreter import World, interpret
from policyd.program.trace import Traces
from policyd.tokens.model import VerifiedToken

_NO_ALTERNATIVES = Alternatives((), stopped=False)


class Explanation(msgspec.Struct, frozen=True):
    """A decision, and every rule that was evaluated.

    `ignored_attributes` and `ignored_context` are names in the request that the policy does not
    declare. `missing_scopes` lists the alternatives, the one that the decision reports first; it is
    empty unless a scope is missing. `step_up` is the login to ask for, where that is the reason.
    """

    decision: Decision
    traces: Traces = Traces((), ())
    ignored_attributes: tuple[str, ...] = ()
    ignored_context: tuple[str, ...] = ()
    missing_scopes: Alternatives = _NO_ALTERNATIVES
    step_up: StepUp | None = None


def explain(
    decision: Decision,
    api: Api,
    question: Question,
    token: VerifiedToken,
    request: Request,
    effort: Effort,
) -> Explanation:
    """Explain a decision that rules made; `question` is what they were asked, `effort` what may be
    spent on alternatives."""
    world = World(
        token=token,
        resource_id=request.resource_id,
        attributes=request.attributes,
        context=request.context,
        now=question.now,
        userinfo=decision.userinfo,
    )
    scopes = decision.missing_scopes
    return Explanation(
        decision=decision,
        traces=interpret(api, question.plan.rules, world),
        ignored_attributes=_undeclared(
            request.attributes, api.resources[request.resource_type].attributes
        ),
        ignored_context=_undeclared(request.context, api.context),
        missing_scopes=alternatives(question, scopes, effort) if scopes else _NO_ALTERNATIVES,
        step_up=None if decision.allowed else missing(question, effort).login,
    )


def _undeclared(given: Mapping[str, Json], declared: Iterable[Attribute]) -> tuple[str, ...]:
    return tuple(sorted(set(given).difference(attribute.path[0] for attribute in declared)))
