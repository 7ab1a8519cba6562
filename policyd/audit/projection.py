"""The values of a token and a request in a record: those that rules can read, except masked ones.

A policy declares the claims, attributes and context entries that its rules read. Every token also
has facts that policies need not declare. Nothing else is written. A masked value is left out, and
its fact is named, so that a reader does not take it for missing.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from policyd.decision.model import Decision
from policyd.diagnostics import closest
from policyd.json_types import Json
from policyd.language.policy import Api, Attribute, ClaimDeclaration, PolicySet
from policyd.language.types import TOKEN_FACTS
from policyd.tokens.details import masked_detail
from policyd.tokens.model import VerifiedToken

MASKED = "(masked)"
#: Two names that often have the same value: a mask of one covers the other too.
_SUBJECT = frozenset({"token.subject", "token.sub"})


class UnknownFact(msgspec.Struct, frozen=True):
    """A path that names no fact, with a suggestion."""

    path: str
    meant: str | None


class Mask(msgspec.Struct, frozen=True):
    """Facts whose values stay out of logs and explanations, as a policy spells them.

    `token.NAME` covers a declared claim, or a fact of every token; `userinfo.NAME` a claim from the
    issuer's userinfo endpoint; `resource.NAME` and `context.NAME` an attribute, `resource.id` the
    identifier. For facts that are also in `hashed`, the log has the HMAC-SHA-256 of the value as
    JSON, made with `key`: equal values get equal hashes.
    """

    paths: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    key: bytes = b""

    def digests(self, paths: Iterable[str], value: Json) -> Iterator[tuple[str, str]]:
        """Yield each of these facts, all of one value, that is hashed, with its hash."""
        wanted = [path for path in paths if self._is_hashed(path)]
        if wanted:
            data = msgspec.json.encode(value, order="deterministic")
            digest = hmac.digest(self.key, data, "sha256").hex()
            yield from ((path, digest) for path in wanted)

    def _is_hashed(self, path: str) -> bool:
        return path in self.hashed or (path in _SUBJECT and not _SUBJECT.isdisjoint(self.hashed))

    def covers(self, path: str) -> bool:
        """Return whether the value of the fact `path` is masked."""
        return path in self.paths or (path in _SUBJECT and not _SUBJECT.isdisjoint(self.paths))

    def unknown(self, policies: PolicySet) -> list[UnknownFact]:
        """Return, sorted, the paths that no API of `policies` can read."""
        known = {fact.path for fact in TOKEN_FACTS.values()} | {"resource.id"}
        for api in policies.apis.values():
            known.update(claim.fact.path for claim in api.claims.values())
            known.update(claim.fact.path for claim in api.userinfo.values())
            known.update(entry.fact.path for entry in api.context)
            for resource in api.resources.values():
                known.update(attribute.fact.path for attribute in resource.attributes)
        return [
            UnknownFact(path, closest(path, known) or _of_that_name(path, known))
            for path in sorted(self.paths - known)
        ]


def _of_that_name(name: str, known: Iterable[str]) -> str | None:
    """Return a suggestion for a name without its root, such as `token.`."""
    return min((path for path in known if path.partition(".")[2] == name), default=None)


class Shown(msgspec.Struct, frozen=True):
    """The values to write, by their names.

    `masked` are facts that have a masked value, and `hashed` has the hashes of some of them.
    `ill_typed` are facts that cannot be reached, because something other than an object is in the
    way.
    """

    values: Mapping[str, Json]
    masked: tuple[str, ...] = ()
    ill_typed: tuple[str, ...] = ()
    hashed: Mapping[str, str] = {}


#: There are no values to write.
NOTHING: Final = Shown({})


class Selection:
    """Selects the declared ones of named values, without masked ones."""

    def __init__(self, declared: Iterable[Attribute], mask: Mask) -> None:
        listed = tuple(declared)
        self._names = tuple(one.fact.name for one in listed if not one.is_pointed_at)
        self._elsewhere = tuple(one for one in listed if one.is_pointed_at)
        self._masked = {
            one.fact.name: one.fact.path for one in listed if mask.covers(one.fact.path)
        }
        self._mask = mask
        self._hashes = any(path in mask.hashed for path in self._masked.values())

    def of(self, values: Mapping[str, Json]) -> Shown:
        """Return them by their declared names: first those without `from`, then the rest."""
        found = {name: values[name] for name in self._names if name in values}
        for one in self._elsewhere:
            value = _reach(values, one.path)
            if value is not None and not isinstance(value, _Obstacle):
                found[one.fact.name] = value
        if not self._masked:
            return Shown(found)
        masked = [path for name, path in self._masked.items() if name in found]
        hashed: dict[str, str] = {}
        for name, path in self._masked.items():
            value = found.pop(name, None)
            if value is not None:
                hashed.update(self._mask.digests((path,), value))
        return Shown(found, tuple(masked), hashed=hashed)

    def among(self, values: Mapping[str, Json]) -> Mapping[str, Json]:
        """Return the members that suffice for `of` to return the same."""
        hidden = () if self._hashes else self._masked
        found = {
            name: None if name in hidden else values[name] for name in self._names if name in values
        }
        for one in self._elsewhere:
            first = one.path[0]
            if first in values:
                found[first] = values[first]
        return found


class Projection:
    """What the rules of one API can read, and which of it is masked.

    `context` and, by resource type and action, `attributes` select from a request. Without an API
    nothing is declared.
    """

    def __init__(self, mask: Mask, api: Api | None = None) -> None:
        self._masked = mask.covers
        self._mask = mask
        self._resource_id_masked = mask.covers("resource.id")
        self._facts = tuple((name, paths, any(map(mask.covers, paths))) for name, paths in _TOKEN)
        self._claims = () if api is None else tuple(api.claims.values())
        self._userinfo = () if api is None else tuple(api.userinfo.values())
        self._masks = bool(mask.paths)
        # The claims that are declared and masked, by the first step to them; `None` is any.
        self._masked_claims: frozenset[str] | None = frozenset(
            one.path[0] for one in self._claims if mask.covers(one.fact.path)
        )
        if api is None and any(one.startswith("token.") for one in mask.paths - _BY_ITSELF):
            self._masked_claims = None
        self.context = Selection(() if api is None else api.context, mask)
        resources = {} if api is None else api.resources
        self._attributes = {
            name: Selection(resource.attributes, mask) for name, resource in resources.items()
        }
        self._of_actions = {
            (name, action): Selection((a for a in resource.attributes if a.is_for(action)), mask)
            for name, resource in resources.items()
            if resource.limited
            for action in resource.actions
        }

    def attributes(self, resource_type: str, action: str) -> Selection | None:
        """Return the selection of the attributes of a request, if its resource type is declared."""
        return self._of_actions.get((resource_type, action)) or self._attributes.get(resource_type)

    def resource_id(self, resource_id: str) -> Shown:
        """Return what to write for a resource's identifier."""
        if not resource_id or not self._resource_id_masked:
            return NOTHING
        hashed = dict(self._mask.digests(("resource.id",), resource_id))
        return Shown({}, ("resource.id",), hashed=hashed)

    def hides_issuer(self) -> bool:
        """Return whether a token's `iss` is masked, also for a refused token."""
        return self._masked("token.iss")

    def detail(self, decision: Decision) -> str:
        """Return the `detail` to write for a refused token."""
        if not self._masks:
            return decision.detail
        return masked_detail(decision.marked_detail or decision.detail, self._covers, MASKED)

    def _covers(self, cited: Sequence[str]) -> bool:
        """Return whether a mask covers the value of one of these claims or facts."""
        facts = {name for claim in cited for name in (claim, *_OF_CLAIM.get(claim, ()))}
        if not cited or any(map(self._masked, facts)):
            return True
        return self._masked_claims is None or not self._masked_claims.isdisjoint(cited)

    def token(self, token: VerifiedToken) -> Shown:
        """Return the facts of a token to write."""
        facts: dict[str, Json] = {}
        hidden: list[str] = []
        hashed: dict[str, str] = {}
        for (name, paths, masked), value in zip(self._facts, _values(token), strict=True):
            if value is None:
                continue
            if masked:
                hidden += paths
                hashed.update(self._mask.digests(paths, value))
            else:
                facts[name] = value
        claims = self._declared(self._claims, token.claims, token.issuer)
        return Shown(
            {**facts, "algorithm": token.algorithm, "claims": dict(claims.values)},
            (*hidden, *claims.masked),
            claims.ill_typed,
            {**hashed, **claims.hashed},
        )

    def userinfo(self, claims: Mapping[str, Json], issuer: str) -> Shown:
        """Return the userinfo claims to write."""
        return self._declared(self._userinfo, claims, issuer)

    def _declared(
        self, declared: Iterable[ClaimDeclaration], payload: Mapping[str, Json], issuer: str
    ) -> Shown:
        claims: dict[str, Json] = {}
        masked: list[str] = []
        ill_typed: list[str] = []
        hashed: dict[str, str] = {}
        for claim in declared:
            if claim.issuer not in (None, issuer):  # no rule can read it
                continue
            value = _reach(payload, claim.path)
            if value is None:
                continue
            if self._masked(claim.fact.path):
                masked.append(claim.fact.path)
                if not isinstance(value, _Obstacle):
                    hashed.update(self._mask.digests((claim.fact.path,), value))
            elif isinstance(value, _Obstacle):
                ill_typed.append(claim.fact.path)
            else:
                claims[claim.fact.name] = value
        return Shown(claims, tuple(masked), tuple(ill_typed), hashed)


