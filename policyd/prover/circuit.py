"""Boolean circuits as clauses (Tseitin), and numbers in binary on top of them.

A literal is an int: a variable, or its negation as a negative number, as solvers take it. Each gate
exists once: equal inputs give the same literal. A word is a tuple of literals, the lowest bit
first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

Word = tuple[int, ...]

#: The literals of the two truth values.
TRUE: Final = 1
FALSE: Final = -1


class Circuit:
    """Gates, and constraints on their outputs. `clauses` are the input of a solver."""

    def __init__(self) -> None:
        self.clauses: list[tuple[int, ...]] = [(TRUE,)]
        self._size = TRUE
        self._gates: dict[tuple[int, ...], int] = {}
        self._same: dict[tuple[int, int], int] = {}

    @property
    def size(self) -> int:
        """The number of variables."""
        return self._size

    def new(self) -> int:
        """Return a free variable."""
        self._size += 1
        return self._size

    def require(self, *literals: int) -> None:
        """Require that one of some literals is true."""
        if TRUE not in literals:
            self.clauses.append(tuple(one for one in dict.fromkeys(literals) if one != FALSE))

    def all(self, inputs: Iterable[int]) -> int:
        """Return a literal that is true exactly when all inputs are."""
        inner = set(inputs)
        inner.discard(TRUE)
        if FALSE in inner or any(-one in inner for one in inner):
            return FALSE
        if not inner:
            return TRUE
        if len(inner) == 1:
            return inner.pop()
        key = tuple(sorted(inner))
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = self.new()
            self.clauses += [(-gate, one) for one in key]
            self.clauses.append((gate, *(-one for one in key)))
        return gate

    def any(self, inputs: Iterable[int]) -> int:
        """Return a literal that is true exactly when one input is."""
        return -self.all(-one for one in inputs)

    def same(self, a: int, b: int) -> int:
        """Return a literal that is true exactly when both inputs have one value."""
        if abs(a) > abs(b):
            a, b = b, a
        if abs(a) == TRUE:
            return b if a == TRUE else -b
        if abs(a) == abs(b):
            return TRUE if a == b else FALSE
        sign = 1 if (a > 0) is (b > 0) else -1
        key = abs(a), abs(b)
        gate = self._same.get(key)
        if gate is None:
            x, y = key
            gate = self._same[key] = self.new()
            self.clauses += [(-gate, -x, y), (-gate, x, -y), (gate, x, y), (gate, -x, -y)]
        return sign * gate

    def define(self, literal: int, meaning: int) -> None:
        """Define the meaning of a variable that was created before its meaning was known."""
        self.require(-literal, meaning)
        self.require(literal, -meaning)

    # -- words -------------------------------------------------------------------------------

    def word(self, bits: int) -> Word:
        """Return a word of free bits."""
        return tuple(self.new() for _ in range(bits))

    def equal(self, a: Word, b: Word) -> int:
        """Return whether two words of one length are equal."""
        return self.all(map(self.same, a, b))

    def less(self, a: Sequence[int], b: Sequence[int], *, or_equal: bool) -> int:
        """Return whether one word of a length is less than another, as numbers from 0 on."""
        result = TRUE if or_equal else FALSE
        for x, y in zip(a, b, strict=True):
            smaller = self.all((-x, y))
            result = self.any((smaller, self.all((self.same(x, y), result))))
        return result

    def plus(self, a: Sequence[int], addend: int) -> Word:
        """Return a word plus a number from 0 on, two bits longer, so that nothing is lost."""
        b = constant(addend, len(a) + 2)
        carry, total = FALSE, []
        for x, y in zip((*a, FALSE, FALSE), b, strict=True):
            half = -self.same(x, y)
            total.append(-self.same(half, carry))
            carry = self.any((self.all((x, y)), self.all((half, carry))))
        return tuple(total)


def constant(number: int, bits: int) -> Word:
    """Return a number from 0 on as a word."""
    assert 0 <= number < 1 << bits, "a constant fits its word"
    return tuple(TRUE if number >> bit & 1 else FALSE for bit in range(bits))


def longer(word: Word, bits: int) -> Word:
    """Return the same number in more bits."""
    return word + (FALSE,) * (bits - len(word))
