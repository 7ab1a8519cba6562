"""What a decision record holds.

In comes an `Entry`, the decision with its question; out goes a line of JSON. Of the token and the
request it holds exactly what the rules of the API can read (the names that every token has, and
what the policy declares), so that a log can be replayed against another policy.

Invariants: never the token, nor any part of its bytes; the token's identifier only as a SHA-256; of
a token whose signature did not hold only `iss` and `kid`, under names that say so.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from cachetools import FIFOCache

from policyd.decision.model import Decision, Request
from policyd.language.policy import Api, Attribute, ClaimDeclaration, PolicySet
from policyd.language.types import TOKEN_FACTS
from policyd.reasons import Reason
from policyd.tokens.model import Json, VerifiedToken

MASKED = "(masked)"
_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_REVISIONS_KEPT = 16
_TOKENS_KEPT = 2048


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A decision on its way to the log. `time` is seconds since the epoch, `duration` seconds.

    `traceparent` is the caller's, as received (W3C Trace Context); empty where there is none.
    """

    time: float
    duration: float
    decision_id: str
    request_id: str
    request: Request
    decision: Decision
    traceparent: str = ""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, tag="decision", tag_field="type"):
    """One line of the decision log. What does not apply is left out."""

    time: datetime
    decision_id: str
    effect: str
    reason: Reason
    revision: str
    api: str
    action: str
    resource_type: str
    duration_us: int
    request_id: str = ""
    trace_id: str = ""
    resource_id: str = ""
    attributes: Mapping[str, Json] = {}
    context: Mapping[str, Json] = {}
    rules: tuple[str, ...] = ()
    rules_truncated: bool = False
    missing_scopes: tuple[str, ...] = ()
    message: str = ""
    detail: str = ""
    unverified_iss: str | None = None
    unverified_kid: str | None = None
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
        self._tokens: FIFOCache[tuple[int, int], tuple[object, object, msgspec.Raw]] = FIFOCache(
            _TOKENS_KEPT
        )
        self._encoder = msgspec.json.Encoder()

    def use(self, policies: PolicySet) -> None:
        """Learn the declarations of a policy set. To be called before it decides anything."""
        projections = {api.name: _Projection(api, self._mask) for api in policies.apis.values()}
        revisions = self._revisions.copy()
        revisions[policies.revision] = projections
        revisions.move_to_end(policies.revision)
        while len(revisions) > _REVISIONS_KEPT:
            revisions.popitem(last=False)
        self._revisions = revisions

    def lines(self, entries: Iterable[Entry]) -> bytes:
        """Return one line of JSON an entry."""
        return self._encoder.encode_lines([self._record(entry) for entry in entries])

    def gap(self, time: float, dropped: int) -> bytes:
        """Return a line which says that `dropped` records are missing here."""
        line = {"type": "gap", "time": datetime.fromtimestamp(time, UTC), "dropped": dropped}
        return self._encoder.encode(line) + b"\n"

    def _record(self, entry: Entry) -> Record:
        request, decision = entry.request, entry.decision
        projection = self._revisions.get(decision.revision, {}).get(decision.api, _NOTHING)
        token = decision.token
        # By position: by name, two dozen fields take ten times as long.
        return Record(
            datetime.fromtimestamp(entry.time, UTC),
            entry.decision_id,
            "allow" if decision.allowed else "deny",
            decision.reason,
            decision.revision,
            decision.api,
            request.action,
            request.resource_type,
            int(entry.duration * 1e6),
            entry.request_id,
            _trace_id(entry.traceparent),
            projection.resource_id(request.resource_id),
            projection.attributes(request),
            projection.context(request),
            decision.rules,
            decision.rules_truncated,
            decision.missing_scopes,
            decision.message,
            decision.detail,
            decision.unverified_issuer,
            decision.unverified_key_id,
            None if token is None else self._token(token, projection),
            projection.userinfo(decision.userinfo),
        )

    def _token(self, token: VerifiedToken, projection: _Projection) -> msgspec.Raw:
        key = (id(token), id(projection))
        known = self._tokens.get(key)
        if known is not None:
            return known[2]
        encoded = msgspec.Raw(self._encoder.encode(projection.token(token)))
        # Keeping both objects keeps their identities from being given to others.
        self._tokens[key] = (token, projection, encoded)
        return encoded


class _Projection:
    """What the rules of one API can read, and which of it is masked."""

    def __init__(self, api: Api | None, mask: Mask) -> None:
        self._masked = mask.covers
        self._claims = () if api is None else tuple(api.claims.values())
        self._userinfo = () if api is None else tuple(api.userinfo.values())
        self._context = _names(() if api is None else api.context, mask)
        resources = {} if api is None else api.resources
        self._attributes = {
            name: _names(resource.attributes, mask) for name, resource in resources.items()
        }

    def resource_id(self, value: str) -> str:
        return MASKED if value and self._masked("resource.id") else value

    def attributes(self, request: Request) -> Mapping[str, Json]:
        return _select(request.attributes, self._attributes.get(request.resource_type, ()))

    def context(self, request: Request) -> Mapping[str, Json]:
        return _select(request.context, self._context)

    def token(self, token: VerifiedToken) -> Mapping[str, Json]:
        facts: dict[str, Json] = {
            name: MASKED if any(map(self._masked, paths)) else value
            for (name, paths), value in zip(_TOKEN, _values(token), strict=True)
            if value is not None
        }
        claims = self._declared(self._claims, token.claims)
        return {**facts, "algorithm": token.algorithm, "claims": claims}

    def userinfo(self, told: Mapping[str, Json]) -> Mapping[str, Json]:
        return self._declared(self._userinfo, told) if told else told

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
    if not traceparent:
        return ""
    match = _TRACEPARENT.match(traceparent)
    return "" if match is None else match[1]


def _names(attributes: Iterable[Attribute], mask: Mask) -> tuple[tuple[str, bool], ...]:
    return tuple((entry.fact.name, mask.covers(entry.fact.path)) for entry in attributes)


def _select(values: Mapping[str, Json], names: tuple[tuple[str, bool], ...]) -> Mapping[str, Json]:
    return {name: MASKED if masked else values[name] for name, masked in names if name in values}


def _claim(claims: Mapping[str, Json], path: tuple[str, ...]) -> Json:
    value: Json = claims.get(path[0])
    for step in path[1:]:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _hashed(token_id: str | None) -> str | None:
    return None if token_id is None else sha256(token_id.encode()).hexdigest()


_NOTHING = _Projection(None, Mask())
