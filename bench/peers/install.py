"""Where the peers' programs are; what is missing is fetched by package name, into no commit.

`python -m bench.peers --install` fills build/peers/, which git ignores: Cerbos with npm, whose
package carries the program, and OPA with Go, which builds it. What cannot be had is said.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
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


def _run(tool: str, arguments: list[str], package: str) -> None:
    path = shutil.which(tool)
    if path is None:
        raise NotInstalled(f"{tool} is not installed, which brings {package}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [path, *arguments, package]
    environment = {**os.environ, "GOBIN": str(FOLDER / "bin")}
    try:
        subprocess.run(
            command, check=True, cwd=FOLDER, env=environment, capture_output=True, timeout=LIMIT
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NotInstalled(f"`{' '.join([tool, *command[1:]])}` failed: {' '.join(last)}") from None
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{tool} did not bring {package} within {LIMIT} s") from None
