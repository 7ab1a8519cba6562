"""When a remote source is asked: spread, later after failures, and at once on a word."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from policyd.sources.policies.polling import Poller, pause
from tests.support.daemon import PATIENCE


@pytest.mark.parametrize(
    ("interval", "failures", "seconds"),
    [(30, 0, 30), (30, 1, 60), (30, 3, 240), (30, 9, 600), (30, 9999, 600), (900, 5, 900)],
)
def test_pauses_double_up_to_ten_minutes(interval: float, failures: int, seconds: float) -> None:
    assert pause(interval, failures, lambda low, high: (low + high) / 2) == pytest.approx(seconds)


def test_the_polls_of_a_fleet_spread() -> None:
    """Twenty daemons that started together ask in twenty different moments, within a fifth."""
    daemons = [random.Random(number) for number in range(20)]
    moments = sorted(pause(30, 0, one.uniform) for one in daemons)
    assert moments[0] >= 24
    assert moments[-1] <= 36
    assert len(set(moments)) == 20
    assert moments[-1] - moments[0] > 6, "they are not one crowd"


class Looks:
    """Counts looks, and lets a test wait for them."""

    def __init__(self, look: Callable[[], bool] = lambda: True) -> None:
        self._look = look
        self._news = threading.Condition()
        self.count = 0

    def __call__(self) -> bool:
        with self._news:
            self.count += 1
            self._news.notify_all()
        return self._look()

    def wait(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.count >= count, PATIENCE)


def test_a_word_makes_the_next_look_come_at_once() -> None:
    looks = Looks()
    poller = Poller("test", 3600, looks)
    poller.start()
    poller.soon()
    looks.wait(1)
    poller.soon()
    looks.wait(2)
    poller.stop()
    assert not poller._thread.is_alive()


def test_a_flood_of_words_makes_one_look() -> None:
    looks = Looks()
    poller = Poller("test", 3600, looks)
    poller.start()
    poller.soon()
    looks.wait(1)
    for _ in range(1000):
        poller.soon()
    looks.wait(2)
    poller.stop()
    assert looks.count == 2


class Waits:
    """Stands for the event that a poller waits for: notes how long, and waits not at all."""

    def __init__(self, most: int) -> None:
        self.seconds: list[float] = []
        self.poller: Poller | None = None
        self._most = most

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        if len(self.seconds) == self._most:
            assert self.poller is not None
            self.poller._stopped = True
        return False

    def set(self) -> None:
        raise AssertionError("nobody has a word to say")

    def clear(self) -> None:
        pass


def test_each_failure_in_a_row_makes_it_wait_longer(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[bool | Exception] = [True, False, False, ValueError("a defect"), True, False]
    left = iter(answers)

    def look() -> bool:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    hours = iter(range(0, 360_000, 3600))
    waits = Waits(len(answers) + 1)
    poller = Poller("test", 10, look, uniform=lambda _low, high: high, clock=lambda: next(hours))
    waits.poller = poller
    poller._wake = waits  # type: ignore[assignment]
    poller._run()
    assert waits.seconds == [12, 12, 24, 48, 96, 12, 24]
    assert next(left, None) is None
    assert "a defect" in caplog.text


def test_what_a_look_raises_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> bool:
        raise ZeroDivisionError

    looks = Looks(fails)
    poller = Poller("test", 3600, looks)
    poller.start()
    for count in (1, 2):
        poller.soon()
        looks.wait(count)
    poller.stop()
    assert "looking for changed policies failed; it goes on" in caplog.text


def test_a_poller_that_never_began_stops() -> None:
    Poller("test", 1, lambda: True).stop()
