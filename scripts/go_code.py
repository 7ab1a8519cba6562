"""Generates the code of the Go client, which is committed; with `--check`, says if it is current.

Making it takes Go, and the plugins of protoc, which are built in build/interop. Whether it is what
`proto/` says is found without: the code holds the descriptors that it was made of. Comments are not
in them, so a comment that changed alone is not missed.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from scripts.proto import SOURCES, protoc

ROOT = Path(__file__).resolve().parent.parent
CODE = ROOT / "clients" / "go" / "policydv1"
#: What Go builds and loads, in a folder of its own.
FOLDER = ROOT / "build" / "interop" / "go"
ENVIRONMENT = {
    "GOPATH": str(FOLDER),
    "GOCACHE": str(FOLDER / "cache"),
    "GOFLAGS": "-modcacherw",
    "PATH": f"{FOLDER / 'bin'}{os.pathsep}{os.environ['PATH']}",
}
PLUGINS = {
    "protoc-gen-go": "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "protoc-gen-go-grpc": "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
}
MODULE = "policyd.invalid/go/policydv1"
_DESCRIPTOR = re.compile(r'^const \w+_rawDesc = "" \+\n((?:\t".*" ?\+?\n)+)', re.MULTILINE)
_RUNE = re.compile(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


def generate() -> None:
    """Build the plugins, and write the code."""
    for plugin in PLUGINS.values():
        command = ["go", "install", "-p", "2", plugin]
        subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=True)
    protoc(
        *(f"--plugin={name}={FOLDER / 'bin' / name}" for name in PLUGINS),
        *(f"--go_out={CODE}", f"--go_opt=module={MODULE}"),
        *(f"--go-grpc_out={CODE}", f"--go-grpc_opt=module={MODULE}"),
        *map(str, SOURCES),
    )


def contract() -> FileDescriptorSet:
    """Return the descriptors of the contract, without what it imports."""
    with tempfile.NamedTemporaryFile() as file:
        protoc(f"--descriptor_set_out={file.name}", *map(str, SOURCES))
        return FileDescriptorSet.FromString(file.read())


def stale(wanted: FileDescriptorSet) -> list[str]:
    """Return the protos of which the code says something else, or nothing."""
    made = {one.name: one for path in CODE.glob("*.pb.go") for one in _embedded(path)}
    said = {one.name: one for one in wanted.file}
    return sorted(name for name in made.keys() | said.keys() if made.get(name) != said.get(name))


def _embedded(path: Path) -> list[FileDescriptorProto]:
    """Return the descriptor in a file of messages; one of services has none."""
    texts = _DESCRIPTOR.findall(path.read_text(encoding="utf-8"))
    return [FileDescriptorProto.FromString(b"".join(map(_bytes, _lines(text)))) for text in texts]


def _lines(text: str) -> list[str]:
    return [line.strip().removesuffix("+").rstrip() for line in text.splitlines()]


def _bytes(literal: str) -> bytes:
    """Return the bytes of a string literal of Go; but for runes, Python's of bytes are the same."""
    runes = _RUNE.sub(lambda found: chr(int(found[1] or found[2], 16)), literal)
    value = ast.literal_eval(
        "b" + "".join(one if one.isascii() else _escaped(one) for one in runes)
    )
    assert isinstance(value, bytes)
    return value


def _escaped(character: str) -> str:
    return "".join(f"\\x{one:02x}" for one in character.encode())


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        problems = stale(contract())
        for name in problems:
            print(f"clients/go is not what {name} says: run `make proto`", file=sys.stderr)
        return 1 if problems else 0
    if shutil.which("go") is None:
        print("clients/go is left as it is: there is no go on PATH", file=sys.stderr)
        return 0
    generate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
