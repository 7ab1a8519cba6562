"""The engine: a question to a decision.

Input is a `Request` (or a batch with one token) and checked policies; output is a `Decision`. The
first failure decides, in this order: the API, the token, then action, resource, attributes and
context, then the rules.

Invariants: a call reads the snapshot once, and the clock once, so it never sees half of a reload.
Nothing here does I/O, takes a lock, or changes anything but the memo of a token. If the validator
has to ask an issuer first, it raises, and nothing has been decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import floor
from typing import Protocol

import msgspec

from policyd.decision import challenge
from policyd.decision.asserted import asserted_token
from policyd.decision.call import Call
from policyd.decision.challenge import Challenger, Protection
from policyd.decision.effort import Effort
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation, explain
from policyd.decision.model import (
    MAX_DECISION_AGE,
    Asserted,
    BatchRequest,
    Decision,
    Partial,
    Request,
)
from policyd.decision.partial import PartialCall
from policyd.decision.refused import Refused
from policyd.decision.request import (
    another_subject,
    unknown_api,
)
from policyd.decision.snapshot import Snapshot
from policyd.json_types import Json
from policyd.language.policy import Api, PolicySet
from policyd.language.types import Origin
from policyd.program.compiler import Compiler
from policyd.program.fields import FieldFault
from policyd.program.index import Program
from policyd.program.layout import Facts
from policyd.tokens.model import NO_PROOF, Binding, ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.refusals import TokenRefused

_RESOURCE = (Origin.RESOURCE.value,)
_NO_USERINFO: Mapping[str, Json] = {}


class Validator(Protocol):
    """What the engine asks of `policyd.tokens`."""

    def verify(
        self,
        access_token: str,
        resource_server: ResourceServer,
        now: float,
        proof: SenderProof = NO_PROOF,
    ) -> VerifiedToken:
        """Return the token, verified for this API at this time, or raise `TokenRefused`."""
        ...

    def userinfo(
        self, token: VerifiedToken, access_token: str, now: float
    ) -> Mapping[str, Json] | None:
        """Return the userinfo claims of the token's subject, `None` if there are none."""
        ...


