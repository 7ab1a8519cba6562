"""When a policy directory changes, and that nothing ends the watch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from policyd.sources.policies import (
    DirectorySettings,
    DirectorySource,
    PoliciesUnreadable,
    PolicyFiles,
)
from policyd.sources.policies import watcher as module
from tests.support.policy_files import write

News = PolicyFiles | PoliciesUnreadable
#: Far more than anything takes; what a failing test waits.
PATIENCE = 30.0


class Time:
    """A clock that only pauses move; at each, something may happen."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses = 0
        self.happens: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.pauses += 1
        self.happens()


class Rig:
    """A source whose time stands still, and what it told."""

    def __init__(self, root: Path, settle: float = 0.5) -> None:
        self.time = Time()
        self.told: list[News] = []
        self.source = DirectorySource(
            root, DirectorySettings(settle), clock=self.time, now=self.time, pause=self.time.pause
        )
        self.source.read()

    def look(self) -> list[News]:
        """Look once; return what was told."""
        self.told.clear()
        self.source.look(self.told.append)
        return list(self.told)

    def files(self) -> list[str]:
        """Look once; return the names of the files of the only state that was told."""
        (state,) = self.look()
        assert isinstance(state, PolicyFiles)
        return [source.name for source in state.sources]


def test_tells_of_each_new_state_once(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    assert rig.look() == []
    write(tmp_path, "b.policy")
    assert rig.files() == ["a.policy", "b.policy"]
    assert rig.look() == []
    os.utime(tmp_path / "b.policy", (1, 1))
    assert rig.look() == []


def test_a_directory_at_rest_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    rig.look()
    monkeypatch.setattr(module, "read_directory", pytest.fail)
    for _ in range(3):
        assert rig.look() == []


def test_a_change_back_is_a_change(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    (tmp_path / "a.policy").write_text("// other\n")
    assert len(rig.look()) == 1
    write(tmp_path, "a.policy")
    assert len(rig.look()) == 1


def test_files_that_come_one_by_one_are_told_of_together(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path, settle=0.5)
    coming = iter(["c.policy", "d.policy"])

    def next_file() -> None:
        if rig.time.pauses % 4 == 0:  # every 0.4 s
            for name in coming:
                write(tmp_path, name)
                break

    rig.time.happens = next_file
    write(tmp_path, "b.policy")
    began = rig.time.now
    assert rig.files() == ["a.policy", "b.policy", "c.policy", "d.policy"]
    assert rig.time.now - began == pytest.approx(0.8 + 0.5, abs=0.15)


def test_what_a_writer_does_beside_the_files_keeps_it_waiting(tmp_path: Path) -> None:
    """As rsync does: the next file grows under a hidden name."""
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path, settle=0.5)

    def growing() -> None:
        if rig.time.pauses < 30:
            with (tmp_path / ".c.policy.Xy12Ab").open("a") as file:
                file.write("// more\n")
        elif (tmp_path / ".c.policy.Xy12Ab").exists():
            (tmp_path / ".c.policy.Xy12Ab").rename(tmp_path / "c.policy")

    rig.time.happens = growing
    write(tmp_path, "b.policy")
    assert rig.files() == ["a.policy", "b.policy", "c.policy"]


def test_a_writer_that_never_rests_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path, settle=0.5)
    began = rig.time.now

    def another() -> None:
        if rig.time.now - began < module.LONGEST_SETTLE:
            (tmp_path / "a.policy").write_text(f"// {rig.time.pauses}\n")

    rig.time.happens = another
    another()
    assert rig.files() == ["a.policy"]
    assert rig.time.now - began == pytest.approx(module.LONGEST_SETTLE, abs=0.15)


def test_tells_once_that_there_is_nothing_to_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "a.policy")
    rig = Rig(root)
    root.rename(tmp_path / "aside")
    (error,) = rig.look()
    assert isinstance(error, PoliciesUnreadable)
    assert rig.look() == []
    assert rig.source.figures.failed == 2
    assert "No such file" in str(rig.source.figures.problem)
    (tmp_path / "aside").rename(root)
    assert rig.files() == ["a.policy"]
    assert rig.source.figures.problem is None


def test_a_directory_that_is_away_for_a_moment_was_never_away(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "a.policy")
    rig = Rig(root)
    write(tmp_path / "next", "b.policy")
    root.rename(tmp_path / "aside")

    def back() -> None:
        if not root.exists():
            (tmp_path / "next").rename(root)

    rig.time.happens = back
    assert rig.files() == ["b.policy"]
    assert rig.source.figures.failed == 0


def test_a_swapped_link_to_the_root_is_a_change(tmp_path: Path) -> None:
    write(tmp_path / "rev-1", "a.policy")
    write(tmp_path / "rev-2", "b.policy")
    (tmp_path / "current").symlink_to("rev-1")
    rig = Rig(tmp_path / "current")
    (tmp_path / "new").symlink_to("rev-2")
    (tmp_path / "new").rename(tmp_path / "current")
    assert rig.files() == ["b.policy"]


