"""Moduli that are no keys, each kind by a modulus made for it, and good ones beside them."""

from __future__ import annotations

import math

import pytest

from policyd.tokens import jws
from policyd.tokens.keys import weak_rsa
from policyd.tokens.keys.weak_rsa import obvious_weakness, weakness
from tests.support.tokens import key

# The largest prime below 2**2048, and others around powers of two (verified below).
PRIME_2048 = 2**2048 - 1942289
PRIME_1024 = 2**1024 - 105
NEXT_1024 = 2**1024 + 643
MERSENNE = 2**607 - 1


def is_prime(number: int) -> bool:
    """Miller and Rabin to several bases, by the interpreter's own `pow`."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (3, 5, 7, 11, 13, 17):
        powers = [pow(base, odd << step, number) for step in range(twos)]
        if powers[0] != 1 and number - 1 not in powers:
            return False
    return True


def modulus(name: str) -> int:
    text = str(key(name=name).public_jwk()["n"])
    return int.from_bytes(jws.decode_segment(text.encode(), "n"), "big")


def roca_modulus() -> int:
    """Return a modulus like those of CVE-2017-15361: its factors are k * M + 65537**a mod M."""
    product = math.prod(n for n in range(2, 702) if all(n % d for d in range(2, n)))

    factors = [
        (2**53 + step) * product + pow(65537, exponent, product)
        for step, exponent in ((304, 1234567), (56, 7654321))
    ]
    assert all(map(is_prime, factors))
    return math.prod(factors)


@pytest.mark.parametrize("name", ["main", "other", "new"])
def test_a_key_that_was_made_well_has_no_weakness(name: str) -> None:
    assert weakness(modulus(name)) is None
    assert obvious_weakness(modulus(name)) is None


@pytest.mark.parametrize("factor", [3, 5, 7, 743, 751])
def test_small_factors_are_obvious(factor: int) -> None:
    assert obvious_weakness(factor * PRIME_2048) == f"is divisible by {factor}"
    assert weakness(factor * PRIME_2048) == f"is divisible by {factor}"


@pytest.mark.parametrize("factor", [757, 65537, 131071])
def test_larger_factors_are_found_by_a_thorough_look(factor: int) -> None:
    assert obvious_weakness(factor * PRIME_2048) is None
    assert weakness(factor * PRIME_2048) == f"is divisible by {factor}"


def test_an_even_modulus() -> None:
    assert obvious_weakness(2 * modulus("main")) == "is even"


def test_a_prime_modulus() -> None:
    assert is_prime(PRIME_2048)
    assert "itself a prime" in str(weakness(PRIME_2048))


@pytest.mark.parametrize(
    ("base", "exponent", "said"),
    [
        (PRIME_1024, 2, "second"),
        (MERSENNE, 3, "third"),
        (2**127 - 1, 17, "17th"),
        # The smallest prime that the search for factors leaves, so the highest power to look for.
        (131_101, 113, "113th"),
    ],
    ids=["second", "third", "17th", "113th"],
)
def test_powers_of_one_number(base: int, exponent: int, said: str) -> None:
    assert is_prime(base)
    assert weakness(base**exponent) == f"is the {said} power of a number, which anyone can find"
    assert weakness(base ** (2 * exponent)) is not None


@pytest.mark.parametrize("exponent", [2, 3, 5, 17, 31, 97, 113, 479])
@pytest.mark.parametrize("bits", [18, 64, 65, 513])
def test_roots_are_exact(bits: int, exponent: int) -> None:
    for root in (2**bits - 1, 2**bits, 2**bits + 1, 3 * 2 ** (bits - 1) + 1):
        power = root**exponent
        around = [weak_rsa._root(power + step, exponent) for step in (-1, 0, 1)]
        assert around == [root - 1, root, root]


def test_primes_are_told_from_composite_numbers() -> None:
    """Up to 2047, the first composite number that passes (a strong pseudoprime to the base 2)."""
    primes = set(weak_rsa._primes(2046))
    for number in range(3, 2047, 2):
        assert weak_rsa._is_probable_prime(number) is (number in primes), number
    assert weak_rsa._is_probable_prime(2047)


def test_factors_that_are_close() -> None:
    """CVE-2022-26320."""
    assert is_prime(NEXT_1024)
    assert "so close" in str(weakness(PRIME_1024 * NEXT_1024))
    assert weakness(MERSENNE * (2**1279 - 1)) is None


def test_the_fingerprint_of_roca() -> None:
    """CVE-2017-15361. What is one off it by one marker prime is not taken for it."""
    weak = roca_modulus()

    assert weak.bit_length() > 1900
    assert "CVE-2017-15361" in str(obvious_weakness(weak))
    assert "CVE-2017-15361" in str(weakness(weak))
    beside = weak + 2 * math.prod(weak_rsa._primes(167))  # the same modulo all primes below 167
    assert beside % 163 == weak % 163
    assert "CVE-2017-15361" not in str(obvious_weakness(beside))


def test_marker_primes_must_agree_on_one_exponent() -> None:
    """A power of 65537 modulo each prime, and of none modulo all: no key of that generator."""
    remainders = {
        prime: list(table)[1 if prime == 11 else 0]
        for prime, table in weak_rsa._roca_logarithms().items()
    }
    product = math.prod(remainders)
    number = sum(
        remainder * (product // prime) * pow(product // prime, -1, prime)
        for prime, remainder in remainders.items()
    )

    assert all(number % prime == remainder for prime, remainder in remainders.items())
    assert not weak_rsa._has_roca_fingerprint(number % product)
    assert weak_rsa._has_roca_fingerprint(1)


def test_a_modulus_is_judged_once() -> None:
    weakness(PRIME_2048)
    before = weakness.cache_info()

    weakness(PRIME_2048)

    assert weakness.cache_info().hits == before.hits + 1
    assert weakness.cache_info().misses == before.misses
