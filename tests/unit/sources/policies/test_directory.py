"""What is read of a policy directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policyd.diagnostics import Diagnostic, Severity
from policyd.language import limits
from policyd.regular_file import NotRegular, TooLong
from policyd.sources.policies import PoliciesUnreadable, PolicyFiles, Provenance
from policyd.sources.policies import directory as module
from policyd.sources.policies.directory import read_directory
from policyd.sources.policies.reading import read_bytes
from tests.support.policy_files import write


def read(root: Path, earlier: PolicyFiles | None = None) -> PolicyFiles:
    return read_directory(root, earlier=earlier).files


def names(root: Path) -> list[str]:
    return [source.name for source in read(root).sources]


def place(found: Diagnostic) -> str:
    assert found.primary is not None
    return found.primary.source.name


def test_reads_policies_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, *("b.policy", "a/deep/c.policy", "a_test.policy", "README.md", ".git/d.policy"))
    files = read(tmp_path)
    assert [source.name for source in files.sources] == ["a/deep/c.policy", "b.policy"]
    assert files.diagnostics == ()
    assert files.provenance == Provenance("directory", str(tmp_path))


def test_the_digest_stands_for_names_and_bytes(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    first = read(tmp_path).digest
    os.utime(tmp_path / "a.policy", (1, 1))
    assert read(tmp_path).digest == first
    (tmp_path / "a.policy").rename(tmp_path / "b.policy")
    renamed = read(tmp_path).digest
    (tmp_path / "b.policy").write_text("// other\n")
    changed = read(tmp_path).digest
    (tmp_path / "gone.policy").symlink_to("nowhere")
    broken = read(tmp_path).digest
    assert len({first, renamed, changed, broken}) == 4
    (tmp_path / "gone.policy").unlink()
    assert read(tmp_path).digest == changed


def test_a_name_and_its_bytes_cannot_be_taken_for_another_pair(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"x")
    (tmp_path / "b.policy").write_bytes(b"")
    first = read(tmp_path).digest
    (tmp_path / "a.policy").write_bytes(b"")
    (tmp_path / "b.policy").write_bytes(b"x")
    assert read(tmp_path).digest != first


def test_where_a_file_ends_and_the_next_begins_counts(tmp_path: Path) -> None:
    digests = set()
    for first, second in ((b"", b"b.policy"), (b"b.policy", b"")):
        (tmp_path / "a.policy").write_bytes(first)
        (tmp_path / "b.policy").write_bytes(second)
        digests.add(read(tmp_path).digest)
    assert len(digests) == 2


def test_where_a_finding_is_counts(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        with (tmp_path / f"{name}.policy").open("wb") as file:
            file.truncate(limits.FILE_BYTES + 1)
        digests.add(read(tmp_path).digest)
        (tmp_path / f"{name}.policy").unlink()
    assert len(digests) == 2


def test_all_files_together_may_hold_so_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.policy").write_bytes(b"// 1\n")
    (tmp_path / "b.policy").write_bytes(b"// 2\n")
    monkeypatch.setattr(module, "BYTES", 10)
    assert names(tmp_path) == ["a.policy", "b.policy"]
    monkeypatch.setattr(module, "BYTES", 9)
    with pytest.raises(PoliciesUnreadable, match="hold more than 9 bytes"):
        read(tmp_path)


def test_a_test_file_that_cannot_be_read_is_a_finding_too(tmp_path: Path) -> None:
    with (tmp_path / "a_test.policy").open("wb") as file:
        file.truncate(limits.FILE_BYTES + 1)
    assert [one.code for one in read(tmp_path).diagnostics] == ["P0003"]


def test_bytes_that_are_no_text_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"api \xff")
    (found,) = read(tmp_path).diagnostics
    assert (found.code, place(found)) == ("P0001", "a.policy")


@pytest.mark.parametrize("data", [b"// \x00\n", "// \u202e\n".encode(), b"\xef\xbb\xbfapi a\n"])
def test_what_was_found_in_a_file_is_found_at_each_look(tmp_path: Path, data: bytes) -> None:
    """Their texts stand for the bytes: only the findings tell that such a file is unfit."""
    (tmp_path / "a.policy").write_bytes(data)
    (tmp_path / "b.policy").write_bytes(b"// sound\n")
    first = read(tmp_path)
    assert [found.code for found in first.diagnostics] == ["P0002"]
    second = read(tmp_path, first)
    assert second == first
    assert second.sources[1] is first.sources[1]


def test_bytes_that_are_no_text_are_not_taken_for_those_they_are_shown_as(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes("// \N{REPLACEMENT CHARACTER}\n".encode())
    sound = read(tmp_path)
    (tmp_path / "a.policy").write_bytes(b"// \xff\n")
    broken = read(tmp_path, sound)
    assert [found.code for found in broken.diagnostics] == ["P0001"]
    # Both states have this text; the second must not take it from where it stood for no text.
    assert broken.sources == sound.sources
    assert read(tmp_path, broken).diagnostics == broken.diagnostics


def test_an_unchanged_file_is_the_same_source(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "b.policy", "stray.POLICY")
    first = read(tmp_path)
    (tmp_path / "b.policy").write_text("// other\n")
    second = read(tmp_path, first)
    assert second == read(tmp_path)
    assert second.sources[0] is first.sources[0]
    assert second.sources[1] is not first.sources[1]


def test_an_entry_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    (tmp_path / "deny.policy").symlink_to("../shared/deny.policy")
    os.mkfifo(tmp_path / "pipe.policy")
    found = read(tmp_path).diagnostics
    assert [(one.code, place(one), one.notes, one.severity) for one in found] == [
        (
            "P0027",
            "deny.policy",
            ("the link to `../shared/deny.policy` leads nowhere",),
            Severity.ERROR,
        ),
        ("P0027", "pipe.policy", ("it is a pipe and no file",), Severity.ERROR),
    ]


def test_misnamed_files_and_rules_in_tests_are_warnings(tmp_path: Path) -> None:
    write(tmp_path, "deny.polciy", ".deny.policy", "fine_test.policy")
    (tmp_path / "a.policy").write_text("api a\n\ndeny all: any on thing\n")
    (tmp_path / "stress_test.policy").write_text("api a\n\n/// Why.\ndeny all: any on thing\n")
    found = read(tmp_path).diagnostics
    assert [(one.code, place(one), one.severity) for one in found] == [
        ("P0028", ".deny.policy", Severity.WARNING),
        ("P0028", "deny.polciy", Severity.WARNING),
        ("P0018", "stress_test.policy", Severity.WARNING),
    ]
    assert "rename it to `deny.policy`" in str(found[0].help)
    assert [one.headline for one in found[:2]] == [
        "`.deny.policy` is ignored, because it is hidden",
        "`deny.polciy` is ignored, because its name does not end in `.policy`",
    ]
    assert found[2].primary is not None
    assert found[2].primary.source.position(found[2].primary.span.start).line == 4


def test_tests_that_hold_tests_are_nothing_to_tell(tmp_path: Path) -> None:
    (tmp_path / "a_test.policy").write_text(
        'api a\n\ndefine t as token user {\n    scope: [x]\n}\n\ntest "deny" {\n    token t\n'
        "    allow read on thing\n    deny  read on other\n}\n"
    )
    assert read(tmp_path).diagnostics == ()


def test_waits_until_the_files_stand_still(tmp_path: Path) -> None:
    """What is read is one state: while a writer is at work, it looks again."""
    write(tmp_path, "a.policy")
    pauses: list[float] = []

    def reading(base: str, path: str, limit: int) -> bytes:
        data = read_bytes(base, path, limit)
        if len(pauses) < 2:
            (tmp_path / path).write_text(f"// written after reading {'!' * len(pauses)}\n")
        return data

    files = read_directory(tmp_path, pause=pauses.append, read=reading).files
    assert len(pauses) == 2
    assert files.sources[0].text == "// written after reading !\n"


def test_a_file_that_goes_away_in_between_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "b.policy")

    def reading(base: str, path: str, limit: int) -> bytes:
        (tmp_path / "b.policy").unlink(missing_ok=True)
        return read_bytes(base, path, limit)

    state = read_directory(tmp_path, pause=lambda _: None, read=reading)
    assert [source.name for source in state.files.sources] == ["a.policy"]
    assert state.files.diagnostics == ()


def test_gives_up_when_they_never_stand_still(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")

    def reading(base: str, path: str, limit: int) -> bytes:
        data = read_bytes(base, path, limit)
        (tmp_path / path).write_bytes(data + b"!")
        return data

    with pytest.raises(PoliciesUnreadable, match="keeps changing"):
        read_directory(tmp_path, pause=lambda _: None, read=reading)


def test_a_file_that_cannot_be_read_is_an_error_and_the_state_not_whole(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "b.policy")

    def reading(base: str, path: str, limit: int) -> bytes:
        if path == "a.policy":
            raise PermissionError(13, "Permission denied", path)
        return read_bytes(base, path, limit)

    state = read_directory(tmp_path, read=reading)
    assert not state.whole
    (found,) = state.files.diagnostics
    assert (found.code, place(found), found.notes) == ("P0027", "a.policy", ("Permission denied",))
    assert read_directory(tmp_path).whole


def test_a_sparse_file_is_too_long_before_any_of_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "a.policy").open("wb") as file:
        file.truncate(20 << 30)

    def no_reading(*_: object) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(os, "read", no_reading)
    (found,) = read(tmp_path).diagnostics
    assert (found.code, place(found)) == ("P0003", "a.policy")


def test_all_files_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES", 30)
    write(tmp_path, "a.policy", "b.policy")  # 12 bytes each
    assert len(names(tmp_path)) == 2
    write(tmp_path, "c.policy")
    with pytest.raises(PoliciesUnreadable, match="more than 30 bytes"):
        read(tmp_path)


def test_reading_takes_no_more_than_the_limit_of_what_has_no_size(tmp_path: Path) -> None:
    """Such a file is asked for its size in vain."""
    with pytest.raises(TooLong):
        read_bytes(f"/proc/{os.getpid()}", "status", 10)
    assert read_bytes(f"/proc/{os.getpid()}", "comm", limits.FILE_BYTES)


def test_reading_follows_no_link_that_came_in_between(tmp_path: Path) -> None:
    write(tmp_path, "folder/a.policy", "real.policy")
    (tmp_path / "inner").symlink_to("folder")
    (tmp_path / "link.policy").symlink_to("real.policy")
    for path in ("link.policy", "inner/a.policy"):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            read_bytes(str(tmp_path), path, 100)
    assert read_bytes(str(tmp_path), "folder/a.policy", 100) == b"// folder/a.policy\n"


def test_reading_neither_waits_for_a_writer_nor_reads_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.policy")
    for base, path, kind in (
        (str(tmp_path), "pipe.policy", "a pipe"),
        ("/dev", "zero", "a device"),
        (str(tmp_path.parent), tmp_path.name, "a directory"),
    ):
        with pytest.raises(NotRegular, match=f"it is {kind} and no file"):
            read_bytes(base, path, 100)


def test_reading_leaves_no_descriptor_open(tmp_path: Path) -> None:
    write(tmp_path, "a/b/c.policy")
    before = sorted(Path("/proc/self/fd").iterdir())
    for path in ("a/b/c.policy", "a/b/none.policy", "a/none/c.policy", "a/b"):
        for limit in (2, 100):
            try:
                read_bytes(str(tmp_path), path, limit)
            except OSError:
                continue
    assert sorted(Path("/proc/self/fd").iterdir()) == before
