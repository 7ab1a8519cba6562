"""Turns a model into a token and a request that refute a promise.

The first model is hard to read, so wishes for simpler values are added as long as the question
stays satisfiable. The result is verified: `judge` asks the interpreter and the compiled program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Final

import msgspec

from policyd.json_types import Json, put
from policyd.language.policy import Scalar
from policyd.language.types import Type
from policyd.program.interpreter import World
from policyd.prover.solver import Model, Session
from policyd.prover.universe import (
    ATTRIBUTES,
    CLAIMS,
    CONTEXT,
    DEFAULT_ISSUER,
    LOCATIONS,
    TOKEN,
    USERINFO,
    Place,
    Universe,
    Variable,
)
from policyd.tokens.model import SubjectKind, VerifiedToken, new_memo

#: The time of witnesses if the question leaves it open: noon of the first of December 2026. It is
#: fixed, so that the same question has the same witness every day.
TODAY: Final = 1_796_126_400
#: The lifetime of a token in seconds, if the question leaves it open.
LIFETIME: Final = 3_600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Witness(msgspec.Struct, frozen=True):
    """A token and a request."""

    world: World


def readable(universe: Universe, session: Session, model: Model, held: Sequence[int] = ()) -> Model:
    """Return a model that is easier to read, in which what is `held` stays true. `session` has the
    rest of the question."""
    wishes = [list(each) for each in _wishes(universe)]
    granted = [*held]
    for group in wishes:
        model = _grant(session, model, granted, group)
    return model


def prepare(universe: Universe) -> None:
    """Create the circuits of the wishes, so that the solver has them."""
    for _ in _wishes(universe):
        pass


def _grant(session: Session, model: Model, granted: list[int], wishes: Sequence[int]) -> Model:
    """Keep as many wishes as are satisfiable together; try all at once first."""
    if all(model[one] for one in wishes):
        granted += wishes
        return model
    found = session.solve([*granted, *wishes])
    if found is not None:
        granted += wishes
        return found
    if len(wishes) == 1:
        return model
    half = len(wishes) // 2
    model = _grant(session, model, granted, wishes[:half])
    return _grant(session, model, granted, wishes[half:])


def _wishes(universe: Universe) -> Iterator[list[int]]:
    """Yield the wishes for a readable witness, the most important first."""
    variables = universe.variables
    times = universe.domains.times
    for name, moment in (("now", TODAY), ("expires_at", TODAY + LIFETIME), ("issued_at", TODAY)):
        variable = variables.get((Place(TOKEN, (name,)), Type.TIME))
        if variable is not None:
            yield [times.equal(universe.term(variable), times.constant(moment))]
    yield [-universe.nobody]
    yield [universe.is_issuer(DEFAULT_ISSUER)]
    yield [-(one.exists) for each in universe.lists.values() for one in each.elements]
    ordinary = [one for one in variables.values() if not _is_tokens(one)]
    yield [one.missing for one in ordinary]
    yield [one.known for one in variables.values() if _is_tokens(one)]
    for one in ordinary:
        yield [_or(universe, one)]
    texts = universe.domains.texts
    yield [
        texts.is_fresh(term)
        for (place, type_), term in universe.terms.items()
        if type_ is Type.STRING and place != Place(TOKEN, ("iss",))
    ]
    for (_, type_), number in universe.set_numbers.items():
        yield [-bit for bit in universe.sets[type_].bits(number).values()]
    for (place, type_), term in universe.terms.items():
        plain = _PLAIN.get(type_)
        if plain is not None and place.holder != TOKEN:
            domain = universe.domains.of(type_)
            yield [domain.equal(term, domain.constant(plain))]
    yield [-universe.user, -universe.application]


def _or(universe: Universe, variable: Variable) -> int:
    return universe.circuit.any((variable.known, variable.missing))


#: Readable values.
_PLAIN: Final[dict[Type, Scalar]] = {
    Type.INT: 0,
    Type.DECIMAL: Decimal(0),
    Type.BOOL: False,
    Type.TIME: TODAY,
    Type.IP: IPv4Address("192.0.2.1"),
}


def _is_tokens(variable: Variable) -> bool:
    """Tell whether this is one of the names that a token usually has."""
    place = variable.place
    return place.holder == TOKEN or place == Place(CLAIMS, ("sub",))


# -- from a model to JSON ------------------------------------------------------------------------


def decode(universe: Universe, model: Model, audiences: Sequence[str]) -> Witness:
    """Return a model as a witness: `audiences` are those of a token for the API."""
    return _Decoder(universe, model).witness(audiences)


class _Decoder:
    def __init__(self, universe: Universe, model: Model) -> None:
        self._universe = universe
        self._model = model
        self._objects: dict[str, dict[str, Json]] = {}

    def witness(self, audiences: Sequence[str]) -> Witness:
        variables = sorted(
            self._universe.variables.values(), key=lambda one: (_depth(one), one.place, one.type)
        )
        # Elements come before the lists that hold them, and what is known before what is not.
        for wanted in (True, False):
            for variable in variables:
                place = variable.place
                if place.holder == TOKEN or not place.path or self._model[variable.missing]:
                    continue
                if self._model[variable.known] is wanted:
                    self._put(variable, known=wanted)
        token = self._token(audiences)
        return Witness(
            World(
                token=token,
                resource_id=self._text("resource.id") or "",
                attributes=self._object(ATTRIBUTES),
                context=self._object(CONTEXT),
                now=self._time("now") or TODAY,
                userinfo=self._object(USERINFO),
            )
        )

    def _object(self, holder: str) -> dict[str, Json]:
        return self._objects.setdefault(holder, {})

    def _put(self, variable: Variable, *, known: bool) -> None:
        place, values = variable.place, self._object(variable.place.holder)
        if known:
            put(values, place.path, self._json(variable))
        elif _is_free(values, place.path):
            put(values, place.path, self._wrong(variable))

    def _wrong(self, variable: Variable) -> Json:
        """Return a value that is not of the variable's type."""
        if variable.type is Type.LIST:
            return "no list"
        if variable.type.element is None:
            return {}
        locations = variable.place.path == LOCATIONS  # what an array holds matters there
        return [*(self._members(variable) if locations else ()), {}]

    def _json(self, variable: Variable) -> Json:
        key = variable.place, variable.type
        if variable.type is Type.LIST:
            return self._list(variable.place)
        if variable.type.element is not None:
            return self._members(variable)
        term = self._universe.terms.get(key)
        if term is None:
            return _written(_UNSEEN[variable.type], variable.type)
        value = self._universe.domains.of(variable.type).value(term, self._model)
        if variable.type is Type.TIME and self._is_number(variable.place):
            return value if isinstance(value, int) else None
        return _written(value, variable.type)

    def _is_number(self, place: Place) -> bool:
        others = (self._universe.variables.get((place, one)) for one in (Type.INT, Type.DECIMAL))
        return any(one is not None and self._model[one.known] for one in others)

    def _members(self, variable: Variable) -> list[Json]:
        number = self._universe.set_numbers.get((variable.place, variable.type))
        element = variable.type.element
        if number is None or element is None:
            return []
        bits = self._universe.sets[variable.type].bits(number)
        domain = self._universe.domains.of(element)
        values = {domain.value(term, self._model) for term, bit in bits.items() if self._model[bit]}
        return [_written(one, element) for one in sorted(values, key=repr)]

    def _list(self, place: Place) -> Json:
        found = self._universe.lists.get(place)
        if found is None:
            return []
        there = [one for one in found.elements if self._model[one.exists]]
        items = [self._object(one.holder) for one in there]
        if not self._model[found.is_object]:
            return [*items]
        named: dict[str, Json] = {}
        for number, (element, item) in enumerate(zip(there, items, strict=True)):
            term = self._universe.terms.get((Place(element.holder, ()), Type.STRING))
            name = f"element-{number}"
            if term is not None:
                name = str(self._universe.domains.texts.value(term, self._model))
            named[name] = item
        return named

    # -- the token -------------------------------------------------------------------------------

    def _token(self, audiences: Sequence[str]) -> VerifiedToken:
        model, universe = self._model, self._universe
        kind: SubjectKind | None = None
        if model[universe.user]:
            kind = "user"
        elif model[universe.application]:
            kind = "application"
        now = self._time("now") or TODAY
        expires = self._time("expires_at")
        audience = self._texts("audience")
        if audience is None:
            audience = frozenset(() if model[universe.nobody] else audiences[:1])
        return VerifiedToken(
            issuer=self._text("iss") or DEFAULT_ISSUER,
            subject=self._text("subject"),
            client=self._text("client"),
            kind=kind,
            scopes=self._texts("scopes") or frozenset(),
            permissions=self._texts("permissions") or frozenset(),
            audience=audience,
            actor=self._text("actor"),
            issued_at=self._time("issued_at"),
            not_before=None,
            expires_at=now + LIFETIME if expires is None else expires,
            token_id=self._text("jti"),
            key_id=None,
            algorithm="none",
            claims=self._object(CLAIMS),
            memo=new_memo(),
        )

    def _value(self, name: str, type_: Type) -> Scalar | None:
        key = Place(TOKEN, (name,)), type_
        variable, term = self._universe.variables.get(key), self._universe.terms.get(key)
        if variable is None or term is None or not self._model[variable.known]:
            return None
        return self._universe.domains.of(type_).value(term, self._model)

    def _text(self, name: str) -> str | None:
        value = self._value(name, Type.STRING)
        return value if isinstance(value, str) else None

    def _time(self, name: str) -> int | None:
        value = self._value(name, Type.TIME)
        return value if isinstance(value, int) else None

    def _texts(self, name: str) -> frozenset[str] | None:
        variable = self._universe.variables.get((Place(TOKEN, (name,)), Type.SET_OF_STRING))
        if variable is None:
            return None
        return frozenset(str(one) for one in self._members(variable))


def _depth(variable: Variable) -> int:
    """Fields of elements come first; outside of them, what stands deeper comes first."""
    return -len(variable.place.path) - (100 if "[" in variable.place.holder else 0)


def _is_free(values: dict[str, Json], path: tuple[str, ...]) -> bool:
    """Tell whether a path is unused and not blocked."""
    found: Json = values
    for name in path:
        if not isinstance(found, dict):
            return False
        found = found.get(name)
        if found is None:
            return True
    return False


#: Values of required facts that no test reads.
_UNSEEN: Final[dict[Type, Scalar]] = {**_PLAIN, Type.STRING: "any"}


def _written(value: Scalar, type_: Type) -> Json:
    """Return a value as JSON that is read as this value."""
    if type_ is Type.TIME:
        assert isinstance(value, int)
        return f"{(_EPOCH + timedelta(seconds=value)).replace(tzinfo=None).isoformat()}Z"
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value.normalize())
    return value if isinstance(value, str | bool | int) else str(value)
