"""What a supervisor is told, and that nothing depends on it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from policyd.server.supervisor import NOBODY, Crew, Supervisor
from tests.support.daemon import PATIENCE
from tests.support.supervisors import Supervisors, abstract


@pytest.fixture(params=["path", "abstract"])
def hearing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Supervisors]:
    with Supervisors(tmp_path / "notify" if request.param == "path" else abstract()) as made:
        yield made


def test_each_state_is_told_in_lines(hearing: Supervisors) -> None:
    supervisor = Supervisor(hearing.address)
    supervisor.serving("serves at\n127.0.0.1:1")
    assert hearing.hear() == {"READY": "1", "STATUS": "serves at 127.0.0.1:1"}
    before = time.monotonic_ns() // 1000
    supervisor.reloading()
    told = hearing.hear()
    assert told["RELOADING"] == "1"
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    supervisor.saying("x" * 10_000)
    assert hearing.hear() == {"STATUS": "x" * 500}
    supervisor.stopping()
    assert hearing.hear() == {"STOPPING": "1", "STATUS": "stopping"}


def test_the_environment_names_it_once() -> None:
    def of(**environment: str) -> Supervisor:
        made = Supervisor.of(environment)
        assert not environment  # no program that this process starts tells it anything
        return made

    assert not of().is_there
    assert of(NOTIFY_SOCKET="/run/notify").is_there
    assert of(NOTIFY_SOCKET="/run/notify", WATCHDOG_USEC="3000000").watchdog == 3.0
    own = str(os.getpid())
    assert of(NOTIFY_SOCKET="/n", WATCHDOG_USEC="3000000", WATCHDOG_PID=own).watchdog == 3.0
    assert of(NOTIFY_SOCKET="/n", WATCHDOG_USEC="3000000", WATCHDOG_PID="1").watchdog == 0.0
    assert of(NOTIFY_SOCKET="/n", WATCHDOG_USEC="soon").watchdog == 0.0
    assert of(WATCHDOG_USEC="3000000").watchdog == 0.0


def test_one_that_is_gone_is_no_trouble_but_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor(str(tmp_path / "nobody"))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            supervisor.serving("serves")
        NOBODY.serving("serves")
    assert [one.message for one in caplog.records] == ["the supervisor cannot be told"]


def test_one_that_does_not_listen_is_not_waited_for(tmp_path: Path) -> None:
    with Supervisors(tmp_path / "notify") as hearing:
        supervisor = Supervisor(hearing.address)
        for _ in range(10_000):  # far more than a socket holds
            supervisor.alive()
        waiting = threading.Thread(target=supervisor.serving, args=("serves",))
        waiting.start()  # which is told once there is room
        assert hearing.wait_for(lambda told: "READY" in told)["STATUS"] == "serves"
        waiting.join(PATIENCE)


def test_signs_of_life_are_given_while_calls_are_answered(tmp_path: Path) -> None:
    with Supervisors(tmp_path / "notify") as hearing:
        supervisor = Supervisor(hearing.address, 0.02)
        with supervisor.watching(time.monotonic):
            for _ in range(3):
                assert hearing.hear() == {"WATCHDOG": "1"}
        supervisor.saying("over")
        hearing.wait_for(lambda told: told == {"STATUS": "over"})
        supervisor.saying("still over")
        assert hearing.hear() == {"STATUS": "still over"}


def test_there_is_none_while_no_call_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looked = iter(range(3))
    with Supervisors(tmp_path / "notify") as hearing:
        supervisor = Supervisor(hearing.address, 0.02)

        def turned() -> float:
            if next(looked, None) is None:
                supervisor.saying("looked three times")
                return time.monotonic()
            return time.monotonic() - 60

        with caplog.at_level(logging.ERROR), supervisor.watching(turned):
            assert hearing.hear() == {"WATCHDOG": "1"}  # at the start
            assert hearing.hear() == {"STATUS": "looked three times"}
        assert "no sign of life" in caplog.text


def test_nothing_is_watched_where_no_sign_is_due(tmp_path: Path) -> None:
    def never() -> float:
        raise AssertionError

    with Supervisors(tmp_path / "notify") as hearing:
        supervisor = Supervisor(hearing.address)
        with supervisor.watching(never):
            supervisor.saying("here")
        assert hearing.hear() == {"STATUS": "here"}


def tell(environment: dict[str, str], *lines: str) -> int:
    """Have another process tell its supervisor something; return the number of the process."""
    program = (
        "import os, socket, sys\n"
        "address = os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)\n"
        "sending = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "sending.sendto('\\n'.join(sys.argv[1:]).encode(), address)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, *lines], env=environment) as process:
        assert process.wait(30) == 0
    return process.pid


def test_workers_serve_once_all_of_them_do(tmp_path: Path) -> None:
    with Supervisors(tmp_path / "notify") as hearing:
        supervisor = Supervisor(hearing.address, 20.0)
        crew = Crew(supervisor, 30.0)
        environment = crew.environment()
        assert environment["WATCHDOG_USEC"] == "20000000"
        first = tell(environment, "READY=1", "STATUS=serves")
        second = tell(environment, "STATUS=waiting")
        crew.look([first, second])
        stranger = tell(environment, "READY=1")  # whoever it is, it is none of the workers
        crew.look([first, second])
        supervisor.saying("not yet")
        assert hearing.hear() == {"STATUS": "not yet"}

        crew.look([first])  # the other one died
        assert hearing.hear() == {"READY": "1", "STATUS": "1 workers serve"}
        assert hearing.hear() == {"WATCHDOG": "1"}
        crew.look([first, stranger])
        crew.reloading()
        assert hearing.hear()["RELOADING"] == "1"
        third = tell(environment, "READY=1")
        crew.look([third])
        assert hearing.hear()["READY"] == "1"
        crew.stopping()
        assert hearing.hear()["STOPPING"] == "1"


class Turns:
    """A crew that looks at its workers each tenth of a second of a clock of its own."""

    def __init__(self, patience: float, supervisor: Supervisor = NOBODY) -> None:
        self._now = 0.0
        self.crew = Crew(supervisor, patience, lambda: self._now)
        self.environment = self.crew.environment()

    def look(self, *workers: int, seconds: float = 0.0) -> int | None:
        """Look so long, or until one hangs; return that one."""
        until = self._now + seconds
        hangs = self.crew.look(workers)
        while hangs is None and self._now < until:
            self._now += 0.1
            hangs = self.crew.look(workers)
        return hangs

    def stand_still(self, seconds: float) -> None:
        self._now += seconds


class MakeTurns(Protocol):
    def __call__(self, patience: float, supervisor: Supervisor = NOBODY) -> Turns: ...


@pytest.fixture
def make_turns() -> Iterator[MakeTurns]:
    with ExitStack() as made:

        def make(patience: float, supervisor: Supervisor = NOBODY) -> Turns:
            turns = Turns(patience, supervisor)
            made.callback(turns.crew.stopping)
            return turns

        yield make


@contextmanager
def living(environment: dict[str, str], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Run so many processes that give a sign of life for each line that they get."""
    program = (
        "import os, socket, sys\n"
        "address = os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)\n"
        "sending = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "for line in sys.stdin:\n"
        "    sending.sendto(line.strip().encode(), address)\n"
        "    print('told', flush=True)\n"
    )
    with ExitStack() as running:
        yield [
            running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", program],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(count)
        ]


