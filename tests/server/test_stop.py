"""SIGTERM ends the daemon in time, whatever holds it up; over each transport."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from policyd.server.watchdog import FORCED
from tests.support.daemon import PATIENCE, Site

#: Runs the daemon with something in it that never ends.
PROGRAM = """
import threading, time
from policyd.pdp import policies
from policyd.server import watchdog
watchdog.MARGIN, watchdog._LAST_WORDS = 0.1, 5  # a loaded machine takes its time
forever = threading.Event().wait
def spin(*_):
    while True:
        pass
{spoil}
from policyd.cli.main import main
main()
"""
SPOILT = {
    "the decision log": "from policyd.audit import DecisionLog; DecisionLog.close = forever",
    "a watcher": "policies.PolicyService.stop = lambda self: forever()",
    "a loop in the main thread": "policies.PolicyService.stop = spin",
    "a thread that nobody ends": "threading.Thread(target=forever).start()",
    "a handler": (
        "from policyd.server.services.health import Health\n"
        "Health.become = lambda self, **_: spin() if not _['serving'] else None"
    ),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_what_hangs_is_ended(site: Site, spoil: str) -> None:
    site.configure("grace = 0")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(spoil=spoil), "serve", "--config", "policyd.toml"],
        cwd=site.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        while '"serving"' not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == FORCED, words
    assert "the daemon does not stop" in words
