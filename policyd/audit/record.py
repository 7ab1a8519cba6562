"""What a decision record holds.

In comes an `Entry`, the decisions of a call with their questions; out goes a line of JSON for each.
Of the token and the request it holds exactly what the rules of the API can read (the names that
every token has, and what the policy declares), so that a log can be replayed against another
policy.

A record is joined from parts, so that what records have in common, as those of one call and those
of one outcome do, is encoded once.

Invariants: never the token, nor any part of its bytes, which do not even come here; the token's
identifier only as a SHA-256; of a token whose signature did not hold only `iss` and `kid`, under
names that say so.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256

import msgspec

from policyd.decision.model import BatchItem, Decision
from policyd.language.policy import Api, Attribute, ClaimDeclaration, PolicySet
from policyd.language.types import TOKEN_FACTS
from policyd.reasons import Reason
from policyd.tokens.model import Json, VerifiedToken

MASKED = "(masked)"
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_REVISIONS_KEPT = 16
_TOKENS_KEPT = 2048

_encode = msgspec.json.Encoder().encode
#: Names of facts, and whether their values are masked.
_Names = tuple[tuple[str, bool], ...]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """What the decisions of one call have in common.

    `time` is seconds since the epoch, `duration` the seconds that each decision took. `traceparent`
    is the caller's, as received (W3C Trace Context); empty where there is none.
    """

    time: float
    duration: float
    request_id: str = ""
    context: Mapping[str, Json] = {}
    traceparent: str = ""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A decision on its way to the log. Those of one call stand together, with one origin."""

    origin: Origin
    decision_id: str
    item: BatchItem
    decision: Decision


