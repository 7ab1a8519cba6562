"""What a warm check costs in instructions, beside a committed baseline: no clock, so no noise.

`python -m bench.guard [--strict | --write | --functions]` counts what stands between the bytes of a
request and the bytes of its response, in process: processor instructions under valgrind's
callgrind, where it is installed, and everywhere the interpreter's own (bytecodes). Both are the
same from run to run within a fraction of a percent. With `--strict` it ends with 1 when either grew
by more than `TOLERANCE`; `--write` takes the figures of this interpreter into bench/baseline.json
instead; `--functions` tells which functions the bytecodes are of.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import msgspec

from bench.material import ISSUER, ROOT, Material
from bench.process import policies
from bench.report import Figure, Row, at_most
from bench.servers import requests
from policyd.audit import DecisionLog, Mask, Recorder
from policyd.decision.engine import Engine
from policyd.pdp.answering import Answering
from policyd.pdp.counters import DecisionCounter
from policyd.server.services.authorization import AuthorizationService
from policyd.tokens.keys.key_set import read_key_set
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import issuer_of
from policyd.tokens.validator import Validator

BASELINE = ROOT / "bench" / "baseline.json"
TOLERANCE = 1.10
TOKENS = 16
PASSES = 16
LIMIT = 300.0
#: Called by nobody else, and found by callgrind by its name: it marks where counting begins.
MARK = "getloadavg"

Counts = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make these figures the baseline")
    parser.add_argument("--functions", action="store_true", help="only tell where bytecodes go")
    parser.add_argument("--strict", action="store_true", help="fail when they grew by a tenth")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bytecodes", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, bytecodes=options.bytecodes)
        return
    if options.functions:
        print(functions())
        return
    found = measure()
    baselines = _baselines()
    baseline = baselines.get(_interpreter(), {})
    for name, count in found.items():
        print(_line(name, count, baseline))
    if options.write:
        baselines[_interpreter()] = {name: round(count) for name, count in found.items()}
        BASELINE.write_bytes(msgspec.json.format(msgspec.json.encode(baselines)) + b"\n")
        return
    grown = [n for n, count in found.items() if n in baseline and count > TOLERANCE * baseline[n]]
    if grown:
        print(f"a warm check costs more than it did: {', '.join(grown)}", file=sys.stderr)
    sys.exit(options.strict and bool(grown))


def rows_of_guard() -> list[Row]:
    """Return the counts, each beside its baseline."""
    baseline = _baselines().get(_interpreter(), {})
    rows = []
    for name, count in measure().items():
        what = f"a warm check, bytes to bytes: {name}"
        rows.append(Row("guard", what, None, Figure((count,), "")))
        if name in baseline:
            share = Figure((count / baseline[name],), "x")
            rows.append(Row("guard", f"{name} / baseline", at_most(TOLERANCE), share))
        else:
            why = f"bench/baseline.json has no {_interpreter()}"
            rows.append(Row("guard", f"{name} / baseline", at_most(TOLERANCE), None, why))
    return rows


def measure() -> Counts:
    """Count, in processes of their own."""
    with _worker() as (worker, folder):
        counted = msgspec.json.decode(_run([*worker, "--bytecodes"], folder), type=Counts)
        found: Counts = {"bytecodes": sum(counted.values())}
        valgrind = shutil.which("valgrind")
        if valgrind is not None:
            found["instructions"] = _under_callgrind(valgrind, worker, folder)
        return found


def functions() -> str:
    """Return the bytecodes of a warm check, a function a line, the most first."""
    with _worker() as (worker, folder):
        counted = msgspec.json.decode(_run([*worker, "--bytecodes"], folder), type=Counts)
    ranked = sorted(counted.items(), key=lambda item: -item[1])
    return "\n".join(f"{count:7.1f}  {name}" for name, count in ranked)


@contextmanager
def _worker() -> Iterator[tuple[list[str], Path]]:
    """Lay out what `work` needs; give its command and folder."""
    with tempfile.TemporaryDirectory(prefix="bench-guard-") as name:
        folder = Path(name)
        material = Material()
        (folder / "jwks.json").write_bytes(material.key_set)
        bodies = requests(material.new_tokens(0, TOKENS))
        (folder / "bodies").write_bytes(msgspec.msgpack.encode(bodies))
        yield [sys.executable, "-m", "bench.guard", "--work", name], folder


def _under_callgrind(valgrind: str, worker: list[str], folder: Path) -> float:
    # Each call of the mark begins a new part of the profile.
    output = f"--callgrind-out-file={folder / 'profile'}"
    _run([valgrind, "--tool=callgrind", f"--dump-before={MARK}", output, *worker], folder)
    parts = sorted(folder.glob("profile.*"), key=lambda path: int(path.suffix[1:]))
    totals = [_total(part) for part in parts]
    # Before the first mark the imports; then the passes that warm up; then those that count.
    return totals[2] / (PASSES * TOKENS)


def _total(part: Path) -> float:
    for line in part.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key in ("totals", "summary"):
            return float(value.split()[0])
    raise RuntimeError(f"{part.name} of the profile has no total")


def _run(command: list[str], folder: Path) -> str:
    # The order of sets and the layout of dictionaries follow the seed.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


# -- in the process that is counted ----------------------------------------------------------------


def work(folder: Path, *, bytecodes: bool) -> None:
    """Check, again and again; with `bytecodes` print how many of a check's each function takes."""
    bodies = msgspec.msgpack.decode((folder / "bodies").read_bytes(), type=list[bytes])
    check = service((folder / "jwks.json").read_bytes())

    def passes() -> None:
        for _ in range(PASSES):
            for body in bodies:
                check(body)

    passes()
    # As the daemon does. Else collections fall into what is counted, by where policyd is installed.
    gc.collect()
    gc.freeze()
    if bytecodes:
        counted = _bytecodes(lambda: [check(body) for body in bodies])
        each = {name: count / len(bodies) for name, count in counted.items()}
        print(msgspec.json.encode(each).decode())
        return
    os.getloadavg()
    passes()
    os.getloadavg()
    passes()
    os.getloadavg()


