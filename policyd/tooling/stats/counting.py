"""Records of a log into figures, in memory that does not grow with the log."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from policyd.audit.faults import Faults, Place
from policyd.audit.schema import UNREADABLE, LineUnusable, Moment, check_version
from policyd.audit.timeline import Timeline
from policyd.language import policy, walks
from policyd.language.policy import PolicySet
from policyd.language.types import TOKEN_FACTS
from policyd.tooling.stats.frequent import Frequent
from policyd.tooling.stats.latency import Latency

#: Kinds of questions, rules and so on of which a log has no more, unless it is no log of policyd's.
_KINDS: Final = 20_000
#: Clients of which it is known which scopes they need.
_CLIENTS: Final = 5_000

K = TypeVar("K", bound=Hashable)
#: In place of a scope: all of them.
EVERY: Final = "*"
Effect = Literal["allow", "deny"]
#: A question: an API, an action and a resource type.
Asked = tuple[str, str, str]


class Bearer(msgspec.Struct, frozen=True, gc=False):
    """What is counted of a token."""

    issuer: str | None = None
    subject: str | None = None
    client: str | None = None
    scopes: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="decision"):
    """What is counted of a decision; the fields are those of `policyd.audit.schema`."""

    schema: Literal[1]
    time: Moment
    effect: Effect
    reason: str
    api: str
    action: str
    resource_type: str
    rules: tuple[str, ...] = ()
    sample_rate: Annotated[float, Meta(gt=0, lt=1)] | None = None
    missing_scopes: tuple[str, ...] = ()
    duration_us: Annotated[int, Meta(ge=0)] | None = None
    token: Bearer | None = None


class Partial(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="partial"):
    """An answer to a question with unknown facts."""

    schema: Literal[1]


class Shadow(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="shadow"):
    """What other policies would have decided."""

    schema: Literal[1]


class Gap(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="gap"):
    """Where records are missing."""

    schema: Literal[1]
    dropped: int


_Record = Decision | Partial | Shadow | Gap
_decode = msgspec.json.Decoder[_Record](_Record).decode


class Needs(msgspec.Struct):
    """The scopes that a client's tokens had, with how often, and those that a rule went by."""

    granted: dict[str, int] = {}
    needed: set[str] = set()


