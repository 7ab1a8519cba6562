"""Where the peers' programs are; what is missing is fetched by package name, into no commit.

`python -m bench.peers --install` fills build/peers/, which git ignores: Cerbos with npm, whose
package carries the program, and OPA with Go, which builds it: by itself, and behind Envoy's
protocol. What cannot be had is said.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.material import ROOT

FOLDER = ROOT / "build" / "peers"
LIMIT = 900
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


class NotInstalled(Exception):
    """A peer cannot be had here; the message says why."""


def cerbos(version: str) -> Path:
    """Return Cerbos's program of a version, or of `latest`. Raises `NotInstalled`."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise NotInstalled(f"npm has no Cerbos for {platform.machine()}")
    name = f"cerbos-linux-{machine}"
    folder = FOLDER / f"cerbos-{version}"
    program = folder / "node_modules" / "@cerbos" / name / name
    if not program.exists():
        options = ["install", "--prefix", str(folder), "--no-audit", "--no-fund"]
        _run("npm", options, f"@cerbos/{name}@{version}")
    return program


def opa() -> Path:
    """Return OPA's program. Raises `NotInstalled`."""
    program = FOLDER / "bin" / "opa"
    if not program.exists():
        _run("go", ["install"], "github.com/open-policy-agent/opa@latest")
    return program


def opa_envoy() -> Path:
    """Return OPA's engine behind Envoy's protocol, of `envoy/main.go`. Raises `NotInstalled`.

    OPA's own plugin for Envoy is not to be had from the module proxy.
    """
    program = FOLDER / "bin" / "opa-envoy"
    if not program.exists():
        source = FOLDER / "opa-envoy"
        source.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).parent / "envoy" / "main.go", source)
        (source / "go.mod").write_text("module bench.invalid/opa-envoy\n", encoding="utf-8")
        # A folder of its own, which is gigabytes, and is removed.
        modules = {"GOPATH": str(FOLDER / "go"), "GOFLAGS": "-modcacherw"}
        try:
            _run("go", ["get", *_MODULES], _ENVOY, source, modules)
            _run("go", ["build", "-o", str(program)], ".", source, modules)
        finally:
            shutil.rmtree(FOLDER / "go", ignore_errors=True)
    return program


_MODULES = ("github.com/open-policy-agent/opa@v1.22.3", "google.golang.org/grpc@v1.85.0")
_ENVOY = "github.com/envoyproxy/go-control-plane/envoy@v1.40.0"


def _run(
    tool: str,
    arguments: list[str],
    package: str,
    folder: Path = FOLDER,
    further: Mapping[str, str] | None = None,
) -> None:
    path = shutil.which(tool)
    if path is None:
        raise NotInstalled(f"{tool} is not installed, which brings {package}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [path, *arguments, package]
    environment = {**os.environ, "GOBIN": str(FOLDER / "bin"), **(further or {})}
    try:
        subprocess.run(
            command, check=True, cwd=folder, env=environment, capture_output=True, timeout=LIMIT
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotInstalled(f"`{' '.join([tool, *command[1:]])}` failed: {' '.join(last)}") from None
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{tool} did not bring {package} within {LIMIT} s") from None
