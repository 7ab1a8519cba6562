"""Scalars as circuits: one domain for each type, which knows its values exactly.

A *term* is a value of a domain: a constant, or one that a model chooses. All but texts (`texts`)
are binary, bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple

from policyd.language.policy import Scalar
from policyd.language.types import Type
from policyd.prover.circuit import FALSE, TRUE, Circuit, Word, constant, longer
from policyd.prover.solver import Model

#: The widest that a client's clock may be wrong in `within last`, in seconds.
AHEAD: Final = 60
_PLACES: Final = 10_000
MIN_TIME: Final = -62_135_596_800
MAX_TIME: Final = 253_402_300_799
_MAPPED: Final = IPv6Network("::ffff:0:0/96")

Block = IPv4Network | IPv6Network


class Term(NamedTuple):
    """A value of a domain: a `constant`, or if that is `None`, a variable with a number."""

    type: Type
    number: int
    constant: Scalar | None = None


def number_of(word: Word, model: Model) -> int:
    """Return the number that a model makes of a word."""
    return sum(1 << n for n, bit in enumerate(word) if model[bit])


class Domain(ABC):
    """The values of one type, as words."""

    def __init__(self, type_: Type, circuit: Circuit) -> None:
        self.type = type_
        self._circuit = circuit
        self._words: dict[Term, Word] = {}
        self._made = 0

    def new(self) -> Term:
        """Return a term that may be any value of the type."""
        term = Term(self.type, self._made)
        self._made += 1
        self._words[term] = self._free()
        return term

    def constant(self, value: Scalar) -> Term:
        """Return a value as a term."""
        term = Term(self.type, -1, value)
        if term not in self._words:
            self._words[term] = self._constant(value)
        return term

    def equal(self, a: Term, b: Term) -> int:
        """Return whether two terms are equal."""
        return self._circuit.equal(self._words[a], self._words[b])

    def word(self, term: Term) -> Word:
        """Return the bits of a term."""
        return self._words[term]

    def variables(self) -> list[Term]:
        """Return the terms that are not constants, in the order of their creation."""
        return [term for term in self._words if term.constant is None]

    def value(self, term: Term, model: Model) -> Scalar:
        """Return the value of a term in a model."""
        return self._read(term, model) if term.constant is None else term.constant

    @abstractmethod
    def _read(self, term: Term, model: Model) -> Scalar:
        """Return the value that a model chooses for a term."""

    @abstractmethod
    def _free(self) -> Word:
        """Return a word that may stand for any value."""

    @abstractmethod
    def _constant(self, value: Scalar) -> Word:
        """Return the word of a value."""


class Binary(Domain):
    """A type whose values are the numbers of their words."""

    def _read(self, term: Term, model: Model) -> Scalar:
        return self._value(number_of(self._words[term], model))

    @abstractmethod
    def _value(self, number: int) -> Scalar:
        """Return the value of a number."""


class Booleans(Binary):
    def _free(self) -> Word:
        return self._circuit.word(1)

    def _constant(self, value: Scalar) -> Word:
        return (TRUE if value else FALSE,)

    def _value(self, number: int) -> Scalar:
        return bool(number)


class Numbers(Binary):
    """Whole numbers from `low` to `high`, counted from `low` on."""

    def __init__(self, type_: Type, circuit: Circuit, low: int, high: int) -> None:
        super().__init__(type_, circuit)
        self._low, self._high = low, high
        self._bits = (high - low).bit_length()

    def less(self, a: Term, b: Term, *, or_equal: bool) -> int:
        """Return whether one term is less than another."""
        return self._circuit.less(self._words[a], self._words[b], or_equal=or_equal)

    def within(self, earlier: Term, later: Term, distance: int, *, or_equal: bool = True) -> int:
        """Return whether later <= earlier + distance, or less than that."""
        most = self._circuit.plus(self._words[earlier], distance)
        word = longer(self._words[later], len(most))
        return self._circuit.less(word, most, or_equal=or_equal)

    def _free(self) -> Word:
        word = self._circuit.word(self._bits)
        limit = constant(self._high - self._low, self._bits)
        self._circuit.require(self._circuit.less(word, limit, or_equal=True))
        return word

    def _constant(self, value: Scalar) -> Word:
        return constant(self._number(value) - self._low, self._bits)

    def _number(self, value: Scalar) -> int:
        assert isinstance(value, int | Decimal), "the checker lets only numbers stand here"
        return int(value * _PLACES) if self.type is Type.DECIMAL else int(value)

    def _value(self, number: int) -> Scalar:
        exact = number + self._low
        return Decimal(exact) / _PLACES if self.type is Type.DECIMAL else exact


class Addresses(Binary):
    """A bit that is true for IPv6, above 128 bits of address. No address is an IPv4-mapped one."""

    def _free(self) -> Word:
        circuit = self._circuit
        word = circuit.word(129)
        for bit in word[32:128]:
            circuit.require(word[128], -bit)
        circuit.require(-word[128], -self._in(word, _MAPPED))
        return word

    def _constant(self, value: Scalar) -> Word:
        assert isinstance(value, IPv4Address | IPv6Address)
        family = TRUE if isinstance(value, IPv6Address) else FALSE
        return (*constant(int(value), 128), family)

    def in_block(self, term: Term, block: Block) -> int:
        """Return whether an address lies in a block."""
        return self._in(self._words[term], block)

    def _in(self, word: Word, block: Block) -> int:
        network = constant(int(block.network_address), 128)
        top = 128 if isinstance(block, IPv6Network) else 32
        first = top - block.prefixlen
        family = word[128] if isinstance(block, IPv6Network) else -word[128]
        same = self._circuit.equal(word[first:top], network[first:top])
        return self._circuit.all((family, same))

    def _value(self, number: int) -> Scalar:
        if number >> 128:
            return IPv6Address(number & (1 << 128) - 1)
        return IPv4Address(number)
