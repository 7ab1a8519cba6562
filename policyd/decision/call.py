"""One call: a verified token and an API, which all questions of the call share.

Input is what the engine read: the snapshot's API, the token, and the clock, once; output is a
`Decision` for each question. Nothing here does I/O or reads the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from policyd.decision import challenge
from policyd.decision.challenge import Challenge, Protection
from policyd.decision.combine import CombinedEffect, combine
from policyd.decision.effort import Effort
from policyd.decision.missing import missing
from policyd.decision.model import Decision
from policyd.decision.question import Question
from policyd.decision.request import (
    Item,
    attribute_fault,
    check_text,
    context_fault,
    unknown_plan,
)
from policyd.decision.snapshot import ProtectedApi
from policyd.decision.unknown import lacking, lacking_anywhere, needs_of
from policyd.json_types import Json
from policyd.program.fields import FieldFault
from policyd.program.interpreter import World
from policyd.program.layout import Facts
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken

#: Looked up in its enumeration, it takes as long as ten names of a module.
_ALLOWED: Final = Reason.ALLOWED


class Call(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What all questions of one call share: a valid token, an API and a time.

    `time` is the engine's clock, in seconds since the epoch, and `now` its whole second.
    `context` holds the values read from the context `given`, `None` if that is invalid. Never store
    an exception here: its traceback refers back to this object, and `gc=False` would leak the
    cycle. `userinfo` is the issuer's userinfo response, where the rules read it. `until` bounds how
    long an answer may be cached, the rules aside; `None` if it may not be. `nonce` is for the
    sender's next DPoP proof.
    """

    protected: ProtectedApi
    token: VerifiedToken
    userinfo: Mapping[str, Json]
    facts: Facts
    given: Mapping[str, Json]
    context: Facts | None
    time: float
    now: int
    until: int | None
    nonce: str = ""

    def question(self, item: Item, effort: Effort | None = None) -> Question:
        """Find the plan and read the resource; an empty id counts as missing.

        `effort` is the call's budget for suggestions; by default a new one.
        Raises `InvalidRequest`.
        """
        program = self.protected.program
        resource = program.resources.get(item.resource_type)
        plan = None if resource is None else resource.plans.get(item.action)
        if resource is None or plan is None:
            raise unknown_plan(program, item, self.token, effort or Effort())
        identifier = item.resource_id
        if not identifier.isascii():
            check_text(identifier, self.token)
        try:
            attributes = plan.read_resource((identifier or None,), item.attributes)
        except FieldFault as fault:
            raise attribute_fault(
                fault, resource, item.attributes, self.token, effort or Effort()
            ) from None
        context = self.context
        if context is None:
            context = self._read_context(effort or Effort())
        return Question(plan, self.facts, attributes, context, self.now)

    def _read_context(self, effort: Effort) -> Facts:
        """Read the context again, to report what is wrong with it. Raises `InvalidRequest`.

        A call does this once: it may contain thousands of values, and a batch a thousand items.
        """
        program = self.protected.program
        if effort.context_mistake is not None:
            raise effort.context_mistake.with_traceback(None)
        try:
            return program.context.read((), self.given)
        except FieldFault as fault:
            effort.context_mistake = context_fault(fault, program, self.given, self.token, effort)
            raise effort.context_mistake from None

    def decide(self, question: Question, item: Item, effort: Effort | None = None) -> Decision:
        """Evaluate the rules, and give the reason of a deny; `effort` is as for `question`, which
        `item` asks."""
        protected, plan, until = self.protected, question.plan, self.until
        combined = combine(
            plan.evaluate(question.token, question.resource, question.context, question.now)
        )
        if until is not None and plan.reads_clock:
            until = plan.next_change(
                question.token, question.resource, question.context, question.now, until
            )
        # By position: by name it takes half as long again.
        if combined.allowed:
            known = None if effort is None else effort.allowed
            if known is not None and _is_as(known, combined, until):
                return known
            allowed = Decision(
                True,
                _ALLOWED,
                "",
                protected.name,
                protected.revision,
                self.time,
                combined.rules,
                combined.truncated,
                self.token,
                self.userinfo,
                until,
                self.nonce,
                commit=protected.commit,
            )
            if effort is not None:
                effort.allowed = allowed
            return allowed
        return self._denied(question, item, combined, until, effort or Effort(asks_once=True))

    def _denied(
        self,
        question: Question,
        item: Item,
        combined: CombinedEffect,
        until: int | None,
        effort: Effort,
    ) -> Decision:
        """Give the reason of a deny."""
        denial = why_not(self.protected.protection, self.token, question, combined.rules, effort)
        given, because = denial.challenge, None
        unknown: tuple[str, ...] = ()
        if rules := combined.rules:
            because = question.plan.because.get(rules[0])
            needs = needs_of(question.plan, rules)
            if needs.others:
                world = self._world(question, item)
                api = self.protected.program.api
                unknown = lacking_anywhere(needs, question, api, world, effort)
            else:
                unknown = lacking(needs, question)
        return Decision(
            False,
            denial.reason,
            because or denial.message,
            self.protected.name,
            self.protected.revision,
            self.time,
            combined.rules,
            combined.truncated,
            self.token,
            self.userinfo,
            until,
            self.nonce,
            denial.missing_scopes,
            given.status,
            given.www_authenticate,
            given.retry_after,
            denial.detail,
            denial.stopped,
            unknown,
            commit=self.protected.commit,
        )

    def _world(self, question: Question, item: Item) -> World:
        """Return a question as it was asked."""
        return World(
            self.token, item.resource_id, item.attributes, self.given, question.now, self.userinfo
        )


