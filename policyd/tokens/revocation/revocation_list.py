"""A list of revocations in memory, and its age.

A source's thread writes, every check reads. Input: revocations, and reports that the list is
current. Output: a refusal or nothing.

Invariants: reading takes no lock and does no I/O; a reader sees each entry whole. A list that was
never complete refuses every token, and so does one whose source has not answered for longer than
`max_staleness`, unless configured otherwise. An entry that was added stays until it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from threading import Event
from typing import Final

import msgspec

from policyd.json_types import Json
from policyd.tokens.claims.times import utc
from policyd.tokens.details import escaped
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import RevocationsUnavailable, TokenRevoked
from policyd.tokens.revocation.model import Revocation, RevocationKind, merged

DEFAULT_MAX_STALENESS: Final = 300.0
#: Entries are kept longer than they say: `exp` is granted up to a minute, and clocks differ.
_KEPT_BEYOND: Final = 300
_RETRY_AFTER: Final = 5
_NEVER: Final = float("-inf")
_ALWAYS: Final = float("inf")


#: Seconds since some moment. Setting the clock does not move it, and it counts the time that the
#: machine sleeps.
elapsed: Final[Callable[[], float]] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class ClaimNames(msgspec.Struct, frozen=True):
    """Which claims name a token's session and its organisation. One of them is enough."""

    session: tuple[str, ...] = ("sid",)
    organisation: tuple[str, ...] = ("org_id", "tid")


class RevocationFigures(msgspec.Struct, frozen=True):
    """A list from outside. `age` is in seconds since its source last vouched for it, `None` before
    it has; `problem` is what keeps the source from it, while something does."""

    entries: Mapping[RevocationKind, int]
    loaded: bool
    stale: bool
    age: float | None
    problem: str | None


#: By name. What a token does not tell is `None`, which is never a name.
_Entries = dict[str | None, Revocation]


class _OfIssuer:
    """The entries about one issuer's tokens."""

    __slots__ = ("by_kind", "clients", "organisations", "sessions", "subjects", "tokens")

    def __init__(self) -> None:
        self.tokens: _Entries = {}
        self.subjects: _Entries = {}
        self.clients: _Entries = {}
        self.sessions: _Entries = {}
        self.organisations: _Entries = {}
        self.by_kind = {
            RevocationKind.TOKEN: self.tokens,
            RevocationKind.SUBJECT: self.subjects,
            RevocationKind.CLIENT: self.clients,
            RevocationKind.SESSION: self.sessions,
            RevocationKind.ORGANISATION: self.organisations,
        }

    def add(self, entry: Revocation) -> None:
        entries = self.by_kind[entry.kind]
        known = entries.get(entry.value)
        entries[entry.value] = entry if known is None else merged(known, entry)

    def find(self, token: VerifiedToken, names: ClaimNames) -> Revocation | None:
        """Return an entry that revokes the token. Kinds without entries cost next to nothing."""
        if self.tokens and (found := self.tokens.get(token.token_id)) is not None:
            return found
        if (
            self.subjects
            and (found := self.subjects.get(token.subject)) is not None
            and found.revokes(token.issued_at)
        ):
            return found
        if (
            self.clients
            and (found := self.clients.get(token.client)) is not None
            and found.revokes(token.issued_at)
        ):
            return found
        if self.sessions and (found := _find(self.sessions, token, names.session)) is not None:
            return found
        if self.organisations:
            return _find(self.organisations, token, names.organisation)
        return None


def _find(entries: _Entries, token: VerifiedToken, names: Iterable[str]) -> Revocation | None:
    for name in names:
        value = token.claims.get(name)
        if value is not None:
            for text in (value,) if isinstance(value, str) else _texts(value):
                found = entries.get(text)
                if found is not None and found.revokes(token.issued_at):
                    return found
    return None


