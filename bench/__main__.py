"""Measure, and print a table: `python -m bench [P1 P3 P4 P5 P8] [--json FILE]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.material import Material
from bench.process import rows_of_engine, rows_of_validation
from bench.report import Row, as_json, machine, show
from bench.rules import rows_of_rules
from bench.transport import LOAD_CORE, SERVER_CORE, rows_of_check, rows_of_start

NOTE = (
    "1,000 tokens x 1,000 resources in rotation; the decision log goes to a file; rounds A B A B "
    "after a round to warm up. The constant answer is prepared bytes, from a handler that decodes "
    "the request."
)


def main() -> None:
    options = _options()
    # Ended from outside, it ends its servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    material = Material()
    facts = machine()
    if SERVER_CORE == LOAD_CORE:
        facts["note"] = "one core only: server and load share it"
    rounds, calls = options.rounds, options.calls
    goals: dict[str, Callable[[], list[Row]]] = {
        "P1": lambda: rows_of_check(material, rounds, calls),
        "P3": lambda: rows_of_validation(material, rounds),
        "P4": lambda: rows_of_engine(material, rounds),
        "P5": lambda: rows_of_rules(material, rounds),
        "P8": lambda: rows_of_start(material, rounds),
    }
    os.sched_setaffinity(0, LOAD_CORE)
    console = Console()
    console.width = max(console.width, 120)  # where there is no terminal to ask
    rows: list[Row] = []
    for goal in options.goals or goals:
        with console.status(f"measuring {goal}"):
            rows += goals[goal]()
    show(rows, facts, console)
    console.print(NOTE, highlight=False, soft_wrap=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(as_json(rows, facts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "goals", nargs="*", metavar="GOAL", help="P1, P3, P4, P5 or P8; default: all"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each candidate, in turn")
    parser.add_argument("--calls", type=int, default=20_000, help="in one round of P1")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    if unknown := set(options.goals) - {"P1", "P3", "P4", "P5", "P8"}:
        parser.error(f"no such goal: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
