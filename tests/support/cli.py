"""The command, run in this process."""

from __future__ import annotations

import io
from typing import Protocol

import msgspec
import pytest

from policyd.cli import main


class Result(msgspec.Struct, frozen=True):
    """What a run left behind."""

    code: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *arguments: object, stdin: str = "") -> Result:
        """Run `policyd` with these arguments and this standard input."""
        ...


def runner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `policyd` and reports exit code and output."""

    def run(*arguments: object, stdin: str = "") -> Result:
        given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        monkeypatch.setattr("sys.stdin", given)
        code = main.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
