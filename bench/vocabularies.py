"""P5: a hundred thousand rules beside a thousand that differ in a value of a vocabulary.

In process, CPU time, token included. Ten actions have a rule for each value of `values`, which is
as many values as the language takes. A question is asked over and over, or is another one each
time. The token's facts are remembered, as they are for every token that comes again.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from bench.report import Row, at_most, interleaved, ratio
from bench.rules import EFFECTS, PLURAL, Effect, about, asking
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.cases import TestToken
from policyd.language.policy import PolicySet
from policyd.tooling.subjects import TakenForGranted, stated_token

ACTIONS = tuple(f"action_{number}" for number in range(10))
FEW, MANY = 1_000, 100_000
QUESTIONS = 4_000
NOW = 1_800_000_000
TEXT = """\
api documents

audience "https://example.com/documents"

scope read:documents "Read documents"

values kind: KINDS

resource document {
    kind: kind
    actions ACTIONS
}

allow everyone: any-action on document
    when scope read:documents

EFFECT of-kind: any-action on document
    when scope read:documents and resource.kind == "kind_0"
""".replace("any-action", ACTIONS[0])


def rows_of_vocabularies(rounds: int) -> list[Row]:
    """Return what a check costs among such rules, in microseconds, and as a ratio."""
    return [row for effect in EFFECTS for row in _rows(effect, rounds)]


def _rows(effect: Effect, rounds: int) -> list[Row]:
    candidates: dict[str, Callable[[], float]] = {}
    for count in (FEW, MANY):
        kinds = count // len(ACTIONS)
        engine = _engine(_policies(effect, kinds))
        questions = _questions(kinds)
        for question in questions:
            decision = engine.check(question)
            found_one = (decision.allowed, len(decision.rules)) == (effect == "allow", 1)
            assert found_one, f"the benchmark's question is answered with {decision.reason}"
        candidates[f"repeated {count}"] = asking(engine, questions[:1] * QUESTIONS)
        candidates[f"random {count}"] = asking(engine, questions)
    found = interleaved(candidates, rounds, "us")
    rows = []
    for order, target in (("repeated", at_most(1.3)), ("random", at_most(1.7))):
        few, many = (found[f"{order} {count}"] for count in (FEW, MANY))
        name = f"{PLURAL[effect]} that differ in a vocabulary value, {order}"
        rows.append(Row("P5", f"{name}: {FEW:,} rules", None, few))
        rows.append(Row("P5", f"{name}: {MANY:,} / {FEW:,}", target, ratio(many, few)))
    return rows


def _questions(kinds: int) -> list[Request]:
    chance = random.Random(kinds)
    return [
        Request(
            "",
            "documents",
            chance.choice(ACTIONS),
            "document",
            "d1",
            {"kind": f"kind_{chance.randrange(kinds)}"},
        )
        for _ in range(QUESTIONS)
    ]


def _engine(policies: PolicySet) -> Engine:
    stated = TestToken("user", {"scope": ["read:documents"]})
    token = stated_token(stated, policies.apis["documents"], NOW)
    engine = Engine(TakenForGranted(token), lambda: NOW)
    engine.load(policies)
    return engine


def _policies(effect: Effect, kinds: int) -> PolicySet:
    """Return a rule for each action and value: the text's, multiplied.

    The vocabulary is read from the text, and the rules are not, which takes long.
    """
    text = TEXT.replace("KINDS", ", ".join(f'"kind_{number}"' for number in range(kinds)))
    text = text.replace("ACTIONS", ", ".join(ACTIONS)).replace("EFFECT", effect)
    policies = load([Source("kinds.policy", text)]).policies
    assert policies is not None, "the text loads"
    api = policies.apis["documents"]
    everyone, model = sorted(api.rules, key=lambda rule: rule.name == "of-kind")
    rules = [
        msgspec.structs.replace(
            model,
            name=f"{action}-{number:06}",
            actions=(action,),
            formula=about(model.formula, f"kind_{number}"),
        )
        for action in ACTIONS
        for number in range(kinds)
    ]
    if effect == "deny":
        rules += [
            msgspec.structs.replace(everyone, name=f"{action}-everyone", actions=(action,))
            for action in ACTIONS
        ]
    multiplied = msgspec.structs.replace(api, rules=tuple(rules))
    return msgspec.structs.replace(policies, apis={api.name: multiplied})
