"""The daemon's own log: what happens to it, on standard error. Decisions go elsewhere (`audit`).

Modules log through `logging`, with values in `extra`. Here those records become lines: JSON for
machines, one object a line; or text for a terminal.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TextIO

from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    level: str = "info",
    format_: Literal["auto", "text", "json"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send the records of policyd, and warnings of its libraries, to `stream`: standard error."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if is_json(format_, stream) else _Text())
    handler.addFilter(Repetitions())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("policyd").setLevel(level.upper())


def is_json(format_: str, stream: TextIO | None = None) -> bool:
    """Tell whether the log is written as JSON: `auto` means that on all but terminals."""
    return format_ == "json" or (format_ != "text" and not (stream or sys.stderr).isatty())


class Repetitions(logging.Filter):
    """Holds back what one line of the code says over and over, as a flood of failures makes it.

    Of warnings and errors of one place, `most` pass in `seconds`. The next that passes afterwards
    says how many did not, as `held_back`.
    """

    def __init__(
        self,
        most: int = 20,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._most = most
        self._seconds = seconds
        self._clock = clock
        # By place, of which the code has so many: since when, and how many came.
        self._counted: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        if record.levelno < logging.WARNING:
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        since, count = self._counted.get(place, (now, 0))
        if now - since < self._seconds:
            self._counted[place] = since, count + 1
            return count < self._most
        self._counted[place] = now, 1
        if count > self._most:
            record.held_back = count - self._most
        return True


def _values(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            **_values(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return encode_json(line).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        values = _values(record)
        shown = str(values.pop("findings", ""))
        words = "".join(f" {name}={value}" for name, value in values.items())
        # A value may quote an issuer's answer: it must not end the line or speak to the terminal.
        said = printable(f"{record.getMessage()}{words}")
        line = f"{time} {record.levelname.lower():7} {said}"
        if shown:
            line += "\n" + shown.rstrip("\n")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
