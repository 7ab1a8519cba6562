"""A snapshot that is read in pieces, while entries come, others tidy up, and connections break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from policyd.sources.revocations.errors import ListMissing, RevocationsUnreadable
from policyd.sources.revocations.redis import START, Edition, RedisList
from policyd.sources.revocations.shared import SharedRevocations, create, publish, tidy
from policyd.sources.revocations.snapshot import SnapshotReading
from policyd.sources.revocations.status import SourceStatus
from policyd.sources.revocations.wire import EntryInvalid
from policyd.tokens.revocation.model import RevocationKind
from policyd.tokens.revocation.revocation_list import RevocationList
from tests.support.redis import RedisServer, redis_server, until
from tests.support.revocations import answer, revoked_token, seen
from tests.support.tokens import NOW, Clock

#: About one entry and a half, so that lines begin in one piece and end in the next.
PIECE = 140


def now() -> float:
    return NOW


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that keeps its data, with an empty list."""
    with redis_server(tmp_path) as running:
        create(running.settings)
        yield running


def write(server: RedisServer, *jtis: str, until: int = int(NOW) + 86_400) -> None:
    publish(server.settings, [revoked_token(jti, until=until) for jti in jtis], clock=now)


class Reader:
    """A reader of small pieces. Before each piece but the first it calls `between` with the number
    of pieces that it has read."""

    def __init__(
        self,
        server: RedisServer,
        between: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = now,
    ) -> None:
        self.revocations = RevocationList()
        self.pieces = 0
        self._settings = server.settings
        self._between = between
        self._shared = SharedRevocations(
            server.settings,
            SourceStatus(self.revocations, "Redis"),
            clock,
            uniform=self._pause,
            piece=PIECE,
        )

    def _pause(self, _least: float, _most: float) -> float:
        self.pieces += 1
        self._between(self.pieces)
        return 0.0

    def connect(self) -> None:
        """Read the list over a connection of its own."""
        with closing(RedisList(self._settings)) as source:
            self._shared.resume(source)

    def refused(self, jtis: set[str]) -> set[str]:
        return {jti for jti in jtis if answer(self.revocations, seen(jti)) == "TOKEN_REVOKED"}


