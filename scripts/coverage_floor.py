"""Print the coverage of each package, and fail where the branches of a core package lack tests.

Input: the data file that `coverage run` left. Output: a table, and exit code 1 when one of
`FLOORS` has fewer than `MINIMUM` percent of its branches taken.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

FLOORS = ("language", "tokens", "program", "decision")
MINIMUM = 95.0


class Summary(msgspec.Struct, frozen=True):
    """Coverage's counts for one file."""

    num_statements: int
    covered_lines: int
    num_branches: int
    covered_branches: int


class File(msgspec.Struct, frozen=True):
    summary: Summary


class Report(msgspec.Struct, frozen=True):
    """The part of `coverage json` that is read here: counts by file path."""

    files: dict[str, File]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(path)]
        subprocess.run(command, check=True)
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    packages: dict[str, Counter[str]] = defaultdict(Counter)
    for name, file in report.files.items():
        parts = Path(name).parts
        packages[parts[1] if len(parts) > 2 else ""].update(msgspec.to_builtins(file.summary))
    print(f"{'package':<20}{'statements':>12}{'branches':>12}")
    lacking = []
    for package, counts in sorted(packages.items()):
        branches = percent(counts["covered_branches"], counts["num_branches"])
        statements = percent(counts["covered_lines"], counts["num_statements"])
        mark = ""
        if package in FLOORS and branches < MINIMUM:
            lacking.append(package)
            mark = f"  < {MINIMUM:.0f} %"
        title = f"policyd.{package}".rstrip(".")
        print(f"{title:<20}{statements:>10.1f} %{branches:>10.1f} %{mark}")
    if missing := [package for package in FLOORS if package not in packages]:
        sys.exit(f"no coverage was measured for {', '.join(missing)}")
    if lacking:
        sys.exit(f"too few branches are covered in {', '.join(lacking)}")


def percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 100.0


if __name__ == "__main__":
    main()
