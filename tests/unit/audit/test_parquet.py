"""Logs in Parquet, in both of their shapes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policyd.audit.reading import Lines, LogUnreadable, parts
from policyd.audit.schema import Fault
from policyd.replay import Judge, replay
from tests.support.logs import NOW, POLICY, Question, loaded, log_lines

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed (policyd[replay])")
parquet = pytest.importorskip("pyarrow.parquet")

QUESTIONS = [
    Question(subject=f"u-{at % 7}", sealed=at % 3 == 0, at=at, attributes={"ward": None})
    for at in range(50)
]


def read(path: Path, longest: int = 1 << 20) -> tuple[list[bytes], list[tuple[Fault, int]]]:
    troubles: list[tuple[Fault, int]] = []
    (part,) = parts([path], 1)
    lines = Lines(part, lambda fault, number, _: troubles.append((fault, number)), longest)
    found = [line for chunk in lines.chunks() for line in chunk]
    assert lines.number == len(found)
    return found, troubles


@pytest.fixture
def log() -> list[bytes]:
    return [line.rstrip(b"\n") for line in log_lines(QUESTIONS)]


@pytest.mark.parametrize("kind", ["string", "binary", "large_string"])
@pytest.mark.parametrize("name", ["value", "anything"])
def test_a_column_of_lines(tmp_path: Path, log: list[bytes], kind: str, name: str) -> None:
    texts = log if kind == "binary" else [line.decode() for line in log]
    column = pa.array([*texts, None], getattr(pa, kind)())
    parquet.write_table(pa.table({name: column}), tmp_path / "log", row_group_size=7)
    assert read(tmp_path / "log") == ([*log, b""], [])


def test_a_column_of_lines_beside_others(tmp_path: Path, log: list[bytes]) -> None:
    table = pa.table({"host": ["a"] * len(log), "message": log})
    parquet.write_table(table, tmp_path / "log", compression="zstd")
    assert read(tmp_path / "log") == (log, [])


@pytest.mark.parametrize("zone", ["text", None, "UTC", "Europe/Vienna"])
def test_a_column_for_each_field_means_the_same(
    tmp_path: Path, log: list[bytes], zone: str | None
) -> None:
    rows = [json.loads(line) for line in log]
    table = pa.Table.from_pylist(rows)
    if zone != "text":
        moments = [datetime.fromisoformat(row["time"]) for row in rows]
        column = pa.array([one.astimezone(UTC) for one in moments], pa.timestamp("us", zone))
        table = table.set_column(table.schema.get_field_index("time"), "time", column)
    parquet.write_table(table, tmp_path / "log")
    lines, troubles = read(tmp_path / "log")
    assert troubles == []
    policies = loaded(POLICY)
    assert [verdict.kind for verdict in replay(lines, policies)] == ["same"] * len(log)
    stricter = loaded(POLICY.replace('"doctor" in', '"surgeon" in'))
    before = list(replay(log, stricter))
    assert list(replay(lines, stricter)) == before
    assert {verdict.kind for verdict in before} == {"same", "differs"}
    assert Judge(policies).revisions
    assert json.loads(lines[0])["time"].startswith(f"{datetime.fromtimestamp(NOW, UTC):%Y-%m-%dT}")


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"line": ["a", "b" * 100, "c"]}), tmp_path / "log")
    assert read(tmp_path / "log", 50) == ([b"a", b"", b"c"], [("long", 2)])


def test_a_table_that_is_no_log(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "log")
    with pytest.raises(LogUnreadable, match="neither a column of lines"):
        read(tmp_path / "log")


def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"PAR1 and no more")
    with pytest.raises(LogUnreadable, match="log: "):
        read(tmp_path / "log")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LogUnreadable, match=r"install `policyd\[replay\]`"):
        read(tmp_path / "log")
