"""This tree beside another one, such as an older commit: does what nobody uses cost anything?

`python -m bench.beside TREE [--json FILE]` measures both in turn, round by round, each in a process
of its own that imports the engine of its tree: whole checks, token included, in CPU time, of
policies that both can read. A check from bytes to bytes stands for P1 and P9, as no server is
asked; P4 is the engine, warm; and P5 are 10 and 10,000 rules on one action, asked over and over.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from bench.guard import batch_service, service
from bench.material import API, AUDIENCE, ROOT, Material
from bench.process import policies, validator
from bench.report import Figure, Row, at_most, command, interleaved, machine, ratio, results, show
from bench.report import write as write_results
from bench.servers import batches, requests
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load

TOKENS = 64
BATCH = 100
FEW, MANY = 10, 10_000
RULES_A_FILE = 8_000
HEAD = "api documents\n\n"
TEXT = f"""\
audience "{AUDIENCE}"
scope read:documents "Read documents"
claim org_id: string?
resource document {{
    actions read
}}
allow everyone: read on document
    when scope read:documents and OPEN
"""
RULE = "EFFECT r{0}: read on document\n    when scope read:documents and token.org_id == {1}\n"
#: What the token's `org_id` is.
OPERANDS: dict[str, dict[str, object]] = {
    "present": {"org_id": "org_1"},
    "absent": {},
    "ill-typed": {"org_id": ["org_1"]},
}

Measure = Callable[[], float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.add_argument("tree", type=Path, help="where the other tree is")
    parser.add_argument("--rounds", type=int, default=9, help="of each candidate, in turn")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return
    facts = machine()
    with ExitStack() as stack:
        here, there = (stack.enter_context(_worker(tree)) for tree in (ROOT, options.tree))
        names = _read(here)
        if _read(there) != names:
            raise RuntimeError("the two trees measure different things")
        found = interleaved(
            {f"{side} {name}": _asking(worker, name) for name in names
             for side, worker in (("here", here), ("there", there))},
            options.rounds,
            "us",
        )  # fmt: skip
    rows = [row for name in names for row in _rows(name, found)]
    measured = results(command("bench.beside", _without(options.tree)), facts, rows)
    show(measured, Console(width=140))
    if options.json:
        write_results(measured, options.json)


def _rows(name: str, found: dict[str, Figure]) -> Iterator[Row]:
    here, there = found[f"here {name}"], found[f"there {name}"]
    goal, _, what = name.partition(" ")
    yield Row(goal, f"{what}, beside the other tree: that one", None, there)
    yield Row(
        goal, f"{what}, beside the other tree: this / that", at_most(1.05), ratio(here, there)
    )


def _without(tree: Path) -> list[str]:
    """Return the arguments without where the other tree is, which concerns this machine alone."""
    return ["TREE" if argument == str(tree) else argument for argument in sys.argv[1:]]


@contextmanager
def _worker(tree: Path) -> Iterator[subprocess.Popen[str]]:
    """Run this file with the modules of a tree."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(tree)}
    # By its path, since the other tree may lack it; without the folder of its path.
    run = [sys.executable, "-P", str(Path(__file__)), "--work", str(tree)]
    with subprocess.Popen(
        run, cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _read(worker: subprocess.Popen[str]) -> list[str]:
    assert worker.stdout is not None
    return worker.stdout.readline().strip().split("\t")


def _asking(worker: subprocess.Popen[str], name: str) -> Measure:
    def ask() -> float:
        assert worker.stdin is not None
        print(name, file=worker.stdin, flush=True)
        (answer,) = _read(worker)
        return float(answer)

    return ask


# -- in the process of one tree --------------------------------------------------------------------


def work() -> None:
    """Say what there is to measure; then measure what is asked for, line by line."""
    candidates = _candidates(Material())
    gc.collect()
    gc.freeze()
    print("\t".join(candidates), flush=True)
    for line in sys.stdin:
        print(candidates[line.strip()](), flush=True)


def _candidates(material: Material) -> dict[str, Measure]:
    check = service(material.key_set)
    bodies = requests(material.new_tokens(0, TOKENS))
    warm = Engine(validator(material))
    warm.load(policies())
    questions = [
        Request(token, API, "read", "patient", "p1", {"sealed": False}, {"ip": "192.0.2.7"})
        for token in material.tokens[:TOKENS]
    ]
    found = {
        "P1 a warm check, bytes to bytes, without gRPC": _timed(lambda: [*map(check, bodies)]),
        f"P9 one of a batch of {BATCH}, bytes to bytes, its record encoded": _batched(material),
        "P4 Engine.check, warm, token included": _timed(lambda: [*map(warm.check, questions)]),
    }
    for effect in ("allow", "deny"):
        for count in (FEW, MANY):
            engine = _engine(material, effect, count)
            for operand, claims in OPERANDS.items():
                token = material.sign(0, scope="openid read:documents", **claims)
                found[f"P5 {effect}: {count:,} rules, operand {operand}"] = _repeated(
                    engine, Request(token, "documents", "read", "document"), effect, operand
                )
    return found


def _batched(material: Material) -> Measure:
    answer = batch_service(material.key_set)
    bodies = batches(material.tokens[:TOKENS], BATCH)

    def run() -> list[bytes]:
        answers = [answer(body) for body in bodies]
        return answers * BATCH

    return _timed(run)


def _repeated(engine: Engine, question: Request, effect: str, operand: str) -> Measure:
    decision = engine.check(question)
    granted = operand == "present" if effect == "allow" else False
    if decision.allowed is not granted:
        raise RuntimeError(f"the engine answers the benchmark's question with {decision.reason}")
    check = engine.check
    return _timed(lambda: [check(question) for _ in range(TOKENS)])


def _timed(run: Callable[[], Sequence[object]]) -> Measure:
    """Return what measures some checks again and again, in microseconds each."""

    def measure() -> float:
        count, begin = 0, time.process_time()
        while time.process_time() - begin < 0.1:
            count += len(run())
        return (time.process_time() - begin) / count * 1e6

    return measure


def _engine(material: Material, effect: str, count: int) -> Engine:
    """Load so many rules, and for denies one that allows, from text, as each tree reads it."""
    rules = [
        RULE.format(number, f'"org_{number}"').replace("EFFECT", effect) for number in range(count)
    ]
    parts = [rules[at : at + RULES_A_FILE] for at in range(0, count, RULES_A_FILE)]
    everyone = TEXT.replace(
        "OPEN", "token.client is present" if effect == "deny" else "token.client is missing"
    )
    files = [
        Source(f"{at}.policy", HEAD + "".join(part)) for at, part in enumerate([[everyone], *parts])
    ]
    loaded = load(files)
    if loaded.policies is None:
        raise RuntimeError(f"the policy does not load: {loaded.diagnostics[:3]}")
    engine = Engine(validator(material))
    engine.load(loaded.policies)
    return engine


if __name__ == "__main__":
    main()
