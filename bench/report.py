"""What a benchmark says: figures of interleaved rounds, the machine, a table and JSON."""

from __future__ import annotations

import os
import platform
import statistics
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

LIBRARIES = ("grpcio", "protobuf", "cryptography", "PyJWT", "msgspec")


class Figure(msgspec.Struct, frozen=True):
    """The rounds of one quantity, in one unit."""

    rounds: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def __str__(self) -> str:
        low, high = min(self.rounds), max(self.rounds)
        return f"{_short(self.median)} {self.unit} ({_short(low)}-{_short(high)})"


class Row(msgspec.Struct, frozen=True):
    """One line of the table: a goal, what was measured, and what it should be.

    `measured` is `None` where a peer is not installed.
    """

    goal: str
    what: str
    target: str
    measured: Figure | None


def ratio(numerator: Figure, denominator: Figure) -> Figure:
    """Return the rounds' quotients, round by round, so that a slow minute slows both."""
    pairs = zip(numerator.rounds, denominator.rounds, strict=True)
    return Figure(tuple(a / b for a, b in pairs), "x")


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
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()} ({platform.python_compiler()}, "
        f"{'with' if optimised else 'without'} profile-guided optimisation)",
        **{library: version(library) for library in LIBRARIES},
    }


def show(rows: Sequence[Row], facts: Mapping[str, str], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("goal", "what", "target", "measured: median (min-max)"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(row.goal, row.what, row.target, str(row.measured or "-"))
    console.print(table)
    console.print()
    console.print(" · ".join(f"{name} {fact}" for name, fact in facts.items()), soft_wrap=True)


def as_json(rows: Sequence[Row], facts: Mapping[str, str]) -> bytes:
    document = {
        "machine": facts,
        "rows": [
            {**msgspec.to_builtins(row), "median": row.measured and row.measured.median}
            for row in rows
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
