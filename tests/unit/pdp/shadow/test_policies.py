"""The shadow decides in its own thread, and whatever befalls it stays with it."""

from __future__ import annotations

import logging

import pytest

from policyd.audit import Entry
from policyd.pdp.shadow.policies import ShadowJudge
from policyd.pdp.shadow.sample import Sample
from policyd.replay.beside import Beside, Result
from tests.support.logs import NOW, POLICY, Question, loaded, log_entries

STRICTER = POLICY.replace('"doctor" in', '"surgeon" in')
SEALED = Question(sealed=True)


class Rig:
    """A judge, whose log has as much `room` as it is told."""

    def __init__(self, room: int = 100) -> None:
        self.lines: list[bytes] = []
        self.room = room
        self.sample = Sample(1.0, uniform=lambda: 0.0)
        self.judge = ShadowJudge(self.sample, self._write, lambda: NOW)
        self.serving = loaded()

    def _write(self, line: bytes) -> bool:
        if len(self.lines) < self.room:
            self.lines.append(line)
            return True
        return False

    def decide(self, *questions: Question) -> None:
        self.sample.observe(log_entries(questions, self.serving))
        self.sample.wake()
        entries = self.sample.take()
        self.judge.adopt()
        for entry in entries:
            self.judge.decide(entry)


def test_it_decides_once_there_are_both() -> None:
    rig = Rig()
    rig.decide(SEALED)
    assert rig.judge.figures.checks == {}
    rig.judge.use(rig.serving)
    rig.decide(SEALED)
    assert rig.judge.figures.revision == ""
    rig.judge.load(loaded(STRICTER), "c0ffee")
    rig.decide(SEALED, Question())
    figures = rig.judge.figures
    assert figures.checks == {("health", "differs"): 1, ("health", "same"): 1}
    assert figures.serving == rig.serving.revision
    assert len(rig.lines) == 1


def test_another_set_begins_anew_and_checks_go_on() -> None:
    rig = Rig()
    rig.judge.use(rig.serving)
    rig.judge.load(loaded(STRICTER))
    rig.decide(SEALED)
    rig.judge.load(loaded(POLICY + "// the same\n"))
    rig.decide(SEALED)
    figures = rig.judge.figures
    assert figures.compared.results == {"same": 1}
    assert figures.checks == {("health", "differs"): 1, ("health", "same"): 1}


def test_decisions_of_the_policies_before_are_passed_over() -> None:
    rig = Rig()
    rig.judge.use(rig.serving)
    rig.judge.load(loaded(STRICTER))
    rig.decide(SEALED)
    rig.judge.use(loaded(POLICY + "// the next\n"))
    rig.decide(SEALED)
    figures = rig.judge.figures
    assert figures.compared.results.total() == 0, "it begins anew"
    assert figures.checks == {("health", "differs"): 1}


def test_a_record_without_room_is_counted() -> None:
    rig = Rig(room=1)
    rig.judge.use(rig.serving)
    rig.judge.load(loaded(STRICTER))
    rig.decide(SEALED, SEALED, SEALED)
    assert (len(rig.lines), rig.judge.figures.unwritten) == (1, 2)


def test_a_defect_ends_nothing_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig()
    rig.judge.use(rig.serving)
    rig.judge.load(loaded(STRICTER))

    def broken(self: Beside, entry: Entry) -> Result:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Beside, "decide", broken)
        rig.decide(SEALED, SEALED)
    assert rig.judge.figures.failed == 2
    assert [one.levelno for one in caplog.records] == [logging.ERROR]
    rig.decide(SEALED)
    assert rig.judge.figures.checks == {("health", "differs"): 1}


def test_it_starts_and_stops() -> None:
    rig = Rig()
    rig.judge.start()
    rig.judge.stop()
