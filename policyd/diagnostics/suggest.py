"""The one helper for "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `word`, or `None` when nothing is near.

    Near means a Damerau-Levenshtein distance (optimal string alignment) of at most a third of the
    longer word's length, at least 1. Ties go to the smaller candidate by code point, so that the
    answer does not depend on order.
    """
    if len(word) > 100:
        return None
    best: tuple[int, str] | None = None
    folded = word.casefold()
    for candidate in candidates:
        if candidate == word or len(candidate) > 100:
            continue
        limit = max(1, max(len(word), len(candidate)) // 3)
        if abs(len(word) - len(candidate)) > limit:
            continue
        distance = _distance(folded, candidate.casefold())
        if distance <= limit and (best is None or (distance, candidate) < best):
            best = (distance, candidate)
    return None if best is None else best[1]


def _distance(a: str, b: str) -> int:
    before: list[int] = []
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return previous[-1]
