"""Write docs/decision-log.schema.json anew: the lines of the decision log as JSON Schema."""

from __future__ import annotations

from pathlib import Path

import msgspec

from policyd.audit.schema import json_schema

PATH = Path(__file__).resolve().parent.parent / "docs" / "decision-log.schema.json"


def text() -> bytes:
    """Return the text of the file."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2) + b"\n"


if __name__ == "__main__":
    PATH.write_bytes(text())
