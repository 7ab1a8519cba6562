"""Fixes every fact of an encoded question to what a real token and request have.

With all facts fixed, the encoding leaves nothing open: what it says of a formula is what the
encoding makes of this very question, and has to be what the interpreter says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import assert_never

from policyd.json_types import Json
from policyd.language.policy import Scalar
from policyd.language.types import Type
from policyd.program.interpreter import World, interpret
from policyd.program.plain_values import typed
from policyd.prover.circuit import TRUE, Circuit, constant
from policyd.prover.formulas import Formulas, quantified
from policyd.prover.sets import Closed, Comparison, Covers, Hits, Members, Set, Shares
from policyd.prover.solver import Session
from policyd.prover.texts import Texts
from policyd.prover.universe import (
    ATTRIBUTES,
    CLAIMS,
    CONTEXT,
    TOKEN,
    USERINFO,
    Place,
    Side,
    Universe,
    Variable,
)
from policyd.prover.values import Term

_IN_THE_WAY: Json = {}


class Pins:
    """The literals that fix a closed universe to a question."""

    def __init__(self, universe: Universe, world: World) -> None:
        self._universe = universe
        self._world = world
        self._objects: dict[str, dict[str, Json]] = {
            CLAIMS: dict(world.token.claims),
            USERINFO: dict(world.userinfo),
            ATTRIBUTES: dict(world.attributes),
            CONTEXT: dict(world.context),
            TOKEN: _token(world),
        }
        self._names: dict[str, str | None] = {}
        self._values: dict[Term, Scalar] = {}
        self._members: dict[tuple[Type, int], frozenset[Scalar]] = {}

    def literals(self) -> list[int]:
        """Return them all."""
        universe, kind = self._universe, self._world.token.kind
        found = [
            universe.user if kind == "user" else -universe.user,
            universe.application if kind == "application" else -universe.application,
        ]
        found += self._lists()
        for (place, type_), variable in universe.variables.items():
            found += self._state(place, type_, variable)
        self._look()
        found += self._words()
        for type_, sets in universe.sets.items():
            for (_, of_type), number in universe.set_numbers.items():
                if of_type is type_:
                    members = self._members[type_, number]
                    for term, bit in sets.bits(number).items():
                        found.append(bit if self._value(term) in members else -bit)
        return found

    def _look(self) -> None:
        """Find the values of all terms and sets that are known."""
        universe = self._universe
        for (place, type_), number in universe.set_numbers.items():
            value = self._typed(place, type_)
            known = value if isinstance(value, frozenset) else self._ill_typed(place)
            self._members[type_, number] = known
        for (place, type_), term in universe.terms.items():
            value = self._typed(place, type_)
            assert not isinstance(value, frozenset)
            if value is not None:
                self._values[term] = value
        for type_, sets in universe.sets.items():
            for comparison, witness in sets.witnesses.items():
                shown = self._shown(type_, comparison)
                if shown:
                    self._values[witness] = min(shown, key=repr)

    # -- what stands where -----------------------------------------------------------------------

    def _lists(self) -> Iterator[int]:
        for place, (elements, is_object) in self._universe.lists.items():
            raw = self._raw(place)
            items = _items(raw) or []
            distinct = [one for n, one in enumerate(items) if one not in items[:n]]
            if not elements:  # nothing looks at them
                distinct = []
            assert len(distinct) <= len(elements), "the universe was made too small for a pin"
            named = isinstance(raw, dict) and raw is not _IN_THE_WAY
            yield is_object if named and place in self._universe.keyed else -is_object
            for number, element in enumerate(elements):
                there = number < len(distinct)
                yield element.exists if there else -element.exists
                name, item = distinct[number] if there else (None, {})
                self._objects[element.holder] = item
                self._names[element.holder] = name

    def _raw(self, place: Place) -> Json:
        if not place.path:
            return self._names[place.holder]
        found: Json = self._objects[place.holder]
        for name in place.path:
            if found is None:
                return None
            if not isinstance(found, dict):
                return _IN_THE_WAY
            found = found.get(name)
        return found

    def _typed(self, place: Place, type_: Type) -> Scalar | frozenset[Scalar] | None:
        raw = self._raw(place)
        if raw is None or raw is _IN_THE_WAY or type_ is Type.LIST:
            return None
        return typed(raw, type_)

    def _ill_typed(self, place: Place) -> frozenset[Scalar]:
        """The texts in an array that is no set of texts: of `locations` they are looked at."""
        raw = self._raw(place)
        texts = raw if isinstance(raw, list) and place.path == ("locations",) else []
        return frozenset(one for one in texts if isinstance(one, str))

    def _state(self, place: Place, type_: Type, variable: Variable) -> list[int]:
        raw = self._raw(place)
        if raw is None:
            return [-variable.known, variable.missing]
        if type_ is Type.LIST:
            keyed = place in self._universe.keyed
            known = _items(raw) is not None and (keyed or isinstance(raw, list))
        else:
            known = self._typed(place, type_) is not None
        return [variable.known if known else -variable.known, -variable.missing]

    # -- values ----------------------------------------------------------------------------------

    def _value(self, term: Term) -> Scalar:
        return term.constant if term.constant is not None else self._values[term]

    def _words(self) -> Iterator[int]:
        """Fix all terms; what is not known may be anything, and is what nothing else is."""
        domains = self._universe.domains
        for type_ in (Type.STRING, Type.INT, Type.DECIMAL, Type.BOOL, Type.TIME, Type.IP):
            domain = domains.of(type_)
            if isinstance(domain, Texts):
                yield from self._texts(domain)
                continue
            for term in domain.variables():
                if term not in self._values:
                    self._values[term] = _ANYTHING[type_]
                value = domain.word(domain.constant(self._values[term]))
                for bit, wanted in zip(domain.word(term), value, strict=True):
                    yield bit if wanted == TRUE else -bit

    def _texts(self, texts: Texts) -> Iterator[int]:
        fresh: dict[str, int] = {}
        stand_in: dict[str, str] = {}
        first = len(texts.codes)
        for number, term in enumerate(texts.variables()):
            text = self._values.setdefault(term, f"\U0010fffd{number}")
            assert isinstance(text, str)
            code = texts.code(text)
            if code is None and any(texts.kind(text)[2:]):  # one more value of a vocabulary
                alike = (one for one in texts.codes if texts.kind(one) == texts.kind(text))
                taken = {*texts.literals, *self._values.values(), *stand_in.values()}
                free = (one for one in alike if one not in taken)
                code = texts.code(stand_in.setdefault(text, stand_in.get(text) or next(free)))
            if code is None:
                if text not in fresh:
                    fresh[text] = len(fresh)
                    yield from texts.chosen(fresh[text], texts.profile(text))
                code = first + fresh[text]
            word = texts.word(term)
            for bit, wanted in zip(word, constant(code, len(word)), strict=True):
                yield bit if wanted == TRUE else -bit

    def _shown(self, type_: Type, comparison: Comparison) -> frozenset[Scalar]:
        """Return the members that show that a comparison is true, or false, as it is."""
        match comparison:
            case Shares(one, other):
                return self._seen(type_, one) & self._seen(type_, other)
            case Covers(members, of):
                return self._seen(type_, of) - self._seen(type_, members)
            case Hits(of, block):
                return frozenset(
                    one
                    for one in self._seen(type_, of)
                    if isinstance(one, IPv4Address | IPv6Address) and one in block
                )
            case Closed(of, values):
                return self._seen(type_, of) - values
            case _:
                assert_never(comparison)

    def _seen(self, type_: Type, members: Members) -> frozenset[Scalar]:
        if not isinstance(members, Set):
            return frozenset(self._value(one) for one in members)
        found = self._members[type_, members.number]
        if members.keeps is not None:
            found = found & members.keeps
        if members.inclusion is not None:
            texts = frozenset(one for one in found if isinstance(one, str))
            return frozenset(members.inclusion.closed(texts))
        return found


def _items(raw: Json) -> list[tuple[str | None, dict[str, Json]]] | None:
    found: list[tuple[str | None, Json]]
    if isinstance(raw, list):
        found = [(None, item) for item in raw]
    elif isinstance(raw, dict) and raw is not _IN_THE_WAY:
        found = list(raw.items())
    else:
        return None
    items = [(key, item) for key, item in found if isinstance(item, dict)]
    return items if len(items) == len(found) <= 64 else None


_ANYTHING: dict[Type, Scalar] = {
    Type.INT: -77,
    Type.DECIMAL: Decimal("-77.7777"),
    Type.BOOL: False,
    Type.TIME: -77,
    Type.IP: IPv4Address("203.0.113.77"),
}


def _token(world: World) -> dict[str, Json]:
    """Return what every token has, and the rest of a question, by the names of the language."""
    token = world.token
    return {
        "scopes": [*sorted(token.scopes)],
        "permissions": [*sorted(token.permissions)],
        "audience": [*sorted(token.audience)],
        "subject": token.subject,
        "client": token.client,
        "actor": token.actor,
        "iss": token.issuer,
        "jti": token.token_id,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "now": world.now,
        "resource.id": world.resource_id or None,
    }


def check_pinned(side: Side, questions: Iterable[World], elements: int = 9) -> None:
    """Check that, with all facts fixed, each rule's circuits are what the interpreter says, and can
    be nothing else. Lists have at most so many different `elements`."""
    api = side.api
    rules = [
        rule
        for rule in api.rules
        if rule.resource == side.resource.name and side.action in rule.actions
    ]
    circuit = Circuit()
    counts = dict.fromkeys(quantified(side, [rule.formula for rule in rules]), elements)
    universe = Universe(circuit, counts)
    formulas = Formulas(universe, side)
    encoded = {rule.name: formulas.of(rule.formula) for rule in rules}
    universe.close()
    with Session(circuit.clauses) as session:
        for asked in questions:
            pins = Pins(universe, asked).literals()
            model = session.solve(pins)
            assert model is not None, "a real question has a model"
            expected: list[int] = []
            for traced in interpret(api, rules, asked).rules:
                truths = encoded[traced.rule.name]
                expected.append(truths.holds if traced.value is True else -truths.holds)
                expected.append(truths.fails if traced.value is False else -truths.fails)
            assert [one for one in expected if not model[one]] == []
            for literal in expected:
                assert session.solve([*pins, -literal]) is None, "nothing else is possible"
