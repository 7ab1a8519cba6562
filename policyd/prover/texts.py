"""Texts as circuits.

Tests can observe only which literal or other text a text equals, and which of the occurring
prefixes and suffixes it has. So a text is a code: the codes are the literals, and as many fresh
ones as there are terms, each with a longest prefix and a longest suffix. For every two of these
there are infinitely many texts p·xx…x·s, with an x that is in no literal, which have exactly them.
So each model can be written out, and each real text has a code.

First all terms and tests are made. Then `close` defines the meaning of the tests, because all
literals are known only then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from policyd.language.policy import Scalar
from policyd.language.types import Type
from policyd.prover.circuit import FALSE, TRUE, Circuit, Word, constant
from policyd.prover.solver import Model
from policyd.prover.values import Domain, Term, number_of

K = TypeVar("K")


class Profile(NamedTuple):
    """The observable properties of a text that equals no literal: the longest of the occurring
    prefixes and suffixes that it has."""

    prefix: str
    suffix: str


class Texts(Domain):
    """Texts, as codes. Tests are free variables until `close` defines them."""

    def __init__(self, circuit: Circuit) -> None:
        super().__init__(Type.STRING, circuit)
        self.literals: dict[str, None] = {}
        self._equal: dict[tuple[Term, Term], int] = {}
        self._starts: dict[tuple[Term, str], int] = {}
        self._ends: dict[tuple[Term, str], int] = {}
        self._one_of: dict[tuple[Term, frozenset[str]], int] = {}
        self._codes: list[str] = []
        self._fresh: list[tuple[Word, Word]] = []
        # Fresh codes by number, in the order in which they are written out.
        self._names: dict[int, int] = {}
        self._vocabularies: list[frozenset[str]] = []
        self._prefixes: list[str] = []
        self._suffixes: list[str] = []

    @property
    def codes(self) -> list[str]:
        """The texts that have a code of their own, once all are known."""
        return self._codes

    def equal(self, a: Term, b: Term) -> int:
        if a.constant is not None and b.constant is not None:
            return TRUE if a == b else FALSE
        if a == b:
            return TRUE
        key = (a, b) if a.number > b.number else (b, a)
        return self._test(self._equal, key)

    def starts(self, term: Term, prefix: str) -> int:
        """Return whether a text begins with a prefix."""
        if isinstance(term.constant, str):
            return TRUE if term.constant.startswith(prefix) else FALSE
        return self._test(self._starts, (term, prefix))

    def ends(self, term: Term, suffix: str) -> int:
        """Return whether a text ends with a suffix."""
        if isinstance(term.constant, str):
            return TRUE if term.constant.endswith(suffix) else FALSE
        return self._test(self._ends, (term, suffix))

    def one_of(self, term: Term, values: frozenset[str]) -> int:
        """Return whether a text is a value of a vocabulary."""
        if isinstance(term.constant, str):
            return TRUE if term.constant in values else FALSE
        return self._test(self._one_of, (term, values))

    def _test(self, known: dict[K, int], key: K) -> int:
        found = known.get(key)
        if found is None:
            found = known[key] = self._circuit.new()
        return found

    def _free(self) -> Word:
        return ()  # until all codes are known

    def _constant(self, value: Scalar) -> Word:
        assert isinstance(value, str)
        self.literals[value] = None
        return ()

    # -- what the tests mean ---------------------------------------------------------------------

    def close(self) -> None:
        """Define the meaning of the tests. No term or test can be added afterwards."""
        circuit = self._circuit
        self._prefixes = ["", *sorted({prefix for _, prefix in self._starts})]
        self._suffixes = ["", *sorted({suffix for _, suffix in self._ends})]
        self._codes = [*self.literals, *self._representatives()]
        total = len(self._codes) + self._made
        bits = max(1, (total - 1).bit_length())
        for term in [*self._words]:
            if term.constant is None:
                word = self._words[term] = circuit.word(bits)
                circuit.require(circuit.less(word, constant(total - 1, bits), or_equal=True))
        for number, text in enumerate(self._codes):
            self._words[Term(Type.STRING, -1, text)] = constant(number, bits)
        self._fresh = [
            (self._choice(self._prefixes), self._choice(self._suffixes)) for _ in range(self._made)
        ]
        for (a, b), test in self._equal.items():
            circuit.define(test, circuit.equal(self._words[a], self._words[b]))
        for (term, values), test in self._one_of.items():
            circuit.define(test, circuit.any(self._is(term, n) for n in self._within(values)))
        for (term, prefix), test in self._starts.items():
            circuit.define(test, circuit.any(self._starting(term, prefix)))
        for (term, suffix), test in self._ends.items():
            circuit.define(test, circuit.any(self._ending(term, suffix)))

    def _choice(self, options: list[str]) -> Word:
        """Return a word that chooses one of some prefixes, or suffixes: the longest there is."""
        bits = (len(options) - 1).bit_length()
        word = self._circuit.word(bits)
        limit = constant(len(options) - 1, bits)
        self._circuit.require(self._circuit.less(word, limit, or_equal=True))
        return word

    def _within(self, values: frozenset[str]) -> Iterable[int]:
        return (number for number, text in enumerate(self._codes) if text in values)

    def _is(self, term: Term, number: int) -> int:
        word = self._words[term]
        return self._circuit.equal(word, constant(number, len(word)))

    def _starting(self, term: Term, prefix: str) -> Iterable[int]:
        for number, text in enumerate(self._codes):
            if text.startswith(prefix):
                yield self._is(term, number)
        longest = [n for n, one in enumerate(self._prefixes) if one.startswith(prefix)]
        for number, (chosen, _) in enumerate(self._fresh, len(self._codes)):
            yield self._circuit.all((self._is(term, number), self._chosen(chosen, longest)))

    def _ending(self, term: Term, suffix: str) -> Iterable[int]:
        for number, text in enumerate(self._codes):
            if text.endswith(suffix):
                yield self._is(term, number)
        longest = [n for n, one in enumerate(self._suffixes) if one.endswith(suffix)]
        for number, (_, chosen) in enumerate(self._fresh, len(self._codes)):
            yield self._circuit.all((self._is(term, number), self._chosen(chosen, longest)))

    def _chosen(self, word: Word, options: Iterable[int]) -> int:
        circuit = self._circuit
        return circuit.any(circuit.equal(word, constant(one, len(word))) for one in options)

    def _representatives(self) -> Iterable[str]:
        """Return values of vocabularies that no test names, as many of a kind as there are terms:
        more of a kind cannot differ in anything that a test sees."""
        taken: defaultdict[tuple[object, ...], int] = defaultdict(int)
        self._vocabularies = sorted({values for _, values in self._one_of}, key=sorted)
        for text in sorted({text for values in self._vocabularies for text in values}):
            kind = self.kind(text)
            if text not in self.literals and taken[kind] < self._made:
                taken[kind] += 1
                yield text

    def kind(self, text: str) -> tuple[object, ...]:
        """Return what distinguishes a value of vocabularies that no test names."""
        return *self.profile(text), *(text in values for values in self._vocabularies)

    def profile(self, text: str) -> Profile:
        """Return the longest prefix and the longest suffix, of those that occur, of a text."""
        prefix = max((one for one in self._prefixes if text.startswith(one)), key=len)
        suffix = max((one for one in self._suffixes if text.endswith(one)), key=len)
        return Profile(prefix, suffix)

    # -- what a model says -----------------------------------------------------------------------

    def _read(self, term: Term, model: Model) -> Scalar:
        code = number_of(self._words[term], model)
        if code < len(self._codes):
            return self._codes[code]
        fresh = code - len(self._codes)
        prefix, suffix = (number_of(word, model) for word in self._fresh[fresh])
        name = self._names.setdefault(fresh, len(self._names) + 1)
        return self._written(Profile(self._prefixes[prefix], self._suffixes[suffix]), name)

    def _written(self, profile: Profile, count: int) -> str:
        """Return a text with a profile that equals no literal, another one for each count."""
        for middle in (f"other-{count}", f"-{count}-"):
            text = profile.prefix + middle + profile.suffix
            if self.profile(text) == profile and not self._is_known(text):
                return text
        return profile.prefix + self._unused() * count + profile.suffix

    def _is_known(self, text: str) -> bool:
        return text in self.literals or any(text in values for values in self._vocabularies)

    def _unused(self) -> str:
        """Return a character that is in no literal, affix or vocabulary."""
        used = set("".join((*self.literals, *self._prefixes, *self._suffixes)))
        used.update(*(text for values in self._vocabularies for text in values))
        return next(one for one in map(chr, range(0x78, 0x110000)) if one not in used)

    def is_fresh(self, term: Term) -> int:
        """Return whether a text is not one of those that have a code of their own."""
        word = self._words[term]
        first = constant(len(self._codes), len(word))
        return self._circuit.less(first, word, or_equal=True)

    def code(self, text: str) -> int | None:
        """Return the code of a literal or representative, `None` if the text has none."""
        return self._codes.index(text) if text in self._codes else None

    def chosen(self, fresh: int, profile: Profile) -> Iterable[int]:
        """Return the literals that are true when a fresh code has a profile."""
        words = self._fresh[fresh]
        options = self._prefixes.index(profile.prefix), self._suffixes.index(profile.suffix)
        for word, option in zip(words, options, strict=True):
            for bit, wanted in zip(word, constant(option, len(word)), strict=True):
                yield bit if wanted == TRUE else -bit
