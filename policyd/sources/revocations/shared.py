"""Revocations that many daemons share: following a list in Redis, and writing to it.

A reader takes the snapshot, the entries after it, and then each new entry. Entries only ever add to
its list (see `tokens.revocation.model`), so reading one twice does no harm. Each new connection
begins at the end of the snapshot again, since the previous one may have had other data; the
snapshot itself is read again only if it is another one than was read, or than a reader that was
current saw replace it. The list counts as current only after one transaction has shown that it is
still the same list, complete, and without entries that were removed unread.

Fleets connect at the same moment: when Redis comes back, or they are all started. So every pause is
random, pauses grow with failures, and a reader that finds Redis busy spreads the reading of a long
snapshot over the time that it will take anyway. A failed connection does not undo what was read.

A reader keeps its entries when Redis fails or loses data. If the list in Redis is incomplete, the
readers' lists grow old, and a new daemon does not start to serve.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from threading import Event, Thread
from typing import Final

from policyd.sources.revocations.errors import (
    ListExists,
    ListMissing,
    RevocationsUnreadable,
    RevocationsUnwritable,
)
from policyd.sources.revocations.redis import (
    PAGE,
    PIECE,
    START,
    Edition,
    RedisList,
    position,
)
from policyd.sources.revocations.settings import RedisSettings
from policyd.sources.revocations.snapshot import SnapshotReading
from policyd.sources.revocations.status import SourceStatus, TimeOfDay
from policyd.sources.revocations.wire import EntryInvalid, decode, decode_lines, encode
from policyd.tokens.revocation.model import Revocation
from policyd.tokens.revocation.revocation_list import RevocationList, has_ended

_log = logging.getLogger(__name__)
_BLOCK_MS: Final = 500
#: Seconds. The longest pauses after a failure, and before the second piece of a snapshot.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
_LONGEST_SPREAD: Final = 10.0
_STOP_SECONDS: Final = 2.0
#: A stream of this length is moved into the snapshot, but a snapshot stays for this many seconds,
#: so that slow readers come to its end; unless the stream grows to so many times the length.
COMPACT_FROM: Final = 5000
_SNAPSHOT_STAYS: Final = 60.0
_UNLESS: Final = 10


class _Stopping(Exception):
    """The reader was stopped."""


class SharedRevocations:
    """Follows the list in Redis.

    `clock` is in seconds since the epoch; `uniform` gives a random number between two. Snapshots
    are read in pieces of `piece` bytes.
    """

    def __init__(
        self,
        settings: RedisSettings,
        status: SourceStatus,
        clock: Callable[[], float] = time.time,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        piece: int = PIECE,
    ) -> None:
        self._settings = settings
        self._status = status
        self._clock = TimeOfDay(clock)
        self._uniform = uniform
        self._piece = piece
        self._reading = SnapshotReading(piece)
        self._edition: Edition | None = None  # of the snapshot that has been read, or seen to come
        self._snapshot_problem: str | None = None
        self._position = START  # the last entry that has been read
        self._pause = _FIRST_PAUSE
        self._stop = Event()
        self._thread = Thread(target=self._run, name="revocation-redis", daemon=True)

    @property
    def status(self) -> SourceStatus:
        """The state of the source."""
        return self._status

    def start(self) -> None:
        """Connect, and follow the list."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following. A thread that is waiting for the network ends with the process."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(RedisList(self._settings)) as source:
                    self._follow(source)
            except _Stopping:
                return
            except (RevocationsUnreadable, ListMissing, EntryInvalid) as error:
                self._status.failed(str(error))
            except Exception as error:
                # If this thread ended, an old list would stay in force unnoticed.
                _log.exception("following the revocations failed; it goes on")
                self._status.failed(f"{type(error).__name__}: {error}")
            self._stop.wait(self._uniform(0.0, self._pause))
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _follow(self, source: RedisList) -> None:
        self.resume(source)
        while not self._stop.is_set():
            source.wait(self._position, _BLOCK_MS)
            self.catch_up(source)

    def resume(self, source: RedisList) -> None:
        """Resume at the end of a snapshot: the one that was read before, if it is still current."""
        edition, before = self._edition, self._position
        current = source.read(START, 1).edition
        if current != edition:
            current = self._load(source)
        self._position = current.upto
        self.catch_up(source)
        if edition is not None and current.run != edition.run:
            self._status.lost("the list was created again; the known revocations stay in force")
        elif position(self._position) < position(before):
            self._status.lost("the list went back in time; what is known stays in force")

    def _load(self, source: RedisList) -> Edition:
        """Read the snapshot, or what is left of it after a connection failed."""
        while True:
            began = time.monotonic()
            lines = self._reading.next(source)
            took = time.monotonic() - began
            problem = self._take(lines)
            if self._reading.begun or problem is not None:
                self._snapshot_problem = problem
            if self._reading.complete:
                break
            # Redis answers at once if nobody else asks: then this is no pause to speak of.
            spread = min(took * self._reading.left, _LONGEST_SPREAD) if self._reading.begun else 0.0
            if self._stop.wait(self._uniform(0.0, spread)):
                raise _Stopping
        edition, self._reading = self._reading.edition, SnapshotReading(self._piece)
        assert edition is not None
        self._edition = edition
        return edition

    def catch_up(self, source: RedisList) -> None:
        """Read to the end of the stream; then the list is current."""
        found, problem = 0, None
        while True:
            page = source.read(self._position)
            if self._edition is None or page.edition.run != self._edition.run:
                raise RevocationsUnreadable("the list was created again")
            if position(page.edition.upto) > position(self._position):
                # Entries went into the snapshot before they were read here.
                self._position = self._load(source).upto
                continue
            problem = self._take([entry.line for entry in page.entries]) or problem
            found += len(page.entries)
            if page.last is None:
                break
            self._position = page.last
        if found:
            self._status.changed()
        problem = self._snapshot_problem or problem
        if problem is not None:
            raise EntryInvalid(f"an entry in Redis is not understood: {problem}")
        if self._clock.was_set_back():
            self._edition = None
            raise RevocationsUnreadable("the clock was set back, so the list is read again")
        # All that a newer snapshot holds was read from the stream.
        self._edition = page.edition
        self._status.revocations.forget(self._clock())
        self._status.current()
        self._pause = _FIRST_PAUSE

    def _take(self, lines: Iterable[bytes]) -> str | None:
        """Add entries. Returns the problems of those that are invalid."""
        understood: list[Revocation] = []
        problem: str | None = None
        now = self._clock()
        for line in lines:
            try:
                entry = decode(line) if line else None
            except EntryInvalid as error:
                problem = str(error)
            else:
                if entry is not None and not has_ended(entry, now):
                    understood.append(entry)
        self._status.revocations.add(understood)
        return problem


