"""The counters of the daemon: decisions, token validations, renewals of keys, and connections.

Input: the entries of the decision log, in chunks, from the thread that writes them; reports of
renewals from the threads that fetch keys; and what the thread that bounds connections does. A
request does nothing for metrics. Output: figures that can be read at any time. States, unlike
counts, are read at their source when metrics are requested (`policyd.server.http.metrics_text`).

Invariants: labels are declared names, configured issuers, ports and reasons, so no caller can make
more of them; a count never falls.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

import msgspec

from policyd.audit import CallDetails, Entry
from policyd.decision.model import Outcome
from policyd.reasons import Reason
from policyd.tokens.keys.refresher import Renewal, Report

#: Upper bounds of the histogram of durations, in seconds.
BUCKETS: Final = (
    *(10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6),
    *(1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3),
    *(0.1, 0.25, 0.5, 1.0),
)
#: The result of validating a token that no check refused.
ACCEPTED: Final = "ACCEPTED"
#: What rules decided; any other reason is one for which the token was refused.
_BY_RULES: Final = frozenset(
    {
        Reason.ALLOWED,
        Reason.NO_RULE_ALLOWS,
        Reason.DENIED_BY_RULE,
        Reason.INSUFFICIENT_SCOPE,
        Reason.INSUFFICIENT_USER_AUTHENTICATION,
        Reason.INSUFFICIENT_AUTHORIZATION_DETAILS,
        Reason.UNDECIDED,
    }
)


class DecisionFigures(msgspec.Struct, frozen=True):
    """Counts since the start: `decisions` by API and reason, `partials` by API and outcome,
    `validations` by result.

    `durations` counts those that took at most as long as each of `BUCKETS` and longer than the one
    before, the last those that took longer; `seconds` is their sum.
    """

    decisions: dict[tuple[str, Reason], int]
    partials: dict[tuple[str, Outcome], int]
    validations: dict[str, int]
    durations: tuple[int, ...]
    seconds: float


class DecisionCounter:
    """Counts decisions. One thread may count while others read."""

    def __init__(self) -> None:
        self._lock = Lock()  # taken once a chunk
        self._decisions: Counter[tuple[str, Reason]] = Counter()
        self._partials: Counter[tuple[str, Outcome]] = Counter()
        self._validations: Counter[str] = Counter()
        self._durations = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._last: CallDetails | None = None

    def observe(self, entries: Sequence[Entry]) -> None:
        """Count a chunk of the decision log."""
        with self._lock:
            decided = [one.decision for one in entries]
            self._decisions.update([(one.api, one.reason) for one in decided if not one.partial])
            self._partials.update(
                [(one.api, one.partial.outcome) for one in decided if one.partial]
            )
            last, durations, seconds = self._last, self._durations, self._seconds
            duration, bucket = (0.0, 0) if last is None else _duration(last)
            for entry in entries:
                # The items of a batch have one duration, and one token: it was validated once.
                if entry.details is not last:
                    last, reason = entry.details, entry.decision.reason
                    duration, bucket = _duration(last)
                    self._validations[ACCEPTED if reason in _BY_RULES else reason] += 1
                durations[bucket] += 1
                seconds += duration
            self._last, self._seconds = last, seconds

    @property
    def figures(self) -> DecisionFigures:
        """What was counted so far."""
        with self._lock:
            return DecisionFigures(
                decisions=dict(self._decisions),
                partials=dict(self._partials),
                validations=dict(self._validations),
                durations=tuple(self._durations),
                seconds=self._seconds,
            )


def _duration(details: CallDetails) -> tuple[float, int]:
    """Return how long each decision of a call took, and which of the buckets that is in."""
    return details.duration, bisect_left(BUCKETS, details.duration)


class KeyFigures(msgspec.Struct, frozen=True):
    """Attempts to fetch an issuer's keys. `renewed_at` is seconds since the epoch, 0 for never."""

    renewed: int = 0
    failed: int = 0
    renewed_at: float = 0.0
    keys: int = 0


class KeyCounter:
    """Counts renewals of keys, and hands each on. `report` may be called from several threads.

    `clock` gives seconds since the epoch.
    """

    def __init__(self, further: Report, clock: Callable[[], float]) -> None:
        self._further = further
        self._clock = clock
        self._lock = Lock()
        self._figures: dict[str, KeyFigures] = {}

    def report(self, renewal: Renewal) -> None:
        """Count an attempt."""
        with self._lock:
            old = self._figures.get(renewal.issuer, KeyFigures())
            if renewal.problem is None:
                new = KeyFigures(old.renewed + 1, old.failed, self._clock(), renewal.keys)
            else:
                new = KeyFigures(old.renewed, old.failed + 1, old.renewed_at, renewal.keys)
            self._figures[renewal.issuer] = new
        self._further(renewal)

    def of(self, issuer: str) -> KeyFigures:
        """Return what was counted for an issuer."""
        return self._figures.get(issuer, KeyFigures())


class PortFigures(msgspec.Struct, frozen=True):
    """What was done at a port against too many connections.

    `closed` connections were closed, and for `held_back` seconds in all the kernel dropped a part
    of the requests for new ones. `holding` is whether it does now.
    """

    closed: int = 0
    held_back: float = 0.0
    holding: bool = False


class ConnectionCounter:
    """Counts what is done against too many connections. One thread may count while others read."""

    def __init__(self) -> None:
        self._figures: dict[int, PortFigures] = {}

    def count(self, port: int, closed: int, held_back: float, *, holding: bool) -> None:
        """Count what was done at a port since the last time, and keep whether it is `holding`."""
        old = self._figures.get(port, PortFigures())
        new = PortFigures(old.closed + closed, old.held_back + held_back, holding)
        self._figures = {**self._figures, port: new}

    @property
    def figures(self) -> dict[int, PortFigures]:
        """What was counted so far, by port."""
        return self._figures
