"""Loading and compiling again comes to what loading and compiling afresh comes to."""

from __future__ import annotations

import random

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.explain import Explanation
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import Loader, load
from policyd.language.policy import All, AnyOf, Api
from policyd.program.compiler import Compiler, compile_policies
from policyd.program.index import Program
from policyd.tokens.model import VerifiedToken, new_memo
from tests.support.program import NOW_SECONDS, FixedValidator, apis, policy_set
from tests.support.random_questions import random_questions

slow_to_draw = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

# -- loading -------------------------------------------------------------------------------------

MAIN = """\
api a

audience "https://a.example"

scope x "X"
scope y "Y"

claim level: int?

resource r {
    owner: string
    actions read, write
}

define high as token.level > 5
define own as token.sub == resource.owner
"""
#: What each file may hold, also nothing at all, and what is wrong.
VERSIONS = {
    "main.policy": [
        MAIN,
        MAIN.replace("> 5", "> 6"),
        MAIN.replace("level: int?", "level: int"),
        MAIN.replace("claim level", "userinfo level").replace("token.level", "userinfo.level"),
        MAIN.replace("owner: string", "owner: string?"),
        MAIN.replace("read, write", "read"),
        MAIN.replace("define own", "define mine"),
        MAIN.replace('"https://a.example"', '"b"'),
        "",
    ],
    "one.policy": [
        "api a\n\nallow one: read on r\n    when scope x and high\n",
        "api a\n\n// Another place.\n\nallow one: read on r\n    when scope x and high\n",
        "api a\n\nallow one: read on r\n    when scope x and own\n",
        "api a\n\nallow two: read on r\n    when scope x and high\n",
        "api a\n\nallow one: read on r\n    when scope z\n",
        "api a\n\nallow one: read on r\n    when scope x and\n",
        "api a\n\ndefine high as now is present\n",
    ],
    "two.policy": [
        "api a\n\nallow two: read, write on r\n    when scope y\n    unless high\n",
        "api a\n\ndeny two: any on r\n    when high or own\n",
        "api a\n\ndefine both as high and own\n\nallow two: write on r\n    when both\n",
        'api a\n\nroute GET "/r/{id}" as read on r\n',
        "api a\n",
        "",
    ],
    "other.policy": [
        'api b\n\naudience "https://b.example"\n\nscope x "X"\n\n'
        "resource r {\n    actions read\n}\n\nallow one: read on r\n    when scope x\n",
        "",
    ],
}
_STATES = st.lists(
    st.tuples(*(st.sampled_from(versions) for versions in VERSIONS.values())), min_size=2
)


def sources(state: tuple[str, ...]) -> list[Source]:
    return [Source(name, text) for name, text in zip(VERSIONS, state, strict=True) if text]


@given(_STATES)
def test_loading_again_is_loading(states: list[tuple[str, ...]]) -> None:
    loader = Loader()
    for state in states:
        again, afresh = loader.load(sources(state)), load(sources(state))
        assert again.diagnostics == afresh.diagnostics
        assert repr(again.policies) == repr(afresh.policies)


def test_what_stayed_is_the_same_object() -> None:
    """Rules of an unchanged file, unless something changed around them; and the conditions that a
    new rule shares with them."""
    loader = Loader()
    first = loader.load(sources((MAIN, VERSIONS["one.policy"][0], VERSIONS["two.policy"][0], "")))
    other = VERSIONS["two.policy"][1]
    second = loader.load(sources((MAIN, VERSIONS["one.policy"][0], other, "")))
    third = loader.load(sources((MAIN + "\n", VERSIONS["one.policy"][0], other, "")))
    assert first.policies and second.policies and third.policies
    one, two, three = (
        each.apis["a"].rules for each in (first.policies, second.policies, third.policies)
    )
    assert one[0] is two[0]
    assert one[1] is not two[1]
    assert two[0] is not three[0]
    assert "high" in repr(two[0].formula)
    assert isinstance(two[0].formula, All) and isinstance(two[1].formula, AnyOf)
    assert two[0].formula.operands[1] is two[1].formula.operands[0]


def test_only_files_that_changed_are_parsed() -> None:
    parsed: list[None] = []
    loader = Loader(parsed=lambda: parsed.append(None))
    one, other = VERSIONS["one.policy"][0], VERSIONS["two.policy"][0]
    loader.load(sources((MAIN, one, other, "")))
    assert len(parsed) == 3
    loader.load(sources((MAIN, one, VERSIONS["two.policy"][1], "")))
    assert len(parsed) == 4


# -- compiling -----------------------------------------------------------------------------------


@slow_to_draw
@given(st.data())
def test_compiling_again_is_compiling(data: st.DataObject) -> None:
    """Over policies that share rules, whatever else their APIs declare and their rules read."""
    fewest = data.draw(st.sampled_from([1, 2, 8]))
    compiler = Compiler(fewest)
    known: list[Api] = []
    for _ in range(data.draw(st.integers(2, 4))):
        drawn = data.draw(apis())
        shared = [rule for api in known for rule in api.rules if data.draw(st.booleans())]
        rules = {rule.name: rule for rule in (*drawn.rules, *shared)}
        kept = tuple(rules[name] for name in sorted(rules))
        api = msgspec.structs.replace(drawn, rules=kept)
        known.append(api)
        again = compiler.compile(policy_set(api))
        afresh = compile_policies(policy_set(api), fewest=fewest)
        dice = random.Random(data.draw(st.integers(0, 2**32 - 1)))
        for token, request in random_questions(api, dice, 10):
            assert ask(again, api, token, request) == ask(afresh, api, token, request)


def ask(
    program: Program, api: Api, token: VerifiedToken, request: Request
) -> Explanation | tuple[object, ...]:
    fresh = msgspec.structs.replace(token, memo=new_memo())
    engine = Engine(
        FixedValidator(fresh), lambda: NOW_SECONDS + 0.5, compiler=lambda policies: program
    )
    engine.load(policy_set(api))
    try:
        found = engine.explain(request)
    except InvalidRequest as mistake:
        return mistake.args
    decision = msgspec.structs.replace(found.decision, token=None)
    return msgspec.structs.replace(found, decision=decision)
