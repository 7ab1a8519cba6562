"""The published format of the decision log is that of the writer and the reader."""

from __future__ import annotations

from scripts.record_schema import PATH, text


def test_the_schema_is_what_the_code_says() -> None:
    assert PATH.read_bytes() == text(), "run `python -m scripts.record_schema`"
