"""The spool under damage: never a wrong record, never one out of order, always counted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from policyd.audit.courier import Batches, Courier
from policyd.audit.spool import Spool
from tests.support.spool import Receiver, lines

Kind = Literal["flip", "zero", "cut", "insert", "random", "copy"]
#: What happens to a file: how, where (a share of its length), and to how many bytes.
damages = st.lists(
    st.tuples(
        st.sampled_from(["flip", "zero", "cut", "insert", "random", "copy"]),
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.integers(1, 400),
    ),
    min_size=1,
    max_size=4,
)


def damage(data: bytes, kind: str, share: float, size: int) -> bytes:
    at = int(len(data) * share)
    changed = data[at : at + size]
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ (1 << size % 8)]) + data[at + 1 :]
    if kind == "zero":
        return data[:at] + bytes(len(changed)) + data[at + size :]
    if kind == "cut":
        return data[:at] + data[at + size :]
    if kind == "insert":
        return data[:at] + bytes([size % 256]) * size + data[at:]
    if kind == "copy":
        return data[:at] + data[: len(changed)] + data[at + size :]
    return data[:at] + bytes((n * 37 + size) % 256 for n in range(len(changed))) + data[at + size :]


def delivered(folder: Path, written: int) -> tuple[list[int], int, Spool]:
    """Start on a folder, write one more record, and return what a sink gets."""
    spool = Spool(folder, segment_bytes=2048)
    begin = spool.end
    spool.write(lines(written))
    receiver = Receiver()
    Courier("sink", receiver, spool, Batches(50)).deliver()
    spool.close()
    return receiver.numbers, begin, spool


@given(st.lists(st.integers(1, 40), min_size=1, max_size=25), damages)
def test_damaged_segments_yield_what_is_whole_in_order_and_count_the_rest(
    portions: list[int], happened: list[tuple[Kind, float, float, int]]
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        spool = Spool(folder, segment_bytes=2048)
        written = 0
        for portion in portions:
            spool.write(lines(written, portion))
            written += portion
        spool.close()
        files = sorted(folder.glob("*.segment"))
        last = False
        for kind, which, share, size in happened:
            path = files[int(len(files) * which)]
            data = path.read_bytes()
            if data:
                path.write_bytes(damage(data, kind, share, size))
                last = last or path == files[-1]
        found, begin, _ = delivered(folder, written)
        # Each number is one that was written, since all checksums hold the text that tells it.
        whole = [n for n in found if n >= 0]
        assert whole == sorted(set(whole))
        assert set(whole) <= set(range(written + 1))
        assert whole[-1] == written
        missing = -sum(n for n in found if n < 0)
        assert len(whole) - 1 + missing == begin
        if not last:  # what the last file said of its end is gone with it
            assert begin == written
        at = 0
        for n in found:  # a gap is as long as the numbers that are missing in its place
            if n >= 0 and n != written:
                assert n == at
            at += -n if n < 0 else 1
    finally:
        shutil.rmtree(folder)


@given(st.binary(max_size=60), st.integers(1, 60))
def test_a_damaged_cursor_costs_no_record(data: bytes, number: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        spool = Spool(folder, segment_bytes=2048)
        spool.write(lines(0, number))
        Courier("sink", Receiver(), spool).deliver()
        spool.close()
        (folder / "sink.cursor").write_bytes(data)
        found, begin, _ = delivered(folder, number)
        assert begin == number
        assert found == list(range(number + 1))
    finally:
        shutil.rmtree(folder)
