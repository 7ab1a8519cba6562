"""The axioms: which tokens and requests reach the rules.

The axioms never exclude a token that policyd accepts, since a proof would then be false. If an
axiom is missing, a counterexample may use an impossible token; the check of witnesses notices that.

| fact | known | missing | ill-typed |
|---|---|---|---|
| `scopes`, `permissions`, `audience`, `iss`, `expires_at`, `now` | always | - | - |
| `subject`, `sub`, `client`, `actor`, `jti`, `issued_at`, `resource.id` | yes | yes | never |
| `acr`, `amr`, `auth_time`, claims and userinfo with `?` | yes | yes | yes |
| attributes and context with `?` | yes | yes | never: the caller's mistake |
| what is declared without `?` | yes | never | never |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from policyd.language.policy import Attribute, ClaimDeclaration
from policyd.language.types import Type
from policyd.prover.circuit import TRUE
from policyd.prover.sets import Set
from policyd.prover.universe import CLAIMS, DEFAULT_ISSUER, TOKEN, Place, Side, Universe, Variable
from policyd.prover.values import Term
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.issuers import LONGEST_LEEWAY, IssuerSettings

_ALWAYS: Final = frozenset(("scopes", "permissions", "audience", "iss", "expires_at", "now"))
#: Claims that must be texts that are not empty, or the token is refused (`tokens.claims.facts`).
_NAMES: Final = ("iss", "subject", "sub", "client", "actor", "jti", "resource.id")
#: The times of a token and the clock lie in this range (`tokens.claims.times`).
_EPOCH: Final = 0
_DATES: Final = ("issued_at", "expires_at", "now")


class Issuer(NamedTuple):
    """An issuer of tokens for an API, and the dialect of its tokens."""

    name: str
    dialect: Dialect


class Premises(msgspec.Struct, frozen=True):
    """The configuration that an answer holds for: the issuers of each API by its name, if they are
    known, and the largest leeway of clocks in seconds."""

    issuers: Mapping[str, tuple[Issuer, ...]] = {}
    leeway: int = LONGEST_LEEWAY

    @classmethod
    def of(cls, settings: Iterable[IssuerSettings], apis: Iterable[str]) -> Premises:
        """Return the premises of a configuration: its issuers, for APIs of these names."""
        settings = tuple(settings)
        by_api = {
            api: tuple(
                Issuer(one.issuer, one.dialect_row)
                for one in settings
                if one.apis is None or api in one.apis
            )
            for api in apis
        }
        leeway = max((one.leeway for one in settings), default=LONGEST_LEEWAY)
        return cls(by_api, leeway)


class Reach(NamedTuple):
    """Whether a side's rules are reached: the token is not refused, and the request is valid."""

    token: int
    request: int


def reach(universe: Universe, side: Side) -> Reach:
    """Return the conditions that a side sets for tokens and requests."""
    circuit, api = universe.circuit, side.api
    accepted = [_is_for(universe, side)]
    for declared in (*api.claims.values(), *api.userinfo.values()):
        if not declared.optional:
            accepted.append(_demanded(universe, side, declared))
    formed = [_well_formed(universe, side, one) for one in (*side.attributes, *api.context)]
    return Reach(circuit.all(accepted), circuit.all(formed))


def _demanded(universe: Universe, side: Side, declared: ClaimDeclaration) -> int:
    known = universe.fact(side, declared.fact).known
    if declared.issuer is None:
        return known
    return universe.circuit.any((known, -universe.is_issuer(declared.issuer)))


def _well_formed(universe: Universe, side: Side, declared: Attribute) -> int:
    seen = universe.fact(side, declared.fact)
    if declared.optional:
        return universe.circuit.any((seen.known, seen.missing))
    return seen.known


def _is_for(universe: Universe, side: Side) -> int:
    """Return whether the token is for the API: it names an audience, or none at all if its dialect
    uses the scopes instead (Amazon Cognito)."""
    audience = _set(universe, "audience")
    sets, texts = universe.sets[Type.SET_OF_STRING], universe.domains.texts
    named = [sets.has(audience, texts.constant(one)) for one in side.api.audiences]
    someone = universe.circuit.any(named)
    return universe.circuit.any((someone, universe.nobody))


def _set(universe: Universe, name: str) -> Set:
    return Set(universe.number(universe.token(name)))


