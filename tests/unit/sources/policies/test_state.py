"""What survives a restart, and what an end at any moment leaves behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from policyd.diagnostics import Source
from policyd.sources.policies import PolicyFiles, Provenance
from policyd.sources.policies.journal import JOURNAL, Entry
from policyd.sources.policies.state import KEPT, StateFolder, StateUnusable

KILLS = int(os.environ.get("POLICYD_KILLS", "25"))
COMMITTED = Provenance("git", "https://git.example/policies.git", "c" * 40, "main", "policies", "j")


def files(text: str = "api a\n", provenance: Provenance = COMMITTED) -> PolicyFiles:
    tests = (Source("a_test.policy", "api a\n"),)
    return PolicyFiles((Source("a.policy", text),), (), "digest", provenance, tests)


def test_the_last_set_comes_back_whole(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state", lambda: 1234.5)
    assert (state.active(), state.last(), state.find("c"), state.journal(9)) == (None,) * 3 + ([],)
    state.remember(files(), "revision-1")
    last = state.last()
    assert last is not None
    assert (last.revision, last.activated, last.provenance) == ("revision-1", 1234.5, COMMITTED)
    again = last.policy_files()
    assert (again.sources, again.tests) == (files().sources, files().tests)
    assert (again.diagnostics, again.provenance) == ((), COMMITTED)
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0, "policies may be confidential"


def test_the_newest_ten_sets_are_kept_and_found_by_revision_or_commit(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    for number in range(KEPT + 3):
        commit = f"{number:040x}"
        provenance = Provenance("git", "place", commit)
        state.remember(files(f"// {number}\n", provenance), f"revision-{number}")
    assert len(list(state.kept())) == KEPT
    newest, oldest = state.find(f"revision-{KEPT + 2}"), state.find("revision-0")
    assert newest is not None and newest == state.last()
    assert oldest is None
    by_commit = state.find(f"{KEPT:040x}")
    assert by_commit is not None and by_commit.revision == f"revision-{KEPT}"
    assert state.find("") is None


def test_a_commit_that_was_passed_over_is_known(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.remember(files(), "r", passed_over="d" * 40)
    active = state.active()
    assert active is not None and active.passed_over == "d" * 40


def test_word_of_the_source_is_noted(tmp_path: Path) -> None:
    now = [1000.0]
    state = StateFolder(tmp_path, lambda: now[0])
    assert state.confirmed_at() is None
    state.remember(files(), "r")
    now[0] = 2000.0
    state.confirm()
    assert StateFolder(tmp_path).confirmed_at() == 2000.0


@pytest.mark.parametrize("damage", [b"", b"{", b'{"format": 1}', b"\xff" * 100])
def test_a_damaged_pointer_is_no_set(tmp_path: Path, damage: bytes) -> None:
    state = StateFolder(tmp_path)
    state.remember(files(), "r")
    (tmp_path / "active.json").write_bytes(damage)
    with pytest.raises(StateUnusable, match=r"active\.json"):
        state.last()


def test_a_set_with_another_content_is_none(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.remember(files(), "r")
    (path,) = (tmp_path / "sets").iterdir()
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"data":"YXBp', b'"data":"YXBq'))
    assert path.read_bytes() != data
    with pytest.raises(StateUnusable, match="does not hold the set"):
        state.last()


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateUnusable, match=r"Not a directory|File exists"):
        StateFolder(tmp_path / "state").remember(files(), "r")


def test_the_journal_has_the_newest_entries_first_and_turns_over(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    long = "x" * 2000
    for number in range(700):
        state.record(Entry("now", "refused", COMMITTED, problem=f"{number} {long}"))
    assert (tmp_path / f"{JOURNAL}.1").exists()
    found = [entry.problem.partition(" ")[0] for entry in state.journal(600)]
    assert found == [str(number) for number in range(699, 99, -1)]


def test_half_a_line_damages_no_other(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.record(Entry("now", "activated", COMMITTED, "r1"))
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"time": "now", "outc')
    state.record(Entry("now", "activated", COMMITTED, "r2"))
    assert [entry.revision for entry in state.journal(9)] == ["r2", "r1"]


_WRITER = """
import sys
from pathlib import Path
from policyd.sources.policies.state import StateFolder
from tests.unit.sources.policies.test_state import files
state = StateFolder(Path(sys.argv[1]))
number = 0
print("go", flush=True)
while True:
    number += 1
    state.remember(files(f"// {number}" * 1000), f"revision-{number}")
"""


def test_whatever_moment_it_is_killed_at_a_whole_set_is_left(tmp_path: Path) -> None:
    """kill -9 while it writes one set after the other: what is left is always one of them."""
    state = StateFolder(tmp_path)
    state.remember(files("// 0" * 1000), "revision-0")
    moments = random.Random(15)
    seen: set[str] = set()
    for _ in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"go\n"
        try:
            writer.wait(moments.uniform(0, 0.02))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        last = state.last()
        assert last is not None
        number = last.revision.removeprefix("revision-")
        assert last.files[0].data.decode() == f"// {number}" * 1000
        seen.add(number)
    state.remember(files(), "after")
    assert len(seen) > 1
    assert not list(tmp_path.rglob("*.new")), "what was half written is removed"
    assert len(list((tmp_path / "sets").iterdir())) <= KEPT