class Figures(msgspec.Struct):
    """What a log tells.

    `answers` are decisions by API, action, resource type, effect and reason; `decided` how often a
    rule was among those that decided; `clients` what scopes are for. Names of subjects and clients
    are counted by refusals. `sampled` allows stand for `stand_for` many. `beyond` counts what there
    was no room for.
    """

    lines: int = 0
    partial: int = 0
    shadows: int = 0
    gaps: int = 0
    dropped: int = 0
    beyond: int = 0
    sampled: int = 0
    stand_for: float = 0
    first: float | None = None
    last: float | None = None
    faults: Faults = msgspec.field(default_factory=Faults)
    answers: dict[tuple[str, str, str, Effect, str], int] = {}
    decided: dict[tuple[str, str], int] = {}
    missing: dict[tuple[str, str], int] = {}
    allowed: Timeline = msgspec.field(default_factory=Timeline)
    denied: Timeline = msgspec.field(default_factory=Timeline)
    subjects: Frequent[tuple[str, str]] = msgspec.field(default_factory=Frequent)
    applications: Frequent[tuple[str, str]] = msgspec.field(default_factory=Frequent)
    latency: Latency = msgspec.field(default_factory=Latency)
    clients: dict[tuple[str, str, str], Needs] = {}

    @property
    def decisions(self) -> int:
        """How many decisions there are."""
        return sum(self.answers.values())

    def merge(self, other: Figures, shift: int) -> None:
        """Add those of a later part of a file, of which `shift` lines come before it."""
        self.stand_for += other.stand_for
        for name in ("lines", "partial", "shadows", "gaps", "dropped", "beyond", "sampled"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        times = [one for one in (self.first, other.first, self.last, other.last) if one is not None]
        self.first, self.last = min(times, default=None), max(times, default=None)
        self.faults.merge(other.faults, shift)
        self.beyond += _add(self.answers, other.answers)
        self.beyond += _add(self.decided, other.decided)
        self.beyond += _add(self.missing, other.missing)
        self.allowed.merge(other.allowed)
        self.denied.merge(other.denied)
        self.subjects.merge(other.subjects)
        self.applications.merge(other.applications)
        self.latency.merge(other.latency)
        for key, needs in other.clients.items():
            known = self.client(key)
            if known is not None:
                _add(known.granted, needs.granted)
                known.needed |= needs.needed

    def client(self, key: tuple[str, str, str]) -> Needs | None:
        """Return what is known of a client, by API and issuer; `None` where there is no room."""
        known = self.clients.get(key)
        if known is None and len(self.clients) < _CLIENTS:
            known = self.clients[key] = Needs()
        return known


class Counter:
    """Counts the lines of one file. `scopes` are those that the policies ask for."""

    def __init__(self, scopes: Scopes, file: str) -> None:
        self._scopes = scopes
        self._file = file
        self.figures = Figures()

    def count(self, lines: Iterable[bytes], before: int) -> None:
        """Count lines; `before` is how many there are before them."""
        figures = self.figures
        for number, line in enumerate(lines, before + 1):
            try:
                record = _decode(line)
            except UNREADABLE as problem:
                if line.strip():
                    self._unusable(line, number, problem)
                continue
            if isinstance(record, Decision):
                self._decision(record)
            elif isinstance(record, Partial):
                figures.partial += 1
            elif isinstance(record, Shadow):
                figures.shadows += 1
            else:
                figures.gaps += 1
                figures.dropped += record.dropped

    def _unusable(self, line: bytes, number: int, problem: Exception) -> None:
        place = Place(self._file, number)
        try:
            check_version(line)
        except LineUnusable as unusable:
            self.figures.faults.add(unusable.fault, place, str(unusable))
        else:
            said = f"the line is no record of the decision log: {problem}"
            self.figures.faults.add("malformed", place, said)

    def _decision(self, record: Decision) -> None:
        figures, time = self.figures, record.time.timestamp()
        figures.first = time if figures.first is None else min(figures.first, time)
        figures.last = time if figures.last is None else max(figures.last, time)
        key = (record.api, record.action, record.resource_type, record.effect, record.reason)
        figures.beyond += _add(figures.answers, {key: 1})
        for rule in record.rules:
            figures.beyond += _add(figures.decided, {(record.api, rule): 1})
        for scope in record.missing_scopes:
            figures.beyond += _add(figures.missing, {(record.api, scope): 1})
        if record.duration_us is not None:
            figures.latency.add(record.duration_us)
        if record.sample_rate is not None:
            figures.sampled += 1
            figures.stand_for += 1 / record.sample_rate
        allowed = record.effect == "allow"
        (figures.allowed if allowed else figures.denied).add(time)
        token = record.token
        if token is None:
            return
        issuer = token.issuer or ""
        if not allowed:
            if token.subject is not None:
                figures.subjects.add((issuer, token.subject))
            if token.client is not None:
                figures.applications.add((issuer, token.client))
        if token.client is not None and self._scopes.known:
            self._needs(record, (record.api, issuer, token.client), token.scopes)

    def _needs(self, record: Decision, key: tuple[str, str, str], granted: tuple[str, ...]) -> None:
        needs = self.figures.client(key)
        if needs is None:
            return
        for scope in granted:
            if scope in needs.granted or len(needs.granted) < _KINDS:
                needs.granted[scope] = needs.granted.get(scope, 0) + 1
        if record.effect == "allow":
            asked = (record.api, record.action, record.resource_type)
            needs.needed |= self._scopes.used(asked, record.rules, granted)


class Scopes(msgspec.Struct, frozen=True):
    """Which scopes the policies ask for.

    `read` are those that a rule reads, by API and rule; `guarded` those that denies read, by API,
    resource type and action; `granted` what including scopes stand for, by API. `EVERY` stands for
    all of them, where a rule reads the whole set.
    """

    read: Mapping[tuple[str, str], frozenset[str]] = {}
    guarded: Mapping[Asked, frozenset[str]] = {}
    granted: Mapping[str, Mapping[str, frozenset[str]]] = {}

    @property
    def known(self) -> bool:
        """Whether the policies are at hand."""
        return bool(self.granted)

    @classmethod
    def of(cls, policies: PolicySet) -> Scopes:
        """Find them in a policy set."""
        read: dict[tuple[str, str], frozenset[str]] = {}
        guarded: dict[Asked, frozenset[str]] = {}
        for api in policies.apis.values():
            for rule in api.rules:
                own = _scopes_in(rule)
                read[api.name, rule.name] = read.get((api.name, rule.name), frozenset()) | own
                for action in rule.actions if rule.effect == "deny" else ():
                    asked = (api.name, action, rule.resource)
                    guarded[asked] = guarded.get(asked, frozenset()) | own
        granted = {api.name: api.inclusion.granted for api in policies.apis.values()}
        return cls(read, guarded, granted)

    def used(self, asked: Asked, rules: Iterable[str], granted: Iterable[str]) -> set[str]:
        """Return the granted scopes that an allowed question may have needed: those that the rules
        which allowed it read, or its denies, themselves or by what they include."""
        wanted = set(self.guarded.get(asked, ()))
        for rule in rules:
            wanted |= self.read.get((asked[0], rule), frozenset())
        if EVERY in wanted:
            return set(granted)
        includes = self.granted.get(asked[0], {})
        return {one for one in granted if not wanted.isdisjoint(includes.get(one, (one,)))}


def _scopes_in(rule: policy.Rule) -> frozenset[str]:
    found = {one.scope for one in walks.walk(rule.formula) if isinstance(one, policy.Granted)}
    if TOKEN_FACTS["scopes"] in walks.facts(rule.formula):
        found.add(EVERY)
    return frozenset(found)


def _add(counts: dict[K, int], more: Mapping[K, int]) -> int:
    """Add counts, as far as there is room; return how many there was none for."""
    beyond = 0
    for key, number in more.items():
        if key in counts or len(counts) < _KINDS:
            counts[key] = counts.get(key, 0) + number
        else:
            beyond += number
    return beyond
