"""What a warm check is made of: the time of each stage, in place and hot.

`python -m bench.stages CONFIGURATION OUTPUT` is the real daemon with a clock around some of its
functions; the benchmark runs it under load, and with one call at a time. In place means there:
between two calls that come alone the kernel and gRPC have had the processor's caches, and what
takes one microsecond in a loop takes three. Hot is the same in a loop in one process. A stage's
time is its own, without that of the stages in it.

The clock is the thread's own, which stands while others run. What it costs is measured and taken
off, so small figures are rough. The stages are named by where they stand in the code; one that has
moved is reported and not timed.
"""

from __future__ import annotations

import atexit
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import ParamSpec

import msgspec

from bench.guard import service
from bench.load import run
from bench.material import ROOT, Material
from bench.report import Figure, Row
from bench.servers import (
    CHECK,
    Server,
    free_port,
    insist_on_allow,
    requests,
    started,
    until_serving,
)
from bench.transport import IN_FLIGHT
from policyd.cli.main import main as policyd

#: The stage that runs once a check, whatever else changes.
ONCE = "serve: identifier, log entry, trace context"
#: Name of a stage, and where the function stands that it is. Other stages may run inside.
STAGES: tuple[tuple[str, str, str], ...] = (
    ("take a call from gRPC", "policyd.server.transport.event", "_Loop._on_call"),
    ("take its message", "policyd.server.transport.event_call", "EventCall._on_request"),
    ("hand a batch to gRPC", "policyd.server.transport.event_call", "EventCall.batch"),
    ("end the call", "policyd.server.transport.event_call", "EventCall._on_end"),
    (ONCE, "policyd.server.services.authorization", "AuthorizationService.check"),
    ("read the request", "policyd.server.services.authorization", "check_request"),
    ("look up API and token, build the decision", "policyd.decision.engine", "Engine.check"),
    ("verify the token: cache", "policyd.tokens.validator", "Validator.verify"),
    ("verify the token: hash", "policyd.tokens.validator", "sha256"),
    ("verify the token: what time may have changed", "policyd.tokens.validator", "_verify_again"),
    ("find the plan, read attributes", "policyd.decision.call", "Call.question"),
    ("read the token's facts", "policyd.program.layout", "TokenLayout.read"),
    ("ask the rules", "policyd.program.index", "Plan.evaluate"),
    ("hand on the record", "policyd.audit.queue", "EntryQueue.append"),
    ("write the response", "policyd.server.services.authorization", "check_response"),
)
THREADS = {"calls": "the thread of the calls", "decision-log": "the thread of the decision log"}
NAMES = "threads.json"
BEGIN = "begin"


Arguments = ParamSpec("Arguments")


class Times(msgspec.Struct):
    """By stage: how often it ran, and nanoseconds. `missing` are those that were not found."""

    calls: dict[str, int]
    spent: dict[str, float]
    missing: list[str]


