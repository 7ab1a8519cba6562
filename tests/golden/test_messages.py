"""What the command says to those who begin, as people see it: `messages/NAME.txt`.

A file holds what stands in the folder (`--- NAME`, and the lines that follow) and sessions: a
command after `$ `, what it prints on standard output and then on standard error, and how it ended
where that is not 0. A new case is a new file; what it prints is read line by line before it is
committed. `GOLDEN=write` writes what is printed now.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Run, runner

_CASES = sorted((Path(__file__).parent / "messages").glob("*.txt"))
#: What differs from run to run.
_TIME = re.compile(r'"time":"[^"]*"')


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Put logging back: a daemon that starts, here in this process, configures it."""
    root, own = logging.getLogger(), logging.getLogger("policyd")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_messages_look_as_they_should(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("POLICYD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    expected = path.read_text(encoding="utf-8")
    played = _played(expected, runner(capsys, monkeypatch), monkeypatch)
    found = "".join(played).replace(str(tmp_path), "…")
    if os.environ.get("GOLDEN") == "write":
        path.write_text(found, encoding="utf-8")
    assert found == expected


def _played(text: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Lay out the files, run the commands, and yield what a file should hold."""
    for part in re.split(r"^(?=--- |\$ )", text, flags=re.MULTILINE):
        head, _, rest = part.partition("\n")
        if head.startswith("--- "):
            file = Path(head.removeprefix("--- "))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(rest.rstrip("\n") + "\n", encoding="utf-8")
            yield part
        elif head.startswith("$ "):
            words = shlex.split(head.removeprefix("$ "))
            with monkeypatch.context() as patch:
                while "=" in words[0]:
                    name, _, value = words.pop(0).partition("=")
                    patch.setenv(name, value)
                yield f"{head}\n{_printed(run, words[1:])}\n"
        else:
            yield part


def _printed(run: Run, arguments: list[str]) -> str:
    result = run(*arguments)
    ended = f"(ends with {result.code})\n" if result.code else ""
    lines = [*result.out.splitlines(), *result.err.splitlines()]
    printed = "".join(f"{one.rstrip()}\n" for one in lines)
    return _TIME.sub('"time":"…"', printed) + ended
