"""Keys kept fresh: renewed in time, kept through outages, and no fetch for each of a flood."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Condition, Event, Thread
from threading import enumerate as living

import pytest

from policyd.tokens.https.fetch import Document
from policyd.tokens.keys import refresher
from policyd.tokens.keys.refresher import COOL_DOWN, RefreshedKeys, Renewal
from tests.support.tokens import NOW, Clock, FakeFetch, key, latest, settings


class Source:
    """A `RefreshedKeys` over fakes, and what it reported."""

    def __init__(self, **changes: object) -> None:
        self.clock = Clock()
        self.fetch = FakeFetch(key())
        self.renewals: list[Renewal] = []
        self.keys = RefreshedKeys(
            settings(**changes), self.fetch, self.clock, self.renewals.append, uniform=latest
        )

    @property
    def due_at_once(self) -> bool:
        """Whether the thread was asked to fetch, whatever the clock says."""
        return self.keys.due_at < NOW

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
    assert not source.renewals[-1].changed


def test_an_unexpected_error_is_reported_and_ends_nothing() -> None:
    def broken() -> Document:
        raise RuntimeError("a mistake of ours")

    renewals: list[Renewal] = []
    keys = RefreshedKeys(settings(), broken, Clock(), renewals.append, uniform=latest)

    keys.refresh()

    assert renewals[0].problem == "unexpected RuntimeError: a mistake of ours"
    assert keys.look_for("new", NOW) == 1


def test_keys_are_renewed_by_themselves_before_their_life_ends() -> None:
    source = Source()
    source.fetch.max_age = 1000

    source.keys.refresh()

    assert source.keys.due_at == NOW + 800
    source.fetch.max_age = None
    source.clock.move(100)
    source.keys.refresh()
    assert source.keys.due_at == NOW + 100 + 480


def test_a_fleet_does_not_renew_in_step() -> None:
    """Some time before the renewal is due, and before another attempt, at random."""
    asked: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        asked.append((least, most))
        return (least + most) / 2

    clock, fetch = Clock(), FakeFetch(key())
    keys = RefreshedKeys(settings(), fetch, clock, lambda _: None, uniform=uniform)
    keys.refresh()
    assert keys.due_at == NOW + 480 * 0.875
    fetch.fail()
    for pause in (1, 2, 4):
        keys.refresh()
        assert keys.due_at == NOW + pause * 0.75
    assert asked == [(0.75, 1.0), *[(0.5, 1.0)] * 3]


def test_the_thread_renews_what_is_due() -> None:
    """Started at the second at which a renewal is due, and not before."""
    clock, fetch, renewed = Clock(), FakeFetch(key()), Event()
    keys = RefreshedKeys(settings(), fetch, clock, lambda _: renewed.set(), uniform=latest)
    keys.refresh()
    renewed.clear()
    clock.move(479)
    assert keys.due_at > clock.now
    clock.move(1)
    assert keys.due_at == clock.now

    keys.start()
    assert renewed.wait(10)
    keys.stop()

    assert fetch.calls == 2
    assert keys.due_at == clock.now + 480


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
    assert source.keys.due_at == NOW + 30 + 480


def test_within_the_cool_down_the_answer_is_to_come_again_when_it_ends() -> None:
    """So a token of a key that is a few seconds old is not taken for one of no key."""
    source = Source()
    source.keys.refresh()
    assert source.keys.due_at == NOW + 480

    for passed, rest in ((0, 30), (5, 25), (24, 1)):
        source.clock.move(passed)
        assert source.ask() == rest
        assert source.keys.due_at == NOW + 30
    source.clock.move(1)
    assert source.ask() == 1
    source.refresh_when_asked()
    assert source.ask() is None
    assert source.ask("another") == 30
    assert source.fetch.calls == 2


def test_a_renewal_that_began_before_the_token_was_seen_proves_nothing() -> None:
    """What it read may have been read before the key was published."""
    source = Source()
    answers: list[int | None] = []
    serve = source.fetch.__call__

    def meanwhile() -> Document:
        answers.append(source.ask())
        return serve()

    keys = RefreshedKeys(
        settings(), meanwhile, source.clock, source.renewals.append, uniform=latest
    )
    source.keys = keys
    keys.refresh()

    assert answers == [1]
    assert source.ask() == 30
    assert keys.due_at == NOW + 30
    source.clock.move(30)
    keys.refresh()
    assert answers == [1, 1]
    assert source.ask() is None


def test_a_failed_attempt_forgets_nobody_who_waits() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(30)
    assert source.ask() == 1
    source.fetch.fail()
    source.refresh_when_asked()
    assert source.ask() == 1
    source.fetch.serve(key())
    source.clock.move(1)

    source.keys.refresh()

    assert source.ask() is None


def test_a_failed_attempt_forgets_nobody_who_does_not_ask_again() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(30)
    assert source.ask() == 1
    source.fetch.fail()
    source.refresh_when_asked()
    source.fetch.serve(key())
    source.clock.move(1)

    source.keys.refresh()

    assert source.ask() is None


def test_of_a_flood_during_a_failed_attempt_the_latest_are_looked_for() -> None:
    """More key ids than are remembered: those from before the attempt make room."""
    source = Source()
    source.keys.refresh()
    source.clock.move(30)
    for number in range(1024):
        source.ask(f"z-{number}")

    def meanwhile() -> Document:
        for number in range(1024):
            source.ask(f"a-{number}")
        return source.fetch()

    source.fetch.fail()
    keys = source.keys
    keys._fetch = meanwhile
    keys.refresh()
    keys._fetch = source.fetch
    source.fetch.serve(key())
    source.clock.move(1)
    keys.refresh()

    assert [source.ask(name) for name in ("a-0", "a-1023", "z-0")] == [None, None, COOL_DOWN]


def test_a_key_asked_for_during_the_fetch_that_brought_it_is_not_looked_for_again() -> None:
    source = Source()
    new = key(name="new")
    source.fetch.serve(key(), new)

    def meanwhile() -> Document:
        assert source.ask(new.key_id) == 1
        return source.fetch()

    source.keys._fetch = meanwhile
    source.keys.refresh()

    assert source.keys.due_at == NOW + 480


def test_what_a_set_has_beside_the_same_keys_is_news_once() -> None:
    source = Source()
    source.keys.refresh()
    keys = [key().public_jwk(), {"kty": "oct", "k": "AA"}]
    source.fetch.serve_text(json.dumps({"keys": keys}).encode())
    for _ in range(2):
        source.keys.refresh()

    assert [renewal.changed for renewal in source.renewals] == [True, True, False]
    assert [len(renewal.skipped) for renewal in source.renewals] == [0, 1, 1]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"jwks_file": "keys.json"}, "keys.json"),
        ({"jwks_file": None, "jwks_uri": "https://id.example/keys"}, "https://id.example/keys"),
        ({"jwks_file": None}, settings().issuer),
    ],
)
def test_keys_that_are_no_keys_are_said_to_be_from(place: dict[str, object], said: str) -> None:
    source = Source(**place)
    source.fetch.serve_text(b"[]")

    source.keys.refresh()

    assert str(source.keys.problem).startswith(f"'{said}': ")


def test_an_absent_key_is_remembered_for_a_minute_or_until_the_set_changes() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(30)
    assert source.ask() == 1
    source.refresh_when_asked()
    source.clock.move(59)

    assert source.ask() is None
    source.keys.refresh()
    assert source.ask() is None
    source.fetch.serve(key(), key(name="second"))
    source.keys.refresh()
    assert source.ask() == COOL_DOWN


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
    source.clock.move(-86_400)
    assert source.ask() == 1


def test_a_flood_of_invented_keys_costs_one_fetch_a_cool_down() -> None:
    """CVE-2026-101917 (GHSA-2gx3-rcp4-g85q): invented key ids do not make the daemon fetch."""
    source = Source()
    source.keys.refresh()
    fetches: list[float] = []
    for tick in range(300):
        source.clock.move(1)
        for number in range(50):
            assert source.ask(f"invented-{tick}-{number}") in range(1, COOL_DOWN + 1)
        if source.keys.due_at <= source.clock.now:
            fetches.append(source.clock.now - NOW)
            source.refresh_when_asked()

    assert fetches == list(range(30, 301, 30))
    assert source.fetch.calls == 11


def test_what_is_remembered_of_a_flood_is_bounded_and_the_latest() -> None:
    source = Source()
    source.keys.refresh()
    for number in range(3000):
        source.ask(f"invented-{number:04}")
    source.clock.move(30)
    source.refresh_when_asked()

    assert source.ask("invented-0000") is None
    assert source.ask("invented-1023") is None
    assert source.ask("invented-1024") == COOL_DOWN
    for number in range(3000, 6000):
        source.ask(f"invented-{number:04}")
    source.clock.move(30)
    source.refresh_when_asked()
    assert source.ask("invented-3000") is None
    assert source.ask("invented-0000") == COOL_DOWN


def test_a_doubted_key_asks_for_one_renewal_a_cool_down() -> None:
    """An issuer may put another key under the same id; anyone may send forged signatures."""
    source = Source()
    source.keys.refresh()
    fetches: list[float] = []
    for _ in range(300):
        source.clock.move(1)
        for _ in range(50):
            source.keys.doubt(source.clock.now)
        if source.keys.due_at <= source.clock.now:
            fetches.append(source.clock.now - NOW)
            source.keys.refresh()

    assert fetches == list(range(30, 301, 30))


def test_a_doubted_key_is_read_at_once_where_the_cool_down_is_over() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(31)
    assert source.keys.due_at == NOW + 480

    source.keys.doubt(source.clock.now)
    assert source.due_at_once
    source.keys.refresh()

    assert source.keys.due_at == NOW + 31 + 480


def test_a_doubt_within_the_cool_down_is_kept_until_it_ends() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(5)

    source.keys.doubt(source.clock.now)
    assert source.keys.due_at == NOW + 30
    source.keys.doubt(source.clock.now)
    assert source.keys.due_at == NOW + 30

    # Where the clock was set forward, the thread sleeps past the time: then the next one wakes it.
    source.clock.move(25)
    source.keys.doubt(source.clock.now)
    assert source.due_at_once


@pytest.mark.parametrize("first", ["look_for", "doubt"])
def test_the_first_who_asks_wakes_the_thread_and_nobody_else_does(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread sleeps until the next renewal; now the cool-down's end comes before that."""
    woken: list[Condition] = []
    monkeypatch.setattr(Condition, "notify_all", lambda condition: woken.append(condition))
    source = Source()
    source.keys.refresh()
    assert len(woken) == 1, "those who wait for the first keys"
    requests: list[Callable[[], object]] = [
        lambda: source.keys.look_for("new", NOW + 5),
        lambda: source.keys.doubt(NOW + 5),
    ]
    if first == "doubt":
        requests.reverse()

    for request in requests:
        for _ in range(2):
            request()
            assert len(woken) == 2


