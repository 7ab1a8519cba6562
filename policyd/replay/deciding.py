"""Puts recorded questions to one policy set.

The input is a record, the output the possible answers: one if the record holds everything that the
rules need, else several, with the facts on which they depend. The same compiled plans decide as in
the daemon; `open_questions` handles records with open facts.

The recorded token was verified or refused at the time. A token that was refused independently of
the policies stays refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from typing import Final

from policyd.json_types import Json
from policyd.language.policy import PolicySet
from policyd.program.compiler import Compiler
from policyd.program.fields import FieldFault
from policyd.program.index import ApiProgram, Program
from policyd.program.layout import Facts
from policyd.replay.open_questions import BY_RULES, OpenQuestion, refused_before
from policyd.replay.outcomes import ALLOW, DENY, MISTAKE, REFUSED, Outcomes
from policyd.replay.records import Asked
from policyd.replay.routes import Route, Tokens
from policyd.tokens.refusals import TokenRefused

#: The most routes that are kept.
_ROUTES: Final = 4096


class Decider:
    """Puts recorded questions to one policy set.

    `others` are sets whose revisions records may name: they have the declarations of that time.
    """

    def __init__(self, policies: PolicySet, others: Sequence[PolicySet] = ()) -> None:
        compiler = Compiler()
        self.program = compiler.compile(policies)
        self._sets: dict[str, Program] = {
            one.revision: compiler.compile(one) for one in others if one is not policies
        }
        self._sets[policies.revision] = self.program
        self._routes: dict[tuple[str, str, str, str], Route | None] = {}
        self._tokens: dict[tuple[str, str], Tokens] = {}

    def decide(self, record: Asked) -> Outcomes:
        """Return the possible answers to a recorded question. Raises `LineUnusable`."""
        key = (record.revision, record.api, record.resource_type, record.action)
        try:
            route = self._routes[key]
        except KeyError:
            route = self._route(record)
            self._routes[key] = route
        if route is None:
            return self._undeclared(record)
        if record.reason not in BY_RULES:
            known = refused_before(record, route.api, route.old)
            return OpenQuestion(record, route).decide() if known is None else known
        seen = route.tokens.get((bytes(record.token), record.ill_typed)) or route.token(record)
        if (
            not route.simple
            or not (seen.complete and seen.for_api)
            or (record.masked and route.kept_out(record.masked))
            or (route.old is None and route.lacks(record))
        ):
            return OpenQuestion(record, route).decide()
        facts: Facts | None = seen.facts
        if facts is None:
            return REFUSED
        userinfo = route.api.token.userinfo
        if userinfo is not None:
            try:
                facts += userinfo.read(route.told(record), seen.token)
            except TokenRefused:
                return REFUSED
        plan = route.plan
        attributes: Mapping[str, Json] = record.attributes
        context: Mapping[str, Json] = record.context
        if route.attributes or route.context:
            attributes, context = route.given(record)
        now = floor(record.time.timestamp()) if plan.reads_clock else 0
        try:
            resource = plan.read_resource((record.resource_id or None,), attributes)
            entries = route.api.context.read((), context)
        except FieldFault:
            return MISTAKE
        denies, allows = plan.evaluate(facts, resource, entries, now)
        if allows:
            return Outcomes(ALLOW, allows)
        return Outcomes(DENY, denies)

    def _old(self, record: Asked) -> ApiProgram | None:
        """Return the API as it was when a record was written, if its policies are known."""
        known = self._sets.get(record.revision)
        return None if known is None else known.apis.get(record.api)

    def _route(self, record: Asked) -> Route | None:
        api = self.program.apis.get(record.api)
        resource = None if api is None else api.resources.get(record.resource_type)
        if api is None or resource is None or record.action not in resource.plans:
            return None
        if len(self._routes) >= _ROUTES:  # only a forged or corrupt log has this
            self._routes.clear()
            self._tokens.clear()
        revision = record.revision if record.revision in self._sets else ""
        tokens = self._tokens.setdefault((revision, record.api), {})
        return Route.of(api, record.resource_type, record.action, self._old(record), tokens)

    def _undeclared(self, record: Asked) -> Outcomes:
        """Answer a question about something that the policies do not declare: a mistake of the
        caller, unless the token was refused first."""
        api = self.program.apis.get(record.api)
        if api is None:
            return MISTAKE
        return refused_before(record, api, self._old(record)) or MISTAKE
