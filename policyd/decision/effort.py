"""The budget of one call for explanations beyond allow or deny.

A decision takes time linear in the rules. The search for what a caller lacks takes many evaluations
with other facts of the token, and the search for a similar name takes many comparisons. A batch may
need either a thousand times, and all callers share one thread. So each call has a budget of a few
milliseconds. It is counted in steps and never in seconds: the same call gets the same answer on any
machine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Decision, Missing
from policyd.diagnostics.suggest import Suggestions

#: Steps for what is missing, some 50 ns each: tests of the rules, and scopes granted for a try.
SEARCH: Final = 300_000
#: Steps for suggestions, as `Suggestions` counts them, some 0.2 µs each.
SUGGESTIONS: Final = 25_000


class EffortSpent(Exception):
    """There is nothing left to go on searching with."""


class Effort:
    """The budget of one call, and what the call found out already. Not for several threads.

    `allowed` is the last decision to allow. `found` is what denies lack, by what tells them apart,
    and `None` where a call `asks_once`;
    `context_mistake` is what is wrong with the call's context, once that was looked at.
    """

    __slots__ = (
        "_budget",
        "_left",
        "_suggested",
        "_suggestions",
        "allowed",
        "context_mistake",
        "found",
    )

    def __init__(
        self, search: int = SEARCH, suggestions: int = SUGGESTIONS, *, asks_once: bool = False
    ) -> None:
        self._left = search
        self._suggestions: Suggestions | None = None  # made when one is needed: each deny is here
        self._budget = suggestions
        self._suggested: dict[tuple[str, Hashable], str | None] = {}
        self.found: dict[Hashable, Missing] | None = None if asks_once else {}
        self.allowed: Decision | None = None
        self.context_mistake: InvalidRequest | None = None

    def spend(self, steps: int) -> None:
        """Take steps from what is left. Raises `EffortSpent`, from then on for any number."""
        if self._left < steps:
            self._left = 0
            raise EffortSpent
        self._left -= steps

    def closest(self, word: str, names: Iterable[str], among: Hashable) -> str | None:
        """Return the name most like `word`; `None` where none is near or no budget is left.

        `among` tells which names these are: the same word among the same is looked for once.
        """
        key = (word, among)
        if key not in self._suggested:
            if self._suggestions is None:
                self._suggestions = Suggestions(self._budget)
            found = self._suggestions.closest(word, names)
            if self._suggestions.used_up:
                return None
            self._suggested[key] = found
        return self._suggested[key]

    @property
    def no_more_suggestions(self) -> bool:
        """Whether a search for a name was given up, and each further one is."""
        return self._suggestions is not None and self._suggestions.used_up
