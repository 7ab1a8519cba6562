"""Hand `target` to atheris. Arguments are libFuzzer's; `scripts/fuzz.py` gives them."""

from __future__ import annotations

import sys

import atheris

# What is imported here tells atheris which branches an input took.
with atheris.instrument_imports(include=["policyd.tokens"]):
    from tests.fuzz import target


def test_one_input(data: bytes) -> None:
    target.run(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
