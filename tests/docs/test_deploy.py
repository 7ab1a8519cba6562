"""The configurations of `deploy/` for Envoy: valid, and none lets requests pass unasked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from policyd.json_types import Json
from tests.support.documents import ROOT

DEPLOY = ROOT / "deploy"
FOLDERS = ("envoy", "istio", "envoy-gateway", "gateway-api")
FILES = sorted(path for name in FOLDERS for path in (DEPLOY / name).glob("*.yaml"))


def members(value: Json) -> Iterator[tuple[str, Json]]:
    """Yield all members of all objects."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member
            yield from members(member)
    elif isinstance(value, list):
        for member in value:
            yield from members(member)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_nothing_passes_unasked(path: Path) -> None:
    found = [
        member
        for document in yaml.safe_load_all(path.read_text())
        for name, member in members(document)
        if name in ("failure_mode_allow", "failOpen")
    ]
    # The Gateway API leaves it to the implementation, and its file says so.
    assert found == ([] if path.parent.name == "gateway-api" else [False])


def test_envoy_takes_its_file() -> None:
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        pytest.skip("envoy is not installed: it is in the development group, for Linux")
    command = [str(program), "--mode", "validate", "-c", str(DEPLOY / "envoy" / "envoy.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip().rpartition(" ")[2]) == (0, "OK"), done.stderr
