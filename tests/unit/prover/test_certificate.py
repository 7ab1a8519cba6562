"""The checker of certificates, and the solver that it checks."""

from __future__ import annotations

import builtins
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


def test_a_step_that_does_not_follow_is_refused() -> None:
    with pytest.raises(CertificateInvalid, match="step 1"):
        check(pigeons(4, 3), [(True, (-1,))])


def test_steps_that_refute_nothing_are_refused() -> None:
    with pytest.raises(CertificateInvalid, match="contradiction"):
        check([(1, 2), (-1, 2)], [(True, (2,))])
    with pytest.raises(CertificateInvalid, match="step 2"):
        check([(1, 2), (-1, 2)], [(True, (2,)), (True, (1,))])


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
