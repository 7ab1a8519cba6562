"""Real gateways before a real upstream, as the files of `deploy/` configure them.

The files are used as they are, but for the addresses and the name of the API.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.daemon import PATIENCE
from tests.support.documents import ROOT

DEPLOY = ROOT / "deploy"


class Upstream:
    """A service that keeps what reaches it: the request's line, and its fields as they came."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, list[tuple[str, str]]]] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fields = [(name.lower(), value) for name, value in self.headers.items()]
                upstream.requests.append((self.command, self.path, fields))
                self.send_response(200)
                self.send_header("Content-Length", "9")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"upstream\n")

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = _answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def fields(self, name: str) -> list[str]:
        """Return the values of a field of the last request, whichever way its name is spelled."""
        return [
            value
            for field, value in self.requests[-1][2]
            if field.replace("_", "-") == name.lower()
        ]


def configured(file: str, addresses: Mapping[str, str], api: str) -> str:
    """Return a file of `deploy/` with other addresses, and for another API."""
    text = (DEPLOY / file).read_text(encoding="utf-8")
    for old, new in addresses.items():
        assert old in text
        text = text.replace(old, new)
    return re.sub(r"/forward-auth/orders\b", f"/forward-auth/{api}", text)


def nginx(folder: Path, server: str) -> list[str]:
    """Write a configuration around `server`, and return the command that runs it."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n"
        + "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"{server}\n}}\n"
    )
    return [
        program,
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        f"{folder}/start.log",
    ]


def caddy(folder: Path, site: str) -> list[str]:
    """Write a configuration, and return the command that runs it."""
    program = Path(sys.executable).with_name("caddy")
    if not program.exists():
        pytest.skip("caddy is not installed: it is in the development group")
    (folder / "Caddyfile").write_text(site)
    return [str(program), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def envoy(folder: Path, configuration: str) -> list[str]:
    """Write a configuration, and return the command that runs it."""
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        pytest.skip("envoy is not installed: it is in the development group, for Linux")
    (folder / "envoy.yaml").write_text(configuration)
    command = [str(program), "-c", str(folder / "envoy.yaml"), "--concurrency", "1"]
    return [*command, "--disable-hot-restart", "--log-level", "warn"]


@contextmanager
def running(command: list[str], folder: Path, address: str) -> Iterator[str]:
    """Run a gateway until the context ends; yield its address once it listens there."""
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            _wait_for(address, process, folder)
            yield address
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait_for(address: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    host, _, port = address.rpartition(":")
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            threading.Event().wait(0.02)
    raise AssertionError([path.read_text() for path in folder.glob("*.log")])
