"""Keys kept fresh in the background.

One thread per issuer fetches its key set, turns it into a `KeySet` and publishes a `Snapshot` by
one assignment. A request reads the snapshot and never waits: what it misses it asks for, and is
told when to come again. Times are the caller's clock, in seconds since the epoch.

- A set is renewed at 80 % of its time to live, which its server states within bounds. A failed
  attempt is repeated after 1, 2, 4 … 30 s; meanwhile the keys go on serving until `max_stale`.
- A token that names an unknown key asks for one shared renewal, at most one in 30 s, counted from
  the last attempt. A key that the renewal did not bring is remembered as absent for a minute, or
  until the set changes. So a flood of invented key ids costs at most a fetch in 30 s.
- The same content keeps the same `KeySet` object.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Condition, Thread
from typing import Final

import msgspec

from policyd.tokens.fetch import Fetched
from policyd.tokens.issuers import IssuerSettings
from policyd.tokens.keys.key_set import KeySet, KeySetUnusable, read_key_set
from policyd.tokens.keys.source import Snapshot

SHORTEST_LIFE: Final = 60
LONGEST_LIFE: Final = 3600
DEFAULT_LIFE: Final = 600
RENEW_AT: Final = 0.8
COOL_DOWN: Final = 30
ABSENT_FOR: Final = 60
_MOST_WANTED: Final = 256


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
    """A `KeySource` that fetches. `fetch` returns the text of a JWK Set or raises `KeySetUnusable`.

    `report` hears of each attempt, in the background thread. `start` begins the thread; without
    it, `refresh` does one attempt in the caller's.
    """

    def __init__(
        self,
        settings: IssuerSettings,
        fetch: Callable[[], Fetched],
        clock: Callable[[], float],
        report: Report,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self._settings = settings
        self._fetch = fetch
        self._clock = clock
        self._report = report
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
        self._wanted: set[str] = set()
        self._absent_until: dict[str, float] = {}

    def look_for(self, key_id: str, now: float) -> int | None:
        with self._state:
            if self._running or self._asked:
                self._want(key_id)
                return 1
            if self._absent_until.get(key_id, now) > now:
                return None
            if self._failures:
                return self._seconds_until_due(now)
            if not self._cooled_down(now):
                return None
            self._want(key_id)
            self._ask()
            return 1

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
            return self._state.wait_for(lambda: self.snapshot is not None, timeout=seconds)

    def refresh(self) -> None:
        """Fetch once and publish what comes. Failing is reported, and leaves the keys as they are.

        One caller at a time.
        """
        with self._state:
            self._running = True
            self._asked = False
            started = self._attempted_at = self._clock()
        try:
            fetched = self._fetch()
            settings = self._settings
            key_set = read_key_set(fetched.body, settings.algorithms, settings.issuer)
        except KeySetUnusable as problem:
            self._failed(str(problem))
        except Exception as problem:
            # Reported like any failure: a thread that died would leave the keys to rot.
            self._failed(f"unexpected {type(problem).__name__}: {problem}")
        else:
            self._succeeded(key_set, started, fetched.max_age)

    def _succeeded(self, key_set: KeySet, started: float, max_age: int | None) -> None:
        old, skipped = self.snapshot, key_set.skipped
        changed = old is None or old.key_set.digest != key_set.digest
        if old is not None and not changed:
            key_set = old.key_set
        life = DEFAULT_LIFE if max_age is None else max_age
        life = min(max(life, SHORTEST_LIFE), LONGEST_LIFE)
        with self._state:
            self.snapshot = Snapshot(key_set, started + life + self._settings.max_stale)
            self._running = False
            self._failures = 0
            self._due_at = started + RENEW_AT * life
            if changed:
                self._absent_until.clear()
            self._remember_absent(key_set, started)
            self._state.notify_all()
        news = changed or skipped != self._skipped
        self._skipped = skipped
        self._tell(key_set, changed=news, problem=None)

    def _failed(self, problem: str) -> None:
        with self._state:
            self._running = False
            pause = min(COOL_DOWN, 2**self._failures)
            self._failures = min(self._failures + 1, 10)
            self._due_at = self._clock() + pause
            self._wanted.clear()
            self._state.notify_all()
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
                while not self._stopping and not self._asked:
                    pause = self._due_at - self._clock()
                    # A clock that was set back must not put the renewal off.
                    if not 0 < pause <= LONGEST_LIFE:
                        break
                    self._state.wait(pause)
                if self._stopping:
                    return
            self.refresh()

    def _want(self, key_id: str) -> None:
        if len(self._wanted) < _MOST_WANTED:
            self._wanted.add(key_id)

    def _ask(self) -> None:
        self._asked = True
        self._state.notify_all()

    def _remember_absent(self, key_set: KeySet, now: float) -> None:
        self._absent_until = {
            key_id: until for key_id, until in self._absent_until.items() if until > now
        }
        room = _MOST_WANTED - len(self._absent_until)
        absent = sorted(self._wanted - key_set.key_ids)[: max(room, 0)]
        self._absent_until.update(dict.fromkeys(absent, now + ABSENT_FOR))
        self._wanted.clear()

    def _cooled_down(self, now: float) -> bool:
        return not 0 <= now - self._attempted_at < COOL_DOWN

    def _seconds_until_due(self, now: float) -> int:
        return min(max(1, math.ceil(self._due_at - now)), COOL_DOWN)
