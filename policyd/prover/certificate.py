"""Checks that a set of clauses has no model, by the steps that a solver wrote down (DRUP).

A step adds a clause or deletes one. Deleted clauses are kept here, since they remain true. An added
clause must follow by unit propagation: if all its literals are false, the clauses known so far lead
to a contradiction (Goldberg and Novikov, *Verification of Proofs of Unsatisfiability for CNF
Formulas*, 2003). A proof ends in the empty clause. This module imports no other module of policyd,
so its verdict depends on no other code.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

Clause = tuple[int, ...]
#: Whether the clause is added, and the clause.
Step = tuple[bool, Clause]


class CertificateInvalid(Exception):
    """The steps are not a proof."""


def check(clauses: Iterable[Sequence[int]], steps: Iterable[Step]) -> int:
    """Check that the steps refute the clauses. Returns how many steps that took.

    Raises `CertificateInvalid`.
    """
    checker = _Checker()
    for clause in clauses:
        if checker.refuted:
            return 0
        checker.add(tuple(clause))
    number = 0
    for number, (added, clause) in enumerate(steps, 1):
        if checker.refuted:
            break
        if not added:
            continue
        if not checker.follows(clause):
            raise CertificateInvalid(f"step {number} does not follow from those before it")
        checker.add(clause)
    if not checker.refuted:
        raise CertificateInvalid("the steps do not end in a contradiction")
    return number


class _Checker:
    """Clauses with two watched literals each; `_values` holds what follows from all of them."""

    def __init__(self) -> None:
        self.refuted = False
        self._watched: defaultdict[int, list[list[int]]] = defaultdict(list)
        self._true: set[int] = set()
        self._trail: list[int] = []

    def add(self, clause: Clause) -> None:
        """Add a clause, and all that follows from it by unit propagation."""
        true = self._true
        if len(clause) > 1 and -clause[0] not in true and -clause[1] not in true:
            self._watch([*clause])
            return
        # Literals that are not false come first: two of them are watched.
        ordered = sorted(dict.fromkeys(clause), key=lambda one: -one in true)
        if len(ordered) > 1:
            self._watch(ordered)
        free = [one for one in ordered[:2] if -one not in true]
        if not free:
            self.refuted = True
        elif len(free) == 1 and free[0] not in true:
            self.refuted = not self._propagate([free[0]])

    def follows(self, clause: Clause) -> bool:
        """Return whether a clause follows by unit propagation."""
        before = len(self._trail)
        if any(one in self._true for one in clause):
            return True
        consistent = self._propagate([-one for one in dict.fromkeys(clause)])
        for one in self._trail[before:]:
            self._true.discard(one)
        del self._trail[before:]
        return not consistent

    def _watch(self, clause: list[int]) -> None:
        self._watched[clause[0]].append(clause)
        self._watched[clause[1]].append(clause)

    def _propagate(self, literals: list[int]) -> bool:
        """Assume literals; return whether no clause becomes false."""
        true, trail = self._true, self._trail
        at = len(trail)
        for one in literals:
            if -one in true:
                return False
            if one not in true:
                true.add(one)
                trail.append(one)
        while at < len(trail):
            false = -trail[at]
            at += 1
            watching = self._watched[false]
            kept: list[list[int]] = []
            for number, clause in enumerate(watching):
                if clause[0] == false:
                    clause[0], clause[1] = clause[1], clause[0]
                first = clause[0]
                if first in true:
                    kept.append(clause)
                    continue
                for place in range(2, len(clause)):
                    if -clause[place] not in true:
                        clause[1], clause[place] = clause[place], clause[1]
                        self._watched[clause[1]].append(clause)
                        break
                else:
                    kept.append(clause)
                    if -first in true:
                        kept += watching[number + 1 :]
                        self._watched[false] = kept
                        return False
                    true.add(first)
                    trail.append(first)
            self._watched[false] = kept
        return True
