"""The SAT solver: CaDiCaL, by python-sat. The only module that imports it, and only when asked.

The budget counts conflicts and never time, so that the same question has the same answer on every
machine. If there is no model, the certificate is checked before the answer is returned.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, cast

from policyd.errors import PolicydError
from policyd.prover.certificate import Step, check

#: The most conflicts for one question.
BUDGET: Final = 50_000
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - the file has no name there

Clauses = Sequence[tuple[int, ...]]


class SolverMissing(PolicydError):
    """The solver's package is not installed, or does not work on this platform."""


class _Cadical(Protocol):
    """The part of `pysat.solvers.Cadical195` that is used."""

    def add_clause(self, clause: Sequence[int]) -> None: ...
    def conf_budget(self, budget: int) -> None: ...
    def solve_limited(self, assumptions: Sequence[int] = ()) -> bool | None: ...
    def get_model(self) -> list[int] | None: ...
    def get_core(self) -> list[int] | None: ...
    def get_proof(self) -> list[str]: ...
    def delete(self) -> None: ...


def _cadical(clauses: Clauses, *, with_proof: bool) -> _Cadical:
    try:
        from pysat.solvers import Cadical195
    except ImportError as problem:
        raise SolverMissing(
            f"proofs need the package python-sat, which cannot be imported: {problem}"
        ) from None
    if with_proof:
        _insist_on_temporary_files()
    made = cast(_Cadical, Cadical195(with_proof=with_proof))
    for clause in clauses:
        made.add_clause(clause)
    return made


def _insist_on_temporary_files() -> None:
    """Make sure that certificates can be written: the solver writes them to an unnamed file.

    With a read-only root, the folder of shared memory may be the only one for such files.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = _SHARED_MEMORY


class Model:
    """Values of all variables."""

    def __init__(self, literals: Sequence[int]) -> None:
        self._true = frozenset(one for one in literals if one > 0)

    def __getitem__(self, literal: int) -> bool:
        return (abs(literal) in self._true) is (literal > 0)


class Undecided(PolicydError):
    """The budget was spent before there was an answer."""


def solve(clauses: Clauses, budget: int = BUDGET) -> Model | None:
    """Return a model of the clauses, or `None` if it is proven that none exists.

    Raises `Undecided`, `SolverMissing`, and `CertificateInvalid` if the solver's proof is wrong.
    """
    solver = _cadical(clauses, with_proof=True)
    try:
        solver.conf_budget(budget)
        found = solver.solve_limited()
        if found is None:
            raise Undecided(f"undecided after {budget:,} conflicts")
        if found:
            return Model(solver.get_model() or ())
        check(clauses, _steps(solver.get_proof()))
        return None
    finally:
        solver.delete()


def _steps(proof: Sequence[str]) -> Iterator[Step]:
    """Read the lines of a DRUP proof: `1 -2 0` adds a clause, `d 1 -2 0` deletes one."""
    for line in proof:
        words = line.split()
        added = words[:1] != ["d"]
        yield added, tuple(int(word) for word in (words if added else words[1:]) if word != "0")


class Session:
    """A solver for several questions about the same clauses, under assumptions."""

    def __init__(self, clauses: Clauses, budget: int = BUDGET) -> None:
        self._solver = _cadical(clauses, with_proof=False)
        self._budget = budget

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._solver.delete()

    def require(self, *clause: int) -> None:
        """Add a clause."""
        self._solver.add_clause(clause)

    def solve(self, assumptions: Sequence[int] = ()) -> Model | None:
        """Return a model in which the assumptions hold, `None` if none was found."""
        self._solver.conf_budget(self._budget)
        if not self._solver.solve_limited(assumptions):
            return None
        return Model(self._solver.get_model() or ())

    def find(self, assumptions: Sequence[int]) -> Model | None:
        """Return a model in which the assumptions hold, `None` if there is none. Raises
        `Undecided`."""
        model = self.solve(assumptions)
        if model is None and self.verdict(assumptions) is None:
            raise Undecided(f"undecided after {self._budget:,} conflicts")
        return model

    def refutes(self, assumptions: Sequence[int]) -> bool:
        """Return whether it is proven that the assumptions cannot hold together."""
        return self.verdict(assumptions) is True

    def verdict(self, assumptions: Sequence[int]) -> bool | None:
        """Return whether the assumptions cannot hold together; `None` means undecided."""
        self._solver.conf_budget(self._budget)
        found = self._solver.solve_limited(assumptions)
        return None if found is None else not found

    def core(self) -> list[int]:
        """Return assumptions that cannot hold together, after no model was found."""
        return self._solver.get_core() or []
