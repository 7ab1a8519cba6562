"""Calls that wait to be begun: one of each connection in its turn, and who has most loses most."""

from __future__ import annotations

from collections import Counter

from policyd.server.transport.arrivals import LEFT, MOST, OF_STRANGERS, REMEMBERED, Arrivals

Call = tuple[bytes, int]


def filled(counts: dict[bytes, int]) -> tuple[Arrivals[Call], list[Call]]:
    """Return arrivals of so many calls of each connection, and the calls that were let go."""
    gone: list[Call] = []
    arrivals: Arrivals[Call] = Arrivals(gone.append)
    for connection, count in counts.items():
        for number in range(count):
            arrivals.add(connection, (connection, number))
    return arrivals, gone


def taken(arrivals: Arrivals[Call]) -> list[Call]:
    return [arrivals.take() for _ in range(len(arrivals))]


def test_each_connection_has_its_turn_and_its_calls_keep_their_order() -> None:
    arrivals, gone = filled({b"a": 3, b"b": 1, b"c": 2})
    order = [(b"a", 0), (b"b", 0), (b"c", 0), (b"a", 1), (b"c", 1), (b"a", 2)]
    assert taken(arrivals) == order
    assert not gone
    assert not len(arrivals)


def test_who_comes_behind_a_flood_waits_for_one_call_of_each_connection() -> None:
    arrivals, _ = filled({b"flood": 400, b"flood too": 400, b"other": 1})
    assert [arrivals.take() for _ in range(3)][-1] == (b"other", 0)


def test_as_many_as_may_wait_wait() -> None:
    arrivals, gone = filled({b"a": MOST})
    assert (len(arrivals), gone) == (MOST, [])


def test_of_too_many_the_connections_with_most_lose_their_oldest() -> None:
    arrivals, gone = filled({b"few": 3, b"a": 500, b"b": MOST - 502})
    assert LEFT - 3 < len(arrivals) <= LEFT  # less than one call of each goes needlessly
    left = Counter(connection for connection, _ in taken(arrivals))
    assert left[b"few"] == 3
    assert left[b"a"] == left[b"b"]
    assert gone[:2] == [(b"a", 0), (b"a", 1)]
    assert len(gone) + left.total() == MOST + 1


def test_of_more_connections_than_places_those_lose_whose_turn_came_first() -> None:
    arrivals, gone = filled({str(number).encode(): 1 for number in range(MOST + 1)})
    assert (len(gone), len(arrivals)) == (MOST + 1 - LEFT, LEFT)
    assert gone[0] == (b"0", 0)
    assert taken(arrivals)[-1] == (str(MOST).encode(), 0)


def test_known_connections_and_strangers_have_turns_alternately() -> None:
    arrivals: Arrivals[Call] = Arrivals(lambda _: None)
    for number in range(100):
        arrivals.add(b"stranger %d" % number, (b"stranger", number))
    arrivals.know(b"known")
    for number in range(2):
        arrivals.add(b"known", (b"known", number))
    order = [connection for connection, _ in taken(arrivals)]
    assert order[:5] == [b"known", b"stranger", b"known", b"stranger", b"stranger"]


def test_strangers_lose_their_calls_before_known_connections_do() -> None:
    gone: list[Call] = []
    arrivals: Arrivals[Call] = Arrivals(gone.append)
    arrivals.know(b"known")
    for number in range(32):
        arrivals.add(b"known", (b"known", number))
    for number in range(5 * MOST):
        arrivals.add(b"stranger %d" % number, (b"stranger", number))
    assert {connection for connection, _ in gone} == {b"stranger"}
    assert sum(connection == b"known" for connection, _ in taken(arrivals)) == 32


def test_known_connections_leave_strangers_a_share() -> None:
    gone: list[Call] = []
    arrivals: Arrivals[Call] = Arrivals(gone.append)
    arrivals.know(b"known")
    for number in range(OF_STRANGERS):
        arrivals.add(b"stranger %d" % number, (b"stranger", number))
    for number in range(5 * MOST):
        arrivals.add(b"known", (b"known", number))
    assert {connection for connection, _ in gone} == {b"known"}
    assert sum(connection == b"stranger" for connection, _ in taken(arrivals)) == OF_STRANGERS


def test_of_the_known_those_are_forgotten_that_were_unheard_longest() -> None:
    arrivals: Arrivals[Call] = Arrivals(lambda _: None)
    arrivals.know(b"first")
    arrivals.know(b"second")
    for number in range(REMEMBERED - 2):
        arrivals.know(b"later %d" % number)
    arrivals.know(b"first")
    arrivals.know(b"one more")
    arrivals.add(b"second", (b"second", 0))
    arrivals.add(b"first", (b"first", 0))
    assert [arrivals.take() for _ in range(2)] == [(b"first", 0), (b"second", 0)]


def test_room_is_made_among_known_connections_for_what_strangers_may_have() -> None:
    gone: list[Call] = []
    arrivals: Arrivals[Call] = Arrivals(gone.append)
    arrivals.know(b"known")
    strangers = {b"a": 3, b"b": 1}
    for connection, count in strangers.items():
        for number in range(count):
            arrivals.add(connection, (connection, number))
    while not gone:
        arrivals.add(b"known", (b"known", 0))
    assert len(arrivals) == LEFT
    left = Counter(connection for connection, _ in taken(arrivals))
    assert {one: left[one] for one in strangers} == strangers


def test_as_many_as_may_be_known_are_known() -> None:
    arrivals: Arrivals[Call] = Arrivals(lambda _: None)
    for number in range(REMEMBERED):
        arrivals.know(b"%d" % number)
    arrivals.add(b"stranger", (b"stranger", 0))
    arrivals.add(b"0", (b"0", 0))
    assert arrivals.take() == (b"0", 0)
