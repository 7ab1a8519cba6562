"""Checked policies to programs: for each resource type and action one generated Python function.

What comes in is a `PolicySet`, with nothing left to go wrong; what goes out is an immutable
`Program`. A generated function takes the facts of a question in slots (see `layout`) and the time
in whole seconds. It returns the names of the denies that are not false and of the allows that are
true, each in the order of the names. It raises nothing; its time is linear in the rules' size.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from types import CodeType

from policyd.language.policy import (
    All,
    AnyOf,
    Api,
    Condition,
    Formula,
    Not,
    PolicySet,
    ResourceType,
    Rule,
)
from policyd.program.index import ApiProgram, Plan, Program, ResourceProgram, Verdict
from policyd.program.layout import Facts, context_layout, resource_layout, token_layout
from policyd.program.lowering import (
    AT,
    CLOCK,
    CONTEXT,
    HELPERS,
    RESOURCE,
    TOKEN,
    Lowering,
    Names,
    constant,
    name,
    negation,
)
from policyd.program.reads import Reads, reads
from policyd.tokens.model import ResourceServer

_FUNCTION = "plan"
_DENIES, _ALLOWS = "denies", "allows"


def compile_policies(policies: PolicySet) -> Program:
    """Compile all APIs."""
    apis = {api.name: _compile_api(api) for api in policies.apis.values()}
    by_audience = {
        audience: program for program in apis.values() for audience in program.api.audiences
    }
    return Program(
        apis=apis, by_name_or_audience={**by_audience, **apis}, revision=policies.revision
    )


def _compile_api(api: Api) -> ApiProgram:
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
                names = Names(token, layout, context)
                evaluate = _generate(looked_at, names, _title(api, type_, action))
                made[key] = Plan.of(looked_at, evaluate, known[key], token, layout, context)
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


def _title(api: Api, type_: ResourceType, action: str) -> str:
    return f"<{api.name}: {action} on {type_.name}>"


# -- one function --------------------------------------------------------------------------------

Evaluate = Callable[[Facts, Facts, Facts, int], Verdict]


def _generate(rules: tuple[Rule, ...], names: Names, title: str) -> Evaluate:
    """Generate the function that evaluates `rules`. `title` names it in a traceback."""
    lowering = Lowering(names)
    body: list[ast.stmt] = []
    wanted = [(rule.formula, rule.effect == "allow") for rule in rules]
    for condition, truth in conditions_in_order(wanted):
        value = lowering.lower(condition.formula, truth)
        body.append(_assign(names.condition(condition, truth), value))
    body += [_assign(_DENIES, _empty_list()), _assign(_ALLOWS, _empty_list())]
    for rule in rules:
        if rule.effect == "deny":
            body.append(_append_if(negation(lowering.fails(rule.formula)), _DENIES, rule.name))
        else:
            body.append(_append_if(lowering.holds(rule.formula), _ALLOWS, rule.name))
    verdict = ast.Tuple([name(_DENIES), name(_ALLOWS)], ast.Load(), **AT)
    body.append(ast.Return(verdict, **AT))
    slots = [_assign(local, _item(argument, slot)) for local, argument, slot in names.slots()]
    return _function(_code([*slots, *body], title))


def conditions_in_order(wanted: list[tuple[Formula, bool]]) -> Iterator[tuple[Condition, bool]]:
    """Yield each named condition that formulas need, with the polarity, after those it needs."""
    done: set[tuple[int, bool]] = set()
    for formula, truth in wanted:
        stack = [(condition, polarity, False) for condition, polarity in _uses(formula, truth)]
        while stack:
            condition, polarity, ready = stack.pop()
            key = (id(condition), polarity)
            if key in done:
                continue
            if ready:
                done.add(key)
                yield condition, polarity
            else:
                stack.append((condition, polarity, True))
                needed = _uses(condition.formula, polarity)
                stack.extend((inner, inner_polarity, False) for inner, inner_polarity in needed)


def _uses(formula: Formula, truth: bool) -> list[tuple[Condition, bool]]:
    """Return the named conditions that stand in a formula's text, with the polarity needed."""
    found: list[tuple[Condition, bool]] = []
    todo = [(formula, truth)]
    while todo:
        formula, truth = todo.pop()
        match formula:
            case All(operands=operands) | AnyOf(operands=operands):
                todo.extend((operand, truth) for operand in reversed(operands))
            case Not(operand=operand):
                todo.append((operand, not truth))
            case Condition():
                found.append((formula, truth))
    return found


def _assign(local: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(local, ast.Store(), **AT)], value, **AT)


def _empty_list() -> ast.expr:
    return ast.List([], ast.Load(), **AT)


def _item(argument: str, slot: int) -> ast.expr:
    return ast.Subscript(name(argument), constant(slot), ast.Load(), **AT)


def _append_if(test: ast.expr, names: str, rule: str) -> ast.stmt:
    append = ast.Attribute(name(names), "append", ast.Load(), **AT)
    call = ast.Expr(ast.Call(append, [constant(rule)], [], **AT), **AT)
    return ast.If(test, [call], [], **AT)


def _code(body: list[ast.stmt], title: str) -> CodeType:
    parameters = [ast.arg(argument, **AT) for argument in (TOKEN, RESOURCE, CONTEXT, CLOCK)]
    arguments = ast.arguments([], parameters, None, [], [], None, [])
    function = ast.FunctionDef(_FUNCTION, arguments, body, [], **AT)
    return compile(ast.Module([function], []), title, "exec", dont_inherit=True)


def _function(code: CodeType) -> Evaluate:
    namespace: dict[str, object] = {**HELPERS, "__builtins__": {}}
    # Made above from a checked policy: names of slots, constants, and calls of HELPERS.
    exec(code, namespace)  # noqa: S102
    function: Evaluate = namespace[_FUNCTION]  # type: ignore[assignment]
    return function
