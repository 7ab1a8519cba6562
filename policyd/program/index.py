"""From a question to the rules that can apply to it: API, resource type, action."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import msgspec

from policyd.language.policy import (
    Api,
    Inclusion,
    Present,
    ResourceType,
    Rule,
    SubjectIs,
    Test,
)
from policyd.language.types import RESOURCE_ID, Fact, Origin
from policyd.language.walks import operands, reads
from policyd.program.details import Details, templates
from policyd.program.fields import ReadFields, reading
from policyd.program.functions import BoundFunction, Compiled
from policyd.program.layout import KIND_SLOT, Facts, FieldLayout, TokenLayout
from policyd.program.reads import ACR, AMR, AUTH_TIME, Reads
from policyd.program.shape import Locals
from policyd.tokens.model import ResourceServer

#: The denies that are not false; and the allows that are true, unless there are such denies: names
#: as a function of `functions` returns them.
Verdict = tuple[list[str], list[str]]


class FactSlot(NamedTuple):
    """Where a fact is: in the tuple of the token (0), of the resource (1) or of the context (2)."""

    group: int
    slot: int


class Login(msgspec.Struct, frozen=True):
    """Where the rules find what they read of how the user logged in, which `read` says.

    `slots` holds acr, amr and auth_time, those that are read: the value's slot, and that of its
    presence if there is one. The others are the slots of the facts that `read` names alike.
    """

    read: Reads
    slots: dict[Fact, tuple[int, int | None]]
    acr_slots: tuple[FactSlot, ...]
    helping_amr_slots: tuple[FactSlot, ...]
    hurting_amr_slots: tuple[FactSlot, ...]


#: Facts that have no slot: the clock, and fields of an element.
_NO_SLOT = frozenset({Origin.CLOCK, Origin.ITEM})

#: Reads no attributes, for plans that no rules were compiled for.
_READ_NOTHING = reading(())

#: Shared by the plans without messages, which are most.
_NO_MESSAGES: Mapping[str, str] = {}


class Needs(NamedTuple):
    """Where there is nothing if one of some denies is unknown: the slots of the token, the resource
    and the context, each with the name of its fact. And the denies of which the slots alone do not
    tell, each with the slots that it reads, with none where it has to be looked at always, and the
    number of its parts."""

    token: tuple[tuple[int, str], ...]
    resource: tuple[tuple[int, str], ...]
    context: tuple[tuple[int, str], ...]
    others: tuple[tuple[Rule, tuple[FactSlot, ...], int], ...]


class Plan(msgspec.Struct, frozen=True, eq=False):
    """The rules for one resource type and action, by name, and the functions that evaluate them.

    `denies` names the denies that are not false, and `allows` the allows that are true; `because`
    holds the message of each deny that has one. `steps` is how many both take at most;
    `read_resource` reads the facts of the resource that the action has, of which they read those in
    `resource_slots`; `needs` remembers what some denies need to know, and `readers`, once they were
    asked for, which rules read a fact, and `wanted` which scopes a token needs, by resource.
    `inclusion` is that of the API's scopes; `hurting_scopes` are also those that include one that
    hurts. `moments` (the slot of a fact, and delays in seconds after the time that it holds) and
    `fixed_moments` (seconds since the epoch) are when a test on the clock can change its value;
    `reads_clock` is whether there are any.
    """

    denies: BoundFunction
    allows: BoundFunction
    reads_clock: bool
    because: Mapping[str, str]
    helping_scopes: frozenset[str]
    hurting_scopes: frozenset[str]
    login: Login | None
    moments: tuple[tuple[int, int, tuple[int, ...]], ...]
    fixed_moments: tuple[int, ...]
    rules: tuple[Rule, ...]
    steps: int = 0
    read_resource: ReadFields = _READ_NOTHING
    resource_slots: tuple[int, ...] = ()
    item_moments: tuple[tuple[int, int, int, int], ...] = ()
    details: Details | None = None
    names: Locals | None = None
    inclusion: Inclusion = Inclusion()
    needs: dict[tuple[str, ...], Needs] = msgspec.field(default_factory=dict)
    readers: dict[Fact, tuple[Rule, ...]] = msgspec.field(default_factory=dict)
    wanted: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rules: tuple[Rule, ...],
        denies: Compiled,
        allows: Compiled,
        read: Reads,
        names: Locals,
        details: Fact | None = None,
    ) -> Plan:
        """Make a plan; the layouts in `names` assign slots to the facts of `read`."""
        token, resource, _ = names
        slot_of = partial(_slot_of, names)
        return cls(
            rules=rules,
            denies=denies.function,
            allows=allows.function,
            steps=denies.steps + allows.steps,
            read_resource=resource.read,
            resource_slots=tuple(
                sorted(resource.slots[one] for one in read.facts if one.origin is Origin.RESOURCE)
            ),
            because={rule.name: rule.because for rule in rules if rule.because} or _NO_MESSAGES,
            helping_scopes=read.helping_scopes,
            hurting_scopes=read.hurting_scopes,
            login=_login(names, read),
            moments=tuple(
                (*slot_of(fact), tuple(delay for _, delay in moments))
                for fact, moments in groupby(read.moments, key=itemgetter(0))
            ),
            fixed_moments=read.fixed_moments,
            details=_details(rules, names, read, details),
            item_moments=tuple(
                (*slot_of(fact), field, delay) for fact, field, delay in read.item_moments
            ),
            reads_clock=bool(read.moments or read.fixed_moments or read.item_moments),
            inclusion=token.inclusion,
            names=names,
        )

    def evaluate(self, token: Facts, resource: Facts, context: Facts, now: int) -> Verdict:
        """Return the rules that apply."""
        function = self.denies
        denies = function[0](token, resource, context, now, function)
        if denies:
            return denies, []
        function = self.allows
        return denies, function[0](token, resource, context, now, function)

    def read_by(self, fact: Fact) -> tuple[Rule, ...]:
        """Return the rules that read a fact, by name."""
        if not self.readers:
            found: dict[Fact, list[Rule]] = {RESOURCE_ID: []}
            for rule in self.rules:
                for one in reads(rule.formula):
                    found.setdefault(one, []).append(rule)
            # Threads may do this at the same time: it adds the same, in one step each.
            self.readers.update({one: tuple(rules) for one, rules in found.items()})
        return self.readers.get(fact, ())

    def needed_by(self, test: Test) -> Iterator[tuple[FactSlot, Fact | None]]:
        """Yield where there is nothing if a test is unknown, and the fact; none for the kind of the
        subject."""
        assert self.names is not None  # a plan that rules were compiled for has them
        if isinstance(test, SubjectIs):
            yield FactSlot(0, KIND_SLOT), None
        elif isinstance(test, Present):
            slot = self.names.token.presence.get(test.fact)
            if slot is not None:
                yield FactSlot(0, slot), test.fact
        else:
            for operand in operands(test):
                if isinstance(operand, Fact) and operand.origin not in _NO_SLOT:
                    yield _slot_of(self.names, operand), operand

    def next_change(
        self, token: Facts, resource: Facts, context: Facts, now: int, until: int
    ) -> int:
        """Return the first second after `now` at which a test on the clock can change its value,
        or `until` when none does before."""
        if self.fixed_moments:
            following = bisect_right(self.fixed_moments, now)
            if following < len(self.fixed_moments):
                until = min(until, self.fixed_moments[following])
        groups = (token, resource, context)
        for group, slot, delays in self.moments:
            base = groups[group][slot]
            if type(base) is int:
                for delay in delays:
                    if now < base + delay < until:
                        until = base + delay
        for group, slot, field, delay in self.item_moments:
            elements = groups[group][slot]
            for element in elements if type(elements) is tuple else ():
                time = element[field] if type(element) is tuple else None
                if type(time) is int and now < time + delay < until:
                    until = time + delay
        return until


def _details(
    rules: tuple[Rule, ...], names: Locals, read: Reads, fact: Fact | None
) -> Details | None:
    """Return what the rules ask of authorization details, `None` where they ask nothing."""
    if fact is None or fact not in read.facts:
        return None
    token = names.token
    wanted = templates(rules, fact)
    issuer = next(one.issuer for one in token.fields if one.fact == fact)
    return Details(token.slots[fact], token.presence[fact], len(fact.record), wanted, issuer)


def _login(names: Locals, read: Reads) -> Login | None:
    """Return what tells whether another login would help, where rules read how the user did."""
    if not read.login:
        return None
    token, _, _ = names
    slot_of = partial(_slot_of, names)
    return Login(
        read=read,
        slots={
            fact: (token.slots[fact], token.presence.get(fact))
            for fact in (ACR, AMR, AUTH_TIME)
            if fact in read.facts
        },
        acr_slots=tuple(map(slot_of, read.acr_facts)),
        helping_amr_slots=tuple(map(slot_of, read.helping_amr_facts)),
        hurting_amr_slots=tuple(map(slot_of, read.hurting_amr_facts)),
    )


def _slot_of(names: Locals, fact: Fact) -> FactSlot:
    token, resource, context = names
    if fact.origin is Origin.RESOURCE:
        return FactSlot(1, resource.slots[fact])
    if fact.origin is Origin.CONTEXT:
        return FactSlot(2, context.slots[fact])
    return FactSlot(0, token.slots[fact])


class ResourceProgram(msgspec.Struct, frozen=True, eq=False):
    type: ResourceType
    plans: dict[str, Plan]


class ApiProgram(msgspec.Struct, frozen=True, eq=False):
    """One API. `actions` are those of all its resource types."""

    api: Api
    server: ResourceServer
    token: TokenLayout
    context: FieldLayout
    resources: dict[str, ResourceProgram]
    actions: frozenset[str]


class Program(msgspec.Struct, frozen=True, eq=False):
    """All APIs of one load. `by_name_or_audience` finds one the way a request names it."""

    apis: dict[str, ApiProgram]
    by_name_or_audience: dict[str, ApiProgram]
    revision: str
