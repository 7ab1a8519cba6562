"""The queue's bounds: in records, and in bytes that entries keep alive."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from policyd.audit import Entry
from policyd.audit.queue import ENTRY_BYTES, LIGHT, EntryQueue
from tests.support.audit import entry


def weighing(name: str, weight: int) -> Entry:
    made = entry(name)
    return msgspec.structs.replace(
        made, details=msgspec.structs.replace(made.details, weight=weight)
    )


def as_given(entries: Sequence[Entry]) -> Sequence[Entry]:
    return entries


def heavy(queue: EntryQueue, *entries: Entry) -> None:
    queue.extend(entries, LIGHT * len(entries) + 1)


def taken(queue: EntryQueue, number: int = 1000) -> tuple[int, list[str]]:
    missing, entries = queue.take(number)
    return missing, [one.decision_id for one in entries]


def test_light_entries_are_charged_alike() -> None:
    queue = EntryQueue(100, 4 * ENTRY_BYTES, as_given)
    for n in range(6):
        queue.append(weighing(f"d-{n}", 0))
    assert queue.bytes == 4 * ENTRY_BYTES
    assert taken(queue) == (2, ["d-2", "d-3", "d-4", "d-5"])
    assert (queue.bytes, len(queue), queue.dropped) == (0, 0, 2)
    assert taken(queue) == (0, [])


def test_a_heavy_entry_makes_the_oldest_go() -> None:
    weight = 10 * ENTRY_BYTES
    queue = EntryQueue(100, weight + 3 * ENTRY_BYTES, as_given)
    for n in range(5):
        queue.append(weighing(f"d-{n}", 0))
    heavy(queue, weighing("heavy", weight))
    assert queue.bytes == weight + 3 * ENTRY_BYTES
    assert taken(queue, 1) == (3, ["d-3"])
    heavy(queue, weighing("heavy too", weight))
    assert taken(queue) == (2, ["heavy too"])
    assert queue.bytes == 0
    for n in range(13):
        queue.append(weighing(f"d-{n}", 0))
    assert (len(queue), queue.dropped) == (13, 5)


def test_the_newest_entry_stays_whatever_it_weighs() -> None:
    queue = EntryQueue(100, 1, as_given)
    queue.append(weighing("light", 0))
    heavy(queue, weighing("heavy", 10**9))
    assert taken(queue) == (1, ["heavy"])
    assert queue.bytes == 0


def test_the_entries_of_one_call_are_bounded_like_others() -> None:
    queue = EntryQueue(4, 10 * ENTRY_BYTES, as_given)
    queue.extend([], 10**6)
    queue.extend([weighing(f"d-{n}", 0) for n in range(6)], 6 * LIGHT)
    assert taken(queue) == (2, ["d-2", "d-3", "d-4", "d-5"])
    heavy(queue, *[weighing(f"d-{n}", 4 * ENTRY_BYTES) for n in range(4)])
    assert taken(queue) == (2, ["d-2", "d-3"])


def test_only_what_large_calls_left_is_lightened() -> None:
    seen: list[Sequence[Entry]] = []

    def lighten(entries: Sequence[Entry]) -> Sequence[Entry]:
        seen.append(entries)
        return [weighing(one.decision_id, 7) for one in entries]

    queue = EntryQueue(100, 100 * ENTRY_BYTES, lighten)
    queue.append(weighing("light", 0))
    queue.extend([entry("a"), entry("b")], 2 * LIGHT)
    assert seen == []
    heavy(queue, entry("c"), entry("d"))
    assert [[one.decision_id for one in entries] for entries in seen] == [["c", "d"]]
    assert queue.bytes == 5 * ENTRY_BYTES + 14
