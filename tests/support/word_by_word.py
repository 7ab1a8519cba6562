"""A page followed word by word: its files saved, its commands typed, what they print compared.

A fenced block whose kind is followed by a name is saved as that file. `console background` is a
second terminal: its command goes on while the others run. `cd FOLDER` leads there, in all terminals
from then on.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.commands import filled, matches, printed_by, sessions
from tests.support.documents import Fence

#: Far more than anything takes; what a failing test waits.
PATIENCE = 30.0


class Terminal:
    """A terminal in which one command goes on."""

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.printed = ""
        self._more = threading.Condition()
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=folder,
            env=environment,
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


class Reader:
    """Somebody who follows a page in `folder`, with an `environment` of their own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.terminals: list[Terminal] = []
        self._environment = environment
        self._known: dict[str, str] = {}

    def follow(self, fences: Iterable[Fence], port: str, printed_port: str = "8181") -> None:
        """Do what the blocks say, with another port than the printed one."""
        for fence in fences:
            text = fence.text.replace(printed_port, port)
            if fence.file is not None:
                path = self.folder / fence.file
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
                continue
            for command, shown in sessions(text):
                self._type(fence, filled(command, self._known), shown)

    def _type(self, fence: Fence, line: str, shown: str) -> None:
        if line.startswith("cd "):
            self.folder /= line.removeprefix("cd ")
        elif fence.kind == "console background":
            terminal = Terminal(line, self.folder, self._environment)
            self.terminals.append(terminal)
            assert terminal.wait_for(shown, '"serving"', self._known), terminal.printed
        else:
            printed = printed_by(line, self.folder, self._environment)
            assert matches(shown, printed, self._known), f"{fence}: {line}\n{printed}"


@contextmanager
def reading(folder: Path, environment: Mapping[str, str]) -> Iterator[Reader]:
    """Follow pages in `folder`; in the end each terminal is closed, and must have ended well."""
    reader = Reader(folder, environment)
    try:
        yield reader
    finally:
        codes = [terminal.stop() for terminal in reader.terminals]
    assert codes == [0] * len(codes)
