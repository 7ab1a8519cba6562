"""Keys kept fresh: renewed in time, kept through outages, and no fetch for each of a flood."""

from __future__ import annotations

from threading import Event

import pytest

from policyd.tokens.fetch import Fetched
from policyd.tokens.keys.refresher import RefreshedKeys, Renewal
from tests.support.tokens import NOW, Clock, FakeFetch, key, settings


class Source:
    """A `RefreshedKeys` over fakes, and what it reported."""

    def __init__(self, **changes: object) -> None:
        self.clock = Clock()
        self.fetch = FakeFetch(key())
        self.renewals: list[Renewal] = []
        self.keys = RefreshedKeys(settings(**changes), self.fetch, self.clock, self.renewals.append)

    def ask(self, key_id: str = "new") -> int | None:
        return self.keys.look_for(key_id, self.clock.now)

    def refresh_when_asked(self) -> None:
        self.keys.refresh()


def test_a_first_renewal_publishes_a_snapshot_and_reports() -> None:
    source = Source()
    assert not source.keys.wait(0)

    source.keys.refresh()

    assert source.keys.snapshot is not None
    assert source.keys.snapshot.key_set.key_ids == {key().key_id}
    assert source.renewals == [Renewal(settings().issuer, 1, True, (), None)]
    assert source.keys.wait(0)


@pytest.mark.parametrize(
    ("max_age", "life"), [(None, 600), (0, 60), (59, 60), (100, 100), (3601, 3600), (10**9, 3600)]
)
def test_keys_live_as_long_as_their_server_says_within_bounds(
    max_age: int | None, life: int
) -> None:
    source = Source(max_stale=0)
    source.fetch.max_age = max_age

    source.keys.refresh()

    assert source.keys.snapshot is not None
    assert source.keys.snapshot.usable_until == NOW + life


def test_the_same_content_keeps_the_same_keys_and_lives_longer() -> None:
    source = Source()
    source.keys.refresh()
    before = source.keys.snapshot
    source.clock.move(480)

    source.keys.refresh()

    after = source.keys.snapshot
    assert before is not None
    assert after is not None
    assert after.key_set is before.key_set
    assert after.usable_until == before.usable_until + 480
    assert [renewal.changed for renewal in source.renewals] == [True, False]


def test_stale_keys_serve_through_an_outage() -> None:
    source = Source(max_stale=100)
    source.keys.refresh()
    before = source.keys.snapshot
    source.fetch.fail()
    source.clock.move(650)

    source.keys.refresh()

    assert source.keys.snapshot is before
    assert before is not None
    assert before.usable_until == NOW + 700
    assert source.renewals[-1].problem == "the network is down"


def test_a_set_without_usable_keys_is_a_failed_renewal() -> None:
    source = Source()
    source.keys.refresh()
    before = source.keys.snapshot
    source.fetch.serve_text(b'{"keys":[]}')

    source.keys.refresh()

    assert source.keys.snapshot is before
    assert source.renewals[-1].problem is not None


def test_an_unexpected_error_is_reported_and_ends_nothing() -> None:
    def broken() -> Fetched:
        raise RuntimeError("a mistake of ours")

    renewals: list[Renewal] = []
    keys = RefreshedKeys(settings(), broken, Clock(), renewals.append)

    keys.refresh()

    assert renewals[0].problem == "unexpected RuntimeError: a mistake of ours"
    assert keys.look_for("new", NOW) == 1


def test_an_unknown_key_asks_for_one_renewal_and_is_then_unknown() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(30)

    assert source.ask() == 1
    assert source.ask() == 1
    source.refresh_when_asked()
    assert source.ask() is None
    assert source.fetch.calls == 2


def test_a_key_that_the_renewal_brought_is_there() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(30)
    new = key(name="new")
    assert source.ask(new.key_id) == 1
    source.fetch.serve(key(), new)

    source.refresh_when_asked()

    assert source.keys.snapshot is not None
    assert new.key_id in source.keys.snapshot.key_set.key_ids


def test_within_the_cool_down_nothing_is_asked_for() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(29)

    assert source.ask() is None
    source.clock.move(1)
    assert source.ask() == 1


def test_an_absent_key_is_remembered_for_a_minute_or_until_the_set_changes() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(30)
    assert source.ask() == 1
    source.refresh_when_asked()
    source.clock.move(59)

    assert source.ask() is None
    assert source.ask("another") == 1
    source.fetch.serve(key(), key(name="second"))
    source.refresh_when_asked()
    source.clock.move(30)
    assert source.ask() == 1


def test_an_absent_key_is_forgotten_after_a_minute() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(30)
    source.ask()
    source.refresh_when_asked()
    source.clock.move(60)

    assert source.ask() == 1
    source.refresh_when_asked()
    assert source.ask() is None


def test_a_flood_of_invented_keys_costs_one_fetch_a_cool_down() -> None:
    """CVE-2026-101917 (GHSA-2gx3-rcp4-g85q): invented key ids do not make the daemon fetch."""
    source = Source()
    source.keys.refresh()
    asked = 0
    for tick in range(300):
        source.clock.move(1)
        answers = {source.ask(f"invented-{tick}-{n}") for n in range(50)}
        if 1 in answers:
            asked += 1
            source.refresh_when_asked()

    assert asked == 10
    assert source.fetch.calls == 11


def test_while_attempts_fail_the_answer_is_to_come_again() -> None:
    source = Source()
    source.fetch.fail()
    pauses = []
    for _ in range(8):
        source.keys.refresh()
        pauses.append(source.ask())
        assert source.keys.renew(source.clock.now) == pauses[-1]
        source.clock.move(100)

    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_without_keys_a_renewal_is_asked_for_once() -> None:
    source = Source()

    assert source.keys.renew(NOW) == 1
    assert source.keys.renew(NOW) == 1
    source.keys.refresh()
    assert source.keys.renew(NOW) == 30


def test_a_clock_that_was_set_back_puts_nothing_off() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(-86_400)

    assert source.ask() == 1


def test_the_thread_fetches_at_once_when_asked_and_ends_when_stopped() -> None:
    clock = Clock()
    fetched = Event()
    twice = Event()
    fetch = FakeFetch(key())

    def report(renewal: Renewal) -> None:
        (twice if fetched.is_set() else fetched).set()

    keys = RefreshedKeys(settings(), fetch, clock, report)
    keys.start()
    keys.start()

    assert keys.wait(10)
    assert fetched.wait(10)
    clock.move(30)
    assert keys.look_for("new", clock.now) == 1
    assert twice.wait(10)
    assert keys.look_for("new", clock.now) is None
    keys.stop()
    keys.stop()
    assert fetch.calls == 2


def test_a_request_during_a_fetch_is_told_to_come_again_and_does_not_wait() -> None:
    entered, leave = Event(), Event()

    def slow() -> Fetched:
        entered.set()
        assert leave.wait(10)
        return FakeFetch(key())()

    done = Event()
    keys = RefreshedKeys(settings(), slow, Clock(), lambda _: done.set())
    keys.start()
    assert entered.wait(10)

    assert keys.look_for("new", NOW) == 1
    assert keys.renew(NOW) == 1
    assert keys.snapshot is None
    leave.set()
    assert done.wait(10)
    assert keys.look_for("new", NOW) is None
    keys.stop()
