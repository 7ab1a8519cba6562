"""What the command says to those who begin, as people see it: `messages/NAME.txt`.

A file holds what stands in the folder (`--- NAME`, and the lines that follow) and sessions: a
command after `$ `, what it prints on standard output and then on standard error, and how it ended
where that is not 0. `% ` is a preparation, a line of shell that prints nothing; after
`% unprivileged`, files without a right to read them are closed to root too. `>>> ` is Python, with
what it raises. `<TAKEN>`, `<TLS>` and `<NOBODY>` are ports: one where something else listens, one
that speaks TLS, and one where nothing listens.

A new case is a new file; what it prints is read line by line before it is committed.
`GOLDEN=write` writes what is printed now.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from policyd.client import Answer, Client, Resource
from tests.support.certificates import self_signed
from tests.support.cli import Result, Run, runner
from tests.support.commands import environment
from tests.support.ports import free_port

_CASES = sorted((Path(__file__).parent / "messages").glob("*.txt"))
#: What differs from run to run.
_TIME = re.compile(r'"time":"[^"]*"')
_WITHOUT_OVERRIDE = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Put logging back: a daemon that starts, here in this process, configures it."""
    root, own = logging.getLogger(), logging.getLogger("policyd")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield what the names of ports stand for."""
    folder = tmp_path_factory.mktemp("certificate")
    with socket.create_server(("127.0.0.1", 0)) as taken, _speaking_tls(folder) as speaks_tls:
        yield {
            "<TAKEN>": str(taken.getsockname()[1]),
            "<TLS>": str(speaks_tls),
            "<NOBODY>": str(free_port()),
        }


@contextmanager
def _speaking_tls(folder: Path) -> Iterator[int]:
    """Listen on a port, and greet each connection by TLS."""
    pair = self_signed()
    (folder / "both.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    server = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                # The other side may speak no TLS, or have seen enough.
                with suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=greet)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_messages_look_as_they_should(
    path: Path,
    ports: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("POLICYD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    expected = path.read_text(encoding="utf-8")
    player = _Player(runner(capsys, monkeypatch), monkeypatch, ports)
    found = "".join(player.played(expected)).replace(str(tmp_path), "…")
    if os.environ.get("GOLDEN") == "write":
        path.write_text(found, encoding="utf-8")
    assert found == expected


class _Player:
    """Lays out files, runs commands, and tells what a file of a case should hold."""

    def __init__(self, run: Run, monkeypatch: pytest.MonkeyPatch, ports: dict[str, str]) -> None:
        self._run = run
        self._monkeypatch = monkeypatch
        self._ports = ports
        self._prefix: tuple[str, ...] | None = None
        self._names: dict[str, object] = {
            "Answer": Answer,
            "Client": Client,
            "Resource": Resource,
            "date": date,
            "Decimal": Decimal,
        }

    def played(self, text: str) -> Iterator[str]:
        for part in re.split(r"^(?=--- |\$ |% |>>> )", text, flags=re.MULTILINE):
            head, _, rest = part.partition("\n")
            kind, _, said = self._filled(head).partition(" ")
            if kind == "---":
                file = Path(said)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._filled(rest).rstrip("\n") + "\n", encoding="utf-8")
                yield part
            elif kind == "%":
                self._prepare(said)
                yield part
            elif kind == ">>>":
                yield f"{head}\n{self._evaluated(said)}\n\n"
            elif kind == "$":
                yield f"{head}\n{self._printed(said)}\n"
            else:
                yield part

    def _filled(self, text: str) -> str:
        for name, port in self._ports.items():
            text = text.replace(name, port)
        return text

    def _prepare(self, line: str) -> None:
        if line == "unprivileged":
            self._prefix = _WITHOUT_OVERRIDE if os.geteuid() == 0 else ()
            return
        subprocess.run(["sh", "-ec", line], env=environment(), check=True)

    def _evaluated(self, code: str) -> str:
        try:
            return repr(eval(code, self._names))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def _printed(self, line: str) -> str:
        words = shlex.split(line)
        with self._monkeypatch.context() as patch:
            while "=" in words[0]:
                name, _, value = words.pop(0).partition("=")
                patch.setenv(name, value)
            # A daemon changes the process it is in.
            apart = self._prefix is not None or words[1] == "serve"
            result = self._run_apart(words) if apart else self._run(*words[1:])
        ended = f"(ends with {result.code})\n" if result.code else ""
        lines = [*result.out.splitlines(), *result.err.splitlines()]
        printed = _TIME.sub('"time":"…"', "".join(f"{one.rstrip()}\n" for one in lines))
        for name, port in self._ports.items():
            printed = printed.replace(port, name)
        return printed + ended

    def _run_apart(self, words: list[str]) -> Result:
        done = subprocess.run(
            [*(self._prefix or ()), *words],
            env={**environment(), "COLUMNS": "80"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)
