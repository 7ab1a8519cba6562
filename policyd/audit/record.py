"""The contents of a decision record.

Input is an `Entry`, a decision with its question; output is a line of JSON. From the token and the
request it contains exactly the values that the rules of the API can read (the facts of every token,
and what the policy declares), so that a log can be replayed against another policy.

A record is joined from parts, so that parts that several records share, such as those of one call
or of one outcome, are encoded once.

Invariants: a record never contains the token or any part of its bytes, which are not available
here. It contains the token's identifier only as a SHA-256. From a token whose signature is invalid
it contains only `iss` and `kid`, marked as unverified.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from cachetools import FIFOCache

from policyd.audit.projection import NOTHING, Mask, Projection, Selection, Shown
from policyd.audit.sampling import ALL, Sampling
from policyd.audit.schema import SCHEMA, gap_line, moment
from policyd.decision.model import BatchItem, Decision
from policyd.diagnostics.json_text import visible_json
from policyd.json_types import Json
from policyd.language.policy import PolicySet
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken

_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_REVISIONS_KEPT = 16
_TOKENS_KEPT = 2048
#: How much more memory a Struct takes as objects than as bytes.
_STRUCT = 8
#: The approximate bytes of lines encoded at once; one line at least.
_PORTION = 1024 * 1024

_encode = msgspec.json.Encoder().encode


class CallDetails(msgspec.Struct, frozen=True, gc=False):
    """The values that all decisions of one call share.

    `duration` is the seconds that each decision took. `caller` is who asked, as the listener knows
    it. `traceparent` is the caller's, as received (W3C Trace Context); empty if there is none.
    `weight` is the estimated memory, in bytes, that an entry of the call keeps alive beside itself;
    0 if that is little.
    """

    duration: float
    caller: str = ""
    traceparent: str = ""
    request_id: str = ""
    context: Mapping[str, Json] = {}
    weight: int = 0


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A decision on its way to the log. Entries of one call are adjacent and share one details."""

    details: CallDetails
    decision_id: str
    item: BatchItem
    decision: Decision


