"""Checked policies to programs: for each resource type and action the functions that decide.

Input is a checked `PolicySet`, output an immutable `Program`. The program evaluates no rule that
cannot apply: `discrimination` finds these rules, and `functions` generates the code.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from operator import attrgetter

import msgspec

from policyd.language.policy import Api, Attribute, Inclusion, PolicySet, ResourceType, Rule
from policyd.program.discrimination import FEWEST
from policyd.program.functions import Functions
from policyd.program.index import ApiProgram, Plan, Program, ResourceProgram
from policyd.program.layout import FieldLayout, context_layout, resource_layout, token_layout
from policyd.program.memo import Memo
from policyd.program.reads import Reads, combined, reads
from policyd.program.shape import Locals
from policyd.tokens.model import ResourceServer


def compile_policies(policies: PolicySet, *, fewest: int = FEWEST) -> Program:
    """Compile all APIs. `fewest` is from how many rules on an index is worth its while; whatever it
    is, the program decides the same."""
    return Compiler(fewest).compile(policies)


class Compiler:
    """Compiles one set of policies after another, and redoes only what changed.

    What it keeps of the last set is some 2 kB a rule. Not to be used by two threads at a time.
    """

    def __init__(self, fewest: int = FEWEST) -> None:
        self._functions = Functions(fewest)
        self._reads: Memo[tuple[list[Rule], Reads]] = Memo()
        self._scopes: Memo[frozenset[str]] = Memo()

    def compile(self, policies: PolicySet) -> Program:
        """Return what `compile_policies` returns."""
        apis = {api.name: self._api(api) for api in policies.apis.values()}
        self._functions.turn()
        self._reads.turn()
        self._scopes.turn()
        by_audience = {
            audience: program for program in apis.values() for audience in program.api.audiences
        }
        return Program(
            apis=apis, by_name_or_audience={**by_audience, **apis}, revision=policies.revision
        )

    def _api(self, api: Api) -> ApiProgram:
        rules = _rules_by_action(api)
        # Actions with the same rules share one plan.
        known: dict[tuple[str, tuple[int, ...]], Reads] = {}
        for (resource, _), looked_at in rules.items():
            key = (resource, _identity(looked_at))
            if key not in known:
                known[key] = self._read(looked_at, tuple(api.scopes), api.inclusion)
        details = next((one.fact for one in api.claims.values() if one.is_details), None)
        token = token_layout(
            api,
            (fact for read in known.values() for fact in read.facts),
            (
                *(fact for read in known.values() for fact in read.presence),
                *(() if details is None else (details,)),
            ),
        )
        context = context_layout(api.context)
        resources: dict[str, ResourceProgram] = {}
        for type_ in api.resources.values():
            layouts = _layouts(type_)
            made: dict[tuple[FieldLayout, tuple[int, ...]], Plan] = {}
            plans: dict[str, Plan] = {}
            for action in type_.actions:
                looked_at = rules[type_.name, action]
                layout = layouts[action]
                identity = _identity(looked_at)
                if (layout, identity) not in made:
                    names = Locals(token, layout, context)
                    denies, allows = (
                        self._functions.of(_of(looked_at, effect), names, deny=effect == "deny")
                        for effect in ("deny", "allow")
                    )
                    read = known[type_.name, identity]
                    made[layout, identity] = Plan.of(
                        looked_at, denies, allows, read, names, details
                    )
                plans[action] = made[layout, identity]
            resources[type_.name] = ResourceProgram(type=type_, plans=plans)
        return ApiProgram(
            api=api,
            server=ResourceServer(api.name, frozenset(api.audiences)),
            token=token,
            context=context,
            resources=resources,
            actions=frozenset(action for each in resources.values() for action in each.plans),
        )

    def _read(
        self, rules: tuple[Rule, ...], scopes: tuple[str, ...], inclusion: Inclusion
    ) -> Reads:
        """Return what rules read, put together from what those of each file do.

        Equal sets of scopes are one object, so that plans share the memory that a deny looks at.
        """
        by_file: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            by_file[rule.source.name].append(rule)
        read = combined(
            self._reads.get((scopes, *map(id, part)), partial(_read, part, scopes))[1]
            for part in by_file.values()
        )
        hurting = read.hurting_scopes.union(
            scope
            for scope, granted in inclusion.granted.items()
            if not granted.isdisjoint(read.hurting_scopes)
        )
        return msgspec.structs.replace(
            read,
            helping_scopes=self._scopes.get(read.helping_scopes, lambda: read.helping_scopes),
            hurting_scopes=self._scopes.get(hurting, lambda: hurting),
        )


def _read(rules: list[Rule], scopes: tuple[str, ...]) -> tuple[list[Rule], Reads]:
    return rules, reads(rules, scopes)


def _layouts(type_: ResourceType) -> dict[str, FieldLayout]:
    """Return the layout of each action: one for all that have the same attributes."""
    made: dict[tuple[Attribute, ...], FieldLayout] = {}
    found: dict[str, FieldLayout] = {}
    for action in type_.actions:
        absent = tuple(one for one in type_.limited if not one.is_for(action))
        if absent not in made:
            made[absent] = resource_layout(type_.attributes, absent)
        found[action] = made[absent]
    return found


def _rules_by_action(api: Api) -> dict[tuple[str, str], tuple[Rule, ...]]:
    """Return, for each resource type and action, the rules that can matter, by name."""
    found: dict[tuple[str, str], list[Rule]] = {
        (type_.name, action): [] for type_ in api.resources.values() for action in type_.actions
    }
    for rule in sorted(api.rules, key=attrgetter("name")):
        for action in rule.actions:
            found[rule.resource, action].append(rule)
    return {key: tuple(rules) for key, rules in found.items()}


def _identity(rules: tuple[Rule, ...]) -> tuple[int, ...]:
    return tuple(map(id, rules))


def _of(rules: tuple[Rule, ...], effect: str) -> list[Rule]:
    return [rule for rule in rules if rule.effect == effect]
