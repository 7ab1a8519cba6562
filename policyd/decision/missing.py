"""After a deny by rules: the scopes or the login with which the caller would be allowed.

Both searches evaluate the plan again with other facts of the token, in a fixed order, as long as
the call's `Effort` lasts. More scopes can make allows true and denies false. If a rule contains
`not scope x`, they can also do the opposite.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Final, NamedTuple

import msgspec

from policyd.decision.effort import Effort, EffortSpent
from policyd.decision.model import Missing, StepUp
from policyd.decision.question import Question, Uncertain
from policyd.language.types import Fact, Origin
from policyd.program.details import detail
from policyd.program.index import FactSlot, Login
from policyd.program.layout import SCOPES_SLOT
from policyd.program.reads import ACR, AMR, AUTH_TIME
from policyd.program.values import MAX_ELEMENTS, Value

#: How many alternatives an explanation lists.
ALTERNATIVES: Final = 64
#: Steps that it takes to ask a plan, besides those of the plan itself.
_ASKING: Final = 64
#: Members of a set that are not worth counting, and steps that a test takes for an address in one.
_FEW: Final = 64
_STEPS_AN_ADDRESS: Final = 4

#: How many values of `acr` are tried that attributes name; literals are all tried.
_ACR_FROM_ATTRIBUTES = 32

#: A login that no rule names. It stands for all of these; the empty text names none.
_UNNAMED_ACR = ""


#: What most denies lack: nothing that a caller could mend.
_NOTHING: Final = Missing()


def missing(question: Question, effort: Effort) -> Missing:
    """Search for what would give allow. Questions that rules cannot tell apart share a result."""
    if effort.found is None:
        return _missing(question, effort)
    resource = question.resource
    key = (id(question.plan), *[resource[slot] for slot in question.plan.resource_slots])
    known = effort.found.get(key)
    if known is None:
        known = effort.found[key] = _missing(question, effort)
    return known


def _missing(question: Question, effort: Effort) -> Missing:
    try:
        scopes, stopped = missing_scopes(question, effort)
        if scopes:
            return Missing(scopes, None, stopped)
        login = step_up(question, effort)
        asks = login is None and question.plan.details is not None
        lacks = asks and lacks_detail(question, effort)
        if login is None and not stopped and not lacks:
            return _NOTHING
        return Missing((), login, stopped, lacks)
    except EffortSpent:
        return Missing(stopped=True)
    except Uncertain:
        return Missing()


def _cost(question: Question) -> int:
    """Return how many steps it takes to ask the plan once more, at most, about."""
    texts = addresses = elements = 0
    for facts in (question.token, question.resource, question.context):
        for value in facts:
            if type(value) is frozenset and len(value) > _FEW:
                if type(next(iter(value))) is tuple:
                    addresses += len(value)
                else:
                    texts += len(value)
            elif type(value) is tuple and value and type(value[0]) is tuple:
                elements += len(value)
    # Each test may look at each address, and at each element of a list; sets of other values are
    # compared faster than that.
    each = 1 + _STEPS_AN_ADDRESS * addresses + elements
    return _ASKING + question.plan.steps * each + texts // 2


# -- scopes --------------------------------------------------------------------------------------


class MissingScopes(NamedTuple):
    """Scopes that would give allow in addition to the granted ones, or none.

    `stopped` if the search ran out of budget: then some may be superfluous, or some may exist
    although none were found.
    """

    scopes: tuple[str, ...] = ()
    stopped: bool = False


_NO_SCOPES: Final = MissingScopes()


def missing_scopes(question: Question, effort: Effort) -> MissingScopes:
    """Search for scopes that would give allow in addition to the granted ones.

    The plan is evaluated once with all scopes together, and at most twice for each of them; if most
    are not needed, a few times for each scope that is found. Scopes that the rules name are enough:
    whatever a set grants of these, they grant by themselves. The set is irreducible if at most one
    scope both helps and hurts. If several do, one of these may be superfluous, and a set may be
    missed: finding one is as hard as the satisfiability of a formula.
    """
    helping = question.plan.helping_scopes
    if not helping:
        return _NO_SCOPES
    try:
        effort.spend(len(helping))
    except EffortSpent:
        return MissingScopes(stopped=True)
    return _irreducible(question, _addable(question), effort)


class Alternatives(msgspec.Struct, frozen=True):
    """Sets of scopes that each give allow, none within another; `stopped` when there may be more.

    The first is what a decision reports; then small ones come before large ones.
    """

    sets: tuple[tuple[str, ...], ...]
    stopped: bool


def alternatives(question: Question, first: tuple[str, ...], effort: Effort) -> Alternatives:
    """List up to 64 sets of missing scopes; `first` is the one that `missing_scopes` found.

    Whatever set is not found yet lacks a scope of each set that is found. So the search goes
    through the ways to forbid one scope of each (a hitting-set tree: Reiter, A theory of diagnosis
    from first principles, 1987).
    """
    addable = _addable(question)
    found = [first]
    queue: deque[frozenset[str]] = deque([frozenset()])
    seen = set(queue)
    while queue:
        forbidden = queue.popleft()
        try:
            effort.spend(_ASKING + len(found) + len(forbidden))
            known = next((known for known in found if forbidden.isdisjoint(known)), None)
            if known is None:
                known, stopped = _irreducible(question, addable - forbidden, effort)
                if stopped or (known and len(found) == ALTERNATIVES):
                    return _alternatives(found, stopped=True)
                found += [known] if known else []
            effort.spend(len(known) * (_ASKING + len(forbidden)))
        except EffortSpent:
            return _alternatives(found, stopped=True)
        for further in (forbidden | {scope} for scope in known):
            if further not in seen:
                seen.add(further)
                queue.append(further)
    return _alternatives(found, stopped=False)


def _alternatives(found: list[tuple[str, ...]], *, stopped: bool) -> Alternatives:
    first, *others = found
    others.sort(key=lambda scopes: (len(scopes), scopes))
    return Alternatives((first, *others), stopped=stopped)


def _addable(question: Question) -> frozenset[str]:
    return question.plan.helping_scopes - _granted(question)


def _granted(question: Question) -> frozenset[str]:
    """Return the granted scopes, with those that they include."""
    granted: frozenset[str] = question.token[SCOPES_SLOT]  # type: ignore[assignment]  # by layout
    return granted


def _allows_with(question: Question, added: set[str], effort: Effort) -> bool:
    effort.spend(_cost(question) + len(added))
    token = list(question.token)
    token[SCOPES_SLOT] = _granted(question) | question.plan.inclusion.closed(frozenset(added))
    return question.allows(tuple(token))


def _irreducible(question: Question, scopes: frozenset[str], effort: Effort) -> MissingScopes:
    """Return a set of scopes out of `scopes` that gives allow, or nothing."""
    if not scopes:
        return _NO_SCOPES
    wanted = set(scopes)
    allowed = False
    order = question.plan.inclusion.ordered
    try:
        allowed = _allows_with(question, wanted, effort)
        # First those that hurt as well: without one, another may turn out to be superfluous.
        for scope in order(scopes & question.plan.hurting_scopes):
            fewer = wanted - {scope}
            if not fewer:
                break
            if _allows_with(question, fewer, effort):
                wanted, allowed = fewer, True
            elif not allowed:
                wanted = fewer
        if allowed:
            _leave_out(question, wanted, effort)
    except EffortSpent:
        return MissingScopes(tuple(sorted(wanted)) if allowed else (), stopped=True)
    return MissingScopes(tuple(sorted(wanted)) if allowed else ())


def _leave_out(question: Question, wanted: set[str], effort: Effort) -> None:
    """Leave out what is superfluous of `wanted`, which gives allow: one after another, what
    includes others before these, and the last declared first.

    With the scopes that are looked at here, more of them never hurt. So where several in a row can
    go together each of them can, and the longest such row is found by doubling and halving.
    """
    left = question.plan.inclusion.ordered(wanted - question.plan.hurting_scopes)
    while left:

        def can_go(number: int) -> bool:
            without = wanted.difference(left[:number])
            # Without any scope the answer is known.
            return bool(without) and _allows_with(question, without, effort)

        number = _longest(len(left), can_go)
        wanted.difference_update(left[:number])
        del left[: number + 1]  # and the next is needed


def _longest(most: int, holds: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` for which something holds that holds for all smaller
    ones too, and for none."""
    known, step, beyond = 0, 1, most + 1
    while known + step < beyond and holds(known + step):
        known += step
        step *= 2
    beyond = min(beyond, known + step)
    while beyond - known > 1:
        middle = (known + beyond) // 2
        if holds(middle):
            known = middle
        else:
            beyond = middle
    return known


