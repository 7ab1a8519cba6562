"""Which scopes any caller needs for an action: what a challenge asks for.

A caller whose token was refused is told which scopes to ask its issuer for (RFC 6750, section 3).
Without, some clients ask for every scope that they know of. Nothing is known of the token that will
come, nor of the resource as far as this is told: so all facts but the scopes are open, and those
scopes are named with which the rules perhaps allow and without one of which they surely do not.

The answer is the same for all questions of a plan, which remembers it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from policyd.analysis.partial import ANY_STATE, SUBJECT_KIND, PartialTruths, States
from policyd.decision.effort import EffortSpent
from policyd.language.policy import Api
from policyd.language.types import NOW, TOKEN_FACTS, Fact
from policyd.language.walks import facts
from policyd.program.index import Plan
from policyd.program.interpreter import World
from policyd.tokens.model import VerifiedToken, new_memo

#: Parts of conditions that are looked at for a plan; where these do not do, no scope is named.
STEPS: Final = 5_000
_KNOWN: Final = frozenset({NOW, TOKEN_FACTS["scopes"]})


def wanted_scopes(api: Api, resource: str, plan: Plan) -> tuple[str, ...]:
    """Return the least scopes that a token needs for a plan of a resource, sorted.

    None where the rules perhaps allow without, never allow, or are too many to look at.
    """
    known = plan.wanted.get(resource)
    if known is None:
        known = plan.wanted[resource] = _Search(api, resource, plan).scopes()
    return known


class _Search:
    def __init__(self, api: Api, resource: str, plan: Plan) -> None:
        self._api = api
        self._resource = resource
        self._plan = plan
        read = {fact for rule in plan.rules for fact in facts(rule.formula)} - _KNOWN
        self._opened: dict[Fact, States] = dict.fromkeys((*read, SUBJECT_KIND), ANY_STATE)
        self._left = STEPS

    def scopes(self) -> tuple[str, ...]:
        """Leave out one scope after another of those that help."""
        plan = self._plan
        wanted = set(plan.helping_scopes)
        try:
            if not wanted or not self._perhaps_allowed(wanted):
                return ()
            for scope in plan.inclusion.ordered(plan.helping_scopes):
                if self._perhaps_allowed(wanted - {scope}):
                    wanted.discard(scope)
        except EffortSpent:
            return ()
        return tuple(sorted(wanted))

    def _perhaps_allowed(self, scopes: Iterable[str]) -> bool:
        world = World(_token(scopes), "", {}, {}, 0)
        truths = PartialTruths(self._api, self._resource, world, self._opened, self._spend)
        allowed = False
        for rule in self._plan.rules:
            found = truths.of(rule)
            if rule.effect == "deny" and False not in found:
                return False
            allowed = allowed or (rule.effect == "allow" and True in found)
        return allowed

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise EffortSpent


def _token(scopes: Iterable[str]) -> VerifiedToken:
    """Return a token of which only the scopes are looked at."""
    return VerifiedToken(
        issuer="",
        subject=None,
        client=None,
        kind=None,
        scopes=frozenset(scopes),
        permissions=frozenset(),
        audience=frozenset(),
        actor=None,
        issued_at=None,
        not_before=None,
        expires_at=0,
        token_id=None,
        key_id=None,
        algorithm="none",
        claims={},
        memo=new_memo(),
    )
