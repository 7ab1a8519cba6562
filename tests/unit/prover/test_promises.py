"""Promises about small policies: what the prover says of each."""

from __future__ import annotations

import pytest

from policyd.prover.axioms import Issuer, Premises
from policyd.prover.judging import unknown_facts
from policyd.prover.questions import Refuted, prove_never
from policyd.prover.universe import Side
from policyd.tokens.settings.dialect_table import DIALECTS
from tests.support.program import policies
from tests.support.promises import ALWAYS, PROMISES, Promise, answer, check


@pytest.mark.parametrize("promise", PROMISES, ids=lambda one: f"{one.allowed} / {one.never}")
def test_promise(promise: Promise) -> None:
    check(promise)


def test_what_encodes_pigeon_holes_is_undecided() -> None:
    apart = [
        f"resource.n{one} != resource.n{other}" for one in range(12) for other in range(one + 1, 12)
    ]
    within = [f"resource.n{one} > 0 and resource.n{one} < 12" for one in range(12)]
    fields = "\n".join(f"    n{one}: int" for one in range(12))
    loaded = policies(
        'api holes\n\naudience "https://example.com/holes"\n\n'
        f"resource hole {{\n{fields}\n    actions dig\n}}\n\n"
        f"allow digs: dig on hole\n    when {' and '.join([*apart, *within])}\n\n"
        "deny never: dig on hole\n"
    )
    api = loaded.apis["holes"]
    allow, never = api.rules
    side = Side(api, api.resources["hole"], "dig")

    assert prove_never(side, [allow], never, budget=500) is None


def test_a_counterexample_is_small_and_says_what_was_unknown() -> None:
    found = answer(Promise("scope some", "resource.flag", holds=False))

    assert isinstance(found, Refuted)
    world = found.witness.world
    assert world.attributes == {"number": 0, "amount": 0}
    assert world.token.claims == {"must": "any"}
    assert world.token.scopes in ({"some"}, {"all"})
    assert [(fact.path, state) for fact, state in unknown_facts((found.promised,))] == [
        ("resource.flag", "missing")
    ]


def test_issuers_that_are_known_narrow_the_tokens() -> None:
    promise = Promise("token.sub is missing", ALWAYS, holds=False)
    auth0 = Issuer("https://one.example/", DIALECTS["auth0"])
    other = Premises({"things": (auth0,)})

    assert isinstance(answer(promise), Refuted)
    assert answer(promise, other) == "proven"
    assert answer(Promise("token.subject != token.sub", ALWAYS, holds=True), other) == "proven"
    foreign = Promise("scope some", 'token.iss != "https://one.example/"', holds=True)
    assert answer(foreign, other) == "proven"
    assert isinstance(answer(foreign), Refuted)
