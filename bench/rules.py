"""P5: a hundred thousand rules beside ten, in process: whole checks, token included, CPU time.

The rules differ in an equality, `token.org_id == "org_17"`, and stand on one action, or ten to an
action. A question is asked over and over, or is another one each time, so that what it needs has
left the caches. For denies one more rule allows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Literal as OneOf

import msgspec

from bench.material import AUDIENCE, COUNT, Material
from bench.process import validator
from bench.report import Curve, Finding, Row, at_most, interleaved, ratio
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.policy import All, Api, Equal, Formula, Literal, PolicySet, ResourceType, Rule
from policyd.program import Program, compile_policies

Effect = OneOf["allow", "deny"]
Operand = OneOf["present", "absent", "ill-typed"]

PLURAL = {"allow": "allows", "deny": "denies"}
EFFECTS: tuple[Effect, ...] = ("allow", "deny")
FEW, MANY = 10, 100_000
STEPS = (10, 100, 1_000, 10_000, 100_000)
ON_ONE_ACTION = 10
TYPES = 100
TOKENS = 4 * COUNT

TEXT = f"""\
api documents

audience "{AUDIENCE}"

scope read:documents "Read documents"

claim org_id: string? from "org_id"

resource document {{
    actions read
}}

allow everyone: read on document
    when scope read:documents

EFFECT by-organisation: read on document
    when scope read:documents and token.org_id == "org_0"
"""


def rows_of_rules(material: Material, rounds: int) -> list[Finding]:
    """P5, in microseconds a check, and as a ratio."""
    found: list[Finding] = []
    tokens = _Tokens(material)
    for effect in EFFECTS:
        for policies in (_on_one_action(effect), _over_actions(effect)):
            found += _ratios(policies, material, tokens, rounds)
        found.append(_curve(effect, material, tokens, rounds))
    return found


def _curve(effect: Effect, material: Material, tokens: _Tokens, rounds: int) -> Curve:
    """Return what a check costs among more and more rules on one action, for random questions."""
    candidates: dict[str, Callable[[], float]] = {}
    for count in STEPS:
        questions = [
            Request(token, "documents", "action_0", "type_0")
            for token in tokens.get("present", count)
        ]
        engine = Engine(validator(material))
        engine.load(_policy_set(effect, 1, 1, count))
        _verify(engine, questions, effect, "present")
        candidates[str(count)] = asking(engine, questions)
    figures = interleaved(candidates, min(rounds, 3), "us")
    points = tuple((float(count), figures[str(count)].median) for count in STEPS)
    return Curve("rules", PLURAL[effect], points)


class _Policies(msgspec.Struct):
    """Few rules and many; the resource types and actions to ask about, of each."""

    few: PolicySet
    many: PolicySet
    effect: Effect
    spread: bool

    def plans(self, policies: PolicySet) -> list[tuple[str, str]]:
        api = policies.apis["documents"]
        return [
            (type_.name, action) for type_ in api.resources.values() for action in type_.actions
        ]


def _ratios(policies: _Policies, material: Material, tokens: _Tokens, rounds: int) -> list[Row]:
    what = f"{PLURAL[policies.effect]} {'over actions' if policies.spread else 'on one action'}"
    operands: tuple[Operand, ...] = ("present", "absent", "ill-typed")
    if policies.spread:
        operands = ("present",)
    candidates: dict[str, Callable[[], float]] = {}
    for count, chosen in ((FEW, policies.few), (MANY, policies.many)):
        program = compile_policies(chosen)
        organisations = ON_ONE_ACTION if policies.spread else count
        plans = policies.plans(chosen)
        for operand in operands:
            questions = [
                Request(token, "documents", action, type_)
                for token, (type_, action) in zip(
                    tokens.get(operand, organisations),
                    random.Random(0).choices(plans, k=TOKENS),
                    strict=True,
                )
            ]
            # Each has its cache of tokens, which holds all that are asked with.
            engine = Engine(validator(material), compiler=_always(program))
            engine.load(chosen)
            _verify(engine, questions, policies.effect, operand)
            candidates[f"{operand}, repeated {count}"] = asking(engine, questions[:1] * TOKENS)
            candidates[f"{operand}, random {count}"] = asking(engine, questions)
    found = interleaved(candidates, rounds, "us")
    rows = []
    for operand in operands:
        for order, target in (("repeated", at_most(1.3)), ("random", at_most(1.7))):
            few, many = (found[f"{operand}, {order} {count}"] for count in (FEW, MANY))
            name = f"{what}, operand {operand}, {order}"
            rows.append(Row("P5", f"{name}: {FEW} rules", None, few))
            rows.append(Row("P5", f"{name}: {MANY:,} / {FEW}", target, ratio(many, few)))
    return rows


def _always(program: Program) -> Callable[[PolicySet], Program]:
    return lambda _: program


def asking(engine: Engine, questions: Sequence[Request]) -> Callable[[], float]:
    """Return what measures these questions, in microseconds of CPU time each."""
    check = engine.check

    def ask() -> float:
        begin = time.process_time()
        for question in questions:
            check(question)
        return (time.process_time() - begin) / len(questions) * 1e6

    return ask


class _Tokens:
    """Tokens whose organisation is one of so many, or absent, or a list."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._made: dict[tuple[Operand, int], list[str]] = {}

    def get(self, operand: Operand, organisations: int) -> list[str]:
        key = (operand, organisations if operand == "present" else 0)
        if key not in self._made:
            chance = random.Random(organisations)
            names = [f"org_{chance.randrange(organisations)}" for _ in range(TOKENS)]
            self._made[key] = [
                self._sign(number, operand, name) for number, name in enumerate(names)
            ]
        return self._made[key]

    def _sign(self, number: int, operand: Operand, organisation: str) -> str:
        more: dict[Operand, dict[str, object]] = {
            "present": {"org_id": organisation},
            "absent": {},
            "ill-typed": {"org_id": [organisation]},
        }
        scope = "openid profile read:documents"
        return self._material.sign(number, scope=scope, **more[operand])