def test_a_bad_entry_is_told_of_once_and_gone_when_it_is_gone(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    (tmp_path / "self.policy").symlink_to("self.policy")
    (state,) = rig.look()
    assert isinstance(state, PolicyFiles)
    assert [found.code for found in state.diagnostics] == ["P0027"]
    assert rig.look() == []
    (tmp_path / "self.policy").unlink()
    assert rig.files() == ["a.policy"]


def test_the_target_of_a_link_may_come_back_though_the_directory_is_as_before(
    tmp_path: Path,
) -> None:
    write(tmp_path / "shared", "deny.policy")
    root = tmp_path / "root"
    write(root, "a.policy")
    (root / "deny.policy").symlink_to("../shared/deny.policy")
    time = Time()
    told: list[News] = []
    source = DirectorySource(
        root, DirectorySettings(0.5, follow_outside=True), clock=time, now=time, pause=time.pause
    )
    source.read()
    (tmp_path / "shared").rename(tmp_path / "away")
    source.look(told.append)
    (tmp_path / "away").rename(tmp_path / "shared")
    source.look(told.append)
    assert [len(one.diagnostics) for one in told if isinstance(one, PolicyFiles)] == [1, 0]


def test_what_could_not_be_read_is_tried_again_though_nothing_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    rig.look()
    write(tmp_path, "b.policy")
    os_open = os.open
    broken = True

    def failing(path: str, *options: int, **more: int) -> int:
        if broken and path == "b.policy":
            raise OSError(5, "Input/output error")
        return os_open(path, *options, **more)

    monkeypatch.setattr(os, "open", failing)
    (state,) = rig.look()
    assert isinstance(state, PolicyFiles)
    assert [found.notes for found in state.diagnostics] == [("Input/output error",)]
    assert rig.look() == []
    broken = False
    assert rig.files() == ["a.policy", "b.policy"]


def test_each_look_shows_as_a_pulse(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    rig.look()
    for moment in (2000.0, 3000.0):
        rig.time.now = moment
        rig.look()
        assert rig.source.figures.looked_at == moment
    assert rig.source.figures.failed == 0


def test_a_defect_is_a_problem_until_a_look_comes_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(module, "walk", lambda *_, **__: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                rig.look()
    assert (rig.source.figures.failed, "ZeroDivision" in str(rig.source.figures.problem)) == (
        *(2, True),
    )
    assert rig.look() == []
    assert rig.source.figures.problem is None


# -- the thread --------------------------------------------------------------------------------


class Changes:
    """Collects what a watcher tells."""

    def __init__(self) -> None:
        self.states: list[News] = []
        self.news = threading.Event()

    def __call__(self, state: News) -> None:
        self.states.append(state)
        self.news.set()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[DirectorySource]:
    write(tmp_path / "root", "a.policy")
    source = DirectorySource(tmp_path / "root", DirectorySettings(0))
    source.read()
    yield source
    source.stop()


def test_hears_of_a_change_by_itself(tmp_path: Path, source: DirectorySource) -> None:
    changes = Changes()
    source.watch(changes)
    write(tmp_path / "root", "sub/b.policy")
    assert changes.news.wait(PATIENCE)


def test_waits_for_a_directory_that_is_away(tmp_path: Path, source: DirectorySource) -> None:
    changes = Changes()
    (tmp_path / "root").rename(tmp_path / "aside")
    source.watch(changes)
    assert changes.news.wait(PATIENCE)
    changes.news.clear()
    (tmp_path / "aside").rename(tmp_path / "root")
    assert changes.news.wait(PATIENCE)
    assert [type(state) for state in changes.states] == [PoliciesUnreadable, PolicyFiles]


def test_the_folders_that_are_watched_follow_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "a.policy")
    asked: list[list[str]] = []
    both = threading.Event()

    def events(folders: Sequence[Path], stop: threading.Event) -> Iterator[object]:
        asked.append([folder.name for folder in folders])
        if len(asked) == 2:
            both.set()
        elif len(asked) == 1:
            write(root, "sub/b.policy")
        while not stop.wait(0.01):
            yield None

    source = DirectorySource(root, DirectorySettings(0), events=events)
    source.read()
    source.watch(lambda _: None)
    try:
        assert both.wait(PATIENCE)
    finally:
        source.stop()
    assert asked[:2] == [["root"], ["root", "sub"]]


def test_stopping_ends_a_wait_for_rest(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    source = DirectorySource(tmp_path, DirectorySettings(10))
    source.read()
    changes = Changes()
    source.watch(changes)
    source.stop()
    assert "policy-watcher" not in {thread.name for thread in threading.enumerate()}
    assert changes.states == []


def test_a_source_that_was_not_read_yet_watches_its_root_and_can_be_stopped(tmp_path: Path) -> None:
    source = DirectorySource(tmp_path)
    assert source._watched() == [tmp_path]
    assert not DirectorySettings().follow_outside
    source.stop()


def test_reading_is_a_look(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    assert rig.source.figures.looked_at == 1000


def test_a_look_that_is_stopped_tells_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    rig = Rig(tmp_path)
    rig.time.happens = rig.source.stop
    write(tmp_path, "b.policy")
    assert rig.look() == []


def test_the_thread_of_a_watch_does_not_keep_a_process_alive(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    source = DirectorySource(tmp_path, events=lambda _folders, stop: iter([stop.wait(PATIENCE)]))
    source.watch(lambda _: None)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    source.stop()
    assert not thread.is_alive()
