"""What a supervisor is told, and that nothing depends on it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

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
        crew = Crew(supervisor)
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


def test_workers_without_a_supervisor_tell_nobody() -> None:
    crew = Crew(NOBODY)
    assert crew.environment() == {}
    crew.look([1])
    crew.reloading()
    crew.stopping()
