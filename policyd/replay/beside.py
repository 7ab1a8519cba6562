"""The shadow: decides current checks again by the policies that may serve next.

The input is entries on their way to the decision log. Each becomes its record, and the record is
judged as `policyd replay` does. The policies that decided are known, so only facts that they did
not declare are open. The output is counts, groups of different decisions, and a log line for each
of these.

Masks do not apply here: they keep values out of the log, and these values do not leave the process.

Invariant: memory does not grow with the number of decisions. Decisions without room in a group are
only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, TypeVar

import msgspec

from policyd.audit import Entry, Mask, Recorder
from policyd.audit.schema import SCHEMA, ShadowRecord
from policyd.diagnostics.json_text import visible_json
from policyd.language.policy import PolicySet
from policyd.replay.counting import difference_of, doubt_of
from policyd.replay.outcomes import SAID, Outcomes
from policyd.replay.records import Asked, read_record
from policyd.replay.tally import Difference, Doubt
from policyd.replay.verdicts import Judge, Verdict

#: The most groups of differences, and of doubts.
GROUPS: Final = 500
K = TypeVar("K")
Result = Literal["same", "differs", "cannot tell"]
_encode = msgspec.json.Encoder().encode


class Seen(msgspec.Struct):
    """A group: its count, the first and the last time in seconds since the epoch, and the last
    decision."""

    first: float
    last: float
    decision_id: str
    count: int = 0


class Compared(msgspec.Struct):
    """The results for the decisions since `since`, in seconds since the epoch.

    `beyond` counts different or uncertain decisions for whose group there was no room.
    """

    since: float
    results: Counter[Result] = msgspec.field(default_factory=Counter)
    differences: dict[Difference, Seen] = msgspec.field(default_factory=dict)
    doubts: dict[Doubt, Seen] = msgspec.field(default_factory=dict)
    beyond: int = 0

    def copied(self) -> Compared:
        """Return a copy for another thread."""
        return Compared(
            self.since,
            self.results.copy(),
            {key: msgspec.structs.replace(one) for key, one in self.differences.items()},
            {key: msgspec.structs.replace(one) for key, one in self.doubts.items()},
            self.beyond,
        )

    def note(self, groups: dict[K, Seen], key: K, record: Asked) -> None:
        """Count a record in its group, if there is room for the group."""
        time = record.time.timestamp()
        seen = groups.get(key)
        if seen is None:
            if len(groups) >= GROUPS:
                self.beyond += 1
                return
            seen = groups[key] = Seen(time, time, record.decision_id)
        seen.count += 1
        if time >= seen.last:
            seen.last, seen.decision_id = time, record.decision_id


class Beside:
    """Decides by one policy set what another one, which serves, has decided. For one thread.

    `write` takes a line of the log; `sample` is the share of decisions that are passed in.
    """

    def __init__(
        self,
        policies: PolicySet,
        commit: str,
        serving: PolicySet,
        sample: float,
        write: Callable[[bytes], object],
        now: float,
    ) -> None:
        self.policies = policies
        #: The policies that serve. Decisions by other policies must not be passed in.
        self.serving = serving
        self._commit = commit
        self._sample = sample
        self._write = write
        self._recorder = Recorder(Mask())
        self._recorder.use(serving)
        self._judge = Judge(policies, others=[serving])
        self.compared = Compared(now)

    def decide(self, entry: Entry) -> Result:
        """Decide the question of an entry again."""
        record = read_record(self._recorder.lines((entry,)))
        assert isinstance(record, Asked), "it is a decision"
        verdict = self._judge.verdict(record)
        if verdict.kind == "differs":
            result: Result = "differs"
            self._differs(record, verdict, entry)
        elif verdict.kind == "cannot tell":
            result = "cannot tell"
            before, after = _answers(verdict)
            known = self._judge.knows(record.revision)
            doubt = doubt_of(record, before, after, known=known)
            self.compared.note(self.compared.doubts, doubt, record)
        else:
            result = "same"
        self.compared.results[result] += 1
        return result

    def _differs(self, record: Asked, verdict: Verdict, entry: Entry) -> None:
        before, after = _answers(verdict)
        compared, decision = self.compared, entry.decision
        compared.note(compared.differences, difference_of(record, before, after), record)
        line = ShadowRecord(
            schema=SCHEMA,
            time=record.time,
            decision_id=record.decision_id,
            effect=record.effect,
            reason=decision.reason,
            revision=record.revision,
            api=record.api,
            action=record.action,
            resource_type=record.resource_type,
            rules=record.rules,
            commit=decision.commit,
            shadow_answers=tuple(one for one in SAID if one in after.each),
            shadow_rules=tuple(after.rules),
            shadow_revision=self.policies.revision,
            shadow_commit=self._commit,
            sample_rate=self._sample,
        )
        self._write(visible_json(_encode(line) + b"\n"))


def _answers(verdict: Verdict) -> tuple[Outcomes, Outcomes]:
    assert verdict.before is not None, "what is not the same has two answers"
    assert verdict.after is not None, "what is not the same has two answers"
    return verdict.before, verdict.after
