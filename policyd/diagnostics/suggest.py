"""The one helper for "did you mean".

Comparing names takes time, and the author of a text or a request decides how many names there are.
So the searches of one piece of work, such as a load or a call, share a `Suggestions` and its
budget. The budget is counted in steps, never in seconds: the same input gets the same suggestions
on any machine. When it is used up, findings have no suggestions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from policyd.diagnostics.visibility import twin

#: Steps for one piece of work, some 0.5 µs each.
BUDGET: Final = 1_000_000
#: Characters of a name; what is longer was not mistyped.
_LONGEST: Final = 100


class Suggestions:
    """Searches for names that were meant, all of them within one budget.

    A step is a candidate looked at or a pair of characters compared. Not for several threads.
    """

    __slots__ = ("_left",)

    def __init__(self, budget: int = BUDGET) -> None:
        self._left = budget

    @property
    def used_up(self) -> bool:
        """Whether a search was given up, and each further one is."""
        return self._left < 0

    def closest(self, word: str, candidates: Iterable[str]) -> str | None:
        """Return the candidate most like `word`; `None` when none is near or no budget left.

        Near means a Damerau-Levenshtein distance (optimal string alignment) of at most a third of
        the longer word's length, at least 1; letters that look alike are alike. Ties go to the
        smaller candidate by code point. The order of `candidates` decides how many steps the
        search takes, and nothing else.
        """
        if len(word) > _LONGEST:
            return None
        best: tuple[int, str] | None = None
        folded = twin(word).casefold()
        for candidate in candidates:
            self._left -= 1
            if self._left < 0:
                return None
            if candidate == word or len(candidate) > _LONGEST:
                continue
            limit = max(1, max(len(word), len(candidate)) // 3)
            if best is not None:
                limit = min(limit, best[0])
            if abs(len(word) - len(candidate)) > limit:
                continue
            distance = self._distance(folded, twin(candidate).casefold(), limit)
            if distance <= limit and (best is None or (distance, candidate) < best):
                best = (distance, candidate)
        return None if best is None or self._left < 0 else best[1]

    def _distance(self, a: str, b: str, limit: int) -> int:
        """Return the distance of two words, or a number above `limit` when it is greater.

        Only a band of the table is filled: a cell further than `limit` from its diagonal is worth
        more than `limit`. `far` stands for all of these.
        """
        far = limit + 1
        width = len(b) + 1
        before: list[int] = []
        previous = [min(j, far) for j in range(width)]
        for i, x in enumerate(a, 1):
            first, last = max(1, i - limit), min(len(b), i + limit)
            self._left -= max(1, last - first + 1)
            current = [far] * width
            current[0] = min(i, far)
            for j in range(first, last + 1):
                y = b[j - 1]
                cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (x != y))
                if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                    cost = min(cost, before[j - 2] + 1)
                current[j] = cost
            if min(current) > limit and min(previous) >= limit:
                return far  # each later row comes from these two
            before, previous = previous, current
        return previous[-1]


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Search once, within a budget of its own: for what happens once, such as a wrong command."""
    return Suggestions().closest(word, candidates)
