"""The variables of a question: the facts that rules and declarations read.

A variable stands for the value at one *place*, such as a path in the token's payload, read as one
type. It is known, missing or ill-typed, exactly one of these. A fact is a view of a variable by the
declarations of one side. If a vocabulary lists the values, a foreign value is ill-typed, or left
out of a set. A claim of one issuer is missing in the tokens of all others. So two revisions of a
policy that declare the same place differently still read the same tokens.

Lists of records have elements, as many as there are quantifiers over the list: no more are needed
for each quantifier to have its witness, and none has more than 64.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from policyd.language.policy import Api, Attribute, ClaimDeclaration, ResourceType
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Origin, Type
from policyd.prover.circuit import Circuit
from policyd.prover.domains import Domains
from policyd.prover.sets import Set, Sets
from policyd.prover.values import Term

#: The value of `token.iss` if a question leaves it open: that of tokens in tests.
DEFAULT_ISSUER: Final = "https://issuer.example/"
#: The most elements that a list has.
MOST_ELEMENTS: Final = 64
#: Facts that stand in the payload under their own name.
_IN_PAYLOAD: Final = frozenset(("sub", "acr", "amr", "auth_time"))
_TYPES: Final[Mapping[str, Type]] = {
    **{name: fact.type for name, fact in TOKEN_FACTS.items()},
    "now": Type.TIME,
    "resource.id": Type.STRING,
}

CLAIMS, USERINFO, ATTRIBUTES, CONTEXT, TOKEN = (
    "claims",
    "userinfo",
    "attributes",
    "context",
    "token",
)
LOCATIONS: Final = ("locations",)


class Place(NamedTuple):
    """Where a value stands: the object that holds it, and the path in it.

    The holder is one of the constants above, or an element of a list. The name of an element has an
    empty path.
    """

    holder: str
    path: tuple[str, ...]


class Side(msgspec.Struct, frozen=True, eq=False):
    """The declarations by which a question is read: of an API, for an action on a resource."""

    api: Api
    resource: ResourceType
    action: str

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes that requests for the action have."""
        return tuple(one for one in self.resource.attributes if one.is_for(self.action))


class Variable(msgspec.Struct, frozen=True, eq=False):
    """The value at a place, read as a type. If it is neither known nor missing, it is ill-typed."""

    place: Place
    type: Type
    known: int
    missing: int


class Element(NamedTuple):
    """An element of a list: the name of its holder, and whether there is one."""

    holder: str
    exists: int


class Elements(NamedTuple):
    """The elements of a list; `is_object` is whether they are the members of an object."""

    elements: tuple[Element, ...]
    is_object: int


class Seen(NamedTuple):
    """A fact, as one side reads it."""

    known: int
    missing: int
    variable: Variable
    keeps: frozenset[str] | None = None


