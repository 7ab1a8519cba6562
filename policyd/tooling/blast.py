"""Blast radius: what a token can do, and who can do an action, proven for all requests and tokens.

Input: a policy set, and a token or an action. Output: reports. What the prover finds is answered by
both evaluators too, and a way to be allowed is minted as a real token in some dialects and decided
by the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from typing import Literal as OneOf

import msgspec

from policyd.analysis.residual import Residuals
from policyd.diagnostics import Span
from policyd.json_types import Json
from policyd.language.policy import Always, Api, PolicySet, Rule
from policyd.language.types import RESOURCE_ID, Fact
from policyd.language.walks import facts
from policyd.program.interpreter import World
from policyd.prover.axioms import Premises
from policyd.prover.counterexample import written
from policyd.prover.judging import Judgement, judge
from policyd.prover.questions import NO_PREMISES, Question
from policyd.prover.solver import Undecided
from policyd.prover.universe import Side
from policyd.prover.ways import MOST, Condition, Ways, ways
from policyd.prover.wording import worded
from policyd.tokens.model import VerifiedToken
from policyd.tooling.minted import Mint

Possibility = OneOf["always", "never", "depends", "undecided"]
#: How many ways are looked for of an action that depends on its request.
MOST_OF_A_TOKEN: Final = 20


class Example(msgspec.Struct, frozen=True):
    """A token and a request in the language of tests; `unsaid` is what that cannot say.

    `confirmed` is whether both evaluators answer it as the prover says.
    """

    statements: tuple[str, ...]
    unsaid: tuple[str, ...]
    confirmed: bool


class ShownWay(msgspec.Struct, frozen=True):
    """Conditions that together allow an action, and the rules that do.

    `minted` says of each dialect whether a real token of it is allowed so too.
    """

    conditions: tuple[str, ...]
    rules: tuple[str, ...]
    example: Example
    minted: dict[str, bool]


class WhoCan(msgspec.Struct, frozen=True):
    """The ways in which an action is allowed; if not `complete`, there may be more."""

    api: str
    resource: str
    action: str
    ways: tuple[ShownWay, ...]
    complete: bool
    configuration: str


class Can(msgspec.Struct, frozen=True):
    """Whether a token can do an action: always, never, or dependent on the request.

    `ways` are conditions that each allow it, and if not `complete`, there may be more. `allowed`
    and `denied` are requests that are answered so.
    """

    resource: str
    action: str
    outcome: Possibility
    depends_on: tuple[str, ...] = ()
    ways: tuple[tuple[str, ...], ...] = ()
    complete: bool = True
    allowed: Example | None = None
    denied: Example | None = None

    @property
    def confirmed(self) -> bool:
        """Whether the evaluators answer all examples as the prover says."""
        return all(one.confirmed for one in (self.allowed, self.denied) if one is not None)


class TokenCan(msgspec.Struct, frozen=True):
    """What a token can do at one API; `refused` is why it is not accepted there."""

    api: str
    actions: tuple[Can, ...]
    refused: str = ""


def who_can(
    policies: PolicySet,
    side: Side,
    premises: Premises = NO_PREMISES,
    dialects: Sequence[str] = (),
    configuration: str = "any configuration",
    most: int = MOST,
) -> WhoCan:
    """Return the ways in which an action is allowed. Raises `SolverMissing`."""
    rules = rules_of(side)
    found = ways(side, rules, premises, most)
    mint = Mint()
    shown = []
    for way in found.ways:
        world, by = way.witness.world, way.judgement.rules
        example = _example(side, world, way.judgement, "allow", confirmed=way.confirmed)
        minted = {one: mint.outcome(policies, side, world, one) == "allow" for one in dialects}
        shown.append(ShownWay(_worded(way.conditions), by, example, minted))
    name = (side.api.name, side.resource.name, side.action)
    return WhoCan(*name, tuple(shown), found.complete, configuration)


def rules_of(side: Side) -> tuple[Rule, ...]:
    """Return the rules for a side's action."""
    return tuple(
        one
        for one in side.api.rules
        if one.resource == side.resource.name and side.action in one.actions
    )


def _worded(conditions: Sequence[Condition]) -> tuple[str, ...]:
    return tuple(worded(one.test, holds=one.holds) for one in conditions)


def _example(
    side: Side, world: World, judgement: Judgement, effect: str, *, confirmed: bool
) -> Example:
    said = written(side, world, effect, judgement.rules)
    return Example(said.lines, said.unsaid, confirmed)


# -- what a token can do -------------------------------------------------------------------------


def what_can(api: Api, token: VerifiedToken, userinfo: Mapping[str, Json], now: int) -> TokenCan:
    """Return what a token can do at an API at a moment. Raises `SolverMissing`."""
    asker = _Asker(api, World(token, "", {}, {}, now, userinfo))
    return TokenCan(api.name, tuple(asker.each()))


class _Asker:
    def __init__(self, api: Api, world: World) -> None:
        self._api = api
        self._world = world

    def each(self) -> Iterator[Can]:
        """Yield the answer for each action on each resource."""
        for resource in self._api.resources.values():
            for action in resource.actions:
                yield self._can(Side(self._api, resource, action))

    def _can(self, side: Side) -> Can:
        name = side.resource.name, side.action
        rules, left = rules_of(side), self._left(side)

        def ask(world: World) -> Judgement:
            return judge(side, rules, self._settled(world))

        question = Question([(side, left)])
        question.close()
        circuit, (opened,) = question.circuit, question.opened
        allowed, denied = map(circuit.all, (opened.outcome("allow"), opened.outcome("deny")))
        try:
            yes, no = question.find(allowed), question.find(denied)
        except Undecided:
            return Can(*name, "undecided")
        shown: list[Example | None] = []
        for witness, effect in ((yes, "allow"), (no, "deny")):
            if witness is None:
                shown.append(None)
                continue
            world = self._settled(witness.world)
            judgement = ask(world)
            confirmed = judgement.agreed and judgement.outcome == effect
            shown.append(_example(side, world, judgement, effect, confirmed=confirmed))
        if yes is None or no is None:
            return Can(*name, "never" if yes is None else "always", (), (), True, *shown)
        found = ways(side, left, NO_PREMISES, MOST_OF_A_TOKEN, ask)
        said = tuple(_worded(way.conditions) for way in found.ways)
        return Can(*name, "depends", _read(found, left), said, found.complete, *shown)

    def _left(self, side: Side) -> list[Rule]:
        """Return what is left of the rules with the token's facts, as rules."""
        opened: set[Fact] = {RESOURCE_ID}
        opened |= {one.fact for one in (*side.attributes, *side.api.context)}
        residuals = Residuals(self._api, side.resource.name, self._world, opened)
        left = []
        for rule in rules_of(side):
            formula = residuals.of(rule)
            if formula is True:
                formula = Always(Span(*rule.span))
            if formula is not False:
                left.append(msgspec.structs.replace(rule, formula=formula))
        return left

    def _settled(self, world: World) -> World:
        """Return a request with the token in question, at the moment in question."""
        mine = self._world
        return msgspec.structs.replace(
            world, token=mine.token, userinfo=mine.userinfo, now=mine.now
        )


def _read(found: Ways, left: Sequence[Rule]) -> tuple[str, ...]:
    """Return the facts that an answer depends on."""
    formulas = [one.test for way in found.ways for one in way.conditions]
    every = [*formulas] if found.complete else [rule.formula for rule in left]
    return tuple(sorted({fact.path for formula in every for fact in facts(formula)}))
