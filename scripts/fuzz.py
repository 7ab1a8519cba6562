"""Fuzz the token pipeline for a bounded time, guided by coverage: `make fuzz`.

Input: the seconds, and `tests/fuzz/corpus`. Output: what was reached and how often, on
standard output; exit code 1 when an input broke `tests/fuzz/target.py`, with the input kept in
`build/fuzz` and the trace on standard error. To mend: copy that input to the corpus, where the
tests run it.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
WORDS = ROOT / "tests" / "fuzz" / "words.dict"
FOUND = ROOT / "build" / "fuzz"
LONGEST_INPUT = 2048  # bytes
LONGEST_RUN = 10  # seconds for one input


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    seconds: int = parser.parse_args().seconds
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: left out, there is no atheris for this platform")
        return 0
    new = FOUND / "corpus"
    new.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "tests.fuzz.tokens", str(new), str(CORPUS)),
        f"-dict={WORDS}",
        f"-artifact_prefix={FOUND}/",
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={LONGEST_RUN}",
        "-print_final_stats=1",
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", run.stderr)
    reached = re.findall(r"cov: (\d+) ft: (\d+)", run.stderr)
    if run.returncode or executed is None or not reached:
        sys.stderr.write(run.stdout + run.stderr)
        print(f"fuzz: an input broke what must hold; it is in {FOUND}")
        return 1
    branches, features = reached[-1]
    print(
        f"fuzz: {executed[1]} tokens in {seconds} s, "
        f"{branches} branches and {features} features reached, nothing broke"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