class Universe:
    """All variables of a question. `quantifiers` says how many there are over lists, by place."""

    def __init__(self, circuit: Circuit, quantifiers: Mapping[Place, int]) -> None:
        self.circuit = circuit
        self.domains = Domains(circuit)
        self.sets = {
            type_: Sets(self.domains.of(type_.element), circuit)
            for type_ in Type
            if type_.element is not None
        }
        self.variables: dict[tuple[Place, Type], Variable] = {}
        self.user, self.application = circuit.new(), circuit.new()
        circuit.require(-self.user, -self.application)
        #: Whether the token names no audience.
        self.nobody = circuit.new()
        self._quantifiers = quantifiers
        self._terms: dict[tuple[Place, Type], Term] = {}
        self._sets: dict[tuple[Place, Type], int] = {}
        self._lists: dict[Place, Elements] = {}
        #: Lists that may be objects, whose members have names.
        self.keyed: set[Place] = set()

    # -- facts -----------------------------------------------------------------------------------

    def fact(self, side: Side, fact: Fact, element: str | None = None, owner: Fact = NOW) -> Seen:
        """Return a fact as a side reads it; a field is one of an `element` of the list `owner`."""
        variable = self.variable(place_of(side, fact, element, owner), fact.type)
        known, missing = variable.known, variable.missing
        keeps = None
        circuit = self.circuit
        if fact.vocabulary is not None:
            values = fact.vocabulary.values
            origin = owner.origin if fact.origin is Origin.ITEM else fact.origin
            if fact.type.element is None:
                known = circuit.all((known, self.domains.texts.one_of(self.term(variable), values)))
            elif origin in (Origin.CLAIM, Origin.USERINFO):
                keeps = values
            else:
                closed = self.sets[fact.type].closed(self.number(variable), values)
                known = circuit.all((known, closed))
        if fact.type is Type.LIST:
            if not any(one.path is None for one in fact.record):
                known = circuit.all((known, -self.elements(variable).is_object))
            else:
                self.keyed.add(variable.place)
        issuer = issuer_of(side, fact)
        if issuer is not None:
            own = self.is_issuer(issuer)
            known, missing = circuit.all((known, own)), circuit.any((missing, -own))
        return Seen(known, missing, variable, keeps)

    def is_issuer(self, name: str) -> int:
        """Return whether the token is of an issuer."""
        texts = self.domains.texts
        return texts.equal(self.term(self.token("iss")), texts.constant(name))

    def token(self, name: str) -> Variable:
        """Return a fact that every token has, `now` or `resource.id`."""
        return self.variable(_token_place(name), _TYPES[name])

    def set_of(self, side: Side, seen: Seen) -> Set:
        """Return the set of a fact."""
        variable = seen.variable
        scopes = variable.place == _token_place("scopes")
        return Set(self.number(variable), seen.keeps, side.api.inclusion if scopes else None)

    def variable(self, place: Place, type_: Type) -> Variable:
        """Return the variable of a place, read as a type."""
        found = self.variables.get((place, type_))
        if found is None:
            known, missing = self.circuit.new(), self.circuit.new()
            self.circuit.require(-known, -missing)
            found = self.variables[place, type_] = Variable(place, type_, known, missing)
        return found

    def term(self, variable: Variable) -> Term:
        """Return the value of a scalar."""
        key = variable.place, variable.type
        if key not in self._terms:
            self._terms[key] = self.domains.of(variable.type).new()
        return self._terms[key]

    def number(self, variable: Variable) -> int:
        """Return the number of a set."""
        key = variable.place, variable.type
        if key not in self._sets:
            self._sets[key] = self.sets[variable.type].new()
        return self._sets[key]

    # -- lists -----------------------------------------------------------------------------------

    def elements(self, variable: Variable) -> Elements:
        """Return the elements of a list. Those that exist come first."""
        place = variable.place
        found = self._lists.get(place)
        if found is None:
            wanted = min(self._quantifiers.get(place, 0), MOST_ELEMENTS)
            each = tuple(
                Element(f"{place.holder}{place.path}[{n}]", self.circuit.new())
                for n in range(wanted)
            )
            for one, following in itertools.pairwise(each):
                self.circuit.require(-following.exists, one.exists)
            found = self._lists[place] = Elements(each, self.circuit.new())
        return found

    def addressed(self, side: Side, element: Element) -> int:
        """Return whether an authorization detail is one for the API: its `locations` are missing,
        or name one of the audiences (RFC 9396, section 2.2)."""
        locations = self.variable(Place(element.holder, LOCATIONS), Type.SET_OF_STRING)
        members = Set(self.number(locations))
        texts = self.domains.texts
        named = self.circuit.any(
            self.sets[Type.SET_OF_STRING].has(members, texts.constant(one))
            for one in side.api.audiences
        )
        return self.circuit.all((element.exists, self.circuit.any((locations.missing, named))))

    # -- what JSON allows ------------------------------------------------------------------------

    def close(self) -> None:
        """Require the consistency of JSON between the variables, and define the meaning of all
        tests."""
        self._couple()
        for place, (elements, is_object) in self._lists.items():
            if place in self.keyed:
                self._name(elements, is_object)
            else:
                self.circuit.require(-is_object)
        for each in self.sets.values():
            each.close()
        self.domains.texts.close()

    def _name(self, elements: tuple[Element, ...], is_object: int) -> None:
        """Require that the members of an object have different names, and that items of an array
        have none."""
        named: list[tuple[Element, Variable]] = []
        for element in elements:
            variable = self.variables.get((Place(element.holder, ()), Type.STRING))
            if variable is not None:
                self.circuit.require(-element.exists, -is_object, variable.known)
                self.circuit.require(-element.exists, is_object, variable.missing)
                named.append((element, variable))
        texts = self.domains.texts
        for place, (element, variable) in enumerate(named):
            for other, its in named[place + 1 :]:
                same = texts.equal(self.term(variable), self.term(its))
                self.circuit.require(-is_object, -element.exists, -other.exists, -same)

    def _couple(self) -> None:
        """Relate the variables of one place, and those of places within it."""
        by_place: dict[Place, list[Variable]] = {}
        for variable in self.variables.values():
            by_place.setdefault(variable.place, []).append(variable)
        for place, here in by_place.items():
            first = here[0]
            for other in here[1:]:
                self.circuit.require(-first.missing, other.missing)
                self.circuit.require(-other.missing, first.missing)
            for number, one in enumerate(here):
                for other in here[number + 1 :]:
                    if not _may_agree(one.type, other.type):
                        self.circuit.require(-one.known, -other.known)
            for length in range(1, len(place.path)):
                for outer in by_place.get(Place(place.holder, place.path[:length]), ()):
                    for inner in here:
                        self._within(outer, inner)

    def _within(self, outer: Variable, inner: Variable) -> None:
        """A value inside a missing value is missing; a value inside a value that is not an object
        is ill-typed."""
        self.circuit.require(-outer.missing, inner.missing)
        if outer.type is not Type.LIST:
            self.circuit.require(-outer.known, -inner.known)
            self.circuit.require(-outer.known, -inner.missing)

    # -- for those who read a model --------------------------------------------------------------

    @property
    def terms(self) -> Mapping[tuple[Place, Type], Term]:
        """The values of scalars that are looked at."""
        return self._terms

    @property
    def set_numbers(self) -> Mapping[tuple[Place, Type], int]:
        """The sets that are looked at."""
        return self._sets

    @property
    def lists(self) -> Mapping[Place, Elements]:
        """The lists whose elements are looked at."""
        return self._lists


