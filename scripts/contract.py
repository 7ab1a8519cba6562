"""Holds the contract: `buf` lints `proto/`, and compares it with the contract that clients have.

That one is kept as an image, `proto/contract.binpb`, so that the comparison needs neither history
nor network. Fields are added, never changed: what breaks a client fails, by buf's strictest rules,
those about generated code. `--keep` makes what stands now the contract that is kept, as each
release does; it refuses what breaks the kept one, so nothing is lost by it.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
KEPT = PROTO / "contract.binpb"
OURS = "policyd/v1"


def findings(proto: Path = PROTO) -> list[str]:
    """Return what is wrong with the contract in a folder, a line each: first style, then breaks."""
    return [*_buf("lint", ".", folder=proto), *breaks(proto)]


def breaks(proto: Path = PROTO) -> list[str]:
    """Return what would break clients of the contract that is kept."""
    return _buf("breaking", ".", "--path", OURS, "--against", str(KEPT), folder=proto)


def keep() -> None:
    """Write the image of the contract as it stands."""
    image = ["--path", OURS, "--exclude-source-info", "--output", str(KEPT)]
    for line in _buf("build", ".", *image, folder=PROTO):
        raise SystemExit(line)


def _buf(*arguments: str, folder: Path) -> list[str]:
    program = Path(sysconfig.get_path("scripts")) / "buf"
    if not program.exists():
        raise SystemExit("buf is missing: pip install --require-hashes -r requirements-dev.lock")
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    if done.returncode and not lines:
        return [f"buf {arguments[0]} ended with {done.returncode}"]
    return lines if done.returncode else []


def main() -> int:
    if sys.argv[1:] not in ([], ["--keep"]):
        print(f"usage: {sys.argv[0]} [--keep]", file=sys.stderr)
        return 2
    problems = findings() if KEPT.exists() else []
    for line in problems:
        print(f"proto/{line}", file=sys.stderr)
    if problems:
        return 1
    if sys.argv[1:]:
        keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