def say(process: subprocess.Popen[str], what: str = "WATCHDOG=1") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    print(what, file=process.stdin, flush=True)
    assert process.stdout.readline() == "told\n"


def test_a_worker_that_gives_no_sign_of_life_hangs(make_turns: MakeTurns) -> None:
    turns = make_turns(5.0)
    with living(turns.environment, 2) as (one, other):
        for process in (one, other):
            say(process)
        assert turns.look(one.pid, other.pid, seconds=3) is None
        say(other)
        assert turns.look(one.pid, other.pid, seconds=3) == one.pid
        assert turns.look(other.pid) is None


def test_one_is_replaced_at_a_time(make_turns: MakeTurns) -> None:
    turns = make_turns(5.0)
    with living(turns.environment, 3) as (one, other, new):
        for process in (one, other):
            say(process)
        assert turns.look(one.pid, other.pid, seconds=9) == one.pid
        # Both hang; but as long as no new process can start, it may be the machine that is busy.
        assert turns.look(new.pid, other.pid, seconds=20) is None
        say(new)
        assert turns.look(new.pid, other.pid) == other.pid


def test_one_that_never_starts_hangs_after_two_minutes(make_turns: MakeTurns) -> None:
    turns = make_turns(5.0)
    with living(turns.environment, 2) as (one, new):
        say(one)
        assert turns.look(one.pid, new.pid, seconds=119) is None
        assert turns.look(one.pid, new.pid, seconds=2) == new.pid


def test_a_machine_that_stood_still_accuses_nobody(make_turns: MakeTurns) -> None:
    turns = make_turns(5.0)
    with living(turns.environment, 1) as (one,):
        say(one)
        for _ in range(4):
            turns.look(one.pid)
            turns.stand_still(3600)
        assert turns.look(one.pid) is None


def test_a_new_worker_withholds_no_sign_of_life(tmp_path: Path, make_turns: MakeTurns) -> None:
    with Supervisors(tmp_path / "notify") as hearing:
        turns = make_turns(30.0, Supervisor(hearing.address, 10.0))
        assert turns.environment["WATCHDOG_USEC"] == "10000000"  # the shorter time of both
        with living(turns.environment, 2) as (one, new):
            say(one, "READY=1")
            turns.look(one.pid)
            assert hearing.hear() == {"READY": "1", "STATUS": "1 workers serve"}
            assert hearing.hear() == {"WATCHDOG": "1"}
            for _ in range(4):
                say(one)
                assert turns.look(one.pid, new.pid, seconds=5) is None
                assert hearing.hear() == {"WATCHDOG": "1"}
            turns.look(one.pid, new.pid, seconds=30)  # now the first hangs, and says nothing
            told = [one for one in hearing.heard() if one == {"WATCHDOG": "1"}]
            assert len(told) == 5