class RevocationList:
    """One source's revocations. `check` is for any thread, what changes the list for one alone.

    `max_staleness` is in seconds of `clock`, which need not tell the time of day. Where
    `deny_when_stale` is false, a stale list is used as it is, once it was loaded.
    """

    def __init__(
        self,
        *,
        max_staleness: float = DEFAULT_MAX_STALENESS,
        deny_when_stale: bool = True,
        names: ClaimNames | None = None,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._max_staleness = max_staleness
        self._deny_when_stale = deny_when_stale
        self._names = names or ClaimNames()
        self._clock = clock
        self._issuers: dict[str, _OfIssuer] = {}
        self._ends_first = _ALWAYS
        self._usable_until = _NEVER
        self._confirmed_at: float | None = None
        self._problem: str | None = None
        self._loaded = Event()

    def check(self, token: VerifiedToken, now: float) -> None:  # noqa: ARG002 - see Revocations
        """Check that the token was not revoked.

        Raises `TokenRevoked`, and `RevocationsUnavailable` where the list is not to be relied on.
        """
        if self._clock() >= self._usable_until:
            raise self._unavailable()
        of_issuer = self._issuers.get(token.issuer)
        if of_issuer is not None:
            found = of_issuer.find(token, self._names)
            if found is not None:
                raise TokenRevoked(_detail(found))

    def replace(self, entries: Iterable[Revocation]) -> None:
        """Take `entries` for the whole list."""
        issuers: dict[str, _OfIssuer] = {}
        self._ends_first = _ALWAYS
        self._add(entries, issuers)
        self._issuers = issuers

    def add(self, entries: Iterable[Revocation]) -> None:
        """Add to the list."""
        self._add(entries, self._issuers)

    def _add(self, entries: Iterable[Revocation], issuers: dict[str, _OfIssuer]) -> None:
        for entry in entries:
            of_issuer = issuers.get(entry.issuer)
            if of_issuer is None:
                of_issuer = issuers[entry.issuer] = _OfIssuer()
            of_issuer.add(entry)
            self._ends_first = min(self._ends_first, entry.until)

    def forget(self, now: float) -> None:
        """Let go of what ended; `now` is in seconds since the epoch."""
        if now > self._ends_first + _KEPT_BEYOND:
            self.replace([one for one in self if not has_ended(one, now)])

    def confirm(self) -> None:
        """Note that the list holds all that the source knows, now."""
        self._confirmed_at = self._clock()
        self._usable_until = (
            self._confirmed_at + self._max_staleness if self._deny_when_stale else _ALWAYS
        )
        self._problem = None
        self._loaded.set()

    def fail(self, problem: str) -> None:
        """Note that the source could not be read; the list grows older."""
        self._problem = problem

    def wait(self, seconds: float) -> bool:
        """Wait until the list was complete once; tell whether it was."""
        return self._loaded.wait(seconds)

    def __iter__(self) -> Iterator[Revocation]:
        """Go through the entries. For the thread that changes the list."""
        for of_issuer in self._issuers.values():
            for entries in of_issuer.by_kind.values():
                yield from entries.values()

    @property
    def stale(self) -> bool:
        """Whether the source last vouched for the list longer than `max_staleness` ago."""
        since = self._confirmed_at
        return since is None or self._clock() - since >= self._max_staleness

    def figures(self) -> RevocationFigures:
        """Return how the list stands. For any thread."""
        since = self._confirmed_at
        issuers = tuple(self._issuers.values())
        return RevocationFigures(
            {kind: sum(len(one.by_kind[kind]) for one in issuers) for kind in RevocationKind},
            loaded=since is not None,
            stale=self.stale,
            age=None if since is None else max(0.0, self._clock() - since),
            problem=self._problem,
        )

    def _unavailable(self) -> RevocationsUnavailable:
        figures = self.figures()
        because = "" if figures.problem is None else f": {figures.problem}"
        if figures.age is None:
            said = f"the revocation list has not been loaded yet{because}"
        else:
            said = (
                f"the revocation list is {figures.age:.0f} s old, more than "
                f"{self._max_staleness:.0f} s (`max_staleness`){because}"
            )
        return RevocationsUnavailable(said, retry_after=_RETRY_AFTER)


def has_ended(entry: Revocation, now: float) -> bool:
    """Tell whether every token that the entry names has expired, on everybody's clock."""
    return now > entry.until + _KEPT_BEYOND


def _texts(value: Json) -> Iterable[str]:
    """Return the names that a claim holds: a text or number, a list of them, or an object's keys.

    Keycloak writes the organisations of a user in the last two ways.
    """
    if isinstance(value, str):
        return (value,)
    if isinstance(value, int | float):
        return (str(value),)
    if isinstance(value, list):
        return [text for item in value if not isinstance(item, list) for text in _texts(item)]
    return () if value is None else value


def _detail(found: Revocation) -> str:
    """Say what was revoked, without the name, which logs may have to mask."""
    which = "the token" if found.kind is RevocationKind.TOKEN else f"its {found.kind}"
    since = ""
    if found.issued_before is not None:
        since = f", for tokens issued before {utc(found.issued_before)}"
    why = f": {escaped(found.reason)}" if found.reason else ""
    return f"{which} was revoked{since}{why}"
