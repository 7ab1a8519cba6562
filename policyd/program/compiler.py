"""Checked policies to programs: for each resource type and action the functions that decide.

What comes in is a `PolicySet`, with nothing left to go wrong; what goes out is an immutable
`Program`. It evaluates no rule that cannot matter: see `discrimination` for which these are, and
`functions` for the code.
"""

from __future__ import annotations

from policyd.language.policy import Api, PolicySet, Rule
from policyd.program.discrimination import FEWEST, Clause
from policyd.program.functions import Functions
from policyd.program.index import ApiProgram, Plan, Program, ResourceProgram
from policyd.program.layout import context_layout, resource_layout, token_layout
from policyd.program.reads import Reads, reads
from policyd.program.shape import Locals
from policyd.tokens.model import ResourceServer


def compile_policies(policies: PolicySet, *, fewest: int = FEWEST) -> Program:
    """Compile all APIs. `fewest` is from how many rules on an index is worth its while; whatever it
    is, the program decides the same."""
    functions = Functions(fewest)
    apis = {api.name: _compile_api(api, functions) for api in policies.apis.values()}
    by_audience = {
        audience: program for program in apis.values() for audience in program.api.audiences
    }
    return Program(
        apis=apis, by_name_or_audience={**by_audience, **apis}, revision=policies.revision
    )


def _compile_api(api: Api, functions: Functions) -> ApiProgram:
    rules = _rules_by_action(api)
    # Actions with the same rules share one plan.
    known: dict[tuple[str, tuple[int, ...]], Reads] = {}
    for (resource, _), looked_at in rules.items():
        key = (resource, _identity(looked_at))
        if key not in known:
            known[key] = reads(looked_at, api.scopes)
    token = token_layout(
        api,
        (fact for read in known.values() for fact in read.facts),
        (fact for read in known.values() for fact in read.presence),
    )
    context = context_layout(api.context)
    resources: dict[str, ResourceProgram] = {}
    for type_ in api.resources.values():
        layout = resource_layout(type_.attributes)
        made: dict[tuple[str, tuple[int, ...]], Plan] = {}
        plans: dict[str, Plan] = {}
        for action in type_.actions:
            looked_at = rules[type_.name, action]
            key = (type_.name, _identity(looked_at))
            if key not in made:
                names = Locals(token, layout, context)
                denies, allows = (
                    functions.applying(_clauses(looked_at, effect), names, deny=effect == "deny")
                    for effect in ("deny", "allow")
                )
                made[key] = Plan.of(looked_at, denies, allows, known[key], names)
            plans[action] = made[key]
        resources[type_.name] = ResourceProgram(type=type_, layout=layout, plans=plans)
    return ApiProgram(
        api=api,
        server=ResourceServer(api.name, frozenset(api.audiences)),
        token=token,
        context=context,
        resources=resources,
    )


def _rules_by_action(api: Api) -> dict[tuple[str, str], tuple[Rule, ...]]:
    """Return, for each resource type and action, the rules that can matter, by name."""
    found: dict[tuple[str, str], list[Rule]] = {
        (type_.name, action): [] for type_ in api.resources.values() for action in type_.actions
    }
    for rule in sorted(api.rules, key=lambda rule: rule.name):
        for action in rule.actions:
            found[rule.resource, action].append(rule)
    return {key: tuple(rules) for key, rules in found.items()}


def _identity(rules: tuple[Rule, ...]) -> tuple[int, ...]:
    return tuple(map(id, rules))


def _clauses(rules: tuple[Rule, ...], effect: str) -> list[Clause]:
    return [Clause(rule.name, rule.formula) for rule in rules if rule.effect == effect]
