"""Keys kept fresh in the background.

One thread per issuer fetches its key set, turns it into a `KeySet` and publishes a `KeySnapshot` by
one assignment. A request reads the snapshot and never waits: what it misses it asks for, and is
told when to come again. Times are the caller's clock, in seconds since the epoch.

- A set is renewed at 60 to 80 % of its time to live, which its server states within bounds. A
  failed attempt is repeated after half to all of 1, 2, 4 … 30 s; meanwhile the keys go on serving
  until `max_stale`. Both times are random, so that a fleet that started together asks one by one.
- A token that names an unknown key asks for one shared renewal, at most one in 30 s, counted from
  the last attempt. Until an attempt that began after the key was first asked for has ended, it may
  be there; then it is remembered as absent for a minute, or until the set changes. One that a
  renewal took away is absent at once. So a flood of
  invented key ids costs at most a fetch in 30 s. Of more key ids than are remembered, the surplus
  is told to come again.
- A signature that does not hold under a known key asks for such a renewal too: the issuer may have
  put another key under the same id. Nobody is kept waiting for that.
- The same content keeps the same `KeySet` object.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Set
from threading import Condition, Thread
from typing import Final

import msgspec

from policyd.tokens.details import escaped_path
from policyd.tokens.https.discovery import DiscoveryFailed
from policyd.tokens.https.fetch import Document, FetchFailed
from policyd.tokens.keys.key_set import KeySet, KeySetUnusable, read_key_set
from policyd.tokens.keys.source import KeySnapshot
from policyd.tokens.settings.issuers import IssuerSettings

SHORTEST_LIFE: Final = 60
LONGEST_LIFE: Final = 3600
DEFAULT_LIFE: Final = 600
RENEW_AT: Final = 0.8
#: The parts of these times at which a renewal, and another attempt, come at the soonest.
_RENEW_FROM: Final = 0.75
_REPEAT_FROM: Final = 0.5
COOL_DOWN: Final = 30
ABSENT_FOR: Final = 60
_MOST_WANTED: Final = 1024


class Renewal(msgspec.Struct, frozen=True):
    """What came of one attempt, for log and metrics. `problem` is `None` when it succeeded.

    `keys` counts those in force, `skipped` says of each other one of the set why. `changed` tells
    whether any of that is new.
    """

    issuer: str
    keys: int
    changed: bool
    skipped: tuple[str, ...]
    problem: str | None


Report = Callable[[Renewal], None]


class RefreshedKeys:
    """A `KeySource` that fetches. `fetch` returns the text of a JWK Set, or raises `FetchFailed`,
    `DiscoveryFailed` or `KeySetUnusable`.

    `report` hears of each attempt, in the background thread. `start` begins the thread; without
    it, `refresh` does one attempt in the caller's. `inherited` are keys of the same issuer, whose
    settings changed while they served: they go on until the first fetch succeeds, and never after.
    `uniform` gives a random number between two.
    """

    def __init__(
        self,
        settings: IssuerSettings,
        fetch: Callable[[], Document],
        clock: Callable[[], float],
        report: Report,
        inherited: KeySnapshot | None = None,
        *,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.snapshot = inherited
        self._has_own = False
        self.problem: str | None = None
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._report = report
        self._uniform = uniform
        self._skipped: tuple[str, ...] = ()
        # Guards what follows; never held across a fetch.
        self._state = Condition()
        self._thread: Thread | None = None
        self._stopping = False
        self._running = False
        self._asked = False
        self._attempted_at = -math.inf
        self._failures = 0
        self._due_at = -math.inf
        # Asked for since the last attempt began; whether a key is doubted since.
        self._wanted: set[str] = set()
        self._doubted = False
        self._absent_until: dict[str, float] = {}

    @property
    def due_at(self) -> float:
        """When the next attempt is due; a missing or doubtful key brings it forward."""
        if self._asked:
            return -math.inf
        if self._wanted or self._doubted:
            return min(self._due_at, self._attempted_at + COOL_DOWN)
        return self._due_at

    def look_for(self, key_id: str, now: float) -> int | None:
        with self._state:
            # A clock that was set back must not make a minute of a day.
            if 0 < self._absent_until.get(key_id, now) - now <= ABSENT_FOR:
                return None
            news = not self._wanted and not self._doubted
            if len(self._wanted) < _MOST_WANTED:
                self._wanted.add(key_id)
            return self._soon(now, news=news)

    def doubt(self, now: float) -> None:
        # Anyone can send forged signatures. A second one changes nothing, unless the thread sleeps
        # past the time, as where the clock was set forward.
        if self._doubted and not self._cooled_down(now):
            return
        with self._state:
            news = not self._wanted and not self._doubted
            self._doubted = True
            self._soon(now, news=news)

    def fetch_anew(self) -> None:
        with self._state:
            self._ask()

    def renew(self, now: float) -> int:
        with self._state:
            if self._running or self._asked:
                return 1
            if self._failures or not self._cooled_down(now):
                return self._seconds_until_due(now)
            self._ask()
            return 1

    def start(self) -> None:
        with self._state:
            if self._thread is not None:
                return
            self._stopping = False
            self._thread = Thread(
                target=self._run, name=f"keys of {self._settings.issuer}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        with self._state:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._state.notify_all()
        if thread is not None:
            # A fetch under way ends by its own deadline; nobody needs its result any more.
            thread.join(timeout=1)

    def wait(self, seconds: float) -> bool:
        with self._state:
            return self._state.wait_for(lambda: self._has_own, timeout=seconds)

    def refresh(self) -> None:
        """Fetch once and publish what comes. Failing is reported, and leaves the keys as they are.

        One caller at a time.
        """
        with self._state:
            self._running = True
            self._asked = self._doubted = False
            wanted, self._wanted = self._wanted, set()
            started = self._attempted_at = self._clock()
        try:
            fetched = self._fetch()
            key_set = self._read(fetched.body)
        except (FetchFailed, DiscoveryFailed, KeySetUnusable) as problem:
            self._failed(str(problem), wanted)
        except Exception as problem:
            # Reported like any failure: a thread that died would leave the keys to rot.
            self._failed(f"unexpected {type(problem).__name__}: {problem}", wanted)
        else:
            self._succeeded(key_set, started, fetched.max_age, wanted)

    def _succeeded(
        self, key_set: KeySet, started: float, max_age: int | None, wanted: set[str]
    ) -> None:
        old, skipped = self.snapshot, key_set.skipped
        changed = old is None or old.key_set.digest != key_set.digest
        if old is not None and not changed:
            key_set = old.key_set
        life = DEFAULT_LIFE if max_age is None else max_age
        life = min(max(life, SHORTEST_LIFE), LONGEST_LIFE)
        with self._state:
            self.snapshot = KeySnapshot(key_set, started + life + self._settings.max_stale)
            self._has_own = True
            self.problem = None
            self._running = False
            self._failures = 0
            self._due_at = started + RENEW_AT * life * self._uniform(_RENEW_FROM, 1.0)
            if changed:
                self._absent_until.clear()
            withdrawn = frozenset[str]() if old is None else old.key_set.key_ids
            self._remember_absent((wanted | withdrawn) - key_set.key_ids, started)
            self._wanted -= key_set.key_ids
            self._state.notify_all()
        news = changed or skipped != self._skipped
        self._skipped = skipped
        self._tell(key_set, changed=news, problem=None)

    def _read(self, text: bytes) -> KeySet:
        """Read a key set. If it is unusable, the error names its file or URL, as fetching does."""
        settings = self._settings
        try:
            return read_key_set(text, settings.algorithms, settings.issuer)
        except KeySetUnusable as problem:
            place = settings.jwks_file or settings.jwks_uri or settings.issuer
            raise KeySetUnusable(f"{escaped_path(place)}: {problem}") from None

    def _failed(self, problem: str, wanted: set[str]) -> None:
        with self._state:
            self.problem = problem
            self._running = False
            pause = min(COOL_DOWN, 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            self._due_at = self._clock() + pause * self._uniform(_REPEAT_FROM, 1.0)
            room = max(_MOST_WANTED - len(self._wanted), 0)
            self._wanted.update(sorted(wanted)[:room])
        snapshot = self.snapshot
        key_set = None if snapshot is None else snapshot.key_set
        self._tell(key_set, changed=False, problem=problem)

    def _tell(self, key_set: KeySet | None, *, changed: bool, problem: str | None) -> None:
        self._report(
            Renewal(
                issuer=self._settings.issuer,
                keys=0 if key_set is None else sum(map(len, key_set.by_algorithm.values())),
                changed=changed,
                skipped=self._skipped,
                problem=problem,
            )
        )

    def _run(self) -> None:
        while True:
            with self._state:
                while not self._stopping:
                    pause = self.due_at - self._clock()
                    # A clock that was set back must not put the renewal off.
                    if not 0 < pause <= LONGEST_LIFE:
                        break
                    self._state.wait(pause)
                if self._stopping:
                    return
            self.refresh()

    def _soon(self, now: float, *, news: bool) -> int:
        """Have keys fetched as soon as that may be; return the seconds until it may have been.

        With `news`, nobody had asked for it before.
        """
        if self._running or self._asked:
            return 1
        if self._failures:
            return self._seconds_until_due(now)
        if self._cooled_down(now):
            self._ask()
            return 1
        if news:
            self._state.notify_all()  # the thread may be waiting for later
        return self._seconds_until_due(now)

    def _ask(self) -> None:
        self._asked = True
        self._state.notify_all()

    def _remember_absent(self, absent: Set[str], now: float) -> None:
        until = dict.fromkeys(sorted(absent), now + ABSENT_FOR)
        kept = {name: end for name, end in self._absent_until.items() if end > now} | until
        # Keep the latest. A key id that is dropped here is looked for again.
        self._absent_until = dict(list(kept.items())[-_MOST_WANTED:])

    def _cooled_down(self, now: float) -> bool:
        return not 0 <= now - self._attempted_at < COOL_DOWN

    def _seconds_until_due(self, now: float) -> int:
        return min(max(1, math.ceil(self.due_at - now)), COOL_DOWN)