# -- authorization details -----------------------------------------------------------------------


def lacks_detail(question: Question, effort: Effort) -> bool:
    """Tell whether one more authorization detail (RFC 9396), and nothing else, would give allow.

    Those are tried that the rules ask for, in up to 64 ways. Raises `EffortSpent` where that could
    not be found out.
    """
    details = question.plan.details
    if details is None:
        return False
    known = question.token[details.slot]
    present = question.token[details.presence]
    if present is None or (type(known) is tuple and len(known) >= MAX_ELEMENTS):
        return False  # no list, or no room in it
    elements = known if type(known) is tuple else ()
    for template in details.templates:
        added = detail(template, details.fields, partial(_value_of, question))
        if added is not None:
            effort.spend(_cost(question) + len(template))
            token = list(question.token)
            token[details.slot] = (*elements, added)
            token[details.presence] = True
            if question.allows(tuple(token)):
                return True
    return False


def _value_of(question: Question, fact: Fact) -> Value | None:
    """Return what a fact has in a question."""
    names = question.plan.names
    assert names is not None, "a plan that asks for details has them"
    match fact.origin:
        case Origin.CLOCK:
            return question.now
        case Origin.RESOURCE:
            return question.resource[names.resource.slots[fact]]
        case Origin.CONTEXT:
            return question.context[names.context.slots[fact]]
        case _:
            return question.token[names.token.slots[fact]]