#: The facts of every token: their names in a record, and in policies.
_TOKEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("issuer", ("token.iss",)),
    ("subject", ("token.sub", "token.subject")),
    ("sub", ("token.sub",)),
    ("client", ("token.client",)),
    ("kind", ()),
    ("scopes", ("token.scopes",)),
    ("permissions", ("token.permissions",)),
    ("audience", ("token.audience",)),
    ("actor", ("token.actor",)),
    ("issued_at", ("token.issued_at",)),
    ("expires_at", ("token.expires_at",)),
    ("auth_time", ("token.auth_time",)),
    ("acr", ("token.acr",)),
    ("amr", ("token.amr",)),
    ("jti_sha256", ("token.jti",)),
    ("key_id", ()),
    ("binding", ()),
)


#: The undeclared facts that a claim determines; the citation names others.
_OF_CLAIM: Mapping[str, tuple[str, ...]] = {
    "iss": ("token.iss",),
    "sub": ("token.subject",),
    "aud": ("token.audience",),
    "exp": ("token.expires_at",),
    "iat": ("token.issued_at",),
    "jti": ("token.jti",),
    "act": ("token.actor",),
}
#: The facts that every token has.
_BY_ITSELF = frozenset(fact.path for fact in TOKEN_FACTS.values())


def _values(token: VerifiedToken) -> tuple[Json, ...]:
    """Return the values of `_TOKEN`. `sub` is left out if it equals the subject."""
    sub = token.claims.get("sub")
    return (
        token.issuer,
        token.subject,
        None if sub == token.subject else sub,
        token.client,
        token.kind,
        _sorted(token.scopes),
        _sorted(token.permissions),
        _sorted(token.audience),
        token.actor,
        token.issued_at,
        token.expires_at,
        token.claims.get("auth_time"),
        token.claims.get("acr"),
        token.claims.get("amr"),
        _hashed(token.token_id),
        token.key_id,
        None if token.binding is None else token.binding.method,
    )


def _sorted(values: frozenset[str]) -> Json:
    return [*sorted(values)]


class _Obstacle:
    """Something other than an object, on the way to a value."""


def _reach(values: Mapping[str, Json], path: tuple[str, ...]) -> Json | _Obstacle:
    """Return the value at a path, and `None` where there is none."""
    value: Json = values.get(path[0])
    for step in path[1:]:
        if value is None:
            return None
        if not isinstance(value, dict):
            return _Obstacle()
        value = value.get(step)
    return value


def _hashed(token_id: str | None) -> str | None:
    return None if token_id is None else sha256(token_id.encode()).hexdigest()
