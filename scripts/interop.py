"""Runs each client against the real daemon, in its own language, on the cases that they share.

`python -m scripts.interop [NAME ...]`

The names are those of `TOOLCHAINS`; without any, all are run. Where a toolchain is not installed, a
line says that it was skipped. Everything is built from a copy, with caches beside it, in
build/interop, so that nothing is left in the clients' folders or in the home of whoever runs it.
A client has passed only if the daemon made as many decisions as the cases have. The commands of the
pages in `docs/` are run too: a block `console NAME` is theirs.

It ends with 1 where something failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from policyd.client import Client, Resource
from scripts import go_code
from tests.support.commands import matches, sessions
from tests.support.contract import VARIABLE, contract_site, decisions
from tests.support.daemon import PATIENCE
from tests.support.documents import ROOT, documents, fences

FOLDER = ROOT / "build" / "interop"
TREE = FOLDER / "tree"
CLIENTS = ROOT / "clients"
#: What a build leaves in the copy, and the next one begins with.
KEPT = {"node_modules", "target"}
#: Where pages and examples say that the daemon is.
SHOWN = "127.0.0.1:8181"
#: Seconds for one step; far more than any takes.
LIMIT = 600.0

_CARGO = {
    "CARGO_HOME": str(FOLDER / "cargo"),
    "CARGO_BUILD_JOBS": "2",
    "CARGO_INCREMENTAL": "0",
    "CARGO_PROFILE_DEV_DEBUG": "false",
}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Toolchain(msgspec.Struct, frozen=True):
    """How one language's client is built and asked: the last of `steps` asks the daemon.

    `program` must be on PATH. `passed` finds how many tests passed in what the last step prints;
    where it is empty, there is no client, and the pages' commands are all that is run.
    """

    program: str
    folder: str
    environment: Mapping[str, str]
    steps: tuple[str, ...]
    passed: str = ""


TOOLCHAINS = {
    "go": Toolchain(
        "go",
        "clients/go",
        go_code.ENVIRONMENT,
        ('test -z "$(gofmt -l .)"', "go vet ./...", "go test -p 2 -count 1 -v ."),
        r"^ *--- (PASS)",
    ),
    "node": Toolchain(
        "npm",
        "clients/typescript",
        {"npm_config_cache": str(FOLDER / "npm"), "npm_config_update_notifier": "false"},
        (
            "npm ci --no-audit --no-fund",
            "npm run build",
            "node --test --test-reporter tap dist/test/*.test.js",
        ),
        r"^# pass (\d+)$",
    ),
    "java": Toolchain(
        "mvn",
        "clients/java",
        {"MAVEN_OPTS": f"-Dmaven.repo.local={FOLDER / 'maven'}"},
        ("mvn -B -ntp test",),
        r"Tests run: (\d+), Failures: 0, Errors: 0, Skipped: 0$",
    ),
    "rust": Toolchain(
        "cargo",
        "clients/rust",
        _CARGO,
        ("cargo test --no-run", "cargo test"),
        r"^test result: ok\. (\d+) passed",
    ),
    "grpcurl": Toolchain(
        "go",
        ".",
        go_code.ENVIRONMENT,
        ("go install -p 2 github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4",),
    ),
}


class Failed(Exception):
    """What went wrong, with what was printed."""


class Site:
    """The daemon that all are asked about: where it is, and what it decided."""

    def __init__(self, path: Path) -> None:
        self.path = path
        said = json.loads(path.read_text(encoding="utf-8"))
        self.address = str(said["targets"]["tcp"])
        self.token = str(said["tokens"]["reader"])
        self._log = path.with_name("decisions.ndjson")
        self._marks = 0

    def decided(self) -> int:
        """Return how many questions were decided before this, by the daemon's log.

        The log is written later, in order: so one more question is asked, and waited for.
        """
        self._marks += 1
        name = f"mark {self._marks}"
        resource = Resource("patient", "p1", {"sealed": False})
        with Client(self.address) as client:
            client.check("", api="health", action="read", resource=resource, request_id=name)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            lines = self._log.read_text(encoding="utf-8").splitlines()
            for position, line in enumerate(lines):
                if f'"{name}"' in line:
                    return position - self._marks + 1
            time.sleep(0.05)
        raise Failed("the daemon does not write its decisions")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TOOLCHAINS))
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in TOOLCHAINS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(TOOLCHAINS)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contract_site(Path(folder)) as path:
        site = Site(path)
        lay_out(site)
        results = [attempt(name, site) for name in given.names or TOOLCHAINS]
    print(", ".join(f"{results.count(kind)} {kind}" for kind in ("passed", "failed", "skipped")))
    return 1 if "failed" in results else 0


def lay_out(site: Site) -> None:
    """Copy the clients and the contract, with the folders between them; examples ask the daemon."""
    for source in (CLIENTS, ROOT / "proto"):
        target = TREE / source.name
        for old in target.glob("*/*") if source == CLIENTS else [target]:
            if old.is_file():
                old.unlink()
            elif old.name not in KEPT:
                shutil.rmtree(old, ignore_errors=True)
        ignored = shutil.ignore_patterns(*KEPT, "dist", "gen", "__pycache__")
        # With the time of now: a build takes what is older than its result for unchanged.
        shutil.copytree(
            source, target, dirs_exist_ok=True, ignore=ignored, copy_function=shutil.copy
        )
    for example in (TREE / "clients").glob("*/example*/*.*"):
        text = example.read_text(encoding="utf-8")
        example.write_text(text.replace(SHOWN, site.address), encoding="utf-8")


def attempt(name: str, site: Site) -> str:
    """Run one toolchain, and print its line; return `passed`, `failed` or `skipped`."""
    toolchain = TOOLCHAINS[name]
    if shutil.which(toolchain.program) is None:
        print(f"{name:8} skipped: there is no {toolchain.program} on PATH", flush=True)
        return "skipped"
    began = time.monotonic()
    try:
        done = run(name, toolchain, site)
    except Failed as failed:
        print(f"{failed}\n{name:8} failed", flush=True)
        return "failed"
    print(f"{name:8} passed: {done}; {time.monotonic() - began:.0f} s", flush=True)
    return "passed"


def run(name: str, toolchain: Toolchain, site: Site) -> str:
    """Build and ask; return what was done. Raises `Failed`."""
    *building, last = toolchain.steps
    for step in building:
        step_of(toolchain, step)
    before = site.decided()
    printed = step_of(toolchain, last, {VARIABLE: str(site.path)})
    if not toolchain.passed:
        return run_pages(name, toolchain, site)
    found = re.findall(toolchain.passed, printed, re.MULTILINE)
    tests = sum(int(one) if one.isdigit() else 1 for one in found)
    decided = site.decided() - before
    if not tests or decided != decisions():
        what = f"{tests} tests, {decided} decisions, where the cases have {decisions()}"
        raise Failed(f"{printed}\n{what}")
    return f"{tests} tests, {decided} decisions, {run_pages(name, toolchain, site)}"


def run_pages(name: str, toolchain: Toolchain, site: Site) -> str:
    """Run the documents' commands for a toolchain; return how many. Raises `Failed`."""
    commands = list(commands_for(name))
    if not commands:
        raise Failed(f"no page has a block `console {name}`")
    anywhere = msgspec.structs.replace(toolchain, folder=".")
    for command, shown in commands:
        printed = step_of(anywhere, command.replace(SHOWN, site.address), {"TOKEN": site.token})
        if not matches(shown, printed):
            raise Failed(f"$ {command}\n{printed}\nis not what the page shows:\n{shown}")
    return f"{len(commands)} commands of the documents"


def commands_for(name: str) -> Iterator[tuple[str, str]]:
    """Yield each command of the documents, with what it prints."""
    for document in documents():
        for fence in fences(document):
            if fence.info == f"console {name}":
                yield from sessions(fence.text)


def step_of(toolchain: Toolchain, command: str, further: Mapping[str, str] | None = None) -> str:
    """Run a line of shell; return what it printed. Raises `Failed`."""
    process = subprocess.Popen(
        ["sh", "-c", command],
        cwd=TREE / toolchain.folder,
        env={**os.environ, "NO_COLOR": "1", **toolchain.environment, **(further or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        raise Failed(f"$ {command}\n{printed}\nit took more than {LIMIT:.0f} s") from None
    if process.returncode:
        raise Failed(f"$ {command}\n{printed}")
    return _COLOUR.sub("", printed)


if __name__ == "__main__":
    sys.exit(main())
