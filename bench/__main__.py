"""Measure policyd beside its own limits: `python -m bench [GOAL ...] [--json FILE]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from bench.crowd import rows_of_batches, rows_of_protection, rows_of_spread, rows_of_workers
from bench.embedded import rows_of_embedded
from bench.fetches import rows_of_fetches
from bench.guard import rows_of_guard
from bench.h2load import rows_of_generators
from bench.lists import rows_of_lists
from bench.material import Material
from bench.memory import MANY, MILLION, rows_of_memory
from bench.process import rows_of_engine, rows_of_validation
from bench.proofs import rows_of_differences, rows_of_filters, rows_of_proofs
from bench.proving import rows_of_proving
from bench.records import rows_of_records
from bench.reload import rows_of_load
from bench.report import Finding, Row, command, machine, results, show, write
from bench.rules import rows_of_rules
from bench.servers import LOAD_CORE
from bench.stages import rows_of_stages
from bench.transport import rows_of_check, rows_of_start
from bench.vocabularies import rows_of_vocabularies

NOTE = (
    "1,000 tokens x 1,000 resources in rotation; the decision log goes to a file, metrics are on, "
    "and 100,000 tokens are revoked; rounds A B A B after a round to warm up; servers on one core, "
    "the load on the other. The constant answer is prepared bytes, from a handler that decodes the "
    "request."
)
GOALS = (
    "P1",
    "P3",
    "P4",
    "P5",
    "P6",
    "P6g",
    "P7",
    "P8",
    "P9",
    "P10",
    "P11",
    "P12",
    "P13",
    "P14",
    "half-open",
    "load",
    "stages",
    "guard",
    "records",
    "embedded",
)


def main() -> None:
    options = _options()
    # Ended from outside, it ends its servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    material = Material()
    facts = machine()
    rounds, calls = options.rounds, options.calls
    many = MILLION if options.million else MANY
    goals: dict[str, Callable[[], Sequence[Finding]]] = {
        "P1": lambda: rows_of_check(material, rounds, calls),
        "P3": lambda: rows_of_validation(material, rounds),
        "P4": lambda: rows_of_engine(material, rounds),
        "P5": lambda: [
            *rows_of_rules(material, rounds),
            *rows_of_vocabularies(rounds),
            *rows_of_lists(rounds),
        ],
        "P6": lambda: rows_of_load(material, rounds),
        "P6g": lambda: rows_of_fetches(material, rounds),
        "P7": lambda: rows_of_memory(material, many),
        "P8": lambda: rows_of_start(material, rounds),
        "P9": lambda: rows_of_batches(material, rounds, calls),
        "P10": lambda: [
            *rows_of_workers(material, rounds, calls),
            *rows_of_spread(material, rounds),
        ],
        "P11": lambda: rows_of_proofs(rounds),
        "P12": lambda: rows_of_differences(rounds),
        "P13": lambda: rows_of_filters(rounds),
        "P14": lambda: rows_of_proving(material, rounds),
        "half-open": lambda: rows_of_protection(material, rounds, calls),
        "load": lambda: rows_of_generators(material, rounds, calls),
        "stages": lambda: rows_of_stages(material, calls),
        "guard": rows_of_guard,
        "records": lambda: rows_of_records(material, rounds, calls),
        "embedded": lambda: rows_of_embedded(material, rounds, calls),
    }
    os.sched_setaffinity(0, LOAD_CORE)
    console = Console()
    console.width = max(console.width, 140)  # where there is no terminal to ask
    found: list[Finding] = []
    for goal in options.goals or GOALS:
        began = time.monotonic()
        try:
            with console.status(f"measuring {goal}"):
                found += goals[goal]()
        except Exception as error:
            # The other goals' minutes are not lost with it.
            traceback.print_exc()
            found.append(Row(goal, "the measurement failed", None, None, repr(error), failed=True))
        print(f"{goal} measured in {time.monotonic() - began:.0f} s", file=sys.stderr)
    measured = results(command("bench", sys.argv[1:]), facts, found)
    show(measured, console)
    console.print(NOTE, highlight=False, soft_wrap=True)
    if options.json:
        write(measured, options.json)
    sys.exit(any(row.failed and row.target is None for row in measured.rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("goals", nargs="*", metavar="GOAL", help=f"{', '.join(GOALS)}; or all")
    parser.add_argument("--rounds", type=int, default=5, help="of each candidate, in turn")
    parser.add_argument("--calls", type=int, default=20_000, help="in one round of a daemon")
    parser.add_argument("--million", action="store_true", help="a million distinct tokens for P7")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    if unknown := set(options.goals) - set(GOALS):
        parser.error(f"no such goal: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