def service(key_set: bytes) -> Callable[[bytes], bytes]:
    """Return what answers a CheckRequest as the daemon does, its decision log unwritten."""
    check, call = _parts(key_set)[0].check, _Call()

    def answer(body: bytes) -> bytes:
        response = check(body, call)
        assert isinstance(response, bytes)
        return response

    return answer


def batch_service(key_set: bytes) -> Callable[[bytes], bytes]:
    """Return what answers a BatchCheckRequest as the daemon does, and encodes its records."""
    service, log = _parts(key_set)
    check, call = service.batch_check, _Call()

    def answer(body: bytes) -> bytes:
        response = check(body, call)
        assert isinstance(response, bytes)
        log.drain()
        return response

    return answer


def _parts(key_set: bytes) -> tuple[AuthorizationService, DecisionLog]:
    loaded = policies()
    recorder = Recorder(Mask(frozenset()))
    recorder.use(loaded)
    settings = IssuerSettings(issuer=ISSUER, dialect="auth0", jwks_file="jwks.json")
    keys = FixedKeys(read_key_set(key_set, settings.algorithms))
    engine = Engine(Validator([issuer_of(settings, keys)]))
    engine.load(loaded)
    log = DecisionLog(recorder, _Nowhere(), observe=DecisionCounter().observe)
    return AuthorizationService(Answering(engine, log)), log


class _Nowhere:
    problem: str | None = None

    def start(self) -> None:
        """Nothing runs."""

    def write(self, data: bytes) -> int:
        """Drop it."""
        return len(data)

    def settle(self) -> bool:
        """Nothing has to be kept."""
        return True

    def look(self) -> None:
        """Nowhere stays where it is."""

    def reopen(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


class _Call:
    """A call without metadata or deadline."""

    def metadata(self) -> Mapping[str, str | bytes]:
        return {}

    def caller(self) -> str:
        return "local"

    def time_remaining(self) -> float | None:
        return None


def _bytecodes(run: Callable[[], object]) -> Counter[str]:
    """Return the bytecodes that it takes, by function."""
    counted: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: object) -> object:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            code = frame.f_code
            counted[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += 1
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]  # typeshed's tracers return themselves
    try:
        run()
    finally:
        sys.settrace(None)
    return counted


def _interpreter() -> str:
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{platform.python_implementation()} {version} {platform.machine()}"


def _baselines() -> dict[str, Counts]:
    return msgspec.json.decode(BASELINE.read_bytes(), type=dict[str, Counts])


def _line(name: str, count: float, baseline: Counts) -> str:
    line = f"a warm check, bytes to bytes: {count:,.0f} {name}"
    if name not in baseline:
        return f"{line}; no baseline for {_interpreter()}"
    return f"{line}, {count / baseline[name] - 1:+.1%} of the baseline's {baseline[name]:,.0f}"


if __name__ == "__main__":
    main()
