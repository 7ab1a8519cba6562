"""The tutorial, word by word, in an empty folder.

A fenced block whose kind is followed by a name is saved as that file. `console background` is the
second terminal: its command goes on while the others run. The port is another than the printed one,
so that the machine's own daemons are left alone.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import environment, filled, matches, printed_by, sessions
from tests.support.documents import ROOT, fences

PAGE = ROOT / "docs" / "tutorial.md"
PRINTED_PORT = "8181"
#: Far more than anything takes; what a failing test waits.
PATIENCE = 30.0


class Terminal:
    """A terminal in which one command goes on."""

    def __init__(self, command: str, folder: Path) -> None:
        self.printed = ""
        self._more = threading.Condition()
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self.printed += line
                self._more.notify()

    def wait_for(self, shown: str, further: str, known: dict[str, str]) -> bool:
        """Wait for what the document shows, and for a text that it leaves out."""

        def there() -> bool:
            return further in self.printed and matches(shown, self.printed, known)

        with self._more:
            return self._more.wait_for(there, PATIENCE)

    def stop(self) -> int:
        """End the command as Ctrl-C would; return its exit code."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(PATIENCE)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals to be closed at the end, whatever happened."""
    opened: list[Terminal] = []
    yield opened
    assert [terminal.stop() for terminal in opened] == [0] * len(opened)


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def test_word_by_word(tmp_path: Path, terminals: list[Terminal]) -> None:
    known: dict[str, str] = {}
    port = free_port()
    for fence in fences(PAGE):
        text = fence.text.replace(PRINTED_PORT, port)
        if fence.file is not None:
            path = tmp_path / fence.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            continue
        for command, shown in sessions(text):
            line = filled(command, known)
            if fence.kind == "console background":
                terminals.append(Terminal(line, tmp_path))
                assert terminals[-1].wait_for(shown, '"serving"', known), terminals[-1].printed
            else:
                printed = printed_by(line, tmp_path)
                assert matches(shown, printed, known), f"{fence}: {command}\n{printed}"
    assert printed_by("policyd fmt --check policies", tmp_path) == "2 files, 0 to format\n"


def test_every_block_is_a_file_or_typed() -> None:
    for fence in fences(PAGE):
        assert fence.file is not None or sessions(fence.text), fence


def test_says_how_each_file_is_called() -> None:
    """Whoever reads a rendered page does not see what follows the back-ticks."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for fence in fences(PAGE):
        if fence.file is not None:
            before = lines[: fence.line - 1]
            assert f"`{fence.file}`" in " ".join(before[-2:]), fence


def test_types_what_every_shell_has() -> None:
    typed = [fence for fence in fences(PAGE) if fence.kind.startswith("console")]
    programs = {command.split()[0] for fence in typed for command, _ in sessions(fence.text)}
    assert programs == {"policyd", "python", "cp", "mv", "printf", "rm", "sed"}
