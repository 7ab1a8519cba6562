"""The process that runs workers: which signals reach them when, and with what it ends.

The workers here are small programs in place of daemons, so that the order of things is ours.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import msgspec
import pytest

from policyd.config import Configuration, load_configuration
from policyd.server import workers
from tests.support.daemon import PATIENCE

#: A worker that starts, and has no handlers before a signal waits for it.
_STARTS = f"""\
import os, signal, sys, time
from policyd.server.signals import Signals
limit = time.monotonic() + {PATIENCE}
open("news", "w").write("it starts")
while not signal.sigpending():
    assert time.monotonic() < limit, "no signal came"
with Signals() as signals:
    open("news", "w").write(signals.wait({PATIENCE}) or "nothing")
"""
#: One that has lost its handlers, as a process has in its last moment.
_BARE = """\
import signal
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
open("bare", "w").write("it starts")
signal.pause()
"""
#: One that goes on to do something once the other starts.
_THEN = f"""\
import os, signal, sys, time
limit = time.monotonic() + {PATIENCE}
while not any(os.path.exists(name) and open(name).read() for name in ("news", "bare")):
    assert time.monotonic() < limit, "the other worker is not there"
"""


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "policyd.toml"
    path.write_text(
        '[policies]\npath = "policies"\n[server]\nlisten = ["127.0.0.1:0"]\ndrain = 0\n'
    )
    one = load_configuration(path, development=True)
    # The file could not say so, for port 0 cannot be shared; but nobody listens here.
    return msgspec.structs.replace(one, server=msgspec.structs.replace(one.server, workers=2))


def run(configuration: Configuration, *programs: str) -> tuple[int, str]:
    """Run workers; return the exit code, and what the one that starts has to tell."""
    code = workers.run(configuration, lambda number: [sys.executable, "-c", programs[number]])
    news = Path("news")
    return code, news.read_text() if news.exists() else ""


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize("then", ["", "sys.exit(7)"])
def test_the_first_failure_tells(configuration: Configuration, code: int, then: str) -> None:
    ended = run(configuration, f"{_THEN}sys.exit({code})", _STARTS + then)

    # The other is stopped while it starts, and that is held back until it can take it.
    assert ended == (code, "SIGTERM")


def test_a_worker_that_ends_by_the_signal_to_stop_is_no_failure(
    configuration: Configuration,
) -> None:
    assert run(configuration, f"{_THEN}sys.exit(1)", _BARE) == (1, "")
    asks = f"{_THEN}os.kill(os.getppid(), signal.SIGTERM)\n{_BARE}"
    assert run(configuration, asks, _BARE) == (0, "")


def test_a_worker_that_fails_when_it_is_stopped_tells(configuration: Configuration) -> None:
    asks = f"{_THEN}os.kill(os.getppid(), signal.SIGTERM)\n{_BARE}"

    assert run(configuration, asks, f"{_STARTS}sys.exit(7)") == (7, "SIGTERM")


def test_a_worker_that_starts_outlives_a_reload(configuration: Configuration) -> None:
    asks = f"{_THEN}os.kill(os.getppid(), signal.SIGHUP)\n{_BARE}"

    assert run(configuration, asks, f"{_STARTS}sys.exit(1)") == (1, "SIGHUP")


def test_this_process_holds_nothing_back_afterwards(configuration: Configuration) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    run(configuration, f"{_THEN}sys.exit(1)", _STARTS)

    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
