"""A question that leaves facts open: is it allowed whatever they are, denied, or does it depend?

Input is a call and the facts that its caller assumes to be unknown: attributes of the resource, its
identifier, and entries of the context. Output is a `Decision` with `partial`. What the question
gives is known, though it is named among them: so one list serves all items of a batch.

The compiled plan tells of the rules that read nothing open, and `analysis.partial` of the others.
Invariants: allow and deny hold for all values of the open facts; where that is not certain, it is
maybe. Looking at rules takes far longer than evaluating them, so a call has a budget for it; where
that is spent, rules not looked at may come out either way. A certain deny names the scopes or the
login that `Check` would name whatever the open facts are, and else none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from policyd.analysis.partial import KNOWN, PartialTruths, States
from policyd.analysis.residual import Residuals
from policyd.decision import challenge
from policyd.decision.call import Call, Denial, why_not
from policyd.decision.combine import RULES_SHOWN
from policyd.decision.effort import Effort, EffortSpent
from policyd.decision.errors import InvalidRequest, quoted
from policyd.decision.filtering import FilterTruths, everything, filtered, too_large
from policyd.decision.model import Decision, Filter, Outcome, Partial
from policyd.decision.possible import Found, Open, Rules, RuleTruths, certain
from policyd.decision.question import Question, Uncertain
from policyd.decision.request import Item
from policyd.json_types import Json
from policyd.language.policy import Attribute
from policyd.language.types import RESOURCE_ID, Fact, Origin
from policyd.language.walks import facts
from policyd.program.index import FactSlot, Login, ResourceProgram
from policyd.program.interpreter import World
from policyd.program.layout import SCOPES_SLOT, Facts, context_layout, resource_layout
from policyd.program.values import Value, json_at
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken

#: Parts of conditions that one call looks at, some four microseconds each, and besides for an item.
STEPS: Final = 10_000
STEPS_AN_ITEM: Final = 50
FIELD: Final = "assumed_unknown"
#: How many steps of the search for what is missing such a part counts.
_DEAR: Final = 80
_OR_MISSING: Final[States] = frozenset({"known", "missing"})


class PartialCall:
    """Answers the questions of one call that assumes the facts of these `names` to be unknown.

    `resource` and `context` name all that there are of the resource, its identifier too, and of the
    context. `items` is how many questions of a batch there will be. With `filtering`, an answer
    says besides on which resources the action is allowed.
    """

    def __init__(
        self,
        call: Call,
        names: Iterable[str],
        effort: Effort,
        items: int = 0,
        *,
        filtering: bool = False,
    ) -> None:
        self._call = call
        self._names = frozenset(names)
        self._effort = effort
        self._filtering = filtering
        self._left = STEPS + STEPS_AN_ITEM * items
        self._calls: dict[tuple[str, str, frozenset[Fact]], Call] = {}
        self._context = self._opened(call.protected.program.api.context, call.given)

    def check_names(self, items: Sequence[Item]) -> None:
        """Refuse names that none of the call's items declares. Raises `InvalidRequest`."""
        known = {Origin.CONTEXT.value, Origin.RESOURCE.value, RESOURCE_ID.path}
        known |= {one.fact.path for one in self._call.protected.program.api.context}
        resources = self._call.protected.program.resources
        for item in items:
            resource = resources.get(item.resource_type)
            if resource is None or item.action not in resource.plans:
                return  # which is told of the item
            known |= {one.fact.path for one in resource.type.attributes if one.is_for(item.action)}
        for name in sorted(self._names - known):
            said = f"{quoted(name)} is no attribute of the resource, and no entry of the context"
            suggestion = self._effort.closest(name, known, FIELD)
            raise InvalidRequest(FIELD, said, "UNKNOWN_FACT", suggestion, self._call.token)

    def decide(self, item: Item) -> Decision:
        """Answer one question. Raises `InvalidRequest`."""
        program = self._call.protected.program
        resource = program.resources.get(item.resource_type)
        if resource is None or item.action not in resource.plans:
            self._call.question(item, self._effort)  # raises
            raise AssertionError("a question about what nobody declares")
        declared = [one for one in resource.type.attributes if one.is_for(item.action)]
        opened = {**self._opened(declared, item.attributes), **self._context}
        if not item.resource_id and self._is_named(RESOURCE_ID):
            opened[RESOURCE_ID] = _OR_MISSING
        question = self._question(item, resource, opened)
        residuals: Residuals | None = None
        truths: RuleTruths
        if self._filtering:  # what is left of the rules is wanted, and looked at once
            residuals = self._residuals(item, opened)
            truths = FilterTruths(residuals)
        else:
            truths = self._truths(item, opened, self._call.token, self._spend)
        rules = Rules(question, opened, truths)
        denies, allows = rules.of("deny"), rules.of("allow")
        outcome = certain(denies, allows)
        deciding: set[Fact] = set()
        until, filter_ = self._call.until, None
        if residuals is not None and outcome != "deny":
            if rules.stopped:
                raise too_large(self._call.token, "it takes too long to make")
            filter_, until = self._filter(residuals, declared, denies, allows)
        if filter_ is not None and filter_.condition is not None:
            deciding |= facts(filter_.condition)
        elif outcome == "maybe":
            deciding |= rules.deciding(denies.perhaps)
            if not allows.surely:
                deciding |= rules.deciding(allows.perhaps)
        partial = Partial(outcome, _sorted(opened), _sorted(deciding), rules.stopped, filter_)
        found = allows if outcome == "allow" else denies
        denial = None
        if outcome == "deny":
            denial = self._denial(question, item, opened, found.surely)
        return self._written(question, partial, found, denial, until)

    # -- what is open ----------------------------------------------------------------------------

    def _is_named(self, fact: Fact) -> bool:
        return fact.path in self._names or fact.origin in self._names

    def _opened(
        self, declared: Iterable[Attribute], given: Mapping[str, Json]
    ) -> dict[Fact, States]:
        """Return the facts that are named, and not given."""
        return {
            one.fact: _OR_MISSING if one.optional else KNOWN
            for one in declared
            if self._is_named(one.fact) and json_at(one.path, given) is None
        }

    def _question(self, item: Item, resource: ResourceProgram, opened: Open) -> Question:
        """Read a question of which nobody demands what is open. Raises `InvalidRequest`."""
        key = (item.resource_type, item.action, frozenset(opened))
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = self._lenient(item, resource, opened)
        return call.question(item, self._effort)

    def _lenient(self, item: Item, resource: ResourceProgram, opened: Open) -> Call:
        """Return the call with a program that demands nothing open, for one action."""
        call, action, replace = self._call, item.action, msgspec.structs.replace
        program = call.protected.program
        plan, context, entries = resource.plans[action], program.context, call.context
        if opened:  # no element of a list is tried where others are open
            plan = replace(plan, details=None)
        if self._context:
            context, entries = context_layout(_optional(program.api.context, opened)), None
        if any(one.origin is Origin.RESOURCE for one in opened):
            attributes = _optional(resource.type.attributes, opened)
            absent = [one for one in attributes if not one.is_for(action)]
            plan = replace(plan, read_resource=resource_layout(attributes, absent).read)
        resources = {item.resource_type: replace(resource, plans={action: plan})}
        lenient = replace(program, context=context, resources=resources)
        return replace(call, protected=replace(call.protected, program=lenient), context=entries)

    def _truths(
        self, item: Item, opened: Open, token: VerifiedToken, spend: Callable[[int], None]
    ) -> PartialTruths:
        api, world = self._call.protected.program.api, self._world(item, token)
        return PartialTruths(api, item.resource_type, world, opened, spend)

    def _world(self, item: Item, token: VerifiedToken) -> World:
        call = self._call
        return World(token, item.resource_id, item.attributes, call.given, call.now, call.userinfo)

    def _residuals(self, item: Item, opened: Open) -> Residuals:
        api, world = self._call.protected.program.api, self._world(item, self._call.token)
        return Residuals(api, item.resource_type, world, opened, self._spend)

    def _filter(
        self,
        residuals: Residuals,
        declared: Sequence[Attribute],
        denies: Found,
        allows: Found,
    ) -> tuple[Filter, int | None]:
        """Return on which resources it is allowed, and until when that stands, the facts that are
        known aside. Raises `InvalidRequest`."""
        call = self._call
        if not denies.perhaps and allows.surely:
            return everything(declared), call.until
        perhaps = None if allows.surely else allows.perhaps
        try:
            made = filtered(residuals, denies.perhaps, perhaps, declared, call.token)
        except EffortSpent:
            raise too_large(call.token, "it takes too long to make") from None
        until = call.until
        if until is not None and residuals.read_clock:
            until = min(until, call.now + 1)
        return made, until

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise EffortSpent

    # -- what comes of it ------------------------------------------------------------------------

    def _denial(self, question: Question, item: Item, opened: Open, names: Sequence[str]) -> Denial:
        """Give the reason of a certain deny."""
        call = self._call
        if opened:
            question = self._supposed(question, item, opened)
        return why_not(call.protected.protection, call.token, question, names, self._effort)

    def _supposed(self, question: Question, item: Item, opened: Open) -> _Supposed:
        """Return a question that tells what is certain with other facts of the token."""

        def spend(steps: int) -> None:
            self._effort.spend(steps * _DEAR)

        def outcome(facts: Facts) -> Outcome:
            token = self._token_of(question, facts)
            supposed = msgspec.structs.replace(question, token=facts)
            rules = Rules(supposed, opened, self._truths(item, opened, token, spend))
            found = certain(rules.of("deny"), rules.of("allow"))
            if rules.stopped:
                raise EffortSpent
            return found

        plan = question.plan
        assert plan.names is not None, "a plan that rules were compiled for has them"
        layouts = {
            Origin.RESOURCE: (1, plan.names.resource),
            Origin.CONTEXT: (2, plan.names.context),
        }
        slots = set()
        for fact in opened:
            group, layout = layouts[fact.origin]
            if fact in layout.slots:
                slots.add(FactSlot(group, layout.slots[fact]))
        return _Supposed(
            plan,
            question.token,
            question.resource,
            question.context,
            question.now,
            outcome,
            frozenset(slots),
        )

    def _token_of(self, question: Question, facts: Facts) -> VerifiedToken:
        """Return the call's token as one that has these facts. Raises `Uncertain`."""
        login = question.plan.login
        changed = {} if login is None else _changed(login, question.token, facts)
        claims = self._call.protected.program.api.claims.values()
        if not changed.keys().isdisjoint(one.path[0] for one in claims):
            raise Uncertain  # a claim of the policy's own would change with it
        token = self._call.token
        scopes: frozenset[str] = facts[SCOPES_SLOT]  # type: ignore[assignment]  # by layout
        return msgspec.structs.replace(token, scopes=scopes, claims={**token.claims, **changed})

    def _written(
        self,
        question: Question,
        partial: Partial,
        found: Found,
        denial: Denial | None,
        until: int | None,
    ) -> Decision:
        """Return the decision, which the rules that were found decide, unless none is certain."""
        call, plan = self._call, question.plan
        names = found.surely if partial.outcome != "maybe" else []
        if until is not None and plan.reads_clock:
            until = plan.next_change(
                question.token, question.resource, question.context, question.now, until
            )
        allowed = partial.outcome == "allow"
        reason = Reason.ALLOWED if allowed else Reason.UNDECIDED
        given = challenge.FORBIDDEN
        if denial is not None:
            reason, given = denial.reason, denial.challenge
        because = plan.because.get(names[0]) if names else None
        return Decision(
            allowed=allowed,
            reason=reason,
            message=because or challenge.message(reason),
            api=call.protected.name,
            revision=call.protected.revision,
            commit=call.protected.commit,
            time=call.time,
            rules=tuple(names[:RULES_SHOWN]),
            rules_truncated=found.cut or len(names) > RULES_SHOWN,
            missing_scopes=() if denial is None else denial.missing_scopes,
            http_status=200 if allowed else given.status,
            www_authenticate=given.www_authenticate,
            retry_after=given.retry_after,
            detail="" if denial is None else denial.detail,
            search_stopped=denial is not None and denial.stopped,
            dpop_nonce=call.nonce,
            token=call.token,
            cacheable_until=until,
            userinfo=call.userinfo,
            partial=partial,
        )


