"""What a benchmark says: figures of interleaved rounds, targets and verdicts, a table and JSON."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import statistics
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

LIBRARIES = ("grpcio", "protobuf", "cryptography", "PyJWT", "msgspec")

#: Where CPython's build keeps its flags, and those of a build that used a profile.
_FLAGS = (
    "CONFIG_ARGS",
    "CFLAGS",
    "CFLAGS_NODIST",
    "PY_CFLAGS",
    "PY_CFLAGS_NODIST",
    "PY_CORE_CFLAGS",
)
_PROFILED = {"--enable-optimizations", "-fprofile-use", "-fprofile-instr-use"}

Verdict = Literal["met", "missed", "not measured", ""]


class Figure(msgspec.Struct, frozen=True):
    """The rounds of one quantity, in one unit."""

    rounds: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        if len(self.rounds) == 1:
            return f"{short(self.median)} {self.unit}"
        low, high = min(self.rounds), max(self.rounds)
        return f"{short(self.median)} {self.unit} ({short(low)}-{short(high)})"


class Target(msgspec.Struct, frozen=True):
    """A bound on the median."""

    relation: Literal["<=", ">="]
    bound: float
    unit: str

    def met_by(self, figure: Figure) -> bool:
        if figure.unit != self.unit:
            raise ValueError(f"a figure in {figure.unit} has a target in {self.unit}")
        median = figure.median
        return median <= self.bound if self.relation == "<=" else median >= self.bound

    def __str__(self) -> str:
        return f"{self.relation} {short(self.bound)} {self.unit}"


def at_most(bound: float, unit: str = "x") -> Target:
    return Target("<=", bound, unit)


def at_least(bound: float, unit: str = "x") -> Target:
    return Target(">=", bound, unit)


class Row(msgspec.Struct, frozen=True):
    """One line of the table: a goal, what was measured, and what it should be.

    `measured` is `None` where it could not be, and `note` says why; elsewhere `note` may say what
    the figure does not. `failed` means that there is no figure because the target is missed by far.
    """

    goal: str
    what: str
    target: Target | None
    measured: Figure | None
    note: str = ""
    failed: bool = False

    @property
    def verdict(self) -> Verdict:
        if self.failed:
            return "missed"
        if self.measured is None:
            return "not measured"
        if self.target is None:
            return ""
        return "met" if self.target.met_by(self.measured) else "missed"


class Curve(msgspec.Struct, frozen=True):
    """Points of one line of a plot. `plot` names the plot, `name` the line."""

    plot: str
    name: str
    points: tuple[tuple[float, float], ...]


class Results(msgspec.Struct, frozen=True):
    """One run. `date` is a day, in UTC."""

    date: str
    command: str
    machine: dict[str, str]
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]


Finding = Row | Curve


def ratio(numerator: Figure, denominator: Figure) -> Figure:
    """Return the rounds' quotients, round by round, so that a slow minute slows both."""
    pairs = zip(numerator.rounds, denominator.rounds, strict=True)
    return Figure(tuple(a / b for a, b in pairs), "x")


def difference(minuend: Figure, subtrahend: Figure) -> Figure:
    """Return the rounds' differences, round by round."""
    pairs = zip(minuend.rounds, subtrahend.rounds, strict=True)
    return Figure(tuple(a - b for a, b in pairs), minuend.unit)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def interleaved(
    candidates: Mapping[str, Callable[[], float]], rounds: int, unit: str
) -> dict[str, Figure]:
    """Measure all candidates in turn, A B A B, after one round each to warm up."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, measure in candidates.items():
            value = measure()
            if number:
                found[name].append(value)
    return {name: Figure(tuple(values), unit) for name, values in found.items()}


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    facts = {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()} ({platform.python_compiler()}, "
        f"{optimisation(sysconfig.get_config_vars())})",
        **{library: version(library) for library in LIBRARIES},
    }
    if len(os.sched_getaffinity(0)) == 1:
        facts["note"] = "one core only: server and load share it"
    return facts


def optimisation(build: Mapping[str, object]) -> str:
    """Return what CPython's build variables (`sysconfig`) tell of profile-guided optimisation.

    They never tell that there was none: distributions run `make profile-opt`, which leaves no
    trace in them. `PGO_PROF_USE_FLAG` says what such a build would use, and not that it was one.
    """
    flags = (build.get(name) for name in _FLAGS)
    words = {word for one in flags if isinstance(one, str) for word in shlex.split(one)}
    known = any(word.split("=")[0] in _PROFILED for word in words)
    return f"profile-guided optimisation{'' if known else ' unknown'}"


def command(module: str, arguments: Sequence[str]) -> str:
    """Return what was run, without where its results go, which concerns this machine alone."""
    words = list(arguments)
    if "--json" in words:
        at = words.index("--json")
        del words[at : at + 2]
    return shlex.join(["python", "-m", module, *words])


def results(command: str, facts: dict[str, str], findings: Sequence[Finding]) -> Results:
    return Results(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=command,
        machine=facts,
        rows=tuple(found for found in findings if isinstance(found, Row)),
        curves=tuple(found for found in findings if isinstance(found, Curve)),
    )


def show(found: Results, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("goal", "what", "target", "measured: median (min-max)", "verdict"):
        table.add_column(title, overflow="fold")
    style = {"met": "green", "missed": "red", "not measured": "yellow", "": ""}
    for row in found.rows:
        verdict = row.verdict
        measured = " ".join(filter(None, [str(row.measured or ""), row.note]))
        table.add_row(
            row.goal, row.what, str(row.target or ""), measured, verdict, style=style[verdict]
        )
    console.print(table)
    console.print()
    facts = " · ".join(f"{name} {fact}" for name, fact in found.machine.items())
    console.print(facts, soft_wrap=True, highlight=False)


def write(found: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")


def read(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


def short(value: float) -> str:
    """Return a number in three digits, or whole where it is large."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
