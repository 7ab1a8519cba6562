"""The validator's background work: it starts, waits for and stops the keys of every issuer."""

from __future__ import annotations

from policyd.tokens.key_source import FixedKeys
from tests.support.tokens import issuer, key_set, validator

APIS = frozenset(("health",))


class RecordingKeys(FixedKeys):
    """Keys that note what is asked of them, and that come in time or do not."""

    def __init__(self, *, in_time: bool = True) -> None:
        super().__init__(key_set())
        self.asked: list[str] = []
        self.patience: list[float] = []
        self._in_time = in_time

    def start(self) -> None:
        self.asked.append("start")

    def stop(self) -> None:
        self.asked.append("stop")

    def wait(self, seconds: float) -> bool:
        self.patience.append(seconds)
        return self._in_time


def test_the_keys_of_every_issuer_are_started_and_stopped() -> None:
    keys = RecordingKeys(), RecordingKeys()
    of = validator(
        issuer(keys[0], apis=APIS), issuer(keys[1], issuer="https://other.example/", apis=APIS)
    )

    of.start()
    assert [each.asked for each in keys] == [["start"], ["start"]]
    of.stop()
    assert [each.asked for each in keys] == [["start", "stop"], ["start", "stop"]]


def test_all_issuers_share_the_time_that_there_is_to_wait() -> None:
    late, early = RecordingKeys(in_time=False), RecordingKeys()
    of = validator(
        issuer(late, apis=APIS), issuer(early, issuer="https://other.example/", apis=APIS)
    )

    assert not of.wait_for_keys(1000)
    (first,), (second,) = late.patience, early.patience
    assert 900 < second <= first <= 1000


def test_time_that_has_run_out_is_not_negative() -> None:
    keys = RecordingKeys()

    assert validator(issuer(keys)).wait_for_keys(-1)
    assert keys.patience == [0]
