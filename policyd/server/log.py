"""The daemon's own log: what happens to it, on standard error. Decisions go elsewhere (`audit`).

Modules log through `logging`, with values in `extra`. Here those records become lines: JSON for
machines, one object a line; or text for a terminal.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    level: str = "info",
    format_: Literal["auto", "text", "json"] = "auto",
    stream: TextIO = sys.stderr,
) -> None:
    """Send the records of policyd, and warnings of its libraries, to `stream`."""
    text = format_ == "text" or (format_ == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Text() if text else _Json())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("policyd").setLevel(level.upper())


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