class _Supposed(Question, frozen=True, gc=False):
    """A question to be asked with other facts of the token, while some of its own are open.

    `outcome` tells what is then certain, and `open_slots` are where the open facts would be.
    """

    outcome: Callable[[Facts], Outcome]
    open_slots: frozenset[FactSlot]

    def allows(self, token: Facts) -> bool:
        """See `Question.allows`."""
        outcome = self.outcome(token)
        if outcome == "maybe":
            raise Uncertain
        return outcome == "allow"

    def at(self, place: FactSlot) -> Value | None:
        """See `Question.at`."""
        if place in self.open_slots:
            raise Uncertain
        return Question.at(self, place)


def _changed(login: Login, before: Facts, now: Facts) -> dict[str, Json]:
    """Return what of a login is no longer as it was, as claims of a token."""
    changed: dict[str, Json] = {}
    for fact, (slot, _) in login.slots.items():
        value = now[slot]
        if value != before[slot]:
            assert isinstance(value, str | int | frozenset), "acr, amr and auth_time are"
            changed[fact.name] = [*map(str, value)] if isinstance(value, frozenset) else value
    return changed


def _optional(declared: Iterable[Attribute], opened: Open) -> list[Attribute]:
    """Return declarations that demand nothing open."""
    return [
        msgspec.structs.replace(one, optional=True) if one.fact in opened else one
        for one in declared
    ]


def _sorted(facts: Iterable[Fact]) -> tuple[str, ...]:
    return tuple(sorted(fact.path for fact in facts))
