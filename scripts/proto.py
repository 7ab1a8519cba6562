"""Generates what is made from `proto/`; with `--check`, says whether it is up to date.

That is the code in `policyd/v1/` and `policyd/envoy/`, the descriptors from which the client makes
its messages, and the copies of `google/rpc` beside the contract, so that it compiles by itself.

The code lands in the package whose name is the proto package's own (`policyd.v1`), so that the
imports which protoc writes are right as they stand and nothing has to be rewritten.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_health.v1 import health_pb2

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
SOURCES = sorted(path.relative_to(PROTO) for path in PROTO.glob("policyd/v1/*.proto"))
#: Generated below `policyd/`, so that the wheel brings no package of Envoy's name.
ENVOY = sorted(path.relative_to(PROTO) for path in PROTO.glob("envoy/**/*.proto"))
#: What the contract imports, and what its errors carry: of googleapis-common-protos.
VENDORED = [Path("google/rpc/error_details.proto"), Path("google/rpc/status.proto")]
LIBRARIES = Path(sysconfig.get_path("purelib"))
DESCRIPTORS = Path("clients/python/policyd_client/messages.binpb")


def generate(target: Path) -> list[Path]:
    """Run protoc into `target`; return the files made, relative to it."""
    for sources, folder in ((SOURCES, target), (ENVOY, target / "policyd")):
        folder.mkdir(exist_ok=True)
        options = f"--python_out={folder}", f"--mypy_out=quiet:{folder}"
        protoc(*options, *map(str, sources))
    _write_descriptors(target / DESCRIPTORS)
    copies = [Path("proto") / name for name in VENDORED]
    for name, copy in zip(VENDORED, copies, strict=True):
        (target / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(LIBRARIES / name, target / copy)
    code = (path.relative_to(target) for path in target.rglob("*_pb2.py*"))
    return sorted([*code, DESCRIPTORS, *copies])


def _write_descriptors(path: Path) -> None:
    """Write the messages that a client needs, with all that they import, and gRPC's of health."""
    path.parent.mkdir(parents=True, exist_ok=True)
    protoc(
        f"--descriptor_set_out={path}",
        "--include_imports",
        "policyd/v1/authorization.proto",
        "policyd/v1/explanation.proto",
        "google/rpc/error_details.proto",
    )
    found = FileDescriptorSet.FromString(path.read_bytes())
    found.file.add().ParseFromString(health_pb2.DESCRIPTOR.serialized_pb)
    path.write_bytes(found.SerializeToString(deterministic=True))


def protoc(*arguments: str) -> None:
    """Run the compiler of grpcio-tools, with which `google/protobuf` comes.

    `google/rpc` is taken from where it is copied from.
    """
    well_known = Path(grpc_tools.__path__[0]) / "_proto"
    command = [sys.executable, "-m", "grpc_tools.protoc"]
    command += [f"-I{LIBRARIES}", f"-I{PROTO}", f"-I{well_known}", *arguments]
    scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    subprocess.run(command, check=True, env={**os.environ, "PATH": scripts})


def stale() -> list[str]:
    """Return the generated files that are not as `proto/` says, are missing, or are left over."""
    with tempfile.TemporaryDirectory() as scratch:
        made = generate(Path(scratch))
        folders = (ROOT / "policyd" / "v1", ROOT / "policyd" / "envoy")
        found = {path.relative_to(ROOT) for one in folders for path in one.rglob("*_pb2.py*")}
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
