"""The domains of one question, by type."""

from __future__ import annotations

from typing import Final

from policyd.language.types import Type
from policyd.prover.circuit import Circuit
from policyd.prover.texts import Texts
from policyd.prover.values import MAX_TIME, MIN_TIME, Addresses, Booleans, Domain, Numbers

_MAX_INT: Final = 2**53 - 1
_MAX_DECIMAL: Final = 2**53 * 10_000


class Domains:
    """The domains of one question."""

    def __init__(self, circuit: Circuit) -> None:
        self.texts = Texts(circuit)
        self.addresses = Addresses(Type.IP, circuit)
        self.times = Numbers(Type.TIME, circuit, MIN_TIME, MAX_TIME)
        self._numbers = {
            Type.INT: Numbers(Type.INT, circuit, -_MAX_INT, _MAX_INT),
            Type.DECIMAL: Numbers(Type.DECIMAL, circuit, -_MAX_DECIMAL, _MAX_DECIMAL),
            Type.TIME: self.times,
        }
        self._booleans = Booleans(Type.BOOL, circuit)

    def numbers(self, type_: Type) -> Numbers:
        """Return the domain of a type that has an order."""
        return self._numbers[type_]

    def of(self, type_: Type) -> Domain:
        """Return the domain of a scalar type."""
        match type_:
            case Type.STRING:
                return self.texts
            case Type.IP:
                return self.addresses
            case Type.BOOL:
                return self._booleans
        return self._numbers[type_]
