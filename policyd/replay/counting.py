"""Counts the lines of a log into a tally."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec

from policyd.audit.faults import Place
from policyd.audit.schema import LineUnusable
from policyd.replay.open_questions import AUDIENCE, REFUSAL
from policyd.replay.outcomes import Outcomes
from policyd.replay.records import Asked, Gap, Partial, Shadow, read_record
from policyd.replay.routes import JTI, stated_token
from policyd.replay.tally import GROUPS, Difference, Doubt, Example, Group, K, Tally
from policyd.replay.verdicts import Judge, Verdict

#: Why a fact is not recorded, in words.
MASKED: Final = "masked"
HASHED: Final = "recorded as a hash alone"
UNDECLARED: Final = "not declared then, or in another place"
ELSEWHERE: Final = "lacking, and perhaps not declared then"
UNEXPLAINED: Final = "the record does not tell"
_RULES_SHOWN: Final = 8
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class Wanted(msgspec.Struct, frozen=True):
    """Which records to decide: from a time on, in seconds since the epoch, and of one API."""

    since: float | None = None
    api: str | None = None

    def leaves_out(self, record: Asked) -> bool:
        """Return whether to leave a record out."""
        if self.api is not None and record.api != self.api:
            return True
        return self.since is not None and record.time.timestamp() < self.since


_ALL: Final = Wanted()


class Counter:
    """Counts the verdicts on the lines of one file, into `tally`."""

    def __init__(self, judge: Judge, wanted: Wanted = _ALL, file: str = "the log") -> None:
        self._judge = judge
        self._wanted = wanted if wanted != Wanted() else None
        self._file = file
        self.tally = Tally()

    def count(self, lines: Iterable[bytes], before: int | None = None) -> None:
        """Count lines; `before` is the number of lines before them, `None` if it is unknown."""
        tally, judge, wanted = self.tally, self._judge, self._wanted
        known, number, same = judge.revisions, before or 0, 0
        step = 0 if before is None else 1
        first, last = _LATEST, _EARLIEST
        for line in lines:
            number += step
            try:
                record = read_record(line)
                if type(record) is Asked:
                    if wanted is not None and wanted.leaves_out(record):
                        tally.left_out += 1
                        continue
                    verdict = judge.verdict(record)
                    time = record.time
                    if time > last:
                        last = time
                    if time < first:
                        first = time
                    if record.revision not in known:
                        tally.elsewhere += 1
                    if verdict.kind == "same":
                        same += 1
                    else:
                        self._note(record, verdict, Place(self._file, number))
                elif isinstance(record, Partial):
                    tally.partial += 1
                elif isinstance(record, Shadow):
                    tally.shadows += 1
                elif isinstance(record, Gap):
                    tally.gaps += 1
                    tally.dropped += record.dropped
            except LineUnusable as problem:
                if line.strip():
                    tally.faults.add(problem.fault, Place(self._file, number), str(problem))
        tally.same += same
        tally.decided += same
        if first <= last:
            tally.note_time(first.timestamp())
            tally.note_time(last.timestamp())

    def _note(self, record: Asked, verdict: Verdict, place: Place) -> None:
        tally = self.tally
        tally.decided += 1
        before, after = verdict.before or Outcomes(frozenset()), verdict.after
        assert after is not None, "what is not the same has another answer"
        group: Group | None
        if verdict.kind == "differs":
            tally.differs += 1
            group = self._group(
                tally.differences, difference_of(record, before, after), place, record
            )
        else:
            tally.doubtful += 1
            doubt = doubt_of(record, before, after, known=self._judge.knows(record.revision))
            group = self._group(tally.doubts, doubt, place, record)
        if group is None:
            tally.beyond += 1
        else:
            group.add(record.time.timestamp(), _subject(record))

    def _group(self, groups: dict[K, Group], key: K, place: Place, record: Asked) -> Group | None:
        known = groups.get(key)
        if known is None and len(groups) < GROUPS:
            time = record.time.timestamp()
            example = Example(place, record.decision_id, time)
            known = groups[key] = Group(example, time, time)
        return known


def difference_of(record: Asked, before: Outcomes, after: Outcomes) -> Difference:
    """Return the group of differences of a record."""
    return Difference(
        record.api,
        record.action,
        record.resource_type,
        before.text,
        record.reason,
        tuple(sorted(before.rules)[:_RULES_SHOWN]),
        after.text,
        tuple(sorted(after.rules)[:_RULES_SHOWN]),
    )


def doubt_of(record: Asked, before: Outcomes, after: Outcomes, *, known: bool) -> Doubt:
    """Return the group of doubts of a record; `known` is whether the policies that decided are
    available."""
    causes = tuple(_causes(record, {*before.facts, *after.facts}, known))
    return Doubt(record.api, record.action, record.resource_type, causes)


def _causes(record: Asked, facts: Iterable[str], known: bool) -> Iterator[tuple[str, str]]:
    for fact in sorted(facts):
        if fact in record.masked:
            yield fact, MASKED
        elif fact == JTI.path:
            yield fact, HASHED
        elif fact in (REFUSAL, AUDIENCE):
            yield fact, UNEXPLAINED
        else:
            yield fact, UNDECLARED if known else ELSEWHERE


def _subject(record: Asked) -> bytes | None:
    """Return a digest of the subject, `None` if the record names none."""
    if not bytes(record.token):
        return None
    stated = stated_token(record)
    if stated.subject is None:
        return None
    name = f"{stated.issuer or ''}\0{stated.subject}"
    return blake2b(name.encode(), digest_size=8).digest()
