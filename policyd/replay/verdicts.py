"""Compares recorded decisions with new ones: same, different, or uncertain.

The old answer is the recorded one or, with a baseline, the answer of older policies. Where facts
are open, each answer is a set. Two sets without a common answer differ. Otherwise the verdict is
uncertain, unless the rules and declarations are equal on both sides: then the same facts give the
same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from typing import Literal as OneOf

import msgspec

from policyd.analysis.formulas import Keys
from policyd.audit.schema import LineUnusable
from policyd.language.policy import Api, Attribute, ClaimDeclaration, PolicySet
from policyd.replay.deciding import Decider
from policyd.replay.open_questions import BY_RULES
from policyd.replay.outcomes import ALLOW, DENY, REFUSED, Outcomes
from policyd.replay.records import Asked, read_record

Kind = OneOf["same", "differs", "cannot tell", "no decision", "unusable"]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The verdict on a line. `before` and `after` are the answers if they are not the same.

    A line without a decision is an answer to a question with unknown facts, or a gap. `problem`
    says why a line is unusable.
    """

    kind: Kind
    before: Outcomes | None = None
    after: Outcomes | None = None
    problem: str = ""


_SAME: Final = Verdict("same")
_NO_DECISION: Final = Verdict("no decision")


def replay(
    lines: Iterable[bytes], policies: PolicySet, baseline: PolicySet | None = None
) -> Iterator[Verdict]:
    """Decide the lines of a decision log again, and yield a verdict for each, in order.

    No line makes it raise.
    """
    judge = Judge(policies, baseline)
    for line in lines:
        try:
            record = read_record(line)
            yield judge.verdict(record) if isinstance(record, Asked) else _NO_DECISION
        except LineUnusable as problem:
            yield Verdict("unusable", problem=str(problem))


class Judge:
    """Compares the answers of policies with those of a log, or of a baseline.

    `others` are further sets whose revisions records may name.
    """

    def __init__(
        self,
        policies: PolicySet,
        baseline: PolicySet | None = None,
        others: Sequence[PolicySet] = (),
    ) -> None:
        sets = (policies, *others) if baseline is None else (policies, baseline, *others)
        #: The policy sets that are known, by revision.
        self.revisions = frozenset(one.revision for one in sets)
        self._new = Decider(policies, sets)
        self._old = None if baseline is None else Decider(baseline, sets)
        # The old answers: the baseline's, or those of the record's revision.
        self._unchanged = {
            one.revision: Unchanged(one, policies)
            for one in (sets if baseline is None else (baseline,))
        }
        self._baseline = None if baseline is None else baseline.revision

    def knows(self, revision: str) -> bool:
        """Return whether the policies of a revision are known."""
        return revision in self.revisions

    def verdict(self, record: Asked) -> Verdict:
        """Judge a record. Raises `LineUnusable`."""
        after = self._new.decide(record)
        if self._old is not None:
            before = self._old.decide(record)
        elif record.reason in BY_RULES:
            if after.each is (ALLOW if record.effect == "allow" else DENY):
                return _SAME
            before = recorded(record)
        else:
            before = recorded(record)
        if after.each == before.each and len(after.each) == 1:
            return _SAME
        if after.each.isdisjoint(before.each):
            return Verdict("differs", before, after)
        if self._is_unchanged(record):
            return _SAME
        return Verdict("cannot tell", before, after)

    def _is_unchanged(self, record: Asked) -> bool:
        unchanged = self._unchanged.get(self._baseline or record.revision)
        if unchanged is None:
            return False
        return unchanged.of(record.api, record.resource_type, record.action)


def recorded(record: Asked) -> Outcomes:
    """Return the answer that a record holds."""
    if record.reason in BY_RULES:
        return Outcomes(ALLOW if record.effect == "allow" else DENY, record.rules)
    return REFUSED


class Unchanged:
    """Compares the rules and declarations by which two policy sets decide an action."""

    def __init__(self, old: PolicySet, new: PolicySet) -> None:
        self._old, self._new = old, new
        self._keys = Keys()
        self._known: dict[tuple[str, str, str], bool] = {}

    def of(self, api: str, resource_type: str, action: str) -> bool:
        """Compare the rules and declarations of an action."""
        key = (api, resource_type, action)
        if key not in self._known:
            if api not in self._old.apis or api not in self._new.apis:
                return False
            old, new = self._old.apis[api], self._new.apis[api]
            if resource_type not in old.resources or resource_type not in new.resources:
                return False
            ways = [self._deciding(one, resource_type, action) for one in (old, new)]
            self._known[key] = ways[0] == ways[1]
        return self._known[key]

    def _deciding(self, api: Api, resource_type: str, action: str) -> object:
        """Return everything besides the question that an answer depends on."""
        attributes = api.resources[resource_type].attributes
        return (
            action in api.resources[resource_type].actions,
            frozenset(api.audiences),
            api.inclusion.granted,
            [_way(one) for one in (*api.claims.values(), *api.userinfo.values())],
            [_way(one) for one in api.context],
            [_way(one) for one in attributes if one.is_for(action)],
            {
                (rule.effect, self._keys.of(rule.formula))
                for rule in api.rules
                if rule.resource == resource_type and action in rule.actions
            },
        )


def _way(one: ClaimDeclaration | Attribute) -> tuple[object, ...]:
    issuer = one.issuer if isinstance(one, ClaimDeclaration) else None
    return (one.fact, one.path, one.optional, issuer)
