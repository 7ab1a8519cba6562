"""What is answered in place of a decision that the decision log cannot take."""

from __future__ import annotations

from policyd.decision import challenge
from policyd.decision.model import Decision, Partial
from policyd.reasons import Reason

#: Seconds after which the caller may ask again.
_RETRY_AFTER = 1


def unrecorded(decision: Decision) -> Decision:
    """Return the deny that stands for a decision; it tells nothing of it."""
    reason = Reason.LOG_UNAVAILABLE
    return Decision(
        allowed=False,
        reason=reason,
        message=challenge.message(reason),
        api=decision.api,
        revision=decision.revision,
        time=decision.time,
        dpop_nonce=decision.dpop_nonce,
        http_status=503,
        retry_after=_RETRY_AFTER,
        partial=None if decision.partial is None else Partial("deny"),
    )
