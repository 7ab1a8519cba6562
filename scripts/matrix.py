"""Run the server's suite on several releases of grpcio, and say which transport each would get.

`python scripts/matrix.py [RELEASE ...]`

The event transport stands on a layer that is private to grpcio. Its releases of four years are
tried here, each in a throw-away virtual environment that holds that grpcio and nothing else, and
looks everything else up in the environment this runs in. pyproject.toml asks for a grpcio as new
as the generated code; older ones are tried because what holds for four years may hold for the next.

A release where tests fail is no failure of this program, as long as the self-test sends the daemon
to the standard transport there, and the tests of that one pass. It ends with 1 where they do not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "matrix"
SUITE = ("tests/server", "tests/unit/server")
#: It runs tools that look for everything in one folder, and calls nothing.
UNRELATED = "tests/server/test_contract.py"
#: About a release a year back to the first that had wheels for Python 3.11, and the installed one.
RELEASES = ("1.51.3", "1.60.2", "1.68.1", "1.76.0", "1.81.0")
LIMIT = 1800.0

CHOICE = """
import json, logging, sys, grpc
from policyd.server.transport.event import EventTransport
from policyd.server.transport.selftest import problem_of
print(json.dumps([grpc.__version__, problem_of(EventTransport)]))
"""


class Result(msgspec.Struct, frozen=True):
    """What one release gave. `problem` is the self-test's verdict on the event transport."""

    release: str
    problem: str | None
    passed: int
    failed: tuple[str, ...]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether what the daemon would serve over passes its tests."""
        if self.problem is None:
            return not self.failed
        return not [name for name in self.failed if "event" not in name]


def main() -> None:
    releases = sys.argv[1:] or [*RELEASES, version("grpcio")]
    results: list[Result] = []
    try:
        for release in releases:
            results.append(measure(release))
            print(_line(results[-1]), flush=True)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    for result in results:
        for name in result.failed:
            print(f"grpcio {result.release}: {name}")
    sys.exit(not all(result.sound for result in results))


def measure(release: str) -> Result:
    """Make the environment, ask the self-test, and run the suite."""
    python = environment(release)
    began = time.monotonic()
    said = _run(python, "-c", CHOICE)
    if said.returncode:
        return Result(release, said.stderr.strip().splitlines()[-1], 0, ("does not start",), 0)
    found, problem = json.loads(said.stdout)
    if found != release:
        raise RuntimeError(f"grpcio {found} was found in place of {release}")
    report = FOLDER / f"{release}.xml"
    try:
        options = [
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
            f"--deselect={UNRELATED}",
        ]
        _run(python, "-m", "pytest", *options, *SUITE)
    except subprocess.TimeoutExpired:
        return Result(release, problem, 0, (f"the suite took more than {LIMIT:.0f} s",), LIMIT)
    passed, failed = read(report)
    return Result(release, problem, passed, failed, time.monotonic() - began)


def environment(release: str) -> Path:
    """Return the interpreter of an environment with this grpcio."""
    folder = FOLDER / release
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    library = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*install, "--no-deps", "--only-binary=:all:", "--target", library, f"grpcio=={release}"],
        check=True,
    )
    # Everything else comes after it, from here.
    ours = sysconfig.get_path("purelib")
    (library / "everything_else.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    policyd = python.with_name("policyd")
    policyd.write_text(f"#!{python}\nfrom policyd.cli.main import main\nmain()\n")
    policyd.chmod(0o755)
    return python


def read(report: Path) -> tuple[int, tuple[str, ...]]:
    """Return how many tests passed, and the names of those that did not, of a JUnit report."""
    counts: Counter[str] = Counter()
    failed: list[str] = []
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" not in kinds:
            counts["passed"] += 1
    return counts["passed"], tuple(failed)


def _run(python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": "/nonexistent",
            "POLICYD_TRANSPORTS": "event,standard",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def _line(result: Result) -> str:
    chosen = "event" if result.problem is None else f"standard, because: {result.problem}"
    return (
        f"grpcio {result.release:8} {result.passed:4} passed {len(result.failed):3} failed"
        f"  {result.seconds:4.0f} s  the daemon serves over {chosen}"
    )


if __name__ == "__main__":
    main()