def _may_agree(one: Type, other: Type) -> bool:
    """Return whether one JSON value can be a value of both types.

    If it can, the two values are not related, which allows more than can occur.
    """
    pair = {one, other}
    if all(type_.element is not None or type_ is Type.LIST for type_ in pair):
        return True  # an empty array is
    return pair <= _WRITTEN_ALIKE and pair != {Type.INT, Type.STRING} and pair not in _NEVER


_WRITTEN_ALIKE: Final = frozenset((Type.STRING, Type.INT, Type.DECIMAL, Type.TIME, Type.IP))
_NEVER: Final = (
    {Type.IP, Type.INT},
    {Type.IP, Type.TIME},
    {Type.IP, Type.DECIMAL},
)


def _token_place(name: str) -> Place:
    return Place(CLAIMS if name in _IN_PAYLOAD else TOKEN, (name,))


def place_of(side: Side, fact: Fact, element: str | None = None, owner: Fact = NOW) -> Place:
    """Return the place of a fact, by the declarations of a side."""
    match fact.origin:
        case Origin.CLOCK:
            return _token_place("now")
        case Origin.TOKEN:
            return _token_place(fact.name)
        case Origin.CLAIM:
            return Place(CLAIMS, side.api.claims[fact.name].path)
        case Origin.USERINFO:
            return Place(USERINFO, side.api.userinfo[fact.name].path)
        case Origin.RESOURCE if fact.name == "id":
            return _token_place("resource.id")
        case Origin.RESOURCE:
            return Place(ATTRIBUTES, _path(side.resource.attributes, fact))
        case Origin.CONTEXT:
            return Place(CONTEXT, _path(side.api.context, fact))
        case Origin.ITEM:
            assert element is not None, "a field is one of an element"
            path = next(one.path for one in owner.record if one.fact == fact)
            return Place(element, path or ())


def _path(declared: Iterable[Attribute], fact: Fact) -> tuple[str, ...]:
    return next(one.path for one in declared if one.fact.name == fact.name)


def issuer_of(side: Side, fact: Fact) -> str | None:
    """Return the issuer whose tokens alone have a fact, by the declarations of a side."""
    declared: ClaimDeclaration | None = None
    if fact.origin is Origin.CLAIM:
        declared = side.api.claims[fact.name]
    elif fact.origin is Origin.USERINFO:
        declared = side.api.userinfo[fact.name]
    return None if declared is None else declared.issuer