def require(universe: Universe, premises: Premises, sides: tuple[Side, ...]) -> None:
    """Require the facts that hold for every token and request. Called before the universe is
    closed."""
    circuit, texts = universe.circuit, universe.domains.texts
    universe.is_issuer(DEFAULT_ISSUER)  # witnesses prefer it
    issuers = _issuers(premises, sides)
    if issuers:
        circuit.require(*(universe.is_issuer(one.name) for one in issuers))
        for one in issuers:
            _written(universe, one)
    scopes = _set(universe, "scopes")
    no_scope = universe.sets[Type.SET_OF_STRING].has(scopes, texts.constant(""))
    circuit.require(-no_scope)
    _times(universe, premises.leeway)
    for variable in list(universe.variables.values()):
        name = variable.place.path[0] if variable.place.path else ""
        if variable.place.holder == TOKEN:
            circuit.require(variable.known, variable.missing)
            if name in _ALWAYS:
                circuit.require(variable.known)
        if variable.place == Place(CLAIMS, ("sub",)):
            circuit.require(variable.known, variable.missing)
        if _is_name(variable):
            empty = texts.equal(universe.term(variable), texts.constant(""))
            circuit.require(-variable.known, -empty)


def _is_name(variable: Variable) -> bool:
    place = variable.place
    at_top = place.holder in (TOKEN, CLAIMS) and len(place.path) == 1
    if not at_top or variable.type is not Type.STRING or place.path[0] not in _NAMES:
        return False
    return place.holder == TOKEN or place.path == ("sub",)


def _times(universe: Universe, leeway: int) -> None:
    """Tokens have not expired, were not issued in the future, and name dates since 1970.

    Where nothing reads the clock or a date of the token, nothing depends on them: there are such
    dates, whatever else is so.
    """
    times, circuit = universe.domains.times, universe.circuit
    if not any((Place(TOKEN, (name,)), Type.TIME) in universe.variables for name in _DATES):
        return
    for name in ("now", "expires_at"):
        universe.token(name)
    epoch = times.constant(_EPOCH)
    now = universe.term(universe.token("now"))
    for name in _DATES:
        variable = universe.variables.get((Place(TOKEN, (name,)), Type.TIME))
        if variable is not None:
            later = times.less(epoch, universe.term(variable), or_equal=True)
            circuit.require(-variable.known, later)
    expires = universe.term(universe.token("expires_at"))
    circuit.require(times.within(expires, now, leeway, or_equal=False))
    issued = universe.variables.get((Place(TOKEN, ("issued_at",)), Type.TIME))
    if issued is not None:
        soon = times.within(now, universe.term(issued), leeway)
        circuit.require(-issued.known, soon)


def _issuers(premises: Premises, sides: tuple[Side, ...]) -> list[Issuer]:
    """Return the issuers of tokens for one of the sides; none if they are unknown."""
    each = [premises.issuers.get(side.api.name, ()) for side in sides]
    return list(dict.fromkeys(one for some in each for one in some)) if all(each) else []


def _written(universe: Universe, issuer: Issuer) -> None:
    """Require what the tokens of a dialect have in common."""
    circuit, row = universe.circuit, issuer.dialect
    own = universe.is_issuer(issuer.name)

    def always(name: str) -> None:
        circuit.require(-own, universe.token(name).known)

    if "sub" in row.required:
        always("sub")
    if any(row.required.issuperset(way) for way in row.subject):
        always("subject")
    if row.client_outside_audience or not row.required.isdisjoint(row.client):
        always("client")
    if row.token_id in row.required:
        always("jti")
    if not row.audience_by_client:
        circuit.require(-own, -universe.nobody)
    if row.subject == (("sub",),):
        subject, sub = universe.token("subject"), universe.token("sub")
        same = universe.domains.texts.equal(universe.term(subject), universe.term(sub))
        circuit.require(-own, -subject.known, same)
        for one, other in ((subject, sub), (sub, subject)):
            circuit.require(-own, -one.known, other.known)


def finish(universe: Universe, premises: Premises, sides: tuple[Side, ...]) -> None:
    """Require the conditions on set members, which are known only when all else is closed."""
    for name in ("scopes", "permissions", "audience"):
        number = universe.set_numbers.get((Place(TOKEN, (name,)), Type.SET_OF_STRING))
        if number is None:
            continue
        bits = universe.sets[Type.SET_OF_STRING].bits(number)
        for term, bit in bits.items():
            for literal in _impossible(universe, name, term):
                universe.circuit.require(-literal, -bit)
            if name == "permissions":
                for one in _issuers(premises, sides):
                    if one.dialect.permissions is None:
                        universe.circuit.require(-universe.is_issuer(one.name), -bit)


def _impossible(universe: Universe, name: str, term: Term) -> Iterator[int]:
    """Yield when a term cannot be a member."""
    if name == "audience":
        yield universe.nobody
    if name == "scopes" and isinstance(term.constant, str) and not _is_scope(term.constant):
        yield TRUE


def _is_scope(text: str) -> bool:
    """Return whether a text is a scope-token (RFC 6749, section 3.3)."""
    return bool(text) and all("\x21" <= one <= "\x7e" and one not in '"\\' for one in text)