def _is_as(decision: Decision, combined: CombinedEffect, until: int | None) -> bool:
    """Tell whether an allow of the same call is what these would give."""
    return (
        decision.rules == combined.rules
        and decision.cacheable_until == until
        and decision.rules_truncated == combined.truncated
    )


class Denial(msgspec.Struct, frozen=True, gc=False):
    """The reason of a deny by rules, and what goes with it."""

    reason: Reason
    challenge: Challenge
    missing_scopes: tuple[str, ...]
    message: str
    stopped: bool
    detail: str


_STOPPED = "the search for what is missing stopped: the call's budget for it was spent"


def why_not(
    protection: Protection,
    token: VerifiedToken,
    question: Question,
    rules: Sequence[str],
    effort: Effort,
) -> Denial:
    """Return the reason of a deny by these rules: the first that holds (see `Reason`)."""
    scopes, login, stopped, detail = missing(question, effort)
    if not scopes and login is None and not detail and not stopped:
        return _DENIED_BY_RULE if rules else _NO_RULE_ALLOWS
    scheme = challenge.scheme(protection, token)
    if scopes:
        header = challenge.for_scopes(protection, scopes, scheme)
        return _denial(Reason.INSUFFICIENT_SCOPE, header, scopes, stopped=stopped)
    if login is not None:
        header = challenge.for_login(protection, login.acr_values, login.max_age, scheme)
        return _denial(Reason.INSUFFICIENT_USER_AUTHENTICATION, header, stopped=stopped)
    if detail and _may_hold_details(token, question):
        header = challenge.for_detail(protection, scheme)
        return _denial(Reason.INSUFFICIENT_AUTHORIZATION_DETAILS, header, stopped=stopped)
    reason = Reason.DENIED_BY_RULE if rules else Reason.NO_RULE_ALLOWS
    return _denial(reason, challenge.FORBIDDEN, stopped=stopped)


def _may_hold_details(token: VerifiedToken, question: Question) -> bool:
    """Tell whether details in a token would be believed: those of another issuer are not."""
    details = question.plan.details
    return details is not None and details.issuer in (None, token.issuer)


def _denial(
    reason: Reason, given: Challenge, scopes: tuple[str, ...] = (), *, stopped: bool
) -> Denial:
    detail = _STOPPED if stopped else ""
    return Denial(reason, given, scopes, challenge.message(reason), stopped, detail)


#: The two that nothing more is to be said of, which most denies have.
_DENIED_BY_RULE: Final = _denial(Reason.DENIED_BY_RULE, challenge.FORBIDDEN, stopped=False)
_NO_RULE_ALLOWS: Final = _denial(Reason.NO_RULE_ALLOWS, challenge.FORBIDDEN, stopped=False)
