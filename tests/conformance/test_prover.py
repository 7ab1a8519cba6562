"""Every conformance case, with all its facts fixed in the prover's encoding: it says what the case
says, and can say nothing else. And no token of a case is one that the prover's axioms exclude."""

from __future__ import annotations

import pytest

from policyd.language.policy import Api
from policyd.program.interpreter import World
from policyd.prover.questions import Question
from policyd.prover.solver import Session
from policyd.prover.universe import Side
from policyd.tokens.refusals import TokenRefused
from tests.support import conformance as cases
from tests.support.conformance import Question as Case
from tests.support.pinning import Pins, check_pinned


def _cases() -> list[tuple[str, Case]]:
    """Return the questions of all cases that come to the rules."""
    asked = [(case.name, case.asked) for case in cases.truth_cases()]
    return asked + [
        (case.name, case.question)
        for case in cases.decision_cases()
        if case.entry.decision != "invalid"
    ]


_CASES = _cases()


@pytest.mark.parametrize("case", [case for _, case in _CASES], ids=[name for name, _ in _CASES])
def test_case(case: Case) -> None:
    api = _api(case)
    resource = api.resources.get(case.resource)
    if resource is None or case.action not in resource.actions:
        return  # the token is refused before that is looked at
    try:
        token = cases.verified(case)
    except TokenRefused:
        return
    side = Side(api, resource, case.action)
    asked = World(
        token=token,
        resource_id=case.id,
        attributes=case.attributes,
        context=case.context,
        now=case.now,
        userinfo=case.userinfo or {},
    )

    check_pinned(side, [asked], elements=64)

    question = Question([(side, [])])
    question.close()
    with Session(question.circuit.clauses) as session:
        assert session.solve(Pins(question.universe, asked).literals()) is not None


def _api(case: Case) -> Api:
    known = cases.policies(case.files).apis
    name = case.api or next(iter(known))
    return next(api for api in known.values() if name == api.name or name in api.audiences)