class Clock:
    """Puts clocks around functions. Of one thread at a time: the one that answers calls."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._spent: dict[str, float] = {}
        self._missing: list[str] = []
        self._inside: list[int] = []  # nanoseconds of the stages within each stage under way

    def install(self) -> None:
        for name, module, path in STAGES:
            if not self._wrap(name, module, path):
                self._missing.append(name)

    def reset(self) -> None:
        self._calls.clear()
        self._spent.clear()

    def times(self) -> Times:
        own = self._own_cost()
        spent = {
            name: nanoseconds - own * self._calls[name] for name, nanoseconds in self._spent.items()
        }
        return Times(dict(self._calls), spent, self._missing)

    def _wrap(self, name: str, module: str, path: str) -> bool:
        *owners, attribute = path.split(".")
        try:
            holder: object = import_module(module)
            for owner in owners:
                holder = getattr(holder, owner)
            function: object = getattr(holder, attribute)
        except (ImportError, AttributeError):
            return False
        assert callable(function)
        setattr(holder, attribute, self._timed(name, function))
        return True

    def _timed(
        self, name: str, function: Callable[Arguments, object]
    ) -> Callable[Arguments, object]:
        calls, spent, inside = self._calls, self._spent, self._inside
        clock = time.thread_time_ns

        @wraps(function)
        def timed(*arguments: Arguments.args, **named: Arguments.kwargs) -> object:
            inside.append(0)
            began = clock()
            try:
                return function(*arguments, **named)
            finally:
                whole = clock() - began
                within = inside.pop()
                if inside:
                    inside[-1] += whole
                spent[name] = spent.get(name, 0.0) + whole - within
                calls[name] = calls.get(name, 0) + 1

        return timed

    def _own_cost(self) -> float:
        """Return what one clock adds to the stage it is around, in nanoseconds."""
        other = Clock()
        nothing = other._timed("nothing", lambda: None)
        for _ in range(20_000):
            nothing()
        return other._spent["nothing"] / other._calls["nothing"]


def rows_of_stages(material: Material, calls: int) -> list[Row]:
    """Return a row a stage: microseconds in place, and hot in the note; then those of a call alone.

    The goal of these is `alone`: one call at a time is in flight, and finds the caches cold.
    """
    hot = _hot(material)
    busy = _rows("stages", material, calls, IN_FLIGHT, hot)
    return busy + _rows("alone", material, calls, 1, hot)


def _rows(goal: str, material: Material, calls: int, in_flight: int, hot: Times) -> list[Row]:
    cold, cpu = _in_place(material, calls, in_flight)
    rows = [
        Row(goal, f"event: {name}", None, _us(cold, name, calls), _note(hot, name))
        for name, _, _ in STAGES
        if name in cold.spent
    ]
    whole = sum(cold.spent.values()) / calls / 1000
    rows.append(Row(goal, "event: all of these", None, Figure((whole,), "us")))
    for thread, seconds in cpu.items():
        figure = Figure((seconds / calls * 1e6,), "us")
        rows.append(Row(goal, f"event: CPU a check, {thread}", None, figure))
    for name in cold.missing:
        rows.append(Row(goal, f"event: {name}", None, None, "it has moved"))
    return rows


def _us(times: Times, name: str, calls: int) -> Figure:
    return Figure((times.spent[name] / calls / 1000,), "us")


def _note(hot: Times, name: str) -> str:
    if name not in hot.spent:
        return ""
    return f"hot {hot.spent[name] / hot.calls[ONCE] / 1000:.1f} us"


def _in_place(material: Material, calls: int, in_flight: int) -> tuple[Times, dict[str, float]]:
    """Load the daemon; return the stages' times, and CPU seconds by thread."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        port = free_port()
        configuration = material.configuration(folder, port)
        output = folder / "times.json"
        command = [sys.executable, "-m", "bench.stages", str(configuration), str(output)]
        with started(command, port, folder, {"PYTHONPATH": str(ROOT)}) as server:
            until_serving(server)
            bodies = requests(material.tokens)
            insist_on_allow(server, bodies[0])
            run(server.address, CHECK, bodies, calls=calls // 4, in_flight=in_flight)
            (folder / BEGIN).touch()
            time.sleep(0.5)
            before = _cpu_by_thread(server)
            run(server.address, CHECK, bodies, calls=calls, in_flight=in_flight)
            time.sleep(0.2)  # the log is written a little later
            after = _cpu_by_thread(server)
        times = msgspec.json.decode(output.read_bytes(), type=Times)
        return times, {thread: after[thread] - before.get(thread, 0.0) for thread in after}


def _cpu_by_thread(server: Server) -> dict[str, float]:
    """Return CPU seconds of the threads that matter, and of all others together."""
    names = msgspec.json.decode((server.folder / NAMES).read_bytes(), type=dict[str, str])
    found: dict[str, float] = {}
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        name = names.get(task.name, "")
        seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        kind = THREADS.get(name, "all other threads, gRPC's above all")
        found[kind] = found.get(kind, 0.0) + seconds
    return found


def _hot(material: Material) -> Times:
    """Time the same stages in a loop, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "jwks.json").write_bytes(material.key_set)
        (folder / "bodies").write_bytes(msgspec.msgpack.encode(requests(material.tokens)))
        output = folder / "times.json"
        command = [sys.executable, "-m", "bench.stages", "--hot", str(output)]
        with started(command, 0, folder, {"PYTHONPATH": str(ROOT)}) as server:
            server.process.wait(timeout=120)
            if server.process.returncode:
                server.insist()
        return msgspec.json.decode(output.read_bytes(), type=Times)


# -- in the processes that are timed ---------------------------------------------------------------


def serve(configuration: str, output: Path) -> None:
    """Be the daemon, with clocks; write what they showed at the end."""
    clock = Clock()
    clock.install()
    threading.Thread(target=_begin, args=(clock, output.parent), daemon=True).start()
    atexit.register(lambda: output.write_bytes(msgspec.json.encode(clock.times())))
    sys.argv = ["policyd", "serve", "--config", configuration]
    policyd()


def _begin(clock: Clock, folder: Path) -> None:
    """Wait until the load is warm, then forget what was, and tell the threads' names."""
    # Not by a signal: the daemon hears them all.
    while not (folder / BEGIN).exists():
        time.sleep(0.02)
    clock.reset()
    names = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    (folder / NAMES).write_bytes(msgspec.json.encode(names))


def loop(folder: Path, output: Path) -> None:
    """Answer the same questions in a loop."""
    bodies = msgspec.msgpack.decode((folder / "bodies").read_bytes(), type=list[bytes])
    clock = Clock()
    clock.install()
    check = service((folder / "jwks.json").read_bytes())
    for count in range(6):
        if count == 1:
            clock.reset()
        for body in bodies:
            check(body)
    output.write_bytes(msgspec.json.encode(clock.times()))


def _main(arguments: Sequence[str]) -> None:
    first, output = arguments
    if first == "--hot":
        loop(Path(output).parent, Path(output))
    else:
        serve(first, Path(output))


if __name__ == "__main__":
    _main(sys.argv[1:])
