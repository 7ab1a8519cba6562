"""Looking again and again, whatever fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import watchfiles

from policyd.sources import watching as module
from policyd.sources.watching import Events, keep_looking

FOLDERS = (Path("/somewhere"),)


class Panic(BaseException):
    """As a native part raises it: no Exception."""


class Stop(threading.Event):
    """Waits for nothing; is set after so many looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        return self.is_set()

    def look(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.set()


def forever(folders: Sequence[Path], stop: threading.Event) -> Iterator[object]:
    while not stop.is_set():
        yield None


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(40, "loop"), Panic("native")])
def test_whatever_a_look_raises_the_next_comes_and_the_log_tells_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Stop(5)

    def look() -> None:
        stop.look()
        raise error

    keep_looking(lambda: FOLDERS, look, stop, what="the policies", events=forever)
    assert stop.left == 0
    assert [one.message for one in caplog.records] == ["watching the policies failed; it goes on"]


def test_a_failure_after_a_good_look_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop(6)

    def look() -> None:
        stop.look()
        if stop.left % 2:
            raise ZeroDivisionError

    keep_looking(lambda: FOLDERS, look, stop, what="the policies", events=forever)
    assert len(caplog.records) == 3


@pytest.mark.parametrize("error", [RuntimeError("no watches left"), Panic("native")])
def test_without_events_it_looks_by_the_clock_and_asks_for_them_ever_more_seldom(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Stop(1 + 2 + 4 + 8)
    asked: list[int] = []

    def failing(folders: Sequence[Path], stop_: threading.Event) -> Iterator[object]:
        asked.append(stop.left)
        raise error

    keep_looking(lambda: FOLDERS, stop.look, stop, what="the policies", events=failing)
    assert asked == [15, 14, 12, 8]
    assert set(stop.waited) == {1.0}
    assert [one.message for one in caplog.records] == [
        "there are no events for the policies; looking goes on every second"
    ]


def test_events_that_end_are_asked_for_again_after_a_second() -> None:
    stop = Stop(3)
    asked: list[object] = []

    def ending(folders: Sequence[Path], stop_: threading.Event) -> Iterator[object]:
        asked.append(folders)
        return iter(())

    keep_looking(lambda: FOLDERS, stop.look, stop, what="the policies", events=ending)
    assert len(asked) == 3


def test_events_are_asked_for_anew_when_there_are_other_folders_and_of_so_many_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FOLDERS", 2)
    stop = Stop(4)
    asked: list[list[Path]] = []
    there = [Path("/1")]

    def events(folders: Sequence[Path], stop_: threading.Event) -> Iterator[object]:
        asked.append(list(folders))
        return forever(folders, stop_)

    def look() -> None:
        stop.look()
        there.append(Path(f"/{len(there) + 1}"))

    keep_looking(lambda: there, look, stop, what="the policies", events=events)
    assert asked == [[Path("/1")], [Path("/1"), Path("/2")]]


def test_what_is_asked_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def watch(*folders: Path, **options: object) -> Iterator[object]:
        asked.append((folders, options))
        return iter(())

    monkeypatch.setattr(watchfiles, "watch", watch)
    stop = threading.Event()
    assert list(module.system_events(FOLDERS, stop)) == []
    options = {
        "watch_filter": None,
        "debounce": 100,
        "rust_timeout": 1000,
        "yield_on_timeout": True,
        "stop_event": stop,
        "raise_interrupt": False,
        "recursive": False,
    }
    assert asked == [(FOLDERS, options)]


def failing_with(*errors: BaseException | None) -> Events:
    """Return events that end with these errors, one after the other; `None` is one event."""
    left = list(errors)

    def events(folders: Sequence[Path], stop: threading.Event) -> Iterator[object]:
        while not stop.is_set():
            error = left.pop(0) if left else None
            if error is not None:
                raise error
            yield None

    return events


def test_that_there_are_no_events_is_told_again_once_there_were_some(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop, away = Stop(6), OSError(28, "no watches left")
    events = failing_with(away, away, None, away)
    keep_looking(lambda: FOLDERS, stop.look, stop, what="the policies", events=events)
    assert [(one.levelname, vars(one)["error"]) for one in caplog.records] == [
        ("WARNING", "[Errno 28] no watches left")
    ] * 2


def test_a_folder_that_is_away_is_told_of_by_the_look(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    stop, away = Stop(4), FileNotFoundError(2, "No such file or directory")
    keep_looking(
        lambda: FOLDERS, stop.look, stop, what="the policies", events=failing_with(away, None)
    )
    (line,) = caplog.records
    assert (line.levelname, line.message) == (
        "DEBUG",
        "there are no events for the policies; looking goes on every second",
    )


def test_a_look_at_a_folder_that_is_away_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop(2)

    def look() -> None:
        stop.look()
        raise FileNotFoundError(2, "No such file or directory")

    keep_looking(lambda: FOLDERS, look, stop, what="the policies", events=forever)
    (line,) = caplog.records
    assert (line.levelname, line.exc_info) == ("WARNING", None)


def test_a_defect_comes_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    stop = Stop(2)

    def look() -> None:
        stop.look()
        raise ZeroDivisionError

    keep_looking(lambda: FOLDERS, look, stop, what="the policies", events=forever)
    (line,) = caplog.records
    assert line.levelname == "ERROR"
    assert line.exc_info is not None
