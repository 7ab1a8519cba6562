"""Generates `policyd/v1/` from `proto/`; with `--check`, says whether it is up to date.

The code lands in the package whose name is the proto package's own (`policyd.v1`), so that the
imports which protoc writes are right as they stand and nothing has to be rewritten.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
SOURCES = sorted(path.relative_to(PROTO) for path in PROTO.glob("policyd/v1/*.proto"))


def generate(target: Path) -> list[Path]:
    """Run protoc into `target`; return the files made, relative to it.

    The compiler is grpcio-tools'; `google/protobuf` comes with it and `google/rpc` with
    googleapis-common-protos.
    """
    well_known = Path(grpc_tools.__path__[0]) / "_proto"
    libraries = Path(sysconfig.get_path("purelib"))
    command = [sys.executable, "-m", "grpc_tools.protoc"]
    command += [f"-I{PROTO}", f"-I{well_known}", f"-I{libraries}"]
    command += [f"--python_out={target}", f"--mypy_out=quiet:{target}"]
    command += [str(source) for source in SOURCES]
    scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    subprocess.run(command, check=True, env={**os.environ, "PATH": scripts})
    return sorted(path.relative_to(target) for path in target.rglob("*_pb2.py*"))


def stale() -> list[str]:
    """Return the generated files that are not as `proto/` says, are missing, or are left over."""
    with tempfile.TemporaryDirectory() as scratch:
        made = generate(Path(scratch))
        found = {path.relative_to(ROOT) for path in (ROOT / "policyd" / "v1").glob("*_pb2.py*")}
        _, changed, missing = filecmp.cmpfiles(ROOT, scratch, made, shallow=False)
        return sorted({str(path) for path in (*changed, *missing, *found.difference(made))})


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        problems = stale()
        for name in problems:
            print(f"{name} is not what proto/ says: run `make proto`", file=sys.stderr)
        return 1 if problems else 0
    generate(ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