class Engine:
    """Decides. Safe to call from several threads, also while another loads policies.

    `clock` returns seconds since the epoch. `max_decision_age` is in seconds. `trusted_until`
    returns until when the validator's keys and settings vouch for a token, apart from its `exp`;
    without it, only `exp` and `max_decision_age` bound how long an answer may be cached. `compiler`
    makes programs; all compilers decide the same, and differ in cost. `challenger` returns the
    challenges of an API; the default challenges ask for a bearer token.
    """

    def __init__(
        self,
        validator: Validator,
        clock: Callable[[], float] = time.time,
        *,
        max_decision_age: int = MAX_DECISION_AGE,
        trusted_until: Callable[[VerifiedToken], float] | None = None,
        compiler: Callable[[PolicySet], Program] | None = None,
        challenger: Challenger | None = None,
    ) -> None:
        self._validator = validator
        self._clock = clock
        self._max_age = max_decision_age
        self._trusted_until = trusted_until
        self._compile = compiler or Compiler().compile
        self._challenger = challenger or Challenger()
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """What decides now, `None` until policies were loaded."""
        return self._snapshot

    def api(self, name: str) -> Api | None:
        """Return the API of a name or an audience, if there is one. Raises `NotReady`."""
        snapshot = self._snapshot
        if snapshot is None:
            raise NotReady
        found = snapshot.apis.get(name)
        return None if found is None else found.program.api

    def load(self, policies: PolicySet, commit: str = "") -> None:
        """Compile checked policies, and let them decide from the next call on.

        `commit` is the one that they came from, where they have commits.
        """
        program = self._compile(policies)
        self._snapshot = Snapshot.of(program, self._protections(program), commit)

    def challenge_anew(self) -> None:
        """Renew the challenges of the loaded APIs, from the next call on."""
        snapshot = self._snapshot
        if snapshot is not None:
            protections = self._protections(snapshot.program)
            if protections != snapshot.protections:
                self._snapshot = Snapshot.of(snapshot.program, protections, snapshot.commit)

    def _protections(self, program: Program) -> Mapping[str, Protection]:
        apis = {entry.api.name: entry.api for entry in program.by_name_or_audience.values()}
        return {name: self._challenger.protection(api) for name, api in apis.items()}

    def check(self, request: Request) -> Decision:
        """Decide. Raises `NotReady` and `InvalidRequest`."""
        call = self._call(request)
        if not isinstance(call, Call):
            return call.answer(request)
        return call.decide(call.question(request), request)

    def check_batch(self, batch: BatchRequest) -> list[Decision | InvalidRequest]:
        """Decide each question of a batch separately, in order.

        Raises `NotReady`, and `InvalidRequest` for an unknown API. If the token is refused, each
        item gets that answer; if the context is invalid, each item gets that error. Decisions that
        are equal are the same object, of which what comes after the engine makes use.
        """
        call = self._call(batch)
        if not isinstance(call, Call):
            return [call.answer(item) for item in batch.items]
        results: list[Decision | InvalidRequest] = []
        effort = Effort()
        denied: Decision | None = None
        for item in batch.items:
            try:
                decision = call.decide(call.question(item, effort), item, effort)
                if not decision.allowed:
                    decision = denied = denied if decision == denied else decision
                results.append(decision)
            except InvalidRequest as mistake:
                results.append(mistake.kept())
        return results

    def check_partially(self, request: Request, unknown: Sequence[str]) -> Decision:
        """Decide what is certain of a request while the facts of these names are unknown.

        Raises `NotReady` and `InvalidRequest`.
        """
        call = self._call(request)
        if not isinstance(call, Call):
            return _partially(call.answer(request))
        partial = PartialCall(call, unknown, Effort())
        partial.check_names((request,))
        return partial.decide(request)

    def filter(self, request: Request) -> Decision:
        """Decide on which resources of a type an action is allowed; see `Partial.filter`.

        Of the request's resource, only the type counts. Raises `NotReady` and `InvalidRequest`.
        """
        call = self._call(request)
        if not isinstance(call, Call):
            return _partially(call.answer(request))
        request = msgspec.structs.replace(request, resource_id="", attributes={})
        return PartialCall(call, _RESOURCE, Effort(), filtering=True).decide(request)

    def check_batch_partially(
        self, batch: BatchRequest, unknown: Sequence[str]
    ) -> list[Decision | InvalidRequest]:
        """Decide each question of a batch as `check_partially` does; else as `check_batch` does.

        A name is known if some item declares it.
        """
        call = self._call(batch)
        if not isinstance(call, Call):
            return [_partially(call.answer(item)) for item in batch.items]
        partial = PartialCall(call, unknown, Effort(), len(batch.items))
        partial.check_names(batch.items)
        results: list[Decision | InvalidRequest] = []
        for item in batch.items:
            try:
                results.append(partial.decide(item))
            except InvalidRequest as mistake:
                results.append(mistake.kept())
        return results

    def explain(self, request: Request) -> Explanation:
        """Decide as `check` does, and explain it. Raises `NotReady` and `InvalidRequest`."""
        call = self._call(request)
        if not isinstance(call, Call):
            return Explanation(decision=call.answer(request))
        effort = Effort()
        question = call.question(request, effort)
        decision = call.decide(question, request, effort)
        return explain(decision, call.protected.program.api, question, call.token, request, effort)

    def _call(self, asked: Request | BatchRequest) -> Call | Refused:
        """Read snapshot, clock and context, and verify the token, or return its refusal."""
        snapshot = self._snapshot
        if snapshot is None:
            raise NotReady
        now = self._clock()
        protected = snapshot.apis.get(asked.api)
        if protected is None:
            raise unknown_api(asked.api)
        api = protected.program
        access_token, context = asked.access_token, asked.context
        claim, trusted_until = asked.claim, self._trusted_until
        userinfo = _NO_USERINFO
        try:
            if claim is None or not isinstance(claim, Asserted):
                token = self._validator.verify(access_token, api.server, now, asked.proof)
            else:
                token, trusted_until = asserted_token(claim, api.server, floor(now)), None
            facts = api.token.read(token)
            if api.token.userinfo is not None:
                if not isinstance(claim, Asserted):
                    userinfo = self._validator.userinfo(token, access_token, now) or _NO_USERINFO
                facts += api.token.userinfo.read(userinfo, token)
        except TokenRefused as refusal:
            scheme = challenge.scheme(protected.protection, refusal.token, asked.proof)
            nonce = self._challenger.dpop_nonce(now) if scheme == "DPoP" else None
            return Refused(protected, now, scheme, nonce, userinfo, refusal.kept())
        if claim is not None and token.subject != claim.subject:
            raise another_subject(token)
        second = floor(now)
        until = second + self._max_age
        if token.expires_at < until:
            until = token.expires_at
        if trusted_until is not None:
            trusted = trusted_until(token)
            if trusted < until:
                until = floor(trusted)
        entries: Facts | None
        try:
            entries = api.context.read((), context)
        except FieldFault:
            entries = None  # what is wrong with it is said in its turn
        call = Call(protected, token, userinfo, facts, context, entries, now, second, until)
        return call if token.binding is None else self._bound(call, token.binding, now)

    def _bound(self, call: Call, binding: Binding, now: float) -> Call:
        """Return the call of a token that is bound to its sender: its proof is for one request."""
        nonce = self._challenger.dpop_nonce(now) if binding.method == "dpop" else None
        return msgspec.structs.replace(call, until=None, nonce=nonce or "")


def _partially(refused: Decision) -> Decision:
    """Say of a refused token that no fact of the question can change it."""
    return msgspec.structs.replace(refused, partial=Partial("deny"))
