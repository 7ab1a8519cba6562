"""Sets as circuits: one membership bit for each term of a universe, and what tests on sets mean.

A set is observed only by terms that are tested against it, and by tests of the whole set: against
another set, a block of addresses or a vocabulary. Each of the latter gets a *witness*, a free term:
for `has any` what both have, for `has all` what the left lacks, for a block an address of the set
within it, for a vocabulary what is foreign to it. A real set, cut down to the values of these
terms, gives each test the same value; and every choice of bits is a real finite set, if equal terms
have equal bits. So the encoding is exact.

Sets that are compared with each other share a universe. As with texts, tests are variables until
`close`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, assert_never

from policyd.language.policy import Inclusion
from policyd.prover.circuit import FALSE, Circuit
from policyd.prover.texts import Texts
from policyd.prover.values import Addresses, Block, Domain, Term


class Set(NamedTuple):
    """A set as rules see it. `keeps` are the values that remain if others are dropped; `inclusion`
    is what its members, which are scopes, grant in addition."""

    number: int
    keeps: frozenset[str] | None = None
    inclusion: Inclusion | None = None


#: A set, or a list of terms that a policy writes.
Members = Set | tuple[Term, ...]


class Shares(NamedTuple):
    """Whether two sets have a member in common."""

    one: Set
    other: Set


class Covers(NamedTuple):
    """Whether each member of `of` is one of `members`."""

    members: Members
    of: Set


class Hits(NamedTuple):
    """Whether a member lies in a block."""

    of: Set
    block: Block


class Closed(NamedTuple):
    """Whether all members are values of a vocabulary."""

    of: Set
    values: frozenset[str]


#: The tests of a whole set. Each has a witness.
Comparison = Shares | Covers | Hits | Closed


class Sets:
    """All sets of one element type."""

    def __init__(self, domain: Domain, circuit: Circuit) -> None:
        self._domain = domain
        self._circuit = circuit
        self._bits: list[dict[Term, int]] = []
        self._group: list[int] = []
        self._tests: dict[Comparison, int] = {}
        self._witnesses: dict[Comparison, Term] = {}

    def new(self) -> int:
        """Return the number of a free set."""
        number = len(self._bits)
        self._bits.append({})
        self._group.append(number)
        return number

    # -- tests -----------------------------------------------------------------------------------

    def has(self, members: Members, term: Term) -> int:
        """Return whether a term is a member."""
        if not isinstance(members, Set):
            return self._circuit.any(self._domain.equal(one, term) for one in members)
        own = self._bit(members.number, term)
        if members.keeps is not None:
            own = self._circuit.all((own, self._texts.one_of(term, members.keeps)))
        if members.inclusion is None or not members.inclusion.granted:
            return own
        return self._circuit.any((own, *self._granted(members.number, term, members.inclusion)))

    def _granted(self, number: int, term: Term, inclusion: Inclusion) -> Iterator[int]:
        """Yield the ways in which a term is a scope that is granted by another."""
        for scope, granted in inclusion.granted.items():
            if isinstance(term.constant, str) and term.constant not in granted:
                continue
            one_of = self._circuit.any(
                self._texts.equal(term, self._texts.constant(one)) for one in sorted(granted)
            )
            yield self._circuit.all((one_of, self._bit(number, self._texts.constant(scope))))

    def has_block(self, members: Members, block: Block) -> int:
        """Return whether some member lies in a block."""
        if isinstance(members, Set):
            return self._test(Hits(members, block))
        return self._circuit.any(self._in_block(one, block) for one in members)

    def any(self, one: Set, other: Set) -> int:
        """Return whether two sets share a member."""
        return self._test(Shares(one, other))

    def all(self, members: Members, of: Set) -> int:
        """Return whether each member of a set, `of`, is one of another."""
        return self._test(Covers(members, of))

    def closed(self, number: int, values: frozenset[str]) -> int:
        """Return whether all members of a set are values of a vocabulary."""
        return self._test(Closed(Set(number), values))

    def _test(self, comparison: Comparison) -> int:
        found = self._tests.get(comparison)
        if found is None:
            found = self._tests[comparison] = self._circuit.new()
            numbers = [one.number for one in comparison if isinstance(one, Set)]
            self._join(numbers[0], numbers[-1])
        return found

    @property
    def _texts(self) -> Texts:
        assert isinstance(self._domain, Texts), "vocabularies and scopes are of texts"
        return self._domain

    def _in_block(self, term: Term, block: Block) -> int:
        assert isinstance(self._domain, Addresses), "blocks are of addresses"
        return self._domain.in_block(term, block)

    def _bit(self, number: int, term: Term) -> int:
        bits = self._bits[number]
        if term not in bits:
            bits[term] = self._circuit.new()
        return bits[term]

    def _join(self, one: int, other: int) -> None:
        kept, gone = self._group[one], self._group[other]
        if kept != gone:
            self._group = [kept if group == gone else group for group in self._group]

    # -- what the tests mean ---------------------------------------------------------------------

    def close(self) -> None:
        """Define the meaning of the tests. No test can be added afterwards."""
        for comparison in self._tests:
            self._witness(comparison)
        universes = self._universes()
        for comparison, test in self._tests.items():
            terms = universes[self._group[_some_set(comparison).number]]
            self._circuit.define(test, self._meaning(comparison, terms))
        self._equal_members()

    def _witness(self, comparison: Comparison) -> None:
        """Look at a set through the witness of a test, and at scopes through all that others
        include, since the witness may be such a scope."""
        witness = self._witnesses[comparison] = self._domain.new()
        self._bit(_some_set(comparison).number, witness)
        for one in comparison:
            if isinstance(one, Set) and one.inclusion is not None:
                for scope in one.inclusion.granted:
                    self._bit(one.number, self._texts.constant(scope))

    def _universes(self) -> dict[int, list[Term]]:
        """Return the terms of each group, through which each of its sets is looked at."""
        found: dict[int, dict[Term, None]] = {group: {} for group in self._group}
        for bits, group in zip(self._bits, self._group, strict=True):
            found[group].update(dict.fromkeys(bits))
        for number, group in enumerate(self._group):
            for term in found[group]:
                self._bit(number, term)
        return {group: list(terms) for group, terms in found.items()}

    def _meaning(self, comparison: Comparison, terms: list[Term]) -> int:
        circuit = self._circuit
        match comparison:
            case Shares(one, other):
                return circuit.any(
                    circuit.all((self.has(one, term), self.has(other, term))) for term in terms
                )
            case Covers(members, of):
                return circuit.all(
                    circuit.any((-self.has(of, term), self.has(members, term))) for term in terms
                )
            case Hits(of, block):
                return circuit.any(
                    circuit.all((self.has(of, term), self._in_block(term, block))) for term in terms
                )
            case Closed(of, values):
                return circuit.all(
                    circuit.any((-self.has(of, term), self._texts.one_of(term, values)))
                    for term in terms
                )
            case _:
                assert_never(comparison)

    def _equal_members(self) -> None:
        """Require that equal terms are members alike."""
        for bits in self._bits:
            terms = list(bits)
            for place, one in enumerate(terms):
                if one.constant is not None:
                    others = [term for term in terms[:place] if term.constant is None]
                else:
                    others = terms[:place]
                for other in others:
                    equal = self._domain.equal(one, other)
                    if equal != FALSE:
                        alike = self._circuit.same(bits[one], bits[other])
                        self._circuit.require(-equal, alike)

    # -- what a model says -----------------------------------------------------------------------

    def bits(self, number: int) -> dict[Term, int]:
        """Return the terms that a set is looked at through, each with its membership."""
        return self._bits[number]

    @property
    def witnesses(self) -> dict[Comparison, Term]:
        """The witness of each comparison."""
        return self._witnesses


def _some_set(comparison: Comparison) -> Set:
    return next(one for one in comparison if isinstance(one, Set))