def _verify(engine: Engine, questions: Sequence[Request], effect: Effect, operand: Operand) -> None:
    """Ask each question once, which also warms the tokens' cache."""
    expected = (
        (effect == "allow" and operand == "present"),
        operand == "present" or effect == "deny",
    )
    for question in questions:
        decision = engine.check(question)
        if (decision.allowed, bool(decision.rules)) != expected:
            raise RuntimeError(
                f"the engine answers the benchmark's question with {decision.reason}"
            )


# -- policies --------------------------------------------------------------------------------------


def _on_one_action(effect: Effect) -> _Policies:
    few, many = (_policy_set(effect, 1, 1, count) for count in (FEW, MANY))
    return _Policies(few, many, effect, spread=False)


def _over_actions(effect: Effect) -> _Policies:
    actions = MANY // ON_ONE_ACTION // TYPES
    few = _policy_set(effect, 1, 1, ON_ONE_ACTION)
    many = _policy_set(effect, TYPES, actions, ON_ONE_ACTION)
    return _Policies(few, many, effect, spread=True)


def _policy_set(effect: Effect, types: int, actions: int, rules: int) -> PolicySet:
    """Return rules for each action of some resource types: the text's, multiplied.

    They are not read from text, which takes long and is no part of this.
    """
    loaded = load([Source("bench.policy", TEXT.replace("EFFECT", effect))])
    if loaded.policies is None:
        raise RuntimeError(f"the policy does not load: {loaded.diagnostics}")
    api = loaded.policies.apis["documents"]
    everyone, model = sorted(api.rules, key=lambda rule: rule.name == "by-organisation")
    made: list[Rule] = []
    resources: dict[str, ResourceType] = {}
    for type_ in (f"type_{number}" for number in range(types)):
        names = tuple(f"action_{number}" for number in range(actions))
        declared = api.resources["document"]
        resources[type_] = msgspec.structs.replace(declared, name=type_, actions=names)
        for action in names:
            where = {"resource": type_, "actions": (action,)}
            for number in range(rules):
                made.append(
                    msgspec.structs.replace(
                        model,
                        name=f"{type_}-{action}-{number:06}",
                        formula=about(model.formula, f"org_{number}"),
                        **where,
                    )
                )
            if effect == "deny":
                name = f"{type_}-{action}-everyone"
                made.append(msgspec.structs.replace(everyone, name=name, **where))
    multiplied: Api = msgspec.structs.replace(api, resources=resources, rules=tuple(made))
    return msgspec.structs.replace(loaded.policies, apis={api.name: multiplied})


def about(formula: Formula, value: str) -> Formula:
    """Return a copy of a rule's formula that compares with another value."""
    match formula:
        case All(operands=operands):
            copies = tuple(about(operand, value) for operand in operands)
            return msgspec.structs.replace(formula, operands=copies)
        case Equal(right=Literal() as literal):
            return msgspec.structs.replace(
                formula, right=msgspec.structs.replace(literal, value=value)
            )
    return msgspec.structs.replace(formula)
