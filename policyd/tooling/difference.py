"""What a change of policies does: for each action, who gains and who loses, with a witness.

Input: two policy sets. Output: a report. What both declare is compared by the prover, exactly;
what one declares alone is listed. Each witness is minted as a real token in some dialects and
decided by the engine, old and new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from typing import Literal as OneOf

import msgspec

from policyd.language.policy import Api, PolicySet
from policyd.prover.axioms import Premises
from policyd.prover.counterexample import written
from policyd.prover.differences import Difference, Revision, differences
from policyd.prover.judging import Outcome
from policyd.prover.questions import NO_PREMISES
from policyd.prover.solver import Undecided
from policyd.prover.universe import Side
from policyd.tooling.minted import Mint
from policyd.tooling.structure import StructuralChange, structural_changes

Direction = OneOf["gains", "loses", "other"]
#: What each answer is called where it is told to people.
SAID: Final[dict[Outcome, str]] = {
    "allow": "allowed",
    "deny": "denied",
    "refused": "refused as a token",
    "mistake": "the caller's mistake",
}


class Change(msgspec.Struct, frozen=True):
    """A token and a request that are answered in another way.

    `statements` say them in the language of tests, `unsaid` what that cannot say. `rules` are those
    that decide, before and after. `minted` says of each dialect whether a real token of it is
    answered so too. `confirmed` is whether both evaluators agree.
    """

    direction: Direction
    before: Outcome
    after: Outcome
    rules_before: tuple[str, ...]
    rules_after: tuple[str, ...]
    statements: tuple[str, ...]
    unsaid: tuple[str, ...]
    confirmed: bool
    minted: dict[str, bool]


class PlanChanges(msgspec.Struct, frozen=True):
    """What changes for an action on a resource. `undecided` is whether the solver gave up."""

    api: str
    resource: str
    action: str
    changes: tuple[Change, ...]
    undecided: bool = False

    def has(self, direction: Direction) -> bool:
        """Tell whether there is a change in a direction."""
        return any(one.direction == direction for one in self.changes)


class Report(msgspec.Struct, frozen=True):
    """`plans` are those with changes, `unchanged` how many have none: that is proven.

    `structure` is what is declared or ruled on one side alone, or written in another way.
    """

    old: str
    new: str
    plans: tuple[PlanChanges, ...]
    unchanged: int
    structure: tuple[StructuralChange, ...]
    configuration: str

    @property
    def declared(self) -> tuple[str, ...]:
        """What is declared or ruled in another way, a sentence each."""
        return tuple(one.sentence for one in self.structure)

    def number(self, direction: Direction) -> int:
        """Return for how many actions there is a change in a direction."""
        return sum(plan.has(direction) for plan in self.plans)

    @property
    def mistakes(self) -> int:
        """For how many actions something becomes the caller's mistake."""
        return sum(any(one.after == "mistake" for one in plan.changes) for plan in self.plans)

    @property
    def undecided(self) -> int:
        """For how many actions the solver gave up."""
        return sum(plan.undecided for plan in self.plans)

    @property
    def summary(self) -> str:
        """The whole in one line."""
        gain, lose = self.number("gains"), self.number("loses")
        parts = [
            f"{gain} {'action gains' if gain == 1 else 'actions gain'}",
            f"{lose} {'loses' if lose == 1 else 'lose'}",
            f"{self.unchanged} unchanged",
        ]
        if self.mistakes:
            verb = "becomes" if self.mistakes == 1 else "become"
            parts.append(f"{self.mistakes} {verb} the caller's mistake")
        if self.undecided:
            parts.append(f"{self.undecided} undecided")
        return ", ".join(parts)


def compare(
    old: tuple[str, PolicySet],
    new: tuple[str, PolicySet],
    premises: Premises = NO_PREMISES,
    dialects: Sequence[str] = (),
    configuration: str = "any configuration",
) -> Report:
    """Compare two policy sets, each with its name. Raises `SolverMissing`."""
    comparer = _Comparer(old[1], new[1], premises, dialects)
    plans = list(comparer.plans())
    changed = tuple(plan for plan in plans if plan.changes or plan.undecided)
    structure = structural_changes(old[1], new[1])
    return Report(old[0], new[0], changed, len(plans) - len(changed), structure, configuration)


class _Comparer:
    def __init__(
        self, old: PolicySet, new: PolicySet, premises: Premises, dialects: Sequence[str]
    ) -> None:
        self._old, self._new = old, new
        self._premises = premises
        self._dialects = dialects
        self._mint = Mint()

    def plans(self) -> Iterator[PlanChanges]:
        """Compare each action that both declare."""
        for name in sorted(self._old.apis.keys() & self._new.apis.keys()):
            old, new = self._old.apis[name], self._new.apis[name]
            for resource in sorted(old.resources.keys() & new.resources.keys()):
                both = set(old.resources[resource].actions) & set(new.resources[resource].actions)
                for action in sorted(both):
                    yield self._plan(
                        _revision(old, resource, action), _revision(new, resource, action)
                    )

    def _plan(self, old: Revision, new: Revision) -> PlanChanges:
        side = new.side
        name = (side.api.name, side.resource.name, side.action)
        try:
            found = differences(old, new, self._premises)
        except Undecided:
            return PlanChanges(*name, (), undecided=True)
        return PlanChanges(*name, tuple(self._change(old, new, one) for one in found))

    def _change(self, old: Revision, new: Revision, found: Difference) -> Change:
        direction: Direction = "gains" if found.gains else "loses" if found.loses else "other"
        shown = old if found.loses else new
        judged = found.before if found.loses else found.after
        effect = "allow" if judged.outcome == "allow" else "deny"
        said = written(shown.side, found.witness.world, effect, judged.rules)
        wanted = (found.before.outcome, found.after.outcome)
        world = found.witness.world
        minted = {
            dialect: wanted
            == (
                self._mint.outcome(self._old, old.side, world, dialect),
                self._mint.outcome(self._new, new.side, world, dialect),
            )
            for dialect in self._dialects
        }
        return Change(
            direction,
            *wanted,
            found.before.rules,
            found.after.rules,
            said.lines,
            said.unsaid,
            found.confirmed,
            minted,
        )


def _revision(api: Api, resource: str, action: str) -> Revision:
    rules = [one for one in api.rules if one.resource == resource and action in one.actions]
    return Revision(Side(api, api.resources[resource], action), tuple(rules))
