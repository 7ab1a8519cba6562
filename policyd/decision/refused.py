"""A call whose token was refused: what its questions are answered.

The refusal is the same for all of them; the challenge names the scopes that a token needs for what
each of them asks.
"""

from __future__ import annotations

from collections.abc import Mapping

from policyd.decision import challenge
from policyd.decision.challenge import Scheme
from policyd.decision.model import Decision
from policyd.decision.request import Item
from policyd.decision.snapshot import ProtectedApi
from policyd.decision.wanted import wanted_scopes
from policyd.json_types import Json
from policyd.reasons import Reason
from policyd.tokens.refusals import TokenRefused


class Refused:
    """A refused token, at an API. `now` is the engine's clock, `scheme` is how the token was
    presented, `nonce` what the sender's next DPoP proof needs, and `userinfo` what the issuer told
    of the subject."""

    __slots__ = ("_answers", "_nonce", "_now", "_protected", "_refusal", "_scheme", "_userinfo")

    def __init__(
        self,
        protected: ProtectedApi,
        now: float,
        scheme: Scheme,
        nonce: str | None,
        userinfo: Mapping[str, Json],
        refusal: TokenRefused,
    ) -> None:
        self._protected = protected
        self._now = now
        self._userinfo = userinfo
        self._scheme = scheme
        self._nonce = nonce
        self._refusal = refusal
        self._answers: dict[tuple[str, ...], Decision] = {}

    def answer(self, item: Item) -> Decision:
        """Return the answer to one question; questions that need the same scopes share one."""
        scopes = self._scopes(item)
        known = self._answers.get(scopes)
        if known is None:
            known = self._answers[scopes] = self._answer(scopes)
        return known

    def _scopes(self, item: Item) -> tuple[str, ...]:
        """Return which scopes a token needs for a question, none for one that nobody declares."""
        program = self._protected.program
        resource = program.resources.get(item.resource_type)
        plan = None if resource is None else resource.plans.get(item.action)
        return () if plan is None else wanted_scopes(program.api, item.resource_type, plan)

    def _answer(self, scopes: tuple[str, ...]) -> Decision:
        """Answer. The message does not depend on the failed check; `detail` does."""
        refusal, protected = self._refusal, self._protected
        reason, error = Reason(refusal.reason), refusal.error_code
        answer = challenge.for_token(
            protected.protection, reason, refusal.retry_after, self._scheme, error, scopes
        )
        return Decision(
            allowed=False,
            reason=reason,
            message=challenge.message(reason, error),
            api=protected.name,
            revision=protected.revision,
            commit=protected.commit,
            time=self._now,
            http_status=answer.status,
            www_authenticate=answer.www_authenticate,
            retry_after=answer.retry_after,
            dpop_nonce=self._nonce or "",
            token=refusal.token,
            userinfo=self._userinfo,
            detail=str(refusal),
            marked_detail=refusal.marked_detail,
            unverified_issuer=refusal.unverified_issuer,
            unverified_key_id=refusal.unverified_key_id,
        )
