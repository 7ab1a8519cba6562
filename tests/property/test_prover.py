"""The prover beside the interpreter, beside all questions of a small domain, and beside z3.

Each tests what the others cannot: *pinned*, that with all facts fixed the encoding forces the
interpreter's values; *exhaustive*, that there is a model exactly when there is a question; *z3*, an
encoding of its own, in theories instead of codes and bits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.json_types import Json
from policyd.language.policy import (
    All,
    AnyOf,
    Api,
    EndsWith,
    Equal,
    Formula,
    HasAll,
    HasAny,
    HasSome,
    In,
    IsTrue,
    Literal,
    Not,
    Present,
    Proof,
    Rule,
    StartsWith,
)
from policyd.language.types import Fact, Type
from policyd.language.walks import facts
from policyd.program.interpreter import World, interpret
from policyd.prover.differences import OUTCOMES, Revision, differences
from policyd.prover.promises import Prover
from policyd.prover.questions import Question, Refuted, prove_never
from policyd.prover.universe import Side
from tests.support import z3_encoding
from tests.support.pinning import check_pinned
from tests.support.program import (
    ACTIONS,
    ATTRIBUTES,
    CLAIMS,
    NOW_SECONDS,
    RECORD,
    SOURCE,
    SPAN,
    api_of,
    apis,
    payload,
    policy_set,
    rule,
    token,
    world,
)
from tests.support.random_questions import random_questions

QUESTIONS_PER_POLICY = 15
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(suppress_health_check=_SLOW)
@given(apis(), st.integers(0, 2**32 - 1))
def test_pinned(api: Api, seed: int) -> None:
    side = Side(api, api.resources["thing"], ACTIONS[0])
    asked = random_questions(api, random.Random(seed), QUESTIONS_PER_POLICY)
    check_pinned(side, (world(token, request) for token, request in asked))


@settings(suppress_health_check=_SLOW)
@given(apis(), apis(), st.integers(0, 2**32 - 1))
def test_promises_hold_for_all_that_is_asked(api: Api, other: Api, seed: int) -> None:
    """A proof has no counterexample among random questions; a counterexample is confirmed."""
    side = Side(api, api.resources["thing"], ACTIONS[0])
    rules = [one for one in api.rules if ACTIONS[0] in one.actions]
    promise = rule("promise", "deny", other.rules[0].formula)
    answer = prove_never(side, rules, promise)
    if isinstance(answer, Refuted):
        assert answer.confirmed
        return
    assert answer == "proven"
    for asked in _reaching(api, seed):
        traces = interpret(api, [*rules, promise], asked).rules
        applies = {one.rule.name: one.applies for one in traces}
        denied = any(applies[one.name] for one in rules if one.effect == "deny")
        allowed = any(applies[one.name] for one in rules if one.effect == "allow")
        assert denied or not allowed or not applies["promise"]


@settings(suppress_health_check=_SLOW)
@given(apis(), apis(), apis())
def test_promises_are_kept_as_by_all_rules_together(api: Api, other: Api, promised: Api) -> None:
    """What is proven of rules by themselves, by their reasons and by denies, is so of all; and
    stays so while rules come and go."""
    prover = Prover()
    never = promised.rules[0].formula
    promise = Proof("deny", "promise", "thing", ACTIONS[:1], never, None, (), SOURCE, SPAN)
    more = [msgspec.structs.replace(one, name=f"{one.name}-more") for one in other.rules]
    for rules in (api.rules, (*api.rules[1:], *more)):
        asked = msgspec.structs.replace(api, rules=rules, proofs=(promise,))
        found = prover.prove(policy_set(asked))
        side = Side(asked, asked.resources["thing"], ACTIONS[0])
        of_action = [one for one in rules if ACTIONS[0] in one.actions]
        is_proven = prove_never(side, of_action, promise) == "proven"
        assert [one.code for one in found] == ([] if is_proven else ["P7001"])
        assert not any("not confirmed" in note for one in found for note in one.notes)


def _reaching(api: Api, seed: int) -> Iterator[World]:
    """Yield questions that can come to the rules: of each token, policyd knows what `sub` is."""
    for made, request in random_questions(api, random.Random(seed), 60):
        sub = made.claims.get("sub")
        if sub is None or (isinstance(sub, str) and sub):
            yield world(made, request)


@settings(suppress_health_check=_SLOW)
@given(apis(), apis(), st.integers(0, 2**32 - 1))
def test_differences_are_those_that_questions_show(old: Api, new: Api, seed: int) -> None:
    """Each difference is confirmed; an answer that changes is among them."""
    resource = old.resources["thing"]
    rules = [[one for one in api.rules if ACTIONS[0] in one.actions] for api in (old, new)]
    before, after = (Revision(Side(old, resource, ACTIONS[0]), tuple(each[:3])) for each in rules)
    found = differences(before, after)
    assert all(one.confirmed for one in found)
    pairs = {(one.before.outcome, one.after.outcome) for one in found}
    for asked in _reaching(old, seed):
        answers = tuple(_allows(old, each[:3], asked) for each in rules)
        if answers == (False, True):
            assert ("deny", "allow") in pairs
        if answers == (True, False):
            assert ("allow", "deny") in pairs


@settings(suppress_health_check=_SLOW)
@given(apis(), st.lists(st.integers(0, 5), max_size=3))
def test_differences_are_those_of_all_rules_together(api: Api, left_out: list[int]) -> None:
    """Most rules are the same in both revisions, and few of them are looked at."""
    side = Side(api, api.resources["thing"], ACTIONS[0])
    rules = tuple(one for one in api.rules if ACTIONS[0] in one.actions)
    fewer = tuple(one for n, one in enumerate(rules) if n not in left_out)
    found = differences(Revision(side, rules), Revision(side, fewer))
    assert all(one.confirmed for one in found)
    question = Question([(side, rules), (side, fewer)])
    before, after = question.opened
    question.close()
    allow, deny = OUTCOMES[:2]
    pairs = {
        (old, new)
        for old, new in ((allow, deny), (deny, allow))
        if question.find(question.circuit.all((*before.outcome(old), *after.outcome(new))))
    }
    assert {(one.before.outcome, one.after.outcome) for one in found} == pairs


def _allows(api: Api, rules: list[Rule], asked: World) -> bool:
    applying = [one.rule.effect for one in interpret(api, rules, asked).rules if one.applies]
    return "allow" in applying and "deny" not in applying


# -- all questions of a small domain -------------------------------------------------------------

_TEXT, _TEXTS, _LIST = CLAIMS[Type.STRING], CLAIMS[Type.SET_OF_STRING], CLAIMS["list"]
_FLAG, _KIND, _OTHER = ATTRIBUTES[Type.BOOL], CLAIMS["kind"], ATTRIBUTES[Type.STRING]
_ITEM_TEXT, _ITEM_FLAG = RECORD[0].fact, RECORD[3].fact
_ABSENT: list[Json] = [None]
_WORDS: list[Json] = ["a", "c", "d"]
_DOMAIN: dict[Fact, list[Json]] = {
    _TEXT: [*_ABSENT, *_WORDS, 1],
    _OTHER: [*_ABSENT, *_WORDS],
    _KIND: [*_ABSENT, "a", "b", "urn:mfa", "c"],
    _FLAG: [*_ABSENT, True, False],
    _TEXTS: [*_ABSENT, [], ["a"], ["c"], ["d"], ["a", "c"], ["c", "d"], ["a", "c", "d"], [1]],
}
_ITEMS: list[Json] = [{}, {"text": "a", "flag": True}, {"text": "c"}, {"text": 1, "flag": False}]
_LISTS: list[Json] = [
    None,
    "no list",
    [],
    *([one] for one in _ITEMS),
    *([one, other] for one in _ITEMS for other in _ITEMS),
]


def _small_tests() -> st.SearchStrategy[Formula]:
    a = Literal(Type.STRING, "a")
    scalars = (_TEXT, _OTHER, _KIND)
    element: list[Formula] = [
        Equal(SPAN, _ITEM_TEXT, a),
        Equal(SPAN, _ITEM_TEXT, _OTHER),
        IsTrue(SPAN, _ITEM_FLAG),
        Present(SPAN, _ITEM_TEXT),
        Not(SPAN, Equal(SPAN, _ITEM_TEXT, a)),
        All(SPAN, (IsTrue(SPAN, _ITEM_FLAG), Equal(SPAN, _ITEM_TEXT, a))),
        AnyOf(SPAN, (IsTrue(SPAN, _ITEM_FLAG), Equal(SPAN, _ITEM_TEXT, _TEXT))),
    ]
    return st.sampled_from(
        [
            *(Equal(SPAN, one, a) for one in scalars),
            *(Equal(SPAN, one, other) for one, other in product(scalars, scalars) if one != other),
            *(Present(SPAN, one) for one in (*scalars, _TEXTS, _FLAG)),
            *(In(SPAN, one, _TEXTS) for one in scalars),
            *(StartsWith(SPAN, one, "a") for one in scalars),
            *(EndsWith(SPAN, one, "a") for one in scalars),
            IsTrue(SPAN, _FLAG),
            HasAny(SPAN, _TEXTS, Literal(Type.SET_OF_STRING, ("a", "b"))),
            HasAll(SPAN, _TEXTS, Literal(Type.SET_OF_STRING, ("a",))),
            *(HasSome(SPAN, _LIST, one) for one in element),
        ]
    )


def _small_formulas() -> st.SearchStrategy[Formula]:
    def grow(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
        operands = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(
            st.builds(All, st.just(SPAN), operands),
            st.builds(AnyOf, st.just(SPAN), operands),
            st.builds(Not, st.just(SPAN), inner),
        )

    return st.recursive(_small_tests(), grow, max_leaves=5)


_SMALL = _small_formulas()


@settings(suppress_health_check=_SLOW)
@given(_SMALL)
def test_a_formula_has_the_values_that_models_give_it(formula: Formula) -> None:
    """What a model makes of a formula, the interpreter makes of the model's question; and what it
    makes of some question, it makes in a model."""
    api = api_of([rule("only", "deny", formula)])
    side = Side(api, api.resources["thing"], ACTIONS[0])
    question = Question([(side, [])], more=[formula])
    (opened,) = question.opened
    holds, fails = opened.formulas.of(formula)
    question.close()
    possible = set()
    for value, literals in ((True, (holds,)), (False, (fails,)), (None, (-holds, -fails))):
        wanted = question.circuit.all((opened.token, opened.request, *literals))
        found = question.find(wanted)
        if found is not None:
            possible.add(value)
            assert interpret(api, api.rules, found.world).rules[0].value is value

    assert {interpret(api, api.rules, one).rules[0].value for one in _small(formula)} <= possible


def _small(formula: Formula) -> Iterator[World]:
    read = facts(formula)
    domain = _DOMAIN | {_LIST: _LISTS}
    asked = [one for one in domain if one in read]
    for values in product(*(domain[one] for one in asked)):
        given: dict[str, dict[str, Json]] = {"claim": {}, "resource": {}}
        for fact, value in zip(asked, values, strict=True):
            given[fact.origin][fact.name] = value
        yield World(
            token=token((), payload(given["claim"])),
            resource_id="",
            attributes=payload(given["resource"]),
            context={},
            now=NOW_SECONDS,
        )


# -- an encoding of its own ----------------------------------------------------------------------


@settings(suppress_health_check=_SLOW)
@given(apis(), apis())
def test_z3_says_the_same(api: Api, other: Api) -> None:
    promise = rule("promise", "deny", other.rules[0].formula)
    rules = [one for one in api.rules if ACTIONS[0] in one.actions]
    if not all(z3_encoding.covers(one.formula) for one in (*rules, promise)):
        return
    side = Side(api, api.resources["thing"], ACTIONS[0])
    answer = prove_never(side, rules, promise)

    assert (answer == "proven") is not z3_encoding.can_be_broken(side, rules, promise)