def test_an_operator_has_keys_read_at_once() -> None:
    source = Source()
    source.keys.refresh()

    source.keys.fetch_anew()

    assert source.keys.due_at < source.clock.now
    source.keys.refresh()
    assert source.keys.due_at == NOW + 480


def test_the_last_problem_is_there_until_an_attempt_succeeds() -> None:
    source = Source()
    problems = [source.keys.problem]
    source.fetch.fail()
    source.keys.refresh()
    problems.append(source.keys.problem)
    source.fetch.serve_text(b"<html>")
    source.keys.refresh()
    problems.append(source.keys.problem)
    source.fetch.serve(key())
    source.keys.refresh()
    problems.append(source.keys.problem)

    page = "it is a web page or XML, and a JWK Set is expected: it is not JSON"
    assert problems == [None, "the network is down", f"'unused.json': {page}", None]


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


def test_an_attempt_that_failed_late_is_not_repeated_early() -> None:
    """The pause counts from the end of an attempt, the cool-down from its beginning."""
    source = Source()
    source.fetch.fail()

    def slow() -> Document:
        source.clock.move(10)
        return source.fetch()

    source.keys._fetch = slow
    for _ in range(6):
        source.keys.refresh()
    source.clock.move(21)

    assert source.keys.renew(source.clock.now) == 9
    assert source.ask() == 1  # a key that may be new has waited for a cool-down
    assert not source.due_at_once
    source.keys.fetch_anew()
    assert source.keys.renew(source.clock.now) == 1
    assert source.ask() == 1


def test_keys_that_ran_out_are_asked_for_at_once() -> None:
    source = Source()
    source.keys.refresh()
    source.clock.move(29)
    assert source.keys.renew(source.clock.now) == COOL_DOWN
    assert not source.due_at_once

    source.clock.move(1)
    assert source.keys.renew(source.clock.now) == 1
    assert source.due_at_once


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


def test_there_is_one_thread_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[float | None] = []

    class Noted(Thread):
        def join(self, timeout: float | None = None) -> None:
            joined.append(timeout)
            super().join(timeout)

    monkeypatch.setattr(refresher, "Thread", Noted)
    keys = RefreshedKeys(settings(), FakeFetch(key()), Clock(), lambda _: None)

    for _ in range(2):
        keys.start()
        keys.start()
        assert keys.wait(10)
        (thread,) = (one for one in living() if isinstance(one, Noted))
        assert thread.daemon, "a fetch under way must not keep the process from ending"
        keys.stop()
        assert not thread.is_alive()

    assert joined == [1, 1]


def test_a_request_during_a_fetch_is_told_to_come_again_and_does_not_wait() -> None:
    entered, leave = Event(), Event()

    def slow() -> Document:
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
    assert keys.look_for("new", NOW) == COOL_DOWN
    keys.stop()
