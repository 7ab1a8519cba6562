"""What comes after an answer that may not be there yet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from policyd.pdp.calls import DEFECT, CallFailed, Deferred, Deliver, start_deferred

_log = logging.getLogger(__name__)

FirstT = TypeVar("FirstT")
NextT = TypeVar("NextT")


def then(
    first: FirstT | Deferred[FirstT], go_on: Callable[[FirstT], NextT | Deferred[NextT]]
) -> NextT | Deferred[NextT]:
    """Return what `go_on` makes of an answer, at once or later.

    `go_on` may raise `CallFailed`. Later, whatever it raises ends the call all the same.
    """
    if not isinstance(first, Deferred):
        return go_on(first)
    deferred = first

    def begin(deliver: Deliver[NextT]) -> None:
        def hand_on(given: FirstT | CallFailed) -> None:
            if isinstance(given, CallFailed):
                deliver(given)
                return
            answer: NextT | Deferred[NextT] | CallFailed
            try:
                answer = go_on(given)
            except CallFailed as failed:
                answer = failed.kept()
            except Exception:
                _log.exception("a handler failed")
                answer = DEFECT
            if isinstance(answer, Deferred):
                start_deferred(answer, deliver)
            else:
                deliver(answer)

        start_deferred(deferred, hand_on)

    return Deferred(begin)