def pieces_of(server: RedisServer) -> int:
    """Return how many pieces the snapshot has."""
    with closing(RedisList(server.settings)) as source:
        return -(-source.piece(0, 1).length // PIECE)


def asked_for_pieces(server: RedisServer) -> int:
    with server.client() as client:
        figures = client.info("commandstats").get("cmdstat_getrange", {"calls": 0})
    return int(figures["calls"])


def test_a_snapshot_in_pieces_is_the_whole_list(server: RedisServer) -> None:
    jtis = {str(number) for number in range(50)}
    write(server, *jtis)
    assert tidy(server.settings, now)
    reader = Reader(server)
    reader.connect()
    assert reader.refused(jtis) == jtis
    assert reader.revocations.figures().entries[RevocationKind.TOKEN] == 50
    assert reader.pieces == pieces_of(server) - 1 > 20


def test_a_list_that_is_half_read_is_not_believed(server: RedisServer) -> None:
    write(server, *map(str, range(50)))
    assert tidy(server.settings, now)

    def between(_pieces: int) -> None:
        assert not reader.revocations.figures().loaded
        assert answer(reader.revocations, seen("unknown")) == "REVOCATIONS_UNAVAILABLE"

    reader = Reader(server, between)
    reader.connect()
    assert answer(reader.revocations, seen("unknown")) == ""


def test_a_snapshot_that_is_replaced_half_way_is_read_from_its_start(server: RedisServer) -> None:
    """The new one is shorter than what was read of the old one."""
    write(server, *map(str, range(30)), until=int(NOW) - 1000)
    with closing(RedisList(server.settings)) as source:
        last = source.read(START).last
        before = source.read(START).edition
        assert last is not None
        text = b"\n".join(entry.line for entry in source.read(START).entries)
        assert source.compact(before, Edition(before.run, b"long", last), text)

    def between(pieces: int) -> None:
        if pieces == 10:
            write(server, "late")
            assert tidy(server.settings, now)

    reader = Reader(server, between)
    reader.connect()
    assert reader.refused({"late"}) == {"late"}
    assert reader.pieces == 10, "the new one is a single piece"
    assert reader.revocations.figures().loaded


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_between_pieces_the_list_is_right(server: RedisServer, seed: int) -> None:
    """Writers, tidying and lost connections: what was acknowledged is refused at the end."""
    random = Random(seed)
    written = {f"first-{number}" for number in range(25)}
    write(server, *written)
    assert tidy(server.settings, now)

    def between(pieces: int) -> None:
        if pieces > 200:  # an end to it
            return
        match random.choice(["nothing", "write", "write", "tidy", "break"]):
            case "write":
                jtis = {f"{pieces}-{number}" for number in range(random.randrange(4))}
                write(server, *jtis)
                written.update(jtis)
                write(server, f"ended-{pieces}", until=int(NOW) - 1000)
            case "tidy" if random.random() < 0.2:
                assert tidy(server.settings, now)
            case "break":
                with server.client() as client:
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            case _:
                pass

    reader = Reader(server, between)
    for _ in range(500):
        try:
            reader.connect()
        except RevocationsUnreadable:
            assert not reader.revocations.figures().loaded
        else:
            break
    assert reader.refused(written) == written
    assert reader.revocations.figures().loaded


def test_a_broken_connection_undoes_nothing(server: RedisServer) -> None:
    write(server, *map(str, range(50)))
    assert tidy(server.settings, now)

    def between(pieces: int) -> None:
        if pieces in (5, 10):
            server.restart()

    reader = Reader(server, between)
    for _ in range(2):
        with pytest.raises(RevocationsUnreadable):
            reader.connect()
    reader.connect()
    assert reader.pieces == pieces_of(server) - 1
    assert reader.refused({str(number) for number in range(50)}) == set(map(str, range(50)))


def test_a_list_that_is_lost_half_way_is_no_list(server: RedisServer) -> None:
    write(server, *map(str, range(50)))
    assert tidy(server.settings, now)

    def between(pieces: int) -> None:
        if pieces == 5:
            with server.client() as client:
                client.flushall()

    reader = Reader(server, between)
    with pytest.raises(ListMissing):
        reader.connect()
    assert answer(reader.revocations, seen("unknown")) == "REVOCATIONS_UNAVAILABLE"
    create(server.settings)
    write(server, "later")
    reader.connect()
    # What was read of the list that is gone stays in force.
    assert reader.refused({"0", "later"}) == {"0", "later"}


def test_a_line_that_is_not_understood_spoils_the_list_wherever_it_stands(
    server: RedisServer,
) -> None:
    write(server, *map(str, range(20)))
    assert tidy(server.settings, now)
    with server.client() as client:
        name = f"{{{server.settings.key}}}:snapshot"
        text = client.get(name)
        assert isinstance(text, bytes)
        lines = text.split(b"\n")
        client.set(name, b"\n".join([*lines[:5], b'{"device":"d"}', *lines[5:]]))
    reader = Reader(server)
    with pytest.raises(EntryInvalid, match="not understood"):
        reader.connect()
    assert not reader.revocations.figures().loaded


def test_who_was_current_does_not_read_what_it_saw_replaced(server: RedisServer) -> None:
    """A fleet that connects anew reads nothing twice."""
    write(server, *map(str, range(20)))
    reader = Reader(server)
    reader.connect()
    assert tidy(server.settings, now)
    write(server, "later")
    reader.connect()  # over a new connection: it reads that snapshot once
    assert reader.refused({"later"}) == {"later"}
    before = asked_for_pieces(server)
    reader.connect()
    assert asked_for_pieces(server) == before


def test_who_follows_does_not_read_what_it_saw_replaced(server: RedisServer) -> None:
    revocations = RevocationList()
    shared = SharedRevocations(server.settings, SourceStatus(revocations, "Redis"), now)
    with closing(RedisList(server.settings)) as source:
        shared.resume(source)
        write(server, "a", "b")
        shared.catch_up(source)
        assert tidy(server.settings, now)
        shared.catch_up(source)
    before = asked_for_pieces(server)
    with closing(RedisList(server.settings)) as source:
        write(server, "c")
        shared.resume(source)
    assert asked_for_pieces(server) == before
    assert [answer(revocations, seen(jti)) for jti in "abc"] == ["TOKEN_REVOKED"] * 3


def test_what_ended_by_a_clock_that_was_wrong_half_way_is_read_again(server: RedisServer) -> None:
    write(server, *map(str, range(20)))
    assert tidy(server.settings, now)
    clock = Clock()

    def between(pieces: int) -> None:
        if pieces in (2, 4):
            clock.move(86_400 * 365 if pieces == 2 else -86_400 * 365)

    reader = Reader(server, between, clock)
    with pytest.raises(RevocationsUnreadable, match="clock was set back"):
        reader.connect()
    assert not reader.revocations.figures().loaded
    reader.connect()
    assert reader.refused(set(map(str, range(20)))) == set(map(str, range(20)))


def test_a_snapshot_that_was_not_written_to_its_end_replaces_nothing(server: RedisServer) -> None:
    class Interrupted(RedisList):
        def _run(self, script: str, *arguments: bytes | int, more: Sequence[str] = ()) -> object:
            with server.client() as client:
                assert client.ttl(more[0]) > 0, "Redis drops what nobody finishes"
                client.append(more[0], "x")
            return super()._run(script, *arguments, more=more)

    write(server, "a")
    assert tidy(server.settings, now)
    with closing(Interrupted(server.settings)) as target:
        before = target.read(START).edition
        assert not target.compact(before, Edition(before.run, b"another", before.upto), b"")
        assert target.read(START).edition == before
    with server.client() as client:
        assert client.keys(f"*{server.settings.key}*another") == []
        assert client.ttl(f"{{{server.settings.key}}}:snapshot") == -1
    reader = Reader(server)
    reader.connect()
    assert reader.refused({"a"}) == {"a"}


def test_reading_tells_what_is_left(server: RedisServer) -> None:
    write(server, *map(str, range(20)))
    assert tidy(server.settings, now)
    left: list[int] = []
    reading = SnapshotReading(PIECE)
    with closing(RedisList(server.settings)) as source:
        while not reading.complete:
            reading.next(source)
            left.append(reading.left)
    assert left == list(reversed(range(pieces_of(server))))


def test_pauses_are_random_and_grow(tmp_path: Path) -> None:
    """Nobody listens. A fleet that lost its Redis does not return in step."""
    asked: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        asked.append((least, most))
        return 0.0

    with redis_server(tmp_path) as server:
        pass
    status = SourceStatus(RevocationList(), "Redis")
    shared = SharedRevocations(server.settings, status, now, uniform=uniform)
    shared.start()
    try:
        until(lambda: len(asked) > 7)
    finally:
        shared.stop()
    assert asked[:8] == [(0.0, most) for most in (0.5, 1, 2, 4, 8, 10, 10, 10)]


def test_a_snapshot_is_not_replaced_at_every_turn(server: RedisServer) -> None:
    """A slow reader would never come to its end; but a stream must not grow for ever."""

    def lengths(start: int, end: int) -> list[int]:
        found = []
        for number in range(start, end):
            entries = [revoked_token(str(number))]
            publish(server.settings, entries, compact_from=3, clock=now)
            with server.client() as client:
                found.append(client.xlen(server.settings.key))
        return found

    # The first snapshot, of an empty list, is as old as time.
    assert lengths(0, 2) == [2, 0]
    assert lengths(2, 33) == [*range(1, 30), 0, 1]


def test_the_first_piece_tells_over_which_time_the_rest_is_spread(server: RedisServer) -> None:
    """A busy Redis takes long for it; then a fleet does not read the rest in step."""
    write(server, *map(str, range(20)))
    assert tidy(server.settings, now)
    asked: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        asked.append((least, most))
        return 0.0

    status = SourceStatus(RevocationList(), "Redis")
    shared = SharedRevocations(server.settings, status, now, uniform=uniform, piece=PIECE)
    with closing(RedisList(server.settings)) as source:
        shared.resume(source)
    assert all(least == 0 for least, _ in asked)
    first, *others = (most for _, most in asked)
    assert 0 < first <= 10
    assert set(others) == {0.0}