def create(settings: RedisSettings) -> None:
    """Create an empty list, or the missing keys of one.

    Raises:
        ListExists: there is a complete list. RevocationsUnwritable: it was not created, or the
        outcome is unknown.
    """
    try:
        with closing(RedisList(settings)) as target:
            made = target.create(_name())
    except RevocationsUnreadable as error:
        raise RevocationsUnwritable(str(error)) from None
    if not made:
        raise ListExists(f"Redis at {settings} has a list `{settings.key}` already")


def publish(
    settings: RedisSettings,
    revocations: Sequence[Revocation],
    *,
    compact_from: int = COMPACT_FROM,
    clock: Callable[[], float] = time.time,
) -> bool | None:
    """Write revocations, in pages, and compact a stream that has grown long.

    Returns whether Redis logs writes to disk; `None` if it does not say. Writing the same
    revocation twice does no harm.

    Raises:
        ListMissing: Redis holds no complete list; nothing was written. RevocationsUnwritable: they
        were not written, or the outcome is unknown.
    """
    try:
        with closing(RedisList(settings)) as target:
            length, stayed = 0, 0.0
            for first in range(0, len(revocations), PAGE):
                length, stayed = target.add(
                    [encode(one) for one in revocations[first : first + PAGE]]
                )
            durable = target.keeps_on_disk()
    except RevocationsUnreadable as error:
        raise RevocationsUnwritable(str(error)) from None
    if length >= compact_from * (1 if stayed >= _SNAPSHOT_STAYS else _UNLESS):
        tidy(settings, clock)
    return durable


def tidy(settings: RedisSettings, clock: Callable[[], float] = time.time) -> bool:
    """Move the whole list, without expired entries, into a new snapshot, and empty the stream.

    Returns whether it did. If another process did it at the same time, or Redis failed, nothing is
    lost.
    """
    try:
        with closing(RedisList(settings)) as target:
            return _compact(target, clock())
    except (RevocationsUnreadable, ListMissing, EntryInvalid) as error:
        _log.warning("the revocations in Redis were not tidied up", extra={"problem": str(error)})
        return False


def _compact(target: RedisList, now: float) -> bool:
    reading = SnapshotReading()
    known = RevocationList()
    while not reading.complete:
        known.add(decode_lines(reading.next(target)))
    before = reading.edition
    assert before is not None
    last = before.upto
    while True:
        page = target.read(last)
        if page.edition != before:
            return False
        known.add(decode(entry.line) for entry in page.entries)
        if page.last is None:
            break
        last = page.last
    lasting = b"\n".join(encode(one) for one in known if not has_ended(one, now))
    return target.compact(before, Edition(before.run, _name(), last), lasting)


def _name() -> bytes:
    return uuid.uuid4().hex.encode()
