"""The checker of certificates, and the solver that it checks."""

from __future__ import annotations

import builtins
import random
from collections.abc import Sequence
from itertools import combinations
from types import ModuleType

import pytest

from policyd.prover.certificate import CertificateInvalid, check
from policyd.prover.solver import SolverMissing, Undecided, solve

#: No value of two variables makes all true.
CONTRADICTION = [(1, 2), (-1, 2), (1, -2), (-1, -2)]


def pigeons(birds: int, holes: int) -> list[tuple[int, ...]]:
    """Return clauses that say: each bird sits in a hole, and no two in one."""
    clauses = [tuple(bird * holes + hole + 1 for hole in range(holes)) for bird in range(birds)]
    for hole in range(holes):
        for one, other in combinations(range(birds), 2):
            clauses.append((-(one * holes + hole + 1), -(other * holes + hole + 1)))
    return clauses


def test_a_certificate_is_accepted() -> None:
    assert check(CONTRADICTION, [(True, (2,)), (True, ())]) == 2


def test_a_deleted_clause_is_still_true() -> None:
    assert check(CONTRADICTION, [(False, (-1, 2)), (True, (2,)), (True, ())]) == 3


def test_a_clause_that_is_always_true_follows() -> None:
    assert check(CONTRADICTION, [(True, (3, -3)), (True, (2,)), (True, ())]) == 3


def test_a_step_that_does_not_follow_is_refused() -> None:
    with pytest.raises(CertificateInvalid, match="step 1"):
        check(pigeons(4, 3), [(True, (-1,))])


def test_steps_that_refute_nothing_are_refused() -> None:
    with pytest.raises(CertificateInvalid, match="contradiction"):
        check([(1, 2), (-1, 2)], [(True, (2,))])
    with pytest.raises(CertificateInvalid, match="step 2"):
        check([(1, 2), (-1, 2)], [(True, (2,)), (True, (1,))])


EXAMPLES = 4_000


def random_clause(dice: random.Random) -> tuple[int, ...]:
    variables = dice.sample(range(1, 5), dice.choices(range(4), [1, 9, 15, 20])[0])
    return tuple(dice.choice([one, -one]) for one in variables)


def contradicted(clauses: Sequence[tuple[int, ...]], assumed: Sequence[int] = ()) -> bool:
    """Tell whether unit propagation from some literals ends in a contradiction, the plain way."""
    true: set[int] = set()
    new = [*assumed]
    while new:
        true.update(new)
        if any(-one in true for one in true):
            return True
        new = []
        for clause in clauses:
            free = [one for one in clause if -one not in true]
            if not free:
                return True
            if len(free) == 1 and free[0] not in true:
                new = free
                break
    return False


def said(clauses: list[tuple[int, ...]], steps: list[tuple[bool, tuple[int, ...]]]) -> str:
    try:
        check(clauses, steps)
    except CertificateInvalid as invalid:
        return str(invalid)
    return "accepted"


def judged(clauses: list[tuple[int, ...]], steps: list[tuple[bool, tuple[int, ...]]]) -> str:
    known = [(9,), *clauses]  # what is always true begins each propagation
    for number, (added, clause) in enumerate(steps, 1):
        if contradicted(known, [9]):
            return "accepted"
        if added and not contradicted(known, [9, *(-one for one in clause)]):
            return f"step {number} does not follow from those before it"
        known += [clause] if added else []
    return "accepted" if contradicted(known, [9]) else "the steps do not end in a contradiction"


def test_steps_are_judged_as_by_plain_unit_propagation() -> None:
    met = set()
    for seed in range(EXAMPLES):
        dice = random.Random(seed)
        clauses = [random_clause(dice) for _ in range(dice.randrange(12))]
        steps = [(dice.random() < 0.9, random_clause(dice)) for _ in range(dice.randrange(5))]
        assert said(clauses, steps) == judged(clauses, steps), (clauses, steps)
        met.add(said(clauses, steps))
    assert len(met) == 6  # accepted, no contradiction, and each of four steps


def test_the_solver_finds_models_and_contradictions() -> None:
    model = solve([(1, 2), (-1,)])
    assert model is not None
    assert (model[1], model[-1], model[2]) == (False, True, True)
    assert solve(CONTRADICTION) is None
    assert solve(pigeons(6, 5)) is None


def test_the_budget_is_counted_in_conflicts() -> None:
    with pytest.raises(Undecided, match="undecided after 1,000 conflicts"):
        solve(pigeons(12, 11), budget=1_000)


def test_without_the_solver_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def without(name: str, *rest: object) -> ModuleType:
        if name.startswith("pysat"):
            raise ImportError("no wheel for this platform")
        return there(name, *rest)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(SolverMissing, match=r"python-sat.*no wheel"):
        solve(CONTRADICTION)