class _Middle(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The part that is the same for one outcome. Fields that do not apply are left out.

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
    unknown_facts: tuple[str, ...] = ()
    sample_rate: float | None = None
    assumed_unknown: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    search_stopped: bool = False
    commit: str = ""


class _Marks(msgspec.Struct, frozen=True, omit_defaults=True):
    """Facts that were not recorded; a reader must not take them for missing."""

    masked: tuple[str, ...] = ()
    ill_typed: tuple[str, ...] = ()
    hashed: Mapping[str, str] = {}


class _End(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last part, which is the same for the decisions of one call."""

    duration_us: int
    caller: str = ""
    request_id: str = ""
    trace_id: str = ""
    context: Mapping[str, Json] = {}
    token: msgspec.Raw | None = None
    userinfo: Mapping[str, Json] = {}


class _Token(msgspec.Struct, frozen=True):
    """What is written of a token, and what is not; see `Shown`."""

    encoded: msgspec.Raw
    masked: tuple[str, ...]
    ill_typed: tuple[str, ...]
    hashed: Mapping[str, str]


_ISSUER = ("token.iss",)


class Recorder:
    """Turns entries into lines of JSON. Used by one thread; only `use` may be called by other
    threads."""

    def __init__(self, mask: Mask, sampling: Sampling = ALL) -> None:
        self._mask = mask
        self._sampling = sampling
        self._nothing = Projection(mask)
        # Entries name the revision that decided. Entries that are in the queue when a new set takes
        # over still need the declarations of their own set, so a few old ones are kept.
        self._revisions: OrderedDict[str, Mapping[str, Projection]] = OrderedDict()
        self._tokens: FIFOCache[tuple[int, int], tuple[object, object, _Token]] = FIFOCache(
            _TOKENS_KEPT
        )

    def use(self, policies: PolicySet) -> None:
        """Learn the declarations of a policy set. Call this before the set decides anything."""
        projections = {api.name: Projection(self._mask, api) for api in policies.apis.values()}
        revisions = self._revisions.copy()
        revisions[policies.revision] = projections
        revisions.move_to_end(policies.revision)
        while len(revisions) > _REVISIONS_KEPT:
            revisions.popitem(last=False)
        self._revisions = revisions

    def lightened(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries of one call without values that no rule can read, and with their
        weight.

        May be called by any thread.
        """
        decision, details = entries[0].decision, entries[0].details
        projection = self._projection(decision)
        context = projection.context.among(details.context)
        items = [_declared(entry.item, projection) for entry in entries]
        kept = (context, [item.attributes for item in items])
        texts = sum(len(item.action) + len(item.resource_id) for item in items)
        size = len(_encode(kept)) + len(details.request_id) + texts
        claims = b"" if decision.token is None else _encode(decision.token.claims)
        light = msgspec.structs.replace(
            details, context=context, weight=(_STRUCT * size + len(claims)) // len(entries)
        )
        return [
            Entry(light, entry.decision_id, item, entry.decision)
            for entry, item in zip(entries, items, strict=True)
        ]

    def kept(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries to record: all of them, or fewer if allows are sampled."""
        sampling = self._sampling
        if sampling.keeps_all:
            return entries
        return [
            one
            for one in entries
            if not one.decision.allowed
            or one.decision.partial is not None
            or sampling.keeps(one.decision.api, one.decision_id)
        ]

    def _rate(self, decision: Decision) -> float | None:
        """Return the share of such decisions that is recorded; `None` means all."""
        if not decision.allowed or decision.partial is not None:
            return None
        rate = self._sampling.rate_of(decision.api)
        return rate if rate < 1 else None

    def lines(self, entries: Sequence[Entry]) -> bytes:
        """Return one line of JSON a decision."""
        return b"".join(lines for lines, _ in self.portions(entries))

    def portions(self, entries: Sequence[Entry]) -> Iterator[tuple[bytes, int]]:
        """Yield these lines, about a megabyte at a time, with their number.

        The records of one call repeat its context, so a few entries can be many lines' worth.
        """
        outcomes: dict[_Middle, _Outcome] = {}
        parts: list[bytes] = []
        last: Entry | None = None
        before: Entry | None = None
        number = size = 0
        for entry in entries:
            item, decision = entry.item, entry.decision
            if before is None or not _same_outcome(entry, before):
                middle = self._middle(item, decision)
                found = outcomes.get(middle)
                if found is None:
                    found = outcomes[middle] = _Outcome(middle, self._projection(decision))
                outcome, before = found, entry
            if last is None or not _same_ends(entry, last):
                beginning = _beginning(decision)
                end, marks = self._end(entry, outcome.projection)
                last = entry
            name, resource = _encode(entry.decision_id), outcome.resource(item, marks)
            parts += (beginning, name, outcome.middle, resource, end)
            number += 1
            size += len(resource) + len(end)
            if size > _PORTION:
                yield visible_json(b"".join(parts)), number
                parts, number, size = [], 0, 0
        if parts:
            yield visible_json(b"".join(parts)), number

    def gap(self, time: float, dropped: int) -> bytes:
        """Return a line which says that `dropped` records are missing here."""
        return gap_line(time, dropped) + b"\n"

    def _middle(self, item: BatchItem, decision: Decision) -> _Middle:
        detail, issuer = decision.detail, decision.unverified_issuer
        if detail:
            projection = self._projection(decision)
            detail = projection.detail(decision)
            issuer = None if projection.hides_issuer() else issuer
        partial = decision.partial
        assumed: tuple[tuple[str, ...], tuple[str, ...], bool] = ((), (), False)
        if partial is not None:
            assumed = (partial.assumed, partial.depends_on, partial.stopped)
        # By position: so many fields by name take ten times as long.
        return _Middle(
            ("allow" if decision.allowed else "deny") if partial is None else partial.outcome,
            decision.reason,
            decision.revision,
            decision.api,
            item.action,
            item.resource_type,
            decision.rules,
            decision.rules_truncated,
            decision.missing_scopes,
            decision.message,
            detail,
            issuer,
            decision.unverified_key_id,
            decision.unknown_facts,
            self._rate(decision),
            *assumed,
            decision.commit,
        )

    def _projection(self, decision: Decision) -> Projection:
        return self._revisions.get(decision.revision, {}).get(decision.api, self._nothing)

    def _end(self, entry: Entry, projection: Projection) -> tuple[bytes, _Marks]:
        details, decision = entry.details, entry.decision
        token = None if decision.token is None else self._token(decision.token, projection)
        context = projection.context.of(details.context)
        userinfo = NOTHING
        if decision.userinfo:
            issuer = decision.token.issuer if decision.token else ""
            userinfo = projection.userinfo(decision.userinfo, issuer)
        end = _End(
            int(details.duration * 1e6),
            details.caller,
            details.request_id,
            _trace_id(details.traceparent) if details.traceparent else "",
            context.values,
            None if token is None else token.encoded,
            userinfo.values,
        )
        of_token = token.masked if token else _ISSUER if projection.hides_issuer() else ()
        marks = _Marks(
            of_token + context.masked + userinfo.masked,
            (token.ill_typed if token else ()) + userinfo.ill_typed,
            {**(token.hashed if token else {}), **context.hashed, **userinfo.hashed},
        )
        return b",%b\n" % _encode(end)[1:], marks

    def _token(self, token: VerifiedToken, projection: Projection) -> _Token:
        key = (id(token), id(projection))
        known = self._tokens.get(key)
        if known is not None:
            return known[2]
        shown = projection.token(token)
        made = _Token(
            msgspec.Raw(_encode(shown.values)), shown.masked, shown.ill_typed, shown.hashed
        )
        # Keeping both objects alive prevents the reuse of their identities.
        self._tokens[key] = (token, projection, made)
        return made


def _declared(item: BatchItem, projection: Projection) -> BatchItem:
    selection = projection.attributes(item.resource_type, item.action)
    attributes = {} if selection is None else selection.among(item.attributes)
    return msgspec.structs.replace(item, attributes=attributes)


def _beginning(decision: Decision) -> bytes:
    kind = b"decision" if decision.partial is None else b"partial"
    time = _encode(moment(decision.time))
    return b'{"type":"%b","schema":%d,"time":%b,"decision_id":' % (kind, SCHEMA, time)


def _same_outcome(one: Entry, other: Entry) -> bool:
    """Tell whether records surely have one outcome, as those of one batch often have."""
    if one.decision is not other.decision:
        return False
    item, before = one.item, other.item
    return item.action == before.action and item.resource_type == before.resource_type


def _same_ends(one: Entry, other: Entry) -> bool:
    """Return whether these records share their last part."""
    if one.details is not other.details:
        return False
    if one.decision is other.decision:
        return True
    decided, before = one.decision, other.decision
    return (
        decided.time == before.time
        and decided.token is before.token
        and decided.userinfo is before.userinfo
        and decided.api == before.api
        and decided.revision == before.revision
    )


class _Outcome:
    """Writes an outcome, and the resources that it was about.

    It must not outlive the items that it has seen, because it recognises their attributes by
    identity.
    """

    __slots__ = ("_attributes", "_declared", "middle", "projection")

    def __init__(self, middle: _Middle, projection: Projection) -> None:
        self.middle = b",%b" % _encode(middle)[1:-1]
        self.projection = projection
        self._declared = projection.attributes(middle.resource_type, middle.action)
        self._attributes: dict[int, tuple[bytes, Shown]] = {}

    def resource(self, item: BatchItem, marks: _Marks) -> bytes:
        """Write a resource; its masked facts are added to `marks`."""
        known = self._attributes.get(id(item.attributes))
        if known is None:
            known = self._attributes[id(item.attributes)] = _written(item, self._declared)
        attributes, shown = known
        identifier = self.projection.resource_id(item.resource_id)
        masked = shown.masked + identifier.masked
        name = b""
        if item.resource_id and not identifier.masked:
            name = b',"resource_id":' + _encode(item.resource_id)
        if masked or marks.masked or marks.ill_typed:
            hashed = {**marks.hashed, **shown.hashed, **identifier.hashed}
            every = _Marks(
                tuple(sorted({*marks.masked, *masked})),
                marks.ill_typed,
                dict(sorted(hashed.items())),
            )
            return b"%b%b,%b" % (name, attributes, _encode(every)[1:-1])
        return name + attributes


def _written(item: BatchItem, declared: Selection | None) -> tuple[bytes, Shown]:
    """Write the attributes of a resource, and return their masked facts."""
    if declared is None:
        return b"", NOTHING
    shown = declared.of(item.attributes)
    return b',"attributes":' + _encode(shown.values) if shown.values else b"", shown


def _trace_id(traceparent: str) -> str:
    """Return the trace's identifier (W3C Trace Context, section 3.2.2.3), or nothing."""
    match = _TRACEPARENT.match(traceparent)
    return "" if match is None else match[1]
