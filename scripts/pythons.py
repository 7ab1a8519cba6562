"""Run the suite on every CPython from 3.11 on that stands on this machine, a line for each.

`python -m scripts.pythons [--quick]`

They are looked for on PATH and among pyenv's versions; of each minor version the newest one is
taken. Each gets a virtual environment of its own from the lock below build/pythons/. What is found
and left out is said, with the reason. `--quick` runs a part of the suite without its slow tests, on
the newest Python alone. If that is the one that this runs with, it runs nothing: `make check` has.

It ends with 1 where a test failed, or an environment could not be made.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from scripts.matrix import read

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "pythons"
LOCK = ROOT / "requirements-dev.lock"
OLDEST = (3, 11)
#: What tells versions of Python apart soonest: certificates, JSON, texts, `ast`, and the examples.
QUICK = (
    "tests/security",
    "tests/conformance",
    "tests/golden",
    "tests/docs",
    "tests/unit/diagnostics",
    "tests/unit/language",
    "tests/unit/program",
    "tests/unit/tokens",
    "tests/server/test_http.py",
)
#: As `make test` has it: the tests of a file stay together, since they share daemons.
SPREAD = ("--numprocesses", "auto", "--maxprocesses", "8", "--dist", "loadfile")
LIMIT = 3600.0

_NAME = re.compile(r"python3(\.\d+)?t?")
_ASK = """
import importlib.util, json, platform, sys, sysconfig
lacks = [name for name in ("ensurepip", "venv") if importlib.util.find_spec(name) is None]
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps({"path": sys.executable, "version": sys.version_info[:3],
    "release": sys.version_info.releaselevel, "implementation": platform.python_implementation(),
    "lacks": lacks, "free_threaded": free, "virtual": sys.prefix != sys.base_prefix}))
"""


class Python(msgspec.Struct, frozen=True):
    """An interpreter, by what it says of itself."""

    path: str
    version: tuple[int, int, int]
    release: str = "final"
    implementation: str = "CPython"
    lacks: tuple[str, ...] = ()
    free_threaded: bool = False
    virtual: bool = False

    @property
    def name(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def minor(self) -> str:
        return ".".join(map(str, self.version[:2]))

    @property
    def unfit(self) -> str | None:
        """Why nothing is run on it, if so."""
        if self.implementation != "CPython":
            return f"it is {self.implementation}"
        if self.version[:2] < OLDEST:
            return f"it is older than {OLDEST[0]}.{OLDEST[1]}"
        if self.release != "final":
            return "it is no release yet"
        if self.free_threaded:
            return "it is built without the global lock, and grpcio has no wheels for that"
        if self.lacks:
            return f"it lacks {' and '.join(self.lacks)}"
        return "it is a virtual environment" if self.virtual else None


class Result(msgspec.Struct, frozen=True):
    """What one Python gave. `problem` says why its suite did not run at all."""

    passed: int = 0
    failed: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def sound(self) -> bool:
        return self.problem is None and not self.failed and self.passed > 0


def main() -> None:
    quick = sys.argv[1:] == ["--quick"]
    chosen = choose(_known(candidates()))
    if quick:
        chosen = newest(chosen)
    suite = ("-m", "not slow", *QUICK) if quick else ()
    results = [_measured(python, suite) for python in chosen]
    sys.exit(not all(result.sound for result in results))


def candidates() -> Iterator[Path]:
    """Yield what may be a Python: by its name on PATH, and among pyenv's versions.

    pyenv's shims stand for these versions, and most do not start outside its shells.
    """
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for folder in map(Path, os.get_exec_path()):
        if folder.is_dir() and folder != home / "shims":
            yield from sorted(one for one in folder.iterdir() if _NAME.fullmatch(one.name))
    yield from sorted(home.glob("versions/*/bin/python3"))


def _known(paths: Iterable[Path]) -> Iterator[Python]:
    """Ask each what it is. What does not start is said and left out."""
    for path in paths:
        try:
            said = subprocess.run(
                [path, "-c", _ASK], capture_output=True, timeout=60, check=True
            ).stdout
            yield msgspec.json.decode(said, type=Python)
        except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
            print(f"left out {path}: it does not start ({type(error).__name__})")


def choose(known: Iterable[Python]) -> list[Python]:
    """Return the newest of each minor version, in order; say what is left out."""
    best: dict[str, Python] = {}
    fit: dict[Path, Python] = {}
    for python in sorted(set(known), key=lambda one: (one.version, one.path)):
        if python.unfit is not None:
            if python.version[:2] >= OLDEST:
                print(f"left out {python.path}, {python.name}: {python.unfit}")
            continue
        fit.setdefault(Path(python.path).resolve(), python)
    for python in fit.values():
        other = best.get(python.minor)
        if other is not None:
            print(f"left out {other.path}, {other.name}: {python.path} is {python.name}")
        best[python.minor] = python
    return list(best.values())


def newest(chosen: Sequence[Python]) -> list[Python]:
    """Return the newest, none where that is the version that this runs with."""
    if chosen and chosen[-1].version[:2] > sys.version_info[:2]:
        return [chosen[-1]]
    here = ".".join(map(str, sys.version_info[:2]))
    print(f"no Python newer than {here} is here: nothing to add to what ran on that one")
    return []


def _measured(python: Python, suite: Sequence[str]) -> Result:
    began = time.monotonic()
    result = measure(python, suite)
    seconds = time.monotonic() - began
    if result.problem is not None:
        print(f"Python {python.name:8} {result.problem}")
    else:
        counts = f"{result.passed:5} passed {len(result.failed):3} failed"
        print(f"Python {python.name:8} {counts}  {seconds:4.0f} s", flush=True)
    for name in result.failed:
        print(f"    {name}")
    return result


def measure(python: Python, suite: Sequence[str]) -> Result:
    """Make the environment and run the suite in it. Its output goes to a log beside it."""
    folder = FOLDER / python.minor
    log = FOLDER / f"{python.minor}.log"
    report = FOLDER / f"{python.minor}.xml"
    FOLDER.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    try:
        with log.open("wb") as output:
            command = environment(python, folder, output.fileno())
            arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}")
            _run([command, *arguments, *SPREAD, *suite], output.fileno())
    except (OSError, subprocess.SubprocessError) as error:
        return Result(problem=f"{type(error).__name__}: see {log.relative_to(ROOT)}")
    if not report.exists():
        return Result(problem=f"pytest wrote no report: see {log.relative_to(ROOT)}")
    return Result(*read(report))


def environment(python: Python, folder: Path, output: int) -> Path:
    """Return the interpreter of a virtual environment that holds the lock. Kept while it does."""
    command = folder / "bin" / "python"
    ready = folder / ".ready"
    state = f"{python.path} {python.name} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}\n"
    if ready.exists() and ready.read_text() == state:
        return command
    shutil.rmtree(folder, ignore_errors=True)
    pip: list[str | Path] = [
        command,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    steps: tuple[list[str | Path], ...] = (
        [python.path, "-m", "venv", folder],
        [*pip, "--require-hashes", "-r", LOCK],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT],
    )
    for arguments in steps:
        if _run(arguments, output):
            raise subprocess.SubprocessError("the environment could not be made")
    ready.write_text(state)
    return command


def _run(arguments: Sequence[str | Path], output: int) -> int:
    return subprocess.run(
        arguments,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        timeout=LIMIT,
        check=False,
    ).returncode


if __name__ == "__main__":
    main()
