"""Weak RSA moduli: everybody who knows the modulus can find its factors, or needs none.

Input: a modulus. Output: what is wrong with it, in words, or `None`. Nothing here proves a
modulus good; it finds what generators of keys are known to have got wrong, at a bounded cost. A
modulus is judged once, and the verdict remembered.

The thorough tests take a twentieth of a second for 2,048 bits, and over a second for 8,192. They
are for threads that may take so long. They take it in small steps: `pow` would keep all other
threads waiting from its first bit to its last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Final

#: Factors that any test for primes would have found. NIST SP 800-89, section 5.3.3, asks for those
#: below 752; the thorough tests look further, up to and including the usual exponent, 65537.
_SMALL: Final = 752
_THOROUGHLY_SMALL: Final = 1 << 17
#: Rounds of Fermat's factorisation: it finds factors that are close at once. The generators of
#: CVE-2022-26320 are found within ten.
_FERMAT_ROUNDS: Final = 100
#: How many bits of a root are right to begin with: a float knows them, of up to 2**16 bits.
_START_BITS: Final = 32
#: How many moduli are remembered: more than a key set may hold.
_REMEMBERED: Final = 512
#: The primes that give away keys of CVE-2017-15361 ("ROCA"; Nemec, Sys, Svenda, Klinec, Matyas:
#: The Return of Coppersmith's Attack, CCS 2017, section 2): both factors of such a key, and so the
#: modulus, are powers of 65537 modulo the product of the first 39 primes, and more in large keys.
#: Modulo 2 every odd number is.
_ROCA_PRIMES: Final = 167
_ROCA_BASE: Final = 65537


@lru_cache(_REMEMBERED)
def weakness(modulus: int) -> str | None:
    """Return why nobody should believe what the key of this modulus signed; for background threads.

    The tests are those of `obvious_weakness`, and: factors up to 131,071; powers of one number;
    factors that are close; and a modulus that is itself prime.
    """
    obvious = obvious_weakness(modulus)
    if obvious is not None:
        return obvious
    factor = _small_factor(modulus, _THOROUGHLY_SMALL)
    if factor is not None:
        return f"is divisible by {factor}"
    exponent = _exponent_of_power(modulus)
    if exponent is not None:
        return f"is the {_ordinal(exponent)} power of a number, which anyone can find"
    if _has_close_factors(modulus):
        return "has factors so close that anyone can find them (CVE-2022-26320)"
    if _is_probable_prime(modulus):
        return "is itself a prime number: anyone can make its private key"
    return None


@lru_cache(_REMEMBERED)
def obvious_weakness(modulus: int) -> str | None:
    """Return what a glance finds, in less than a millisecond: small factors, and CVE-2017-15361."""
    if modulus % 2 == 0:
        return "is even"
    factor = _small_factor(modulus, _SMALL)
    if factor is not None:
        return f"is divisible by {factor}"
    if _has_roca_fingerprint(modulus):
        return "bears the fingerprint of a generator whose keys can be factored (CVE-2017-15361)"
    return None


def _small_factor(modulus: int, bound: int) -> int | None:
    common = math.gcd(modulus, _product_of_primes(bound))
    if common == 1:
        return None
    return next(prime for prime in _primes(bound) if common % prime == 0)


@cache
def _product_of_primes(bound: int) -> int:
    return math.prod(_primes(bound))


def _primes(bound: int) -> Iterator[int]:
    """Yield the odd primes below `bound` (Eratosthenes)."""
    candidates = bytearray(b"\1") * bound
    for number in range(3, bound, 2):
        if candidates[number]:
            yield number
            candidates[number * number :: number] = bytes(
                len(candidates[number * number :: number])
            )


def _exponent_of_power(modulus: int) -> int | None:
    """Return a prime of which `modulus`, free of small factors, is a perfect power.

    A root has no small factor either, so it is larger than they are, and the exponent bounded.
    """
    largest = modulus.bit_length() // (_THOROUGHLY_SMALL.bit_length() - 1)
    for exponent in (2, *_primes(largest + 1)):
        if _root(modulus, exponent) ** exponent == modulus:
            return exponent
    return None


def _root(number: int, exponent: int) -> int:
    """Return the largest integer whose power is not above `number` (Newton's iteration)."""
    if exponent == 2:
        return math.isqrt(number)
    # Begin a little above it: from twice the root, each step would gain a share of 1 / exponent.
    fraction, whole = math.modf(math.log2(number) / exponent)
    root = (int(2**fraction * 2**_START_BITS) + 2 << int(whole) >> _START_BITS) + 1
    while True:
        smaller = ((exponent - 1) * root + number // root ** (exponent - 1)) // exponent
        if smaller >= root:
            return root
        root = smaller


def _has_close_factors(modulus: int) -> bool:
    """Tell whether a few rounds of Fermat's method factor an odd modulus that is no square."""
    start = math.isqrt(modulus) + 1
    for middle in range(start, start + _FERMAT_ROUNDS):
        square = middle * middle - modulus
        if math.isqrt(square) ** 2 == square:
            return True
    return False


def _is_probable_prime(modulus: int) -> bool:
    """Tell whether an odd number passes the test of Miller and Rabin to the base 2.

    Every prime does. A product of two that a generator of keys chose does not, but for a chance
    too small to be met; one that was made to pass is no loss.
    """
    odd = modulus - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    power = 1
    for bit in format(odd, "b"):
        power = power * power % modulus
        if bit == "1":
            power = 2 * power % modulus
    if power in (1, modulus - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % modulus
        if power == modulus - 1:
            return True
    return False


def _has_roca_fingerprint(modulus: int) -> bool:
    """Tell whether one exponent of 65537 gives `modulus` modulo all of the marker primes.

    Each prime by itself tells the exponent modulo the order of 65537; together they must agree. Of
    moduli made otherwise, one in 2**150 or so does.
    """
    found: list[tuple[int, int]] = []
    for prime, logarithms in _roca_logarithms().items():
        exponent = logarithms.get(modulus % prime)
        if exponent is None:
            return False
        order = len(logarithms)
        if any((exponent - other) % math.gcd(order, modulo) for other, modulo in found):
            return False
        found.append((exponent, order))
    return True


@cache
def _roca_logarithms() -> Mapping[int, Mapping[int, int]]:
    """Return, by marker prime, the exponent of each power of 65537."""
    tables: dict[int, dict[int, int]] = {}
    for prime in _primes(_ROCA_PRIMES + 1):
        table: dict[int, int] = {}
        power = 1
        while power not in table:
            table[power] = len(table)
            power = power * _ROCA_BASE % prime
        tables[prime] = table
    return tables


def _ordinal(exponent: int) -> str:
    return {2: "second", 3: "third"}.get(exponent, f"{exponent}th")
