"""Large messages beside the loop: in which order they are answered, and what is dropped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from policyd.pdp.calls import CallFailed
from policyd.server.transport.aside import Aside
from tests.support.daemon import PATIENCE


class FakeCall:
    def __init__(self, connection: str) -> None:
        self._connection = connection.encode()

    def peer(self) -> bytes:
        return self._connection


@contextmanager
def aside() -> Iterator[Aside[bytes]]:
    made: Aside[bytes] = Aside()
    made.start()
    try:
        yield made
    finally:
        made.close()


def test_the_connection_that_had_least_time_is_next() -> None:
    told: list[bytes | CallFailed] = []
    begun, go_on, last = threading.Event(), threading.Event(), threading.Event()

    def first() -> bytes:
        begun.set()
        assert go_on.wait(PATIENCE)
        return b"a0"

    def tell(answer: bytes | CallFailed) -> None:
        told.append(answer)
        if len(told) == 5:
            last.set()

    with aside() as made:
        made.deferred(FakeCall("a"), first).begin(tell)
        assert begun.wait(PATIENCE)
        for answer in (b"a1", b"a2", b"a3", b"b1"):
            call = FakeCall(answer[:1].decode())
            made.deferred(call, partial(bytes, answer)).begin(tell)
        go_on.set()
        assert last.wait(PATIENCE)
    assert told == [b"a0", b"b1", b"a1", b"a2", b"a3"]


def test_what_is_dropped_is_not_answered() -> None:
    told: list[bytes | CallFailed] = []
    done = threading.Event()
    made: Aside[bytes] = Aside()
    dropped, kept = FakeCall("a"), FakeCall("a")
    made.deferred(dropped, lambda: b"dropped").begin(told.append)
    assert made.drop(dropped) is not None
    assert made.drop(dropped) is None
    assert made.drop(kept) is None

    def tell(answer: bytes | CallFailed) -> None:
        told.append(answer)
        done.set()

    made.deferred(kept, lambda: b"kept").begin(tell)
    made.start()
    assert done.wait(PATIENCE)
    made.close()
    assert told == [b"kept"]
