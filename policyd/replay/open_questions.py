"""Decides recorded questions with open facts, or with a refused token.

The steps are those of the engine, in its order: the API, the token, the action, attributes and
context, the rules. If facts are open, a step may end in several ways; all of them are followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor
from typing import Final, TypeVar

import msgspec

from policyd.analysis.partial import ANY_STATE, KNOWN, PartialTruths, States
from policyd.decision.possible import Rules, certain
from policyd.decision.question import Question
from policyd.language.policy import Attribute
from policyd.language.types import Fact, Origin
from policyd.program.fields import FieldFault
from policyd.program.index import ApiProgram
from policyd.program.interpreter import World
from policyd.program.layout import (
    Facts,
    Slot,
    TokenLayout,
    context_layout,
    resource_layout,
)
from policyd.reasons import Reason
from policyd.replay.outcomes import MISTAKE, REFUSED, Outcome, Outcomes, either
from policyd.replay.recorded import at_their_paths
from policyd.replay.records import Asked
from policyd.replay.routes import JTI, Route, SeenToken, is_of_another, stated_token, token_of
from policyd.tokens.refusals import TokenRefused

#: Reasons of answers that the rules gave.
BY_RULES: Final = frozenset(
    (
        Reason.ALLOWED,
        Reason.NO_RULE_ALLOWS,
        Reason.DENIED_BY_RULE,
        Reason.INSUFFICIENT_SCOPE,
        Reason.INSUFFICIENT_USER_AUTHENTICATION,
        Reason.INSUFFICIENT_AUTHORIZATION_DETAILS,
    )
)
_BY_CLAIMS: Final = frozenset((Reason.CLAIM_MISSING, Reason.CLAIM_INVALID))
#: Names for dependencies that are not facts of the policy.
REFUSAL: Final = "why the token was refused"
AUDIENCE: Final = "token.audience"
_OR_MISSING: Final[States] = frozenset({"known", "missing"})
S = TypeVar("S")
_ANSWERS: Final[tuple[Outcome, ...]] = ("allow", "deny", "refused")


def refused_before(record: Asked, api: ApiProgram, old: ApiProgram | None) -> Outcomes | None:
    """Return the outcome for a token that was refused before its claims were read; `None` if it was
    not. Raises `LineUnusable`."""
    if record.reason in BY_RULES or (record.reason in _BY_CLAIMS and bytes(record.token)):
        return None
    if record.reason != Reason.AUDIENCE_MISMATCH:
        return REFUSED
    now = frozenset(api.api.audiences)
    if old is not None and now <= frozenset(old.api.audiences):
        return REFUSED
    named = frozenset(stated_token(record).audience or () if bytes(record.token) else ())
    if named and not named & now:
        return REFUSED
    return either(_ANSWERS, (AUDIENCE,))


class OpenQuestion:
    """One record, its question and its open facts."""

    def __init__(self, record: Asked, route: Route) -> None:
        self._record = record
        self._route = route
        self._seen: SeenToken = route.token(record)
        self._open = self._opened()
        self._may: set[Outcome] = set()
        self._depends_on: set[str] = set()

    def decide(self) -> Outcomes:
        """Return the possible answers."""
        if self._seen.for_api is False:
            return REFUSED
        if self._seen.for_api is None:
            self._perhaps("refused", AUDIENCE)
        try:
            facts = self._facts()
        except TokenRefused:
            return REFUSED
        if self._record.reason in _BY_CLAIMS and not self._was_refused_by_policies():
            self._perhaps("refused", REFUSAL)
        question = self._question(facts)
        if question is None:
            if not self._may:
                return MISTAKE
            return either({*self._may, "mistake"}, self._depends_on)
        return self._by_rules(question)

    def _perhaps(self, outcome: Outcome, cause: str) -> None:
        self._may.add(outcome)
        self._depends_on.add(cause)

    # -- what is open ----------------------------------------------------------------------------

    def _opened(self) -> dict[Fact, States]:
        record, route, stated = self._record, self._route, self._seen.stated
        opened = {**route.never, **route.kept_out(record.masked)}
        hidden = {*record.masked, *record.ill_typed}
        had: dict[Origin, Mapping[str, object]] = {
            Origin.CLAIM: stated.claims,
            Origin.USERINFO: record.userinfo,
            Origin.RESOURCE: record.attributes,
            Origin.CONTEXT: record.context,
        }
        for one in route.needed.declared:
            fact = one.fact
            if is_of_another(one, stated):
                opened.pop(fact, None)
            elif (
                fact.name in route.doubtful[fact.origin]
                and fact.name not in had[fact.origin]
                and fact.path not in hidden
            ):
                opened[fact] = _OR_MISSING if isinstance(one, Attribute) else ANY_STATE
        if JTI in route.needed.reads and stated.jti_sha256 is not None:
            opened[JTI] = KNOWN
        return opened

    # -- the token -------------------------------------------------------------------------------

    def _facts(self) -> Facts:
        """Return the token's facts, without values for open ones. Raises `TokenRefused`."""
        layout, userinfo = self._route.api.token, self._route.api.token.userinfo
        self._note_demanded(layout.fields)
        facts = TokenLayout(
            _lenient(layout.fields, self._open),
            None,
            layout.slots,
            layout.presence,
            layout.inclusion,
            object(),
        ).read(self._seen.token)
        if userinfo is None:
            return facts
        self._note_demanded(userinfo.fields)
        lenient = msgspec.structs.replace(userinfo, fields=_lenient(userinfo.fields, self._open))
        return facts + lenient.read(self._route.told(self._record), self._seen.token)

    def _note_demanded(self, fields: Iterable[Slot[S]]) -> None:
        for one in fields:
            states = self._open.get(one.fact, KNOWN)
            if one.demanded and states != KNOWN:
                self._perhaps("refused", one.fact.path)

    def _was_refused_by_policies(self) -> bool:
        """Tell whether the API of that time refused the token because of a claim."""
        old, record = self._route.old, self._record
        if old is None:
            return False
        token = token_of(self._seen.stated, record, old)
        try:
            old.token.read(token)
            if old.token.userinfo is not None:
                declared = old.api.userinfo.values()
                told = at_their_paths(record.userinfo, declared, record.ill_typed)
                old.token.userinfo.read(told, token)
        except TokenRefused:
            return True
        return False

    # -- the rules -------------------------------------------------------------------------------

    def _question(self, facts: Facts) -> Question | None:
        """Return the question, in which open facts are not required; `None` if the request is a
        mistake of the caller."""
        route, record = self._route, self._record
        declared = route.api.api.resources[record.resource_type].attributes
        context = route.api.api.context
        absent = [one for one in declared if not one.is_for(record.action)]
        given, entries = route.given(record)
        try:
            resource = resource_layout(_optional(declared, self._open), absent).read(
                (record.resource_id or None,), given
            )
            read = context_layout(_optional(context, self._open)).read((), entries)
        except FieldFault:
            return None
        for one in (*declared, *context):
            states = self._open.get(one.fact, KNOWN)
            if not one.optional and states != KNOWN and one not in absent:
                self._perhaps("mistake", one.fact.path)
        return Question(route.plan, facts, resource, read, floor(record.time.timestamp()))

    def _by_rules(self, question: Question) -> Outcomes:
        record = self._record
        given, entries = self._route.given(record)
        world = World(
            self._seen.token,
            record.resource_id,
            given,
            entries,
            question.now,
            self._route.told(record),
        )
        jti = self._seen.stated.jti_sha256
        truths = PartialTruths(
            self._route.api.api,
            record.resource_type,
            world,
            self._open,
            hashed={} if jti is None else {JTI: jti},
        )
        rules = Rules(question, self._open, truths)
        denies, allows = rules.of("deny"), rules.of("allow")
        certainty = certain(denies, allows)
        if certainty != "maybe":
            if not self._may:
                decided = allows if certainty == "allow" else denies
                return Outcomes(frozenset({certainty}), decided.surely)
            return either({*self._may, certainty}, self._depends_on)
        deciding = rules.deciding(denies.perhaps)
        if not allows.surely:
            deciding |= rules.deciding(allows.perhaps)
        facts = {fact.path for fact in deciding}
        return either({*self._may, "allow", "deny"}, facts | self._depends_on)


def _lenient(fields: Iterable[Slot[S]], opened: Mapping[Fact, States]) -> tuple[Slot[S], ...]:
    """Return slots in which open facts are not required."""
    return tuple(
        msgspec.structs.replace(one, demanded=False) if one.fact in opened else one
        for one in fields
    )


def _optional(declared: Iterable[Attribute], opened: Mapping[Fact, States]) -> list[Attribute]:
    """Return declarations in which open facts are not required."""
    return [
        msgspec.structs.replace(one, optional=True) if one.fact in opened else one
        for one in declared
    ]
