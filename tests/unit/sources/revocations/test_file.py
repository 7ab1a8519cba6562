"""A list in a file: what is read, what is kept when it cannot be, and appending to it."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from policyd.sources.revocations import RevocationSettings, file, open_revocations, read_file_now
from policyd.sources.revocations.errors import (
    ListExists,
    ListMissing,
    RevocationsInvalid,
    RevocationsUnreadable,
    RevocationsUnwritable,
)
from policyd.sources.revocations.file import RevocationFile, append, create
from policyd.sources.revocations.status import SourceStatus
from policyd.sources.revocations.wire import Read, encode, encode_end, read_lines
from policyd.tokens.revocation.model import RevocationKind
from policyd.tokens.revocation.revocation_list import RevocationList
from tests.support.redis import until
from tests.support.revocations import answer, revoked_token, seen
from tests.support.tokens import NOW, Clock


def line(jti: str, until: int = int(NOW) + 1000) -> bytes:
    return encode(revoked_token(jti, until=until)) + b"\n"


def whole(*lines: bytes) -> bytes:
    """Return a file of lines, and the one that says that these are all."""
    entries = b"".join(lines)
    return entries + encode_end(entries.count(b"\n"))


class Looker:
    """A list that looks at a file when it is told to."""

    def __init__(self, path: Path) -> None:
        self.elapsed = Clock(1000)
        self.clock = Clock()
        self.list = RevocationList(max_staleness=60, clock=self.elapsed)
        self.file = RevocationFile(path, SourceStatus(self.list, "file"), self.clock)

    def look(self) -> None:
        self.file.look()

    def refused(self, jtis: str) -> str:
        return "".join(jti for jti in jtis if answer(self.list, seen(jti)) == "TOKEN_REVOKED")

    @property
    def problem(self) -> str:
        return self.list.figures().problem or ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "revocations.ndjson"


@pytest.fixture
def looker(path: Path) -> Looker:
    return Looker(path)


def test_the_file_is_the_list(path: Path, looker: Looker) -> None:
    path.write_bytes(whole(line("a") + line("b")))
    looker.look()
    assert looker.refused("abc") == "ab"
    path.write_bytes(whole(line("b") + line("c")))
    looker.look()
    assert looker.refused("abc") == "bc"


def test_a_list_without_entries_is_one(path: Path, looker: Looker) -> None:
    path.write_bytes(whole())
    looker.look()
    assert answer(looker.list, seen("a")) == ""


WHOLE = whole(line("a"), line("b"), line("c"))


def test_an_empty_file_is_no_list(path: Path, looker: Looker) -> None:
    path.touch()
    looker.look()
    assert "may have been emptied or cut off" in looker.problem
    assert answer(looker.list, seen("a")) == "REVOCATIONS_UNAVAILABLE"


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_a_list_that_was_cut_off_lifts_nothing(path: Path, looker: Looker, cut: int) -> None:
    path.write_bytes(WHOLE)
    looker.look()
    path.write_bytes(WHOLE[:cut])
    looker.look()
    assert looker.refused("abc") == "abc"
    # Without its last line break it is whole all the same.
    assert (looker.problem == "") == (cut == len(WHOLE) - 1)

    first = Looker(path)
    first.look()
    assert first.refused("abc") == ("abc" if cut == len(WHOLE) - 1 else "")
    if cut != len(WHOLE) - 1:
        assert answer(first.list, seen("other")) == "REVOCATIONS_UNAVAILABLE"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (line("a") + encode_end(2), "tells of 2 revocations, and holds 1"),
        (line("a") + line("b") + encode_end(1), "tells of 1 revocations, and holds 2"),
        (whole() + line("a"), "revocations.ndjson:1: this is no revocation"),
        (whole(line("a")) + whole(line("b")), "revocations.ndjson:2: this is no revocation"),
        (line("a") + b'{"end":"1"}\n', "this is no revocation"),
        (line("a") + b'{"end":01}\n', "this is no revocation"),
        (line("a") + b'{"end":1,"end":1}\n', "this is no revocation"),
        (line("a") + b"\n" * 100, "does not end in the line that says"),
        (b"\0" * 100, "this is no revocation"),
        (b"\0\n" + whole(line("a")), "this is no revocation: JSON is malformed"),
        (b"\xef\xbb\xbf" + whole(line("a")), "it begins with a byte order mark (U+FEFF)"),
        (whole(line("a"), b"x" * 70_000 + b"\n"), "the line has more than 65536 bytes"),
    ],
)
def test_what_does_not_add_up_is_not_believed(
    path: Path, looker: Looker, data: bytes, says: str
) -> None:
    path.write_bytes(data)
    looker.look()
    assert says in looker.problem
    assert answer(looker.list, seen("other")) == "REVOCATIONS_UNAVAILABLE"
    with pytest.raises((RevocationsInvalid, RevocationsUnreadable)):
        append(path, revoked_token("b"))
    assert path.read_bytes() == data


def test_the_last_line_may_be_written_by_hand(path: Path, looker: Looker) -> None:
    path.write_bytes(line("a") + b'\n  { "end" : 1 }  \r\n\n')
    looker.look()
    assert looker.problem == ""
    assert looker.refused("ab") == "a"


def test_lines_may_end_as_on_windows_and_stand_twice(path: Path, looker: Looker) -> None:
    path.write_bytes(whole(line("a"), line("b"), line("a")).replace(b"\n", b"\r\n"))
    looker.look()
    assert looker.problem == ""
    assert looker.refused("abc") == "ab"


def test_no_file_is_not_an_empty_list(path: Path, looker: Looker) -> None:
    looker.look()
    assert "--create" in looker.problem
    assert answer(looker.list, seen("a")) == "REVOCATIONS_UNAVAILABLE"
    create(path)
    looker.look()
    assert looker.problem == ""
    assert answer(looker.list, seen("a")) == ""


@pytest.mark.parametrize("bad", [b"nonsense\n", None])
def test_what_cannot_be_read_changes_nothing_and_the_list_grows_old(
    path: Path, looker: Looker, bad: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(whole(line("a")))
    looker.look()
    if bad is None:
        path.unlink()
    else:
        path.write_bytes(whole(line("b") + bad))
    for _ in range(3):
        looker.elapsed.move(20)
        looker.look()
        last = answer(looker.list, seen("a"))
    assert last == "REVOCATIONS_UNAVAILABLE"
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == ["revocations cannot be read", "the revocation list is stale"]
    if bad is not None:
        assert looker.problem.startswith("revocations.ndjson:2: this is no revocation")
    path.write_bytes(whole(line("b")))
    looker.look()
    assert looker.refused("ab") == "b"


def test_a_pipe_is_not_waited_for(path: Path, looker: Looker) -> None:
    os.mkfifo(path)

    looker.look()

    assert "it is a pipe and no file" in looker.problem


def test_an_unchanged_file_keeps_the_list_current(path: Path, looker: Looker) -> None:
    path.write_bytes(whole(line("a")))
    for _ in range(4):
        looker.look()
        looker.elapsed.move(50)
    assert looker.refused("ab") == "a"
    assert answer(looker.list, seen("b")) == ""


def test_what_was_added_is_read_alone(
    path: Path, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []

    def counted(name: str, data: bytes, start: int = 0) -> Read:
        starts.append(start)
        return read_lines(name, data, start)

    monkeypatch.setattr(file, "read_lines", counted)
    path.write_bytes(whole(line("a")))
    looker.look()
    path.write_bytes(whole(line("a"), line("b")))
    looker.look()
    assert looker.refused("abc") == "ab"
    path.write_bytes(line("a") + line("b") + line("c")[:20])
    looker.look()
    assert "revocations.ndjson:3" in looker.problem
    path.write_bytes(whole(line("a"), line("b"), line("c")))
    looker.look()
    assert looker.refused("abc") == "abc"
    path.write_bytes(whole(line("c")))
    looker.look()
    assert looker.refused("abc") == "c"
    assert starts == [0, len(line("a")), 0, len(line("a") + line("b")), 0]


def test_a_change_within_one_tick_of_the_file_system_is_seen(path: Path, looker: Looker) -> None:
    """Same size, same inode, same time: only the bytes differ."""
    moment = int(NOW * 1e9)
    path.write_bytes(whole(line("a")))
    os.utime(path, ns=(moment, moment))
    looker.look()
    path.write_bytes(whole(line("b")))
    os.utime(path, ns=(moment, moment))
    looker.look()
    assert looker.refused("ab") == "b"


def test_an_old_file_is_not_read_again(path: Path, looker: Looker) -> None:
    moment = int((NOW - 100) * 1e9)
    path.write_bytes(whole(line("a")))
    os.utime(path, ns=(moment, moment))
    looker.look()
    path.write_bytes(whole(line("b")))
    os.utime(path, ns=(moment, moment))
    looker.look()
    assert looker.refused("ab") == "a"


def test_what_ended_is_left_out_and_let_go(path: Path, looker: Looker) -> None:
    path.write_bytes(whole(line("a", until=int(NOW) - 301) + line("b", until=int(NOW)) + line("c")))
    looker.look()
    assert looker.refused("abc") == "bc"
    looker.clock.move(301)
    looker.look()
    assert looker.refused("abc") == "c"


def test_what_ended_by_a_wrong_clock_comes_back(path: Path, looker: Looker) -> None:
    path.write_bytes(whole(line("a")))
    os.utime(path, (NOW - 100, NOW - 100))
    looker.look()
    looker.clock.move(10 * 365 * 86_400)
    looker.look()
    assert looker.refused("a") == ""
    looker.clock.move(-10 * 365 * 86_400)
    looker.look()
    assert looker.refused("a") == "a"


@contextmanager
def watched(path: Path) -> Iterator[RevocationList]:
    sources = open_revocations(RevocationSettings(file=path), lambda: NOW)
    sources.start()
    try:
        assert sources.wait(30)
        made = sources.revocations
        assert isinstance(made, RevocationList)
        yield made
    finally:
        sources.stop()


def test_watches_the_file(path: Path) -> None:
    create(path)
    with watched(path) as made:
        assert answer(made, seen("a")) == ""
        append(path, revoked_token("a"))
        until(lambda: answer(made, seen("a")) == "TOKEN_REVOKED")
        path.with_name("new").write_bytes(whole(line("b")))
        path.with_name("new").replace(path)
        until(lambda: answer(made, seen("b")) == "TOKEN_REVOKED")
        assert answer(made, seen("a")) == ""


def test_watches_a_kubernetes_volume(tmp_path: Path) -> None:
    """There the file is a link into a folder that is a link, which is swapped."""
    for version in ("a", "b"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "list").write_bytes(whole(line(version)))
    (tmp_path / "..data").symlink_to("..a")
    (tmp_path / "list").symlink_to("..data/list")
    with watched(tmp_path / "list") as made:
        assert answer(made, seen("a")) == "TOKEN_REVOKED"
        (tmp_path / "..data_tmp").symlink_to("..b")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        until(lambda: answer(made, seen("b")) == "TOKEN_REVOKED")
        assert answer(made, seen("a")) == ""


def test_waits_for_a_folder_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    sources = open_revocations(RevocationSettings(file=folder / "list"), lambda: NOW)
    sources.start()
    try:
        until(lambda: sources.figures()["file"].problem is not None)
        folder.mkdir()
        append_first = folder / "list"
        create(append_first)
        append(append_first, revoked_token("a"))
        until(lambda: answer(sources.revocations, seen("a")) == "TOKEN_REVOKED")
        assert sources.figures()["file"].entries[RevocationKind.TOKEN] == 1
    finally:
        sources.stop()


def test_create_never_empties_a_list(path: Path) -> None:
    create(path)
    append(path, revoked_token("a"))
    with pytest.raises(ListExists):
        create(path)
    assert path.read_bytes() == whole(encode(revoked_token("a")) + b"\n")
    with pytest.raises(RevocationsUnwritable, match="Not a directory"):
        create(path / "below" / "list")


def test_append_needs_a_list(path: Path) -> None:
    with pytest.raises(ListMissing, match="--create"):
        append(path, revoked_token("a"))
    assert not path.exists()


def test_append_refuses_a_file_that_no_daemon_would_read(path: Path) -> None:
    path.write_bytes(line("a") + b'{"issuer":')
    with pytest.raises(RevocationsInvalid, match=r"revocations\.ndjson:2"):
        append(path, revoked_token("b"))
    assert path.read_bytes() == line("a") + b'{"issuer":'


def test_append_waits_for_others(path: Path) -> None:
    create(path)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        pauses: list[float] = []

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                fcntl.flock(other, fcntl.LOCK_UN)

        append(path, revoked_token("a"), pause)
        assert len(pauses) == 3
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RevocationsUnwritable, match="locked"):
            append(path, revoked_token("b"), lambda _: None)
    assert path.read_bytes() == whole(encode(revoked_token("a")) + b"\n")


def test_of_a_file_that_is_replaced_meanwhile_the_new_one_counts(path: Path) -> None:
    create(path)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def pause(_seconds: float) -> None:
            path.rename(path.with_name("old"))
            path.write_bytes(whole(line("b")))
            fcntl.flock(other, fcntl.LOCK_UN)

        append(path, revoked_token("a"), pause)
    assert path.read_bytes() == whole(line("b"), encode(revoked_token("a")) + b"\n")
    assert path.with_name("old").read_bytes() == whole()


def test_append_keeps_the_mode_and_follows_a_link(path: Path) -> None:
    target = path.with_name("target")
    create(target)
    target.chmod(0o604)
    path.symlink_to("target")
    append(path, revoked_token("a"))
    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o604
    assert target.read_bytes() == whole(encode(revoked_token("a")) + b"\n")
    assert sorted(one.name for one in path.parent.iterdir()) == ["revocations.ndjson", "target"]


def test_a_full_disk_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(whole(line("a")))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RevocationsUnwritable, match="No space left"):
        append(path, revoked_token("b"))
    assert path.read_bytes() == whole(line("a"))
    assert list(path.parent.iterdir()) == [path]


def _append(path: Path, jti: str) -> None:
    append(path, revoked_token(jti, until=int(NOW) + 1000))


def test_many_processes_append_at_once(path: Path) -> None:
    create(path)
    jtis = [str(number) for number in range(60)]
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        for future in [pool.submit(_append, path, jti) for jti in jtis]:
            future.result(timeout=60)
    *entries, end = path.read_bytes().splitlines(keepends=True)
    assert sorted(entries) == sorted(map(line, jtis))
    assert end == encode_end(60)


def test_readers_never_lose_an_entry_while_others_append(path: Path, looker: Looker) -> None:
    create(path)
    done = threading.Event()

    def write() -> None:
        for number in range(200):
            append(path, revoked_token(str(number)))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen_before = 0
    while not done.is_set():
        looker.look()
        entries = looker.list.figures().entries[RevocationKind.TOKEN]
        assert entries >= seen_before
        seen_before = entries
    writer.join()
    looker.look()
    assert looker.list.figures().entries[RevocationKind.TOKEN] == 200


def test_a_look_without_a_daemon(path: Path) -> None:
    assert read_file_now(None) is None
    assert read_file_now(RevocationSettings()) is None
    settings = RevocationSettings(file=path)
    missing = read_file_now(settings)
    assert missing is not None
    assert answer(missing, seen("a")) == "REVOCATIONS_UNAVAILABLE"
    far = 253_402_300_799
    path.write_bytes(whole(line("a", until=far)))
    found = read_file_now(settings)
    assert found is not None
    assert [answer(found, seen(jti)) for jti in "ab"] == ["TOKEN_REVOKED", ""]


def test_without_sources_nothing_is_revoked() -> None:
    sources = open_revocations(None)
    sources.start()
    assert sources.wait(0)
    assert answer(sources.revocations, seen("a")) == ""
    assert sources.figures() == {}
    sources.stop()


@pytest.mark.parametrize("data", [line("a"), line("a").rstrip(), b""])
def test_a_file_of_an_older_version_is_believed_after_the_command_that_is_named(
    tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "a list.ndjson"
    path.write_bytes(data)
    looker = Looker(path)
    looker.look()
    command = re.search("`(.*)`", looker.problem)
    assert command is not None
    subprocess.run(["/bin/sh", "-c", command[1]], check=True)
    looker.look()
    assert looker.problem == ""
    assert looker.refused("a") == ("a" if data else "")