# -- how the user logged in ----------------------------------------------------------------------


def step_up(question: Question, effort: Effort) -> StepUp | None:
    """Return a login that would give allow, `None` where changing it alone does not.

    Raises `EffortSpent` where that could not be found out.

    Tried are all values of `acr` that the rules name; for `amr` all methods that help, those that
    never hurt of them, and none; for `auth_time` this moment; and each with what the token says.
    Fewest changes win.
    """
    login = question.plan.login
    if login is None:
        return None
    amr_choices: list[Changes] = [{}]
    if AMR in login.slots:
        effort.spend(len(login.read.helping_amr) + len(login.read.hurting_amr))
        helping = login.read.helping_amr | _named(question, login.helping_amr_slots)
        hurting = login.read.hurting_amr | _named(question, login.hurting_amr_slots)
        amr_choices += [{AMR: helping}, {AMR: helping - hurting}, {AMR: frozenset()}]
    time_choices: list[Changes] = [{}]
    if AUTH_TIME in login.slots:
        time_choices.append({AUTH_TIME: question.now})
    for amr, time in product(amr_choices, time_choices):
        acr_values = _acr_values(question, login, {**amr, **time}, effort)
        if acr_values is not None:
            return StepUp(acr_values, (login.read.max_age or 0) if time else None)
    return None


Changes = dict[Fact, Value]


def _acr_values(
    question: Question, login: Login, changes: Changes, effort: Effort
) -> tuple[str, ...] | None:
    """Return the named values of `acr` that give allow beside other changes: none where it may stay
    or where only others will do, `None` where no value will do."""

    def allows(changes: Changes) -> bool:
        return _allows(question, login, changes, effort)

    if changes and allows(changes):
        return ()
    if ACR not in login.slots:
        return None
    from_attributes = sorted(_named(question, login.acr_slots).difference(login.read.acr))
    named = [*login.read.acr, *from_attributes[:_ACR_FROM_ATTRIBUTES]]
    fitting = tuple(acr for acr in named if allows({**changes, ACR: acr}))
    unnamed = (*login.read.acr_parts, _UNNAMED_ACR)
    if fitting or any(allows({**changes, ACR: acr}) for acr in unnamed):
        return fitting
    return None


def _allows(question: Question, login: Login, changes: Changes, effort: Effort) -> bool:
    effort.spend(_cost(question))
    token = list(question.token)
    for fact, value in changes.items():
        slot, presence = login.slots[fact]
        token[slot] = value
        if presence is not None:
            token[presence] = True
    return question.allows(tuple(token))


def _named(question: Question, slots: tuple[FactSlot, ...]) -> frozenset[str]:
    """Return the texts that attributes and context entries hold, alone or in a set."""
    texts: set[str] = set()
    for place in slots:
        value = question.at(place)
        if isinstance(value, str):
            texts.add(value)
        elif isinstance(value, frozenset):
            texts.update(item for item in value if isinstance(item, str))
    return frozenset(texts)
