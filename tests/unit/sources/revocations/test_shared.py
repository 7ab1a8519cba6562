"""Readers and writers of a list in a real Redis, which is stopped, emptied, cut off and flooded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from policyd.sources.revocations import RedisSettings, RevocationSettings, open_revocations
from policyd.sources.revocations.errors import (
    ListExists,
    ListMissing,
    RevocationsUnreadable,
    RevocationsUnwritable,
)
from policyd.sources.revocations.redis import START, Edition, RedisList
from policyd.sources.revocations.shared import SharedRevocations, create, publish, tidy
from policyd.sources.revocations.snapshot import SnapshotReading
from policyd.sources.revocations.status import SourceStatus
from policyd.tokens.revocation.model import RevocationKind
from policyd.tokens.revocation.revocation_list import RevocationFigures, RevocationList
from policyd.tokens.revocation.revocations import Revocations
from tests.support.documents import ROOT
from tests.support.https import write_authority, write_certificate
from tests.support.ports import free_port
from tests.support.redis import RedisServer, redis_server, until, wire_to
from tests.support.revocations import FAR, answer, revoked, revoked_token, seen
from tests.support.tokens import NOW, Clock

#: What an account needs, as the documentation says.
READER = (
    *("multi", "exec", "eval_ro", "exists", "hmget"),
    *("strlen", "getrange", "xlen", "xrange", "xread"),
)
WRITER = (
    *(*READER, "eval", "hset", "set", "append", "persist", "rename", "unlink"),
    *("setnx", "xadd", "xtrim"),
)


def now() -> float:
    return NOW


class Reader:
    """A reader at work, as a daemon has one."""

    def __init__(self, settings: RedisSettings, clock: Callable[[], float]) -> None:
        self._sources = open_revocations(RevocationSettings(redis=settings), clock)
        self.revocations: Revocations = self._sources.revocations
        self._sources.start()

    def stop(self) -> None:
        self._sources.stop()

    @property
    def figures(self) -> RevocationFigures:
        return self._sources.figures()["redis"]

    def refuses(self, jti: str) -> bool:
        return answer(self.revocations, seen(jti)) == "TOKEN_REVOKED"

    def refuses_all(self, jtis: Iterator[str] | list[str]) -> bool:
        return all(self.refuses(jti) for jti in jtis)

    def wait_for(self, *jtis: str) -> None:
        until(lambda: all(map(self.refuses, jtis)), f"{jtis} are not refused: {self.figures}")

    def wait_loaded(self) -> None:
        until(lambda: self.figures.loaded, f"it was not loaded: {self.figures}")

    def wait_for_problem(self, part: str) -> None:
        until(lambda: part in (self.figures.problem or ""), f"no {part}: {self.figures}")

    def wait_current(self) -> None:
        """Wait until the source has vouched for the list anew."""
        until(lambda: (self.figures.age or 0) > 0.0, "no time passes")
        before = self.figures.age
        assert before is not None
        until(lambda: (self.figures.age or 0) < before, f"it is not current: {self.figures}")


@contextmanager
def reader(settings: RedisSettings, clock: Callable[[], float] = now) -> Iterator[Reader]:
    made = Reader(settings, clock)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that keeps its data, with an empty list."""
    with redis_server(tmp_path) as running:
        create(running.settings)
        yield running


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that keeps nothing on disk, with an empty list."""
    with redis_server(tmp_path, durable=False) as running:
        create(running.settings)
        yield running


def problems(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says that was lost."""
    return [
        str(vars(record)["problem"])
        for record in caplog.records
        if record.getMessage() == "the source has lost revocations"
    ]


def snapshot_of(source: RedisList) -> tuple[Edition, bytes]:
    """Return the whole snapshot, and its edition."""
    reading = SnapshotReading()
    lines: list[bytes] = []
    while not reading.complete:
        lines += reading.next(source)
    assert reading.edition is not None
    return reading.edition, b"\n".join(lines)


def write(server: RedisServer, *jtis: str, compact_from: int = 5000) -> None:
    publish(
        server.settings, [revoked_token(jti) for jti in jtis], compact_from=compact_from, clock=now
    )


def test_what_was_written_before_and_after(server: RedisServer) -> None:
    write(server, "before")
    with reader(server.settings) as one, reader(server.settings) as other:
        one.wait_for("before")
        write(server, "after")
        for each in (one, other):
            each.wait_for("before", "after")
            assert not each.refuses("another")


