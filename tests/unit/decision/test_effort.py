"""What a call may spend on saying more than allow or deny, counted in evaluations and steps."""

from __future__ import annotations

import itertools

import pytest

from policyd.decision import effort as effort_module
from policyd.decision import request as request_module
from policyd.decision.effort import SEARCH, SUGGESTIONS, Effort, EffortSpent
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.missing import _longest
from policyd.decision.model import BatchItem, BatchRequest, Decision, Request
from policyd.decision.question import Question
from policyd.diagnostics.suggest import Suggestions
from policyd.json_types import Json
from policyd.program.index import Plan
from policyd.program.layout import Facts
from policyd.reasons import Reason
from tests.support.program import engine, policies, token

HEAD = 'api things\naudience "https://api.example/"\n'
THING = "resource thing {{\n    size: int?\n    actions {actions}\n}}\n"


def scoped(count: int, rule: str) -> str:
    """Return a policy with `count` scopes and a rule for each, in which # is its number."""
    scopes = "".join(f'scope s{number} "S"\n' for number in range(count))
    rules = "".join(
        f"allow r{number}: look on thing when {rule.replace('#', str(number))}\n"
        for number in range(count)
    )
    return HEAD + scopes + THING.format(actions="look") + rules


def together(count: int) -> str:
    """Return a policy with `count` scopes and a rule that needs all of them."""
    scopes = "".join(f'scope s{number} "S"\n' for number in range(count))
    needed = " and ".join(f"scope s{number}" for number in range(count))
    rule = f"allow r: look on thing when {needed} and resource.size >= 0\n"
    return HEAD + scopes + THING.format(actions="look") + rule


def deciding(text: str) -> Engine:
    return engine(policies(text), token(["x"], {"acr": "weak"}))


