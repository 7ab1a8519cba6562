"""Prove that the tests notice: break the code in one place at a time, and see a test fail.

Input: `scripts/mutants.toml`, which names what to break, how, and the tests that must notice;
and which mutants are equivalent to the original, each with its reason. Output: a line for each
mutant that no test killed, and a summary; exit code 1 when one survived or an equivalent is no
longer there, 2 when the tests fail without any mutation.

With `--sample N`, at most N mutants of each target are tested, chosen by `--seed`: enough to see
whether the tests of a large module notice, in minutes.

Each worker owns a copy of the tree, so the work tree is never touched. `mutations` says what can be
broken.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import msgspec

from scripts.mutations import Mutant, Target, mutants

ROOT = Path(__file__).resolve().parent.parent
PLAN = ROOT / "scripts" / "mutants.toml"
COPIED = ("policyd", "tests", "policies", "proto", "docs", "scripts", "pyproject.toml")
TIMEOUT = 300  # seconds


class Equivalent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mutant that means the same as the original, and why."""

    module: str
    name: str
    change: str
    reason: str


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    target: tuple[Target, ...]
    equivalent: tuple[Equivalent, ...] = ()


class Worker:
    """A copy of the tree in which one mutant at a time is tested."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self.output = ""
        for name in COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            elif (ROOT / name).exists():
                shutil.copy(ROOT / name, folder / name)

    def passes(self, tests: tuple[str, ...]) -> bool:
        """Run the tests, and tell whether all pass. A run without end is one that fails."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-m", "not slow", *tests]
        # An empty value lets compiled code be kept: most modules are the same each time.
        environment = os.environ | {"HYPOTHESIS_PROFILE": "mutants", "PYTHONDONTWRITEBYTECODE": ""}
        try:
            done = subprocess.run(
                command,
                cwd=self._root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        self.output = done.stdout
        if done.returncode not in {0, 1, 2}:
            sys.exit(f"pytest could not run {' '.join(tests)}:\n{self.output}")
        return done.returncode == 0

    def survives(self, mutant: Mutant) -> bool:
        """Put the mutant in place of its module, and tell whether all tests still pass."""
        path = self._root / mutant.target.module
        original = path.read_text(encoding="utf-8")
        try:
            self._write(path, mutant.text)
            return self.passes(mutant.target.tests)
        finally:
            self._write(path, original)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        # Compiled code counts as fresh when time and size are equal, which two mutants can be.
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()


def main() -> None:
    options = _options()
    plan = msgspec.toml.decode(PLAN.read_bytes(), type=Plan)
    known = {(same.module, same.name, same.change): same for same in plan.equivalent}
    found: list[Mutant] = []
    for target in plan.target:
        source = (ROOT / target.module).read_text(encoding="utf-8")
        chosen = [
            mutant
            for mutant in mutants(target, source)
            if any(part in str(mutant) for part in options.only or [""])
        ]
        found += _sampled(chosen, options.sample, options.seed)
    partly = options.only or options.sample is not None
    keys = {(mutant.target.module, mutant.name, mutant.change) for mutant in found}
    stale = [known[key] for key in known if key not in keys and not partly]
    tested = [m for m in found if (m.target.module, m.name, m.change) not in known]
    if options.list:
        print(*tested, sep="\n")
        return
    begin = time.monotonic()
    survivors = 0
    for mutant in _survivors(tested, options.jobs):
        survivors += 1
        print(f"survived: {mutant}", flush=True)
    for same in stale:
        print(f"no longer there: {same.module}: {same.name}: {same.change}")
    print(
        f"{len(tested)} mutants, {len(tested) - survivors} killed, {survivors} survived, "
        f"{len(found) - len(tested)} equivalent, in {time.monotonic() - begin:.0f} s"
    )
    sys.exit(bool(survivors or stale))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Break the code, and see whether a test fails.")
    parser.add_argument("only", nargs="*", help="only mutants whose line holds one of these")
    parser.add_argument("--list", action="store_true", help="show the mutants and test none")
    parser.add_argument("--sample", type=int, metavar="N", help="test at most N of each target")
    parser.add_argument("--seed", type=int, default=0, help="chooses the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _sampled(chosen: list[Mutant], most: int | None, seed: int) -> list[Mutant]:
    """Return a random part of the mutants of a target, in their order."""
    if most is None or len(chosen) <= most:
        return chosen
    places = random.Random(seed).sample(range(len(chosen)), most)
    return [chosen[place] for place in sorted(places)]


def _survivors(tested: list[Mutant], jobs: int) -> Iterator[Mutant]:
    """Test each mutant, `jobs` at a time, after the tests have passed on the code as it is."""
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(jobs) as pool,
    ):
        idle: SimpleQueue[Worker] = SimpleQueue()
        for number in range(jobs):
            idle.put(Worker(Path(folder) / str(number)))

        def survives(mutant: Mutant) -> bool:
            worker = idle.get()
            try:
                return worker.survives(mutant)
            finally:
                idle.put(worker)

        first = idle.get()
        for tests in dict.fromkeys(mutant.target.tests for mutant in tested):
            if not first.passes(tests):
                print(first.output, "the tests fail without any mutation", file=sys.stderr)
                sys.exit(2)
        idle.put(first)
        verdicts = pool.map(survives, tested)
        yield from (mutant for mutant, alive in zip(tested, verdicts, strict=True) if alive)


if __name__ == "__main__":
    main()