def test_every_kind_arrives(server: RedisServer) -> None:
    entries = [revoked(kind, "x") for kind in RevocationKind if kind is not RevocationKind.TOKEN]
    publish(server.settings, entries, clock=now)
    with reader(server.settings) as one:
        one.wait_loaded()
        assert one.figures.entries == {kind: int(kind != "jti") for kind in RevocationKind}
        assert answer(one.revocations, seen(subject="x")) == "TOKEN_REVOKED"


def test_no_list_is_not_an_empty_list(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, reader(server.settings) as one:
        one.wait_for_problem("has no complete list")
        assert answer(one.revocations, seen("a")) == "REVOCATIONS_UNAVAILABLE"
        with pytest.raises(ListMissing, match="--create"):
            write(server, "a")
        create(server.settings)
        one.wait_loaded()
        assert answer(one.revocations, seen("a")) == ""
        with pytest.raises(ListExists):
            create(server.settings)


@pytest.mark.parametrize("hard", [True, False])
def test_a_restart_that_keeps_the_data_loses_nothing(server: RedisServer, hard: bool) -> None:
    with reader(server.settings) as one:
        write(server, "a")
        assert tidy(server.settings, now)
        write(server, "b")
        one.wait_for("a", "b")
        server.stop(hard=hard)
        one.wait_for_problem("Redis at 127.0.0.1")
        assert one.refuses_all(["a", "b"])
        server.start()
        one.wait_current()
        write(server, "c")
        one.wait_for("a", "b", "c")
    with reader(server.settings) as fresh:
        fresh.wait_for("a", "b", "c")


def test_a_restart_that_loses_the_data_lifts_nothing(
    forgetful: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with reader(forgetful.settings) as one:
        write(forgetful, "a", "b")
        one.wait_for("a", "b")
        forgetful.restart()
        one.wait_for_problem("has no complete list")
        assert one.refuses_all(["a", "b"])
        with reader(forgetful.settings) as fresh:
            fresh.wait_for_problem("has no complete list")
            # It does not take what is lost for what was never revoked.
            assert answer(fresh.revocations, seen("a")) == "REVOCATIONS_UNAVAILABLE"
        create(forgetful.settings)
        write(forgetful, "c")
        one.wait_for("a", "b", "c")
        one.wait_current()
    assert any("created again" in problem for problem in problems(caplog))


def test_a_list_that_is_made_anew_between_two_looks(forgetful: RedisServer) -> None:
    """The connection stands; the data under it is another."""
    with reader(forgetful.settings) as one:
        write(forgetful, "a")
        one.wait_for("a")
        with forgetful.client() as client:
            client.flushall()
        create(forgetful.settings)
        write(forgetful, "b")
        one.wait_for("a", "b")
        one.wait_current()


def test_data_that_went_back_in_time(
    server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy of yesterday is put back: what came since is lost there, and kept here."""
    with reader(server.settings) as one:
        write(server, "a")
        one.wait_for("a")
        server.stop()
        saved = {path: path.read_bytes() for path in (server.folder / "appendonlydir").iterdir()}
        server.start()
        write(server, "b")
        one.wait_for("a", "b")
        server.stop()
        for path, data in saved.items():
            path.write_bytes(data)
        server.start()
        one.wait_current()
        assert one.refuses_all(["a", "b"])
        write(server, "c")
        one.wait_for("a", "b", "c")
    assert any("went back in time" in problem for problem in problems(caplog))


@pytest.mark.parametrize("lost", ["stream", "snapshot", "list"])
def test_each_key_that_is_lost_shows(server: RedisServer, lost: str) -> None:
    key = server.settings.key
    names = {"stream": key, "snapshot": f"{{{key}}}:snapshot", "list": f"{{{key}}}:list"}
    with reader(server.settings) as one, server.client() as client:
        write(server, "a")
        tidy(server.settings, now)
        write(server, "b")
        one.wait_for("a", "b")
        assert client.delete(names[lost]) == 1
        one.wait_for_problem("has no complete list")
        assert one.refuses_all(["a", "b"])
        with pytest.raises(ListMissing):
            write(server, "c")
        create(server.settings)
        one.wait_current()
        with reader(server.settings) as fresh:
            fresh.wait_loaded()
            # What was not lost is still there.
            assert fresh.refuses("a") is (lost != "snapshot")
            assert fresh.refuses("b") is (lost != "stream")


def test_a_reader_that_slept_through_a_tidying(server: RedisServer) -> None:
    """The stream was cut past its position: it takes the snapshot."""
    with wire_to(server.port) as wire, reader(wire.settings) as one:
        write(server, "a")
        one.wait_for("a")
        wire.cut()
        one.wait_for_problem("Redis at")
        write(server, *map(str, range(50)), compact_from=10)
        with server.client() as client:
            assert client.xlen(server.settings.key) == 0
        wire.mend()
        one.wait_for("a", *map(str, range(50)))


def test_tidying_under_a_reader_and_writers(server: RedisServer) -> None:
    with reader(server.settings) as one, ThreadPoolExecutor(4) as pool:
        jtis = [str(number) for number in range(400)]
        for future in [pool.submit(write, server, jti, compact_from=20) for jti in jtis]:
            future.result()
        one.wait_for(*jtis)
        with reader(server.settings) as fresh:
            fresh.wait_for(*jtis)
        with server.client() as client:
            assert client.xlen(server.settings.key) < 300


def test_two_who_tidy_at_once(server: RedisServer) -> None:
    write(server, "a", "b")
    with closing(RedisList(server.settings)) as slow:
        before = slow.read(START).edition
        write(server, "c")
        assert tidy(server.settings, now)
        after = msgspec.structs.replace(before, snapshot=b"mine", upto=before.upto)
        assert not slow.compact(before, after, b"")
    with reader(server.settings) as one:
        one.wait_for("a", "b", "c")


def test_a_tidying_between_two_looks(server: RedisServer) -> None:
    """The connection stands, and the entry that it would have read next is in the snapshot."""
    revocations = RevocationList()
    shared = SharedRevocations(server.settings, SourceStatus(revocations, "Redis"), now)
    with closing(RedisList(server.settings)) as source:
        shared.resume(source)
        write(server, "a", "b")
        assert tidy(server.settings, now)
        write(server, "c")
        shared.catch_up(source)
    assert [answer(revocations, seen(jti)) for jti in "abc"] == ["TOKEN_REVOKED"] * 3


def test_tidying_cuts_off_what_the_snapshot_has_and_nothing_more(server: RedisServer) -> None:
    """Entries of one millisecond differ by their number alone."""
    write(server, "a", "b", "c")
    with closing(RedisList(server.settings)) as source:
        before = source.read(START).edition
        ids = [entry.id for entry in source.read(START, 10).entries]
        assert len({id_.partition(b"-")[0] for id_ in ids}) == 1
        after = msgspec.structs.replace(before, snapshot=b"another", upto=ids[1])
        assert source.compact(before, after, b"")
        assert [entry.id for entry in source.read(ids[1], 10).entries] == [ids[2]]
        assert snapshot_of(source) == (after, b"")


def test_a_connection_that_failed_is_of_no_more_use(server: RedisServer) -> None:
    with closing(RedisList(server.settings)) as source:
        source.read(START)
        server.restart()
        for _ in range(3):
            with pytest.raises(RevocationsUnreadable):
                source.read(START)


def test_tidying_leaves_out_what_has_ended(server: RedisServer) -> None:
    ended = revoked_token("ended", until=int(NOW) - 1000)
    publish(server.settings, [ended, revoked_token("a")], clock=now)
    assert tidy(server.settings, now)
    with closing(RedisList(server.settings)) as source:
        _, text = snapshot_of(source)
    assert b'"a"' in text
    assert b"ended" not in text
    assert tidy(server.settings, now), "an empty stream can be tidied too"
    with reader(server.settings) as one:
        one.wait_for("a")
        assert not one.refuses("ended")


def test_a_partition_keeps_what_is_known_and_catches_up(server: RedisServer) -> None:
    with wire_to(server.port) as wire, reader(wire.settings) as one:
        write(server, "a")
        one.wait_for("a")
        wire.cut()
        one.wait_for_problem("Redis at")
        write(server, "b")
        assert one.refuses("a")
        assert not one.refuses("b")
        wire.mend()
        one.wait_for("a", "b")


def test_a_silent_partition_ages_the_list(server: RedisServer) -> None:
    """Nobody says that the connection is dead; the answer just does not come."""
    with wire_to(server.port) as wire:
        sources = open_revocations(RevocationSettings(redis=wire.settings, max_staleness=2.0), now)
        sources.start()
        try:
            assert sources.wait(30)
            assert answer(sources.revocations, seen("a")) == ""
            wire.silence()
            until(lambda: answer(sources.revocations, seen("a")) == "REVOCATIONS_UNAVAILABLE")
            write(server, "a")
            wire.mend()
            until(lambda: answer(sources.revocations, seen("a")) == "TOKEN_REVOKED")
            assert answer(sources.revocations, seen("b")) == ""
        finally:
            sources.stop()


def test_many_writers_at_once(server: RedisServer) -> None:
    """No acknowledged revocation is lost, whoever writes beside."""
    jtis = [[f"{writer}-{number}" for number in range(20)] for writer in range(16)]
    with reader(server.settings) as one, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda batch: write(server, *batch, compact_from=64), jtis))
        one.wait_for(*(jti for batch in jtis for jti in batch))


def test_a_list_is_loaded_when_all_of_it_was_read(server: RedisServer) -> None:
    """The stream is read in pages; after the first there is more."""
    jtis = [str(number) for number in range(2500)]
    write(server, *jtis, compact_from=10_000)
    revocations = RevocationList()
    shared = SharedRevocations(server.settings, SourceStatus(revocations, "Redis"), now)
    with closing(RedisList(server.settings)) as source:
        shared.resume(source)
    assert revocations.wait(0)
    assert revocations.figures().entries[RevocationKind.TOKEN] == 2500


def test_a_hundred_thousand_entries(server: RedisServer) -> None:
    jtis = [f"token-{number}" for number in range(100_000)]
    write(server, *jtis)
    with reader(server.settings) as one:
        one.wait_loaded()
        assert one.refuses_all(jtis)
        assert one.figures.entries[RevocationKind.TOKEN] == 100_000


@pytest.mark.parametrize("tidied", [False, True])
def test_an_entry_that_is_not_understood_is_no_entry_that_is_left_out(
    server: RedisServer, tidied: bool
) -> None:
    """A newer version wrote it, perhaps: then nobody here knows what is revoked."""
    write(server, "a")
    key = server.settings.key
    with server.client() as client:
        if tidied:
            client.set(f"{{{key}}}:snapshot", b'{"issuer":"x","device":"d"}\n')
        else:
            id_ = client.xadd(key, {"entry": b'{"issuer":"x","device":"d"}'})
        write(server, "b")
        with reader(server.settings) as one:
            one.wait_for_problem("is not understood")
            assert answer(one.revocations, seen("z")) == "REVOCATIONS_UNAVAILABLE"
            assert not tidy(server.settings, now)
            if tidied:
                client.set(f"{{{key}}}:snapshot", b"")
                client.hset(f"{{{key}}}:list", "snapshot", "mended")
            else:
                client.xdel(key, id_)
            one.wait_for("a", "b")


def test_a_key_that_holds_something_else(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server, server.client() as client:
        client.set(server.settings.key, "something")
        client.set(f"{{{server.settings.key}}}:snapshot", "")
        client.hset(f"{{{server.settings.key}}}:list", "run", "x")
        with pytest.raises(ListMissing):
            write(server, "a")
        client.hset(f"{{{server.settings.key}}}:list", mapping={"snapshot": "x", "upto": "0-0"})
        with pytest.raises(RevocationsUnwritable, match="WRONGTYPE"):
            write(server, "a")


def test_nobody_there(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        settings = server.settings
    with pytest.raises(RevocationsUnwritable, match="refused"):
        publish(settings, [revoked_token("a")])
    with pytest.raises(RevocationsUnwritable, match="refused"):
        create(settings)
    assert not tidy(settings)


def test_an_account_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--requirepass", "s3cret-word")
    with redis_server(tmp_path, options=options) as server:
        secret = tmp_path / "password"
        secret.write_text("s3cret-word\n")
        from_file = msgspec.structs.replace(server.settings, password_file=secret)
        create(from_file)
        monkeypatch.setenv("REDIS_PASSWORD", "s3cret-word")
        from_environment = msgspec.structs.replace(server.settings, password_env="REDIS_PASSWORD")
        publish(from_environment, [revoked_token("a")], clock=now)
        secret.write_text("another-word")
        with pytest.raises(RevocationsUnwritable) as caught:
            publish(from_file, [revoked_token("b")])
        assert "word" not in str(caught.value).replace("password", "")
        monkeypatch.delenv("REDIS_PASSWORD")
        with pytest.raises(RevocationsUnwritable, match="`REDIS_PASSWORD` is not set"):
            publish(from_environment, [revoked_token("b")])
        secret.unlink()
        with pytest.raises(RevocationsUnwritable, match="No such file"):
            publish(from_file, [revoked_token("b")])


def test_says_whether_redis_keeps_it(server: RedisServer, tmp_path: Path) -> None:
    assert publish(server.settings, [revoked_token("a")], clock=now) is True
    folder = tmp_path / "other"
    folder.mkdir()
    with redis_server(folder, durable=False) as other:
        create(other.settings)
        assert publish(other.settings, [revoked_token("a")], clock=now) is False
        with other.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-info")
        assert publish(other.settings, [revoked_token("a")], clock=now) is None


def test_what_ended_by_a_wrong_clock_comes_back(server: RedisServer) -> None:
    clock = Clock()
    publish(server.settings, [revoked_token("snapshot")], clock=now)
    assert tidy(server.settings, now)
    write(server, "stream")
    with reader(server.settings, clock) as one:
        one.wait_for("snapshot", "stream")
        clock.move(10 * 365 * 86_400)
        until(lambda: not one.refuses("snapshot") and not one.refuses("stream"))
        clock.move(-10 * 365 * 86_400)
        one.wait_for("snapshot", "stream")


def test_entries_merge_whatever_their_order(server: RedisServer) -> None:
    entries = [revoked(RevocationKind.SUBJECT, "u1", before, until=FAR) for before in (2000, 1000)]
    publish(server.settings, entries, clock=now)
    with reader(server.settings) as one:
        one.wait_loaded()
        assert answer(one.revocations, seen(subject="u1", issued_at=1999)) == "TOKEN_REVOKED"
        assert answer(one.revocations, seen(subject="u1", issued_at=2000)) == ""


def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = write_authority(tmp_path / "ca.pem")
    own = write_certificate(tmp_path / "redis.pem")
    stranger = write_certificate(tmp_path / "stranger.pem", "elsewhere.example")
    options: tuple[str, ...] = (
        *("--tls-cert-file", str(own), "--tls-key-file", str(own)),
        *("--tls-ca-cert-file", str(authority), "--tls-port"),
    )
    good = RedisSettings(
        host="localhost",
        port=free_port(),
        tls=True,
        ca_file=authority,
        certificate=own,
        private_key=own,
    )
    with redis_server(tmp_path, options=(*options, str(good.port))):
        create(good)
        publish(good, [revoked_token("a")], clock=now)
        with reader(good) as one:
            one.wait_for("a")
        nameless = msgspec.structs.replace(good, certificate=None, private_key=None)
        with pytest.raises(RevocationsUnwritable):
            publish(nameless, [revoked_token("b")])
        distrustful = msgspec.structs.replace(good, ca_file=None)
        with pytest.raises(RevocationsUnwritable, match=r"CERTIFICATE_VERIFY_FAILED|certificate"):
            publish(distrustful, [revoked_token("b")])
        plain = msgspec.structs.replace(good, tls=False)
        with pytest.raises(RevocationsUnwritable):
            publish(plain, [revoked_token("b")])
    other = tmp_path / "other"
    other.mkdir()
    impostor = msgspec.structs.replace(good, port=free_port())
    options = tuple(str(stranger) if word == str(own) else word for word in options)
    with (
        redis_server(other, options=(*options, str(impostor.port))),
        pytest.raises(RevocationsUnwritable, match=r"(?i)hostname mismatch"),
    ):
        publish(impostor, [revoked_token("b")])


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with redis_server(tmp_path, options=("--unixsocket", str(path))):
        local = RedisSettings(host="", path=path)
        create(local)
        publish(local, [revoked_token("a")], clock=now)
        with reader(local) as one:
            one.wait_for("a")
        with pytest.raises(ListExists, match=r"redis\.sock"):
            create(local)


def test_an_account_with_a_name(tmp_path: Path) -> None:
    """The rights that the documentation asks for are enough."""
    page = (ROOT / "docs" / "revocation.md").read_text(encoding="utf-8")
    for rights in (READER, WRITER):
        assert " ".join(f"+{name}" for name in rights) in page
    with redis_server(tmp_path) as server:
        key = server.settings.key
        with server.client() as client:
            client.execute_command(
                *("ACL", "SETUSER", "writer", "on", ">w", f"~{key}", f"~{{{key}}}:*"),
                *(f"+{name}" for name in WRITER),
            )
            client.execute_command(
                *("ACL", "SETUSER", "reader", "on", ">r", f"%R~{key}", f"%R~{{{key}}}:*"),
                *(f"+{name}" for name in READER),
            )

        def account(name: str) -> RedisSettings:
            secret = tmp_path / name
            secret.write_text(name[0])
            return msgspec.structs.replace(server.settings, username=name, password_file=secret)

        create(account("writer"))
        publish(account("writer"), [revoked_token("a")], compact_from=1, clock=now)
        with reader(account("reader")) as one:
            one.wait_for("a")
        with pytest.raises(RevocationsUnwritable, match=r"(?i)permission"):
            publish(account("reader"), [revoked_token("b")])