def plan_of(asked: Engine) -> Plan:
    assert asked.snapshot is not None
    return asked.snapshot.program.apis["things"].resources["thing"].plans["look"]


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what fills with the steps of each evaluation of a search."""
    made: list[int] = []
    allows = Question.allows

    def counting(question: Question, verified: Facts) -> bool:
        made.append(question.plan.steps)
        return allows(question, verified)

    monkeypatch.setattr(Question, "allows", counting)
    return made


QUESTION = Request("t", "things", "look", "thing", "1", {"size": 1.0})


def test_one_missing_scope_of_many_takes_few_evaluations(evaluations: list[int]) -> None:
    decision = deciding(scoped(200, "scope s#")).check(QUESTION)
    assert decision.missing_scopes == ("s0",)
    assert not decision.search_stopped
    assert len(evaluations) < 20


def test_scopes_that_are_all_needed_take_one_evaluation_each(evaluations: list[int]) -> None:
    decision = deciding(together(100)).check(QUESTION)
    assert len(decision.missing_scopes) == 100
    assert len(evaluations) == 101


def different(count: int) -> list[BatchItem]:
    """Return questions that rules can tell apart."""
    return [BatchItem("look", "thing", "", {"size": float(number)}) for number in range(count)]


KINDS = {
    "or": scoped(200, "scope s# and resource.size >= 0"),
    "and": together(200),
    "acr": scoped(200, 'token.acr == "a#" and "m#" in token.amr and resource.size == #'),
    "table": scoped(100, "(scope s# or scope s1) and resource.size < # and not scope s2"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_search_of_a_call_is_bounded(kind: str, evaluations: list[int]) -> None:
    asked = deciding(KINDS[kind])
    answers = asked.check_batch(BatchRequest("t", "things", different(1000)))
    assert len(answers) == 1000
    assert sum(evaluations) + 64 * len(evaluations) <= SEARCH
    evaluations.clear()
    explanation = asked.explain(QUESTION)
    assert sum(evaluations) + 64 * len(evaluations) <= SEARCH
    assert explanation.decision == asked.check(QUESTION)


def test_what_was_not_found_out_is_said() -> None:
    asked = deciding(KINDS["and"])
    answers = asked.check_batch(BatchRequest("t", "things", different(1000)))
    decisions = [answer for answer in answers if isinstance(answer, Decision)]
    assert not any(decision.allowed for decision in decisions)
    whole = list(itertools.takewhile(lambda one: not one.search_stopped, decisions))
    assert 1 < len(whole) < 1000
    assert all(one.reason is Reason.INSUFFICIENT_SCOPE and not one.detail for one in whole)
    rest = decisions[len(whole) :]
    assert all(one.search_stopped for one in rest)
    assert rest[0].missing_scopes == whole[0].missing_scopes  # enough, perhaps too many
    assert rest[-1].reason is Reason.NO_RULE_ALLOWS
    assert "budget" in rest[-1].detail


def test_where_nothing_is_searched_nothing_stops() -> None:
    asked = deciding(
        HEAD + THING.format(actions="look") + "allow r: look on thing when resource.size == 5"
    )
    items = [BatchItem("look", "thing")] * 10
    answers = asked.check_batch(BatchRequest("t", "things", items))
    assert not any(isinstance(one, Decision) and one.search_stopped for one in answers)


def test_questions_that_rules_cannot_tell_apart_are_searched_once(evaluations: list[int]) -> None:
    asked = deciding(scoped(200, "scope s#"))
    asked.check(QUESTION)
    once = len(evaluations)
    items = [
        BatchItem("look", "thing", str(number), {"size": float(number)}) for number in range(1000)
    ]
    answers = asked.check_batch(BatchRequest("t", "things", items))
    assert len(evaluations) == 2 * once
    assert {one.missing_scopes for one in answers if isinstance(one, Decision)} == {("s0",)}


def test_large_sets_count() -> None:
    """An evaluation may look at each address of a set; then few are made."""
    text = scoped(50, 'scope s# and resource.from has any ["10.0.0.0/8"]').replace(
        "    size: int?", "    from: set<ip>?"
    )
    asked = deciding(text)
    few: list[Json] = ["192.0.2.1"]
    assert not asked.check(
        Request("t", "things", "look", "thing", "", {"from": few})
    ).search_stopped
    many: list[Json] = [f"192.0.{number // 256}.{number % 256}" for number in range(5000)]
    decision = asked.check(Request("t", "things", "look", "thing", "", {"from": many}))
    assert decision.search_stopped
    assert not decision.allowed


def test_what_is_wrong_with_the_context_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        'api things\naudience "https://api.example/"\ncontext {\n    tags: set<string>\n'
        "    size: int\n}\n" + THING.format(actions="look")
    )
    asked = deciding(text)
    made: list[str] = []
    field = request_module._field

    def counted(*given: object) -> InvalidRequest:
        made.append("")
        return field(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(request_module, "_field", counted)
    context: dict[str, Json] = {"tags": ["a"], "size": "ill-typed"}
    answers = asked.check_batch(BatchRequest("t", "things", different(1000), context=context))
    assert len(answers) == 1000
    assert {str(one) for one in answers} == {"context.size: is not of the declared type int"}
    assert len(made) == 1


def test_spent_is_spent() -> None:
    effort = Effort(search=10)
    effort.spend(9)
    with pytest.raises(EffortSpent):
        effort.spend(2)
    with pytest.raises(EffortSpent):
        effort.spend(1)


def test_steps_of_a_plan_count_what_one_evaluation_can_look_at() -> None:
    assert plan_of(deciding(scoped(1, "scope s#"))).steps <= 5
    # A row of a table is looked at, and so is what stands under a scope that may be granted.
    assert 100 < plan_of(deciding(scoped(100, "resource.size < #"))).steps <= 400
    assert 100 < plan_of(deciding(scoped(100, "scope s#"))).steps <= 400
    # Of an index by another fact, one value is.
    assert plan_of(deciding(scoped(100, "resource.size == #"))).steps <= 10


@pytest.mark.parametrize("most", [0, 1, 2, 3, 9, 64, 65])
def test_the_longest_row_is_found(most: int) -> None:
    for longest in range(most + 1):
        asked: list[int] = []

        def holds(number: int, longest: int = longest, asked: list[int] = asked) -> bool:
            asked.append(number)
            return number <= longest

        assert _longest(most, holds) == longest
        assert len(asked) == len(set(asked)) <= 2 * (longest + 1).bit_length() + 1
        assert all(1 <= number <= most for number in asked)


# -- names that were meant -------------------------------------------------------------------------

MANY = HEAD + "".join(
    f"resource thing_of_kind_{number:03} {{\n    actions look\n}}\n" for number in range(200)
)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Suggestions]:
    """Return what fills with the budgets that calls get."""
    made: list[Suggestions] = []

    def counted(budget: int) -> Suggestions:
        made.append(Suggestions(budget))
        return made[-1]

    monkeypatch.setattr(effort_module, "Suggestions", counted)
    return made


def misspelt(asked: Engine, names: list[str]) -> list[InvalidRequest]:
    answers = asked.check_batch(
        BatchRequest("t", "things", [BatchItem("look", name) for name in names])
    )
    return [answer for answer in answers if isinstance(answer, InvalidRequest)]


def test_suggestions_of_a_batch_have_one_budget(steps: list[Suggestions]) -> None:
    names = [f"thing_af_kind_{number:03}" for number in range(1000)]
    found = misspelt(deciding(MANY), names)
    assert len(found) == 1000
    assert found[0].suggestion == "thing_of_kind_000"
    assert found[-1].suggestion is None
    assert found[-1].description.endswith("the call's budget for that is spent")
    assert len(steps) == 1
    # One row of one comparison may go beyond, and each further search takes a step to see that.
    assert steps[0]._left > -100 - len(names)


def test_whatever_is_misspelt_in_a_batch_it_has_one_budget(steps: list[Suggestions]) -> None:
    """Resource types, actions and attributes."""
    required = THING.format(actions="look").replace("int?", "int")
    asked = deciding(f"{HEAD}{required}allow a: look on thing when true\n")
    items = [
        BatchItem("look", "thong"),
        BatchItem("lock", "thing"),
        BatchItem("look", "thing", attributes={"sise": 1}),
        BatchItem("look", "thing", attributes={"zize": 1}),
    ]
    answers = asked.check_batch(BatchRequest("t", "things", items))
    assert [getattr(one, "suggestion", None) for one in answers] == [
        *("thing", "look", "size", "size")
    ]
    assert len(steps) == 1


def test_one_word_is_looked_for_once(steps: list[Suggestions]) -> None:
    found = misspelt(deciding(MANY), ["thing_af_kind_007"] * 1000)
    assert {one.suggestion for one in found} == {"thing_of_kind_007"}
    assert steps[0]._left > SUGGESTIONS // 4


def test_a_single_check_has_a_budget_too(steps: list[Suggestions]) -> None:
    text = HEAD + "".join(
        f"resource thing_of_kind_{number:04} {{\n    actions look\n}}\n" for number in range(3000)
    )
    with pytest.raises(InvalidRequest, match="budget for that is spent"):
        deciding(text).check(Request("t", "things", "look", "thing_af_kind_000"))
    assert len(steps) == 1
