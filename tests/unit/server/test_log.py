"""The daemon's own log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from policyd.server import log


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Leave the loggers as they were."""
    root, own = logging.getLogger(), logging.getLogger("policyd")
    before = (root.handlers[:], root.level, own.level)
    yield
    root.handlers[:], level, own_level = before
    root.setLevel(level)
    own.setLevel(own_level)


def test_writes_one_object_a_line() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    logging.getLogger("policyd.x").info("two\nlines", extra={"rules": 3, "files": ["a"]})
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "message": "two\nlines",
        "logger": "policyd.x",
        "rules": 3,
        "files": ["a"],
    }


def test_tracebacks_are_values_too() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logging.getLogger("policyd").exception("failed")
    assert "ZeroDivisionError" in json.loads(stream.getvalue())["traceback"]


def test_text_shows_findings_below() -> None:
    stream = io.StringIO()
    log.configure(format_="text", stream=stream)
    logging.getLogger("policyd").error("bad", extra={"revision": "r1", "findings": "a\n  b\n"})
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("error   bad revision=r1")
    assert rest == ["a", "  b"]


def test_a_value_neither_ends_the_line_of_text_nor_speaks_to_the_terminal() -> None:
    stream = io.StringIO()
    log.configure(format_="text", stream=stream)
    problem = "BadStatusLine: x\r\n12:00:00 info    serving \x1b[2J\x9b"
    logging.getLogger("policyd").warning("not\nfetched", extra={"problem": problem})
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()


def test_libraries_are_heard_when_they_warn() -> None:
    stream = io.StringIO()
    log.configure("debug", stream=stream)
    logging.getLogger("urllib3").info("chatter")
    logging.getLogger("urllib3").warning("heard")
    logging.getLogger("policyd").debug("own")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == [
        "heard",
        "own",
    ]


def test_what_one_place_says_over_and_over_is_held_back() -> None:
    now = 0.0
    repetitions = log.Repetitions(most=2, seconds=10.0, clock=lambda: now)

    def said(line: int, level: int = logging.ERROR) -> logging.LogRecord | None:
        record = logging.LogRecord("policyd", level, "place.py", line, "full", None, None)
        return record if repetitions.filter(record) else None

    assert [said(1) is not None for _ in range(5)] == [True, True, False, False, False]
    assert said(2) is not None
    assert all(said(1, logging.INFO) for _ in range(5))
    now = 10.0
    record = said(1)
    assert record is not None
    assert vars(record)["held_back"] == 3
    now = 20.0
    record = said(1)
    assert record is not None
    assert "held_back" not in vars(record)
