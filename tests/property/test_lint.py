"""What the linter says without a solver is true: no evaluation contradicts it."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.analysis.formulas import Keys, conjuncts, possible
from policyd.decision.model import Request
from policyd.language.policy import (
    All,
    AnyOf,
    Api,
    Formula,
    HasAll,
    Literal,
    NamedCondition,
    Not,
    Rule,
)
from policyd.language.walks import walk
from policyd.program.interpreter import interpret
from policyd.tokens.model import VerifiedToken
from policyd.tooling.lint.clients import may_hold_for_any
from policyd.tooling.lint.rules.never_true import why_never_true
from tests.support.program import SOURCE, SPAN, apis, questions, rule, world

slow_to_draw = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def value(api: Api, formula: Formula, token: VerifiedToken, request: Request) -> bool | None:
    """A formula's value, by the interpreter."""
    asked = [rule("asked", "allow", formula)]
    (traced,) = interpret(api, asked, world(token, request)).rules
    return traced.trace.value


@slow_to_draw
@given(st.data())
def test_a_formula_takes_no_value_that_is_not_possible(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api))
    for one in api.rules:
        if_known = possible(one.formula, lambda part: None, SOURCE)
        if_not = possible(one.formula, lambda part: _any_truth(part.formula), SOURCE)
        seen = value(api, one.formula, token, request)
        assert seen in (if_not if seen is None else if_known | if_not)
        assert if_known <= if_not


def _any_truth(formula: Formula) -> frozenset[bool | None] | None:
    inner = isinstance(formula, All | AnyOf | Not | NamedCondition)
    return None if inner or list(walk(formula)) != [formula] else frozenset({True, False, None})


@slow_to_draw
@given(st.data())
def test_what_is_never_true_is_not(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api))
    for one in api.rules:
        # Two drawn at random are seldom opposites: join what often is.
        parts = (*conjuncts(one.formula), *(Not(SPAN, part) for part in conjuncts(one.formula)))
        chosen = data.draw(
            st.lists(st.sampled_from(parts or (one.formula,)), min_size=2, max_size=3)
        )
        for formula in (one.formula, All(SPAN, tuple(chosen))):
            if why_never_true(rule("asked", "allow", formula), Keys()) is not None:
                assert value(api, formula, token, request) is not True


@slow_to_draw
@given(st.data())
def test_formulas_of_one_number_have_one_value(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api))
    keys = Keys()
    for one in api.rules:
        other = _rewritten(one.formula)
        assert keys.of(other) == keys.of(one.formula)
        assert value(api, other, token, request) is value(api, one.formula, token, request)
        assert keys.conjuncts(other) == keys.conjuncts(one.formula)
    numbers = {keys.of(one.formula): value(api, one.formula, token, request) for one in api.rules}
    for one in api.rules:
        assert numbers[keys.of(one.formula)] is value(api, one.formula, token, request)


def _rewritten(formula: Formula) -> Formula:
    """The same in other words: operands exchanged and repeated, named parts opened."""
    match formula:
        case All(operands=operands):
            turned = tuple(_rewritten(one) for one in reversed(operands))
            return All(SPAN, (turned[0], All(SPAN, turned)))
        case AnyOf(operands=operands):
            turned = tuple(_rewritten(one) for one in reversed(operands))
            return AnyOf(SPAN, (*turned, turned[0]))
        case Not(operand=operand):
            return Not(SPAN, _rewritten(operand))
        case NamedCondition(formula=inner):
            return _rewritten(inner)
    return NamedCondition(SPAN, "named", SOURCE, formula)


@slow_to_draw
@given(st.data())
def test_a_rule_with_more_conditions_applies_less_often(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api))
    keys = Keys()
    for one in api.rules:
        for other in api.rules:
            joined = All(SPAN, (one.formula, other.formula))
            assert keys.conjuncts(one.formula) <= keys.conjuncts(joined)
            for wide, narrow in ((one.formula, joined), (one.formula, other.formula)):
                if keys.conjuncts(wide) > keys.conjuncts(narrow):
                    continue
                if keys.conjuncts(wide) <= keys.conjuncts(narrow) and value(
                    api, narrow, token, request
                ):
                    assert value(api, wide, token, request) is True


@slow_to_draw
@given(st.data())
def test_a_rule_for_some_clients_holds_for_no_other(data: st.DataObject) -> None:
    api = data.draw(apis())
    token, request = data.draw(questions(api))
    nobody = msgspec.structs.replace(
        token, scopes=frozenset(), permissions=frozenset(), client=None, actor=None
    )
    permitted = msgspec.structs.replace(nobody, permissions=token.permissions)
    for one in api.rules:
        if _trusts_a_set(one):
            continue
        if value(api, one.formula, nobody, request):
            assert may_hold_for_any(one, permitted=False)
        if value(api, one.formula, permitted, request):
            assert may_hold_for_any(one, permitted=True)


def _trusts_a_set(one: Rule) -> bool:
    """Whether a rule asks for all of a set, which is taken to hold something."""
    return any(
        isinstance(part, HasAll) and not isinstance(part.right, Literal)
        for part in walk(one.formula)
    )