class _Middle(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part that is the same for one outcome. What does not apply is left out.

    Time and identifier stand before it, the resource's identifier and attributes after it.
    """

    effect: str
    reason: Reason
    revision: str
    api: str
    action: str
    resource_type: str
    rules: tuple[str, ...] = ()
    rules_truncated: bool = False
    missing_scopes: tuple[str, ...] = ()
    message: str = ""
    detail: str = ""
    unverified_iss: str | None = None
    unverified_kid: str | None = None


#: The fields of `_Middle`.
_Key = tuple[
    str,
    Reason,
    str,
    str,
    str,
    str,
    tuple[str, ...],
    bool,
    tuple[str, ...],
    str,
    str,
    str | None,
    str | None,
]


class _End(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last part, which is the same for the decisions of one call."""

    duration_us: int
    request_id: str = ""
    trace_id: str = ""
    context: Mapping[str, Json] = {}
    token: msgspec.Raw | None = None
    userinfo: Mapping[str, Json] = {}


class Mask(msgspec.Struct, frozen=True):
    """Facts whose values stay out of logs and explanations, as a policy spells them.

    `token.NAME` covers a declared claim or one of the token's own names; `userinfo.NAME` a claim
    that the issuer tells of the user; `resource.NAME` and `context.NAME` an attribute,
    `resource.id` the identifier.
    """

    paths: frozenset[str] = frozenset()

    def covers(self, path: str) -> bool:
        """Tell whether the value of the fact `path` stays out."""
        return path in self.paths

    def unknown(self, policies: PolicySet) -> list[str]:
        """Return the paths that name nothing that any API of `policies` can read, sorted."""
        known = {fact.path for fact in TOKEN_FACTS.values()} | {"resource.id"}
        for api in policies.apis.values():
            known.update(claim.fact.path for claim in api.claims.values())
            known.update(claim.fact.path for claim in api.userinfo.values())
            known.update(entry.fact.path for entry in api.context)
            for resource in api.resources.values():
                known.update(attribute.fact.path for attribute in resource.attributes)
        return sorted(self.paths - known)


class Recorder:
    """Turns entries into lines of JSON. Used by one thread; only `use` may be called by others."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        # Entries name the revision that decided; those under way when a new set takes over, and
        # therefore a few old ones, must still be read by their own declarations.
        self._revisions: OrderedDict[str, Mapping[str, _Projection]] = OrderedDict()
        self._tokens: dict[tuple[int, int], tuple[object, object, msgspec.Raw]] = {}

    def use(self, policies: PolicySet) -> None:
        """Learn the declarations of a policy set. To be called before it decides anything."""
        projections = {api.name: _Projection(api, self._mask) for api in policies.apis.values()}
        revisions = self._revisions.copy()
        revisions[policies.revision] = projections
        revisions.move_to_end(policies.revision)
        while len(revisions) > _REVISIONS_KEPT:
            revisions.popitem(last=False)
        self._revisions = revisions

    def lines(self, entries: Sequence[Entry]) -> bytes:
        """Return one line of JSON a decision."""
        outcomes: dict[_Key, _Outcome] = {}
        parts: list[bytes] = []
        last: Entry | None = None
        for entry in entries:
            item, decision = entry.item, entry.decision
            key = _key(item, decision)
            outcome = outcomes.get(key)
            if outcome is None:
                outcome = outcomes[key] = _Outcome(key, self._projection(decision))
            if last is None or not _same_ends(entry, last):
                beginning = _beginning(entry.origin)
                end = self._end(entry, outcome.projection)
                last = entry
            name = _encode(entry.decision_id)
            parts += (beginning, name, outcome.middle, outcome.resource(item), end)
        return b"".join(parts)

    def gap(self, time: float, dropped: int) -> bytes:
        """Return a line which says that `dropped` records are missing here."""
        line = {"type": "gap", "time": datetime.fromtimestamp(time, UTC), "dropped": dropped}
        return _encode(line) + b"\n"

    def _projection(self, decision: Decision) -> _Projection:
        return self._revisions.get(decision.revision, {}).get(decision.api, _NOTHING)

    def _end(self, entry: Entry, projection: _Projection) -> bytes:
        origin, token, told = entry.origin, entry.decision.token, entry.decision.userinfo
        end = _End(
            int(origin.duration * 1e6),
            origin.request_id,
            _trace_id(origin.traceparent) if origin.traceparent else "",
            _select(origin.context, projection.context),
            None if token is None else self._token(token, projection),
            projection.userinfo(told) if told else told,
        )
        return b",%b\n" % _encode(end)[1:]

    def _token(self, token: VerifiedToken, projection: _Projection) -> msgspec.Raw:
        key = (id(token), id(projection))
        known = self._tokens.get(key)
        if known is not None:
            return known[2]
        encoded = msgspec.Raw(_encode(projection.token(token)))
        if len(self._tokens) >= _TOKENS_KEPT:
            self._tokens.clear()
        # Keeping both objects keeps their identities from being given to others.
        self._tokens[key] = (token, projection, encoded)
        return encoded


def _beginning(origin: Origin) -> bytes:
    time = _encode(datetime.fromtimestamp(origin.time, UTC))
    return b'{"type":"decision","time":%b,"decision_id":' % time


def _same_ends(one: Entry, other: Entry) -> bool:
    """Tell whether records begin and end alike."""
    if one.origin is not other.origin:
        return False
    decided, before = one.decision, other.decision
    return (
        decided.token is before.token
        and decided.userinfo is before.userinfo
        and decided.api == before.api
        and decided.revision == before.revision
    )


def _key(item: BatchItem, decision: Decision) -> _Key:
    return (
        "allow" if decision.allowed else "deny",
        decision.reason,
        decision.revision,
        decision.api,
        item.action,
        item.resource_type,
        decision.rules,
        decision.rules_truncated,
        decision.missing_scopes,
        decision.message,
        decision.detail,
        decision.unverified_issuer,
        decision.unverified_key_id,
    )


class _Outcome:
    """What is written of an outcome, and of the resources that it was about.

    It must not outlive the items that it has seen: it knows their attributes by identity.
    """

    __slots__ = ("_attributes", "_names", "middle", "projection")

    def __init__(self, key: _Key, projection: _Projection) -> None:
        middle = _Middle(*key)
        self.middle = b",%b" % _encode(middle)[1:-1]
        self.projection = projection
        self._names = projection.attributes.get(middle.resource_type, ())
        self._attributes: dict[int, bytes] = {}

    def resource(self, item: BatchItem) -> bytes:
        """Write which resource it was: its identifier and attributes."""
        attributes = self._attributes.get(id(item.attributes))
        if attributes is None:
            selected = _select(item.attributes, self._names)
            attributes = b',"attributes":' + _encode(selected) if selected else b""
            self._attributes[id(item.attributes)] = attributes
        if not item.resource_id:
            return attributes
        name = self.projection.resource_id(item.resource_id)
        return b',"resource_id":' + _encode(name) + attributes


class _Projection:
    """What the rules of one API can read, and which of it is masked."""

    def __init__(self, api: Api | None, mask: Mask) -> None:
        self._masked = mask.covers
        self._resource_id_masked = mask.covers("resource.id")
        self._facts = tuple((name, any(map(mask.covers, paths))) for name, paths in _TOKEN)
        self._claims = () if api is None else tuple(api.claims.values())
        self._userinfo = () if api is None else tuple(api.userinfo.values())
        self.context = _names(() if api is None else api.context, mask)
        resources = {} if api is None else api.resources
        self.attributes = {
            name: _names(resource.attributes, mask) for name, resource in resources.items()
        }

    def resource_id(self, value: str) -> str:
        return MASKED if self._resource_id_masked else value

    def token(self, token: VerifiedToken) -> Mapping[str, Json]:
        facts: dict[str, Json] = {
            name: MASKED if masked else value
            for (name, masked), value in zip(self._facts, _values(token), strict=True)
            if value is not None
        }
        claims = self._declared(self._claims, token.claims)
        return {**facts, "algorithm": token.algorithm, "claims": claims}

    def userinfo(self, told: Mapping[str, Json]) -> Mapping[str, Json]:
        return self._declared(self._userinfo, told)

    def _declared(
        self, declared: Iterable[ClaimDeclaration], payload: Mapping[str, Json]
    ) -> dict[str, Json]:
        claims: dict[str, Json] = {}
        for claim in declared:
            value = _claim(payload, claim.path)
            if value is not None:
                claims[claim.fact.name] = MASKED if self._masked(claim.fact.path) else value
        return claims


#: What a record calls the facts that every token has, and what policies call them.
_TOKEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("issuer", ("token.iss",)),
    ("subject", ("token.subject", "token.sub")),
    ("sub", ("token.subject", "token.sub")),
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


def _values(token: VerifiedToken) -> tuple[Json, ...]:
    """Return the values of `_TOKEN`. `sub` is left out where the subject is the same."""
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


def _trace_id(traceparent: str) -> str:
    """Return the trace's identifier (W3C Trace Context, section 3.2.2.3), or nothing."""
    match = _TRACEPARENT.match(traceparent)
    return "" if match is None else match[1]


def _names(attributes: Iterable[Attribute], mask: Mask) -> _Names:
    return tuple((entry.fact.name, mask.covers(entry.fact.path)) for entry in attributes)


def _select(values: Mapping[str, Json], names: _Names) -> Mapping[str, Json]:
    return {name: MASKED if masked else values[name] for name, masked in names if name in values}


def _claim(claims: Mapping[str, Json], path: tuple[str, ...]) -> Json:
    value: Json = claims.get(path[0])
    for step in path[1:]:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _hashed(token_id: str | None) -> str | None:
    return None if token_id is None else sha256(token_id.encode()).hexdigest()


_NOTHING = _Projection(None, Mask())
