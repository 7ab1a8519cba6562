"""The sources that are configured, as one; and how each of them says that it stands."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from policyd.json_types import Json
from policyd.sources.revocations.file import append, create
from policyd.sources.revocations.service import (
    RevocationSources,
    open_revocations,
    read_file_now,
)
from policyd.sources.revocations.settings import RedisSettings, RevocationSettings
from policyd.sources.revocations.status import SourceStatus, TimeOfDay
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import RevocationsUnavailable, TokenRevoked
from policyd.tokens.revocation.model import RevocationKind
from policyd.tokens.revocation.revocation_list import ClaimNames, RevocationList
from tests.support.revocations import revoked, revoked_token, seen
from tests.support.tokens import NOW


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Fed:
    """A source whose list is filled by the test."""

    def __init__(self, clock: Clock) -> None:
        self.list = RevocationList(clock=clock)
        self.status = SourceStatus(self.list, "test")
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


def refused(sources: RevocationSources, token: VerifiedToken) -> str | None:
    try:
        sources.revocations.check(token, NOW)
    except (TokenRevoked, RevocationsUnavailable) as error:
        return type(error).__name__
    return None


def test_a_token_is_good_where_no_source_speaks_against_it() -> None:
    clock = Clock()
    feeds = {"file": Fed(clock), "redis": Fed(clock)}
    sources = RevocationSources(feeds)
    assert refused(sources, seen("a")) == "RevocationsUnavailable"
    for name, feed in feeds.items():
        feed.list.add([revoked_token(name)])
        feed.status.current()
    told = {name: refused(sources, seen(name)) for name in ("file", "redis", "another")}
    assert told == {"file": "TokenRevoked", "redis": "TokenRevoked", "another": None}
    assert {name: sum(figures.entries.values()) for name, figures in sources.figures().items()} == {
        "file": 1,
        "redis": 1,
    }


def test_all_sources_are_started_awaited_and_stopped() -> None:
    clock = Clock()
    first, second = Fed(clock), Fed(clock)
    sources = RevocationSources({"file": first, "redis": second})
    sources.start()
    for one, other in ((first, second), (second, first)):
        assert not sources.wait(0)
        one.status.current()
        del other
    assert sources.wait(0)
    sources.stop()
    assert first.calls == second.calls == ["start", "stop"]


@pytest.mark.parametrize("deny", [True, False])
def test_settings_reach_the_list(tmp_path: Path, deny: bool) -> None:
    path = tmp_path / "revoked"
    create(path)
    append(path, revoked(RevocationKind.SESSION, "s"))
    append(path, revoked(RevocationKind.ORGANISATION, "o"))
    clock = Clock()
    settings = RevocationSettings(
        file=path, max_staleness=7, deny_when_stale=deny, claims=ClaimNames(("session",), ("team",))
    )
    sources = open_revocations(settings, lambda: NOW, clock)
    sources.start()
    try:
        assert sources.wait(20)
    finally:
        sources.stop()
    named: list[dict[str, Json]] = [{"session": "s"}, {"team": "o"}]
    for claims in named:
        assert refused(sources, seen("a", claims=claims)) == "TokenRevoked"
    assert refused(sources, seen("a", claims={"sid": "s", "org_id": "o"})) is None
    clock.now += 6.9
    assert refused(sources, seen("a")) is None
    clock.now += 0.2
    assert refused(sources, seen("a")) == ("RevocationsUnavailable" if deny else None)
    (figures,) = sources.figures().values()
    assert figures.stale


def test_a_look_at_the_file_is_one_look(tmp_path: Path) -> None:
    assert read_file_now(None) is None
    assert read_file_now(RevocationSettings()) is None
    missing = read_file_now(RevocationSettings(file=tmp_path / "none"))
    assert missing is not None
    with pytest.raises(RevocationsUnavailable):
        missing.check(seen("a"), NOW)
    create(tmp_path / "revoked")
    there = read_file_now(RevocationSettings(file=tmp_path / "revoked"))
    assert there is not None
    there.check(seen("a"), NOW)


def test_no_secret_is_in_the_name_of_a_server() -> None:
    settings = RedisSettings("redis.example", 6380, username="u", password_env="SECRET")
    assert str(settings) == "redis.example:6380"
    assert str(RedisSettings("", path=Path("/run/redis.sock"))) == "unix:/run/redis.sock"


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, object]]:
    """Return what was logged since the last time: level, message, problem."""
    found = [(one.levelname, one.message, getattr(one, "problem", None)) for one in caplog.records]
    caplog.clear()
    return found


def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    revocations = RevocationList(max_staleness=10, clock=clock)
    status = SourceStatus(revocations, "file revoked")
    status.changed()  # before it was loaded, that says nothing
    status.failed("no file")
    status.failed("no file")
    assert said(caplog) == [("ERROR", "revocations cannot be read", "no file")]
    status.current()
    assert [getattr(one, "source", None) for one in caplog.records] == ["file revoked"]
    status.current()
    assert said(caplog) == [("INFO", "revocations loaded", None)]
    revocations.add([revoked_token("a"), revoked_token("b")])
    status.changed()
    assert [getattr(one, "entries", None) for one in caplog.records] == [2]
    assert said(caplog) == [("INFO", "revocations changed", None)]
    clock.now += 4
    status.failed("garbage")
    assert revocations.figures().problem == "garbage"
    assert [getattr(one, "age", None) for one in caplog.records] == [4.0]
    status.failed("no file")
    assert [problem for _, _, problem in said(caplog)] == ["garbage", "no file"]
    clock.now += 7
    status.failed("no file")
    status.failed("no file")
    assert said(caplog) == [("ERROR", "the revocation list is stale", "no file")]
    status.current()
    assert said(caplog) == [("INFO", "revocations are current again", None)]
    clock.now += 11
    status.failed("no file")
    assert [message for _, message, _ in said(caplog)] == [
        "revocations cannot be read",
        "the revocation list is stale",
    ]
    status.lost("made anew")
    assert said(caplog) == [("ERROR", "the source has lost revocations", "made anew")]


def test_a_clock_that_was_set_back_is_told_once() -> None:
    clock = Clock()
    time = TimeOfDay(clock)
    assert time() == 1000
    assert not time.was_set_back()
    clock.now = 940  # in the ordinary course of things
    assert not time.was_set_back()
    clock.now = 939.9  # from the latest time that was seen
    assert time.was_set_back()
    assert not time.was_set_back()
    clock.now = 2000
    assert not time.was_set_back()
    clock.now = 1900
    assert time.was_set_back()
