"""Whatever happens to Redis and the network: what was acknowledged is refused, and stays refused.

A schedule is random and comes from its seed: writers, tidying, crashes of Redis, cut wires, readers
that come and go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from policyd.sources.revocations import RedisSettings, RevocationSettings, open_revocations
from policyd.sources.revocations.errors import ListMissing, RevocationsUnwritable
from policyd.sources.revocations.shared import create, publish, tidy
from tests.support.redis import RedisServer, Wire, redis_server, until
from tests.support.revocations import answer, revoked_token, seen
from tests.support.tokens import NOW

SEEDS = range(60 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 3)
STEPS = 60


def now() -> float:
    return NOW


class Reader:
    """A reader with a wire of its own. `refused` is what it has refused so far."""

    def __init__(self, port: int) -> None:
        self.wire = Wire(port)
        self._sources = open_revocations(RevocationSettings(redis=self.wire.settings), now)
        self._sources.start()
        self.refused: set[str] = set()

    def stop(self) -> None:
        self._sources.stop()
        self.wire.close()

    def refuses(self, jti: str) -> bool:
        return answer(self._sources.revocations, seen(jti)) == "TOKEN_REVOKED"

    def refuses_all(self, jtis: set[str]) -> bool:
        return all(map(self.refuses, jtis))

    def look(self, jtis: set[str]) -> None:
        """Look what it refuses; what it refused before it still must."""
        now_refused = {jti for jti in jtis if self.refuses(jti)}
        assert self.refused <= now_refused
        self.refused = now_refused


class Fleet:
    """Everything that a step may touch."""

    def __init__(self, server: RedisServer, random: Random) -> None:
        self.server = server
        self.random = random
        self.readers = [Reader(server.port), Reader(server.port)]
        self.written: set[str] = set()
        self.acknowledged: set[str] = set()

    def write(self) -> None:
        batch = [f"{len(self.written)}-{n}" for n in range(self.random.choice([1, 1, 3, 30]))]
        self.written.update(batch)
        self._publish(self.server.settings, batch)

    def write_over_a_bad_wire(self) -> None:
        """The wire breaks before, while or after: nobody may know whether it was written."""
        wire = Wire(self.server.port)
        batch = [f"{len(self.written)}-bad"]
        self.written.update(batch)
        if self.random.random() < 0.5:
            wire.cut()
        self._publish(wire.settings, batch)
        wire.close()

    def _publish(self, settings: RedisSettings, batch: list[str]) -> None:
        try:
            publish(settings, [revoked_token(jti) for jti in batch], compact_from=40, clock=now)
        except (RevocationsUnwritable, ListMissing):
            return
        self.acknowledged.update(batch)

    def tidy(self) -> None:
        tidy(self.server.settings, now)

    def crash(self) -> None:
        self.server.restart(hard=True)

    def cut(self) -> None:
        self.random.choice(self.readers).wire.cut()

    def mend(self) -> None:
        self.random.choice(self.readers).wire.mend()

    def join(self) -> None:
        self.readers.append(Reader(self.server.port))

    def leave(self) -> None:
        if len(self.readers) > 1:
            self.readers.pop(self.random.randrange(len(self.readers))).stop()

    @property
    def steps(self) -> list[Callable[[], None]]:
        often = [self.write] * 8 + [self.mend] * 2 + [self.tidy, self.cut] * 2
        return [*often, self.write_over_a_bad_wire, self.crash, self.join, self.leave]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        create(running.settings)
        yield running


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost_or_lifted(server: RedisServer, seed: int) -> None:
    random = Random(seed)
    fleet = Fleet(server, random)
    try:
        for _ in range(STEPS):
            random.choice(fleet.steps)()
            for reader in fleet.readers:
                reader.look(fleet.written)
        for reader in fleet.readers:
            reader.wire.mend()
        fleet.join()
        assert fleet.acknowledged
        for reader in fleet.readers:
            until(partial(reader.refuses_all, fleet.acknowledged))
            reader.look(fleet.written)
    finally:
        for reader in fleet.readers:
            reader.stop()
