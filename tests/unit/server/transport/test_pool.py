"""The standard transport's threads: what is held up holds up nobody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from policyd.server.transport.pool import Pool
from tests.support.daemon import PATIENCE

THREADS = 2


@contextmanager
def started(most: int, idle: float = PATIENCE) -> Iterator[Pool]:
    pool = Pool(THREADS, most, idle)
    pool.start()
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def held_up(pool: Pool, number: int) -> Iterator[list[Future[bool]]]:
    """Submit so many calls that do not go on until the block ends."""
    go_on = threading.Event()
    futures = [pool.submit(go_on.wait, PATIENCE) for _ in range(number)]
    try:
        yield futures
    finally:
        go_on.set()


def test_a_call_gets_its_arguments_and_its_future_the_result() -> None:
    def answer(first: int, *, second: int) -> int:
        return first - second

    with started(THREADS) as pool:
        assert pool.submit(answer, 5, second=3).result(PATIENCE) == 2


def test_what_a_call_raises_is_its_futures_and_the_thread_goes_on() -> None:
    def fail() -> None:
        raise SystemExit(3)

    with started(THREADS) as pool:
        failed = [pool.submit(fail) for _ in range(THREADS)]
        for future in failed:
            assert isinstance(future.exception(PATIENCE), SystemExit)
        assert pool.submit(int, "7").result(PATIENCE) == 7


def test_a_cancelled_call_is_not_run() -> None:
    ran: list[int] = []
    with started(THREADS) as pool:
        with held_up(pool, THREADS):
            late = pool.submit(ran.append, 1)
            assert late.cancel()
        assert pool.submit(int).result(PATIENCE) == 0
    assert not ran


def test_calls_go_on_beside_many_that_are_held_up() -> None:
    with started(most=100) as pool, held_up(pool, 5 * THREADS) as waiting:
        assert pool.submit(int, "7").result(PATIENCE) == 7
        assert not any(future.done() for future in waiting)
        assert pool.threads > 5 * THREADS


def test_there_are_never_more_threads_than_allowed() -> None:
    with started(most=2 * THREADS + 1) as pool:
        with held_up(pool, 20) as waiting:
            while pool.threads < 2 * THREADS + 1:
                threading.Event().wait(0.01)
            late = pool.submit(int, "7")
            with pytest.raises(TimeoutError):
                late.result(0.3)  # several looks of the watch
            assert pool.threads == 2 * THREADS + 1
        assert late.result(PATIENCE) == 7
        assert all(future.result(PATIENCE) for future in waiting)


def test_threads_that_find_nothing_to_do_end() -> None:
    with started(most=100, idle=0.01) as pool:
        with held_up(pool, 3 * THREADS):
            assert pool.submit(int).result(PATIENCE) == 0
            assert pool.threads > THREADS
        limit = threading.Event()
        for _ in range(int(PATIENCE / 0.01)):
            if pool.threads == THREADS:
                break
            limit.wait(0.01)
        assert pool.threads == THREADS
        assert pool.submit(int).result(PATIENCE) == 0


def test_what_waits_when_it_closes_is_run_and_all_threads_end() -> None:
    before = set(threading.enumerate())
    with started(most=100) as pool:
        own = set(threading.enumerate()) - before
        assert len(own) == THREADS + 1
        futures = [pool.submit(int, str(number)) for number in range(50)]
    for thread in own:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert [future.result(0) for future in futures] == list(range(50))


def test_a_thread_that_cannot_be_started_is_not_the_last_try(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refused = threading.Event()
    start = threading.Thread.start

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name == "call-further" and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    with started(most=100) as pool, held_up(pool, THREADS):
        assert pool.submit(int, "7").result(PATIENCE) == 7
    assert refused.is_set()
    assert "calls are held up" in caplog.messages
