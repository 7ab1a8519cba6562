"""Runs the tests of a loading set in a separate process, so that no check waits for them.

Input: the files of policies and tests. Output: an exception if the set does not pass. The process
is `policyd test` on a copy of the files, at low priority and with a time limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from policyd.diagnostics import Source
from policyd.errors import PolicydError

#: The niceness of the process (setpriority(2)), and its time limit in seconds.
_NICE: Final = 15
_SECONDS: Final = 120.0
_PROGRAM: Final = f"import os; os.nice({_NICE}); from policyd.cli.main import main; main()"


class TestsFailed(PolicydError):
    """The tests of a set fail, or there are none. `places` lists the failures, one a line."""

    __test__ = False  # tells pytest that this is not a test

    def __init__(self, problem: str, places: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.places = tuple(places)


def run_tests(
    policies: Sequence[Source],
    tests: Sequence[Source],
    configuration: Path | None,
    seconds: float = _SECONDS,
) -> None:
    """Run the tests of a set, with the issuers of a `configuration`. Raises `TestsFailed`."""
    if not tests:
        raise TestsFailed(
            "`require_tests` is set, and there are no tests (`*_test.policy`) with the policies"
        )
    with TemporaryDirectory(prefix="policyd-tests-") as folder:
        _write(Path(folder), (*policies, *tests))
        done = _run(folder, configuration, seconds)
    if done.returncode:
        said = done.stdout.decode(errors="replace").splitlines()
        said = said or done.stderr.decode(errors="replace").splitlines()[-1:]
        first = said[0] if said else f"`policyd test` ended with {done.returncode}"
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        raise TestsFailed(f"the tests of the policies fail: {first}{more}", said)


def _write(folder: Path, sources: Sequence[Source]) -> None:
    for source in sources:
        path = folder / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.text.encode())


def _run(
    folder: str, configuration: Path | None, seconds: float
) -> subprocess.CompletedProcess[bytes]:
    # -P: nothing is imported from the folder, which holds untrusted files.
    command = [sys.executable, "-P", "-c", _PROGRAM, "test", ".", "--format", "concise"]
    if configuration is not None:
        command += ["--config", str(configuration.absolute())]
    try:
        return subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise TestsFailed(f"the tests of the policies took more than {seconds:g} s") from None
