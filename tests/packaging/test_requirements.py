"""What the project says that it needs, against what it does need."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted([*ROOT.glob("requirements*.lock"), *ROOT.glob("deploy/docker/*.lock")])
REQUIREMENTS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["dependencies"]


def normal(name: str) -> str:
    """Return a distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_protobuf_is_no_older_than_the_generated_code() -> None:
    (required,) = (line for line in REQUIREMENTS if line.startswith("protobuf>="))
    floor = tuple(map(int, required.removeprefix("protobuf>=").split(".")))
    for path in (ROOT / "policyd" / "v1").glob("*_pb2.py"):
        made_with = re.search(r"^# Protobuf Python Version: ([\d.]+)$", path.read_text(), re.M)
        assert made_with is not None
        assert floor >= tuple(map(int, made_with[1].split(".")))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_every_requirement_with_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    pinned = re.findall(
        r"^([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?==\S+(?: ;[^\n\\]*)? \\\n    --hash=sha256:", text, re.M
    )
    assert {normal(re.split(r"[<>=]", line)[0]) for line in REQUIREMENTS} <= set(pinned)
    assert len(pinned) == len(re.findall(r"^[A-Za-z0-9]", text, re.M))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_place_of_its_own(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, re.M)


def test_there_are_locks_for_running_developing_and_measuring() -> None:
    assert [str(lock.relative_to(ROOT)) for lock in LOCKS] == [
        "deploy/docker/requirements.lock",
        "requirements-bench.lock",
        "requirements-dev.lock",
        "requirements.lock",
    ]
