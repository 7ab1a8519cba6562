"""Standard output as a sink: it goes on within a line where it stopped."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from policyd.audit import StandardOutput

LINE = b"x" * 99 + b"\n"


def amiss(sink: StandardOutput) -> str:
    return sink.problem or ""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe that does not wait."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    yield reader, writer
    os.close(writer)


def test_takes_what_fits_and_goes_on_from_there(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = StandardOutput(writer, patience=0)
    data = LINE * 10_000  # more than a pipe holds
    taken = sink.write(data)
    assert 0 < taken < len(data)
    assert sink.write(data[taken:]) == 0
    assert amiss(sink)
    read = b""
    while taken < len(data):
        read += os.read(reader, len(data))
        taken += sink.write(data[taken:])
    assert not amiss(sink)
    assert read + os.read(reader, len(data)) == data
    os.close(reader)


def test_a_reader_who_comes_while_it_waits_gets_all(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Poll tells when there is room; here it is what makes it."""
    reader, writer = pipe
    read: list[bytes] = []
    asked: list[tuple[int, int]] = []

    class Waiting:
        def register(self, descriptor: int, events: int) -> None:
            asked.append((descriptor, events))

        def poll(self, patience: int) -> list[tuple[int, int]]:
            assert patience == 7
            read.append(os.read(reader, 1 << 20))
            return asked[-1:]

    monkeypatch.setattr(select, "poll", Waiting)
    data = LINE * 10_000
    assert StandardOutput(writer, patience=7).write(data) == len(data)
    assert set(asked) == {(writer, select.POLLOUT)}
    assert b"".join(read) + os.read(reader, len(data)) == data
    os.close(reader)


def test_a_reader_who_is_gone_is_a_problem(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    sink = StandardOutput(writer, patience=0)
    assert sink.write(LINE) == 0
    assert sink.problem == "standard output: Broken pipe"


def test_nothing_about_it_changes(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = StandardOutput(writer)
    assert sink.problem is None
    sink.look()
    sink.reopen()
    sink.close()
    assert sink.write(LINE) == len(LINE)
    assert os.read(reader, 1000) == LINE
    os.close(reader)
