"""Bundles by the real ssh-keygen, and an HTTPS server that has them, with ETags."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from policyd.tooling.bundles import Named, build
from tests.support.certificates import Authority
from tests.support.daemon import PATIENCE
from tests.support.gateways import nginx
from tests.support.git import HttpsServer, SshKey, running
from tests.support.ports import free_port

NAMESPACE = "policyd-bundle"
PRINCIPAL = "ci@example.com"
FILES = {"a.policy": b"api a\n", "a_test.policy": b"api a\n"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def made(
    sequence: int,
    files: Mapping[str, bytes] | None = None,
    name: str = "orders",
    expires: datetime | None = None,
) -> bytes:
    """Return a bundle."""
    named = Named(name, sequence, datetime(2026, 12, 1, tzinfo=UTC), COMMIT, expires)
    return build(named, files or FILES)[1]


def signed(folder: Path, data: bytes, key: SshKey, namespace: str = NAMESPACE) -> bytes:
    """Return the signature that ssh-keygen makes."""
    file = folder / "to-sign"
    file.write_bytes(data)
    signature = folder / "to-sign.sig"
    signature.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key.path), str(file)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return signature.read_bytes()


def allowed(path: Path, *lines: str) -> Path:
    """Write a list of allowed signers."""
    path.write_text("\n".join(lines) + "\n")
    return path


class BundleServer:
    """Serves `files` by path over TLS. `asked` are the requests: path, condition, status."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        pair = authority.issue("127.0.0.1")
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(authority.certificate)
        (folder / "server.pem").write_bytes(pair.certificate + pair.key)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, int]] = []
        #: What `Authorization` must be; empty for anything.
        self.authorization = ""
        #: What is answered instead, by path.
        self.instead: dict[str, int] = {}
        self.has_etags = True
        #: Whether the server waits as it is asked to; `waiting` is set while it does.
        self.waits = False
        self.waiting = threading.Event()
        self.preferred: list[str] = []
        self._changed = threading.Condition()
        self._closed = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"https://127.0.0.1:{self._server.server_address[1]}{path}"

    def publish(self, path: str, data: bytes, signature: bytes | None = None) -> None:
        """Put a bundle there, its signature first."""
        with self._changed:
            if signature is None:
                self.files.pop(f"{path}.sig", None)
            else:
                self.files[f"{path}.sig"] = signature
            self.files[path] = data
            self._changed.notify_all()

    def close(self) -> None:
        """End, and let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)

    def etag(self, path: str) -> str:
        """Return what stands for a file now."""
        return f'"{hashlib.sha256(self.files.get(path, b"")).hexdigest()[:16]}"'

    def _wait(self, path: str, etag: str) -> None:
        with self._changed:
            self.waiting.set()
            self._changed.wait_for(lambda: self._closed or self.etag(path) != etag, PATIENCE)
            self.waiting.clear()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                condition = self.headers.get("If-None-Match", "")
                preferred = self.headers.get("Prefer", "")
                if preferred:
                    site.preferred.append(preferred)
                if site.waits and preferred and condition == site.etag(self.path):
                    site._wait(self.path, condition)
                status, body = self._status(condition)
                site.asked.append((self.path, condition, status))
                self.send_response(status)
                if site.has_etags:
                    self.send_header("ETag", site.etag(self.path))
                if site.waits and preferred:
                    self.send_header("Preference-Applied", preferred)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _status(self, condition: str) -> tuple[int, bytes]:
                if self.path in site.instead:
                    return site.instead[self.path], b""
                if site.authorization and self.headers["Authorization"] != site.authorization:
                    return 401, b""
                if self.path not in site.files:
                    return 404, b""
                if site.has_etags and condition == site.etag(self.path):
                    return 304, b""
                return 200, site.files[self.path]

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler


_SITE = """
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    location / {{
        root {folder}/root;
        auth_basic "policies";
        auth_basic_user_file {folder}/htpasswd;
    }}
}}
"""


@contextmanager
def nginx_server(folder: Path) -> Iterator[HttpsServer]:
    """Serve the files below `root` by nginx, over TLS, with Basic authentication."""
    (folder / "root").mkdir(parents=True)
    port, authority = free_port(), Authority()
    pair = authority.issue("127.0.0.1")
    (folder / "cert.pem").write_bytes(pair.certificate)
    (folder / "key.pem").write_bytes(pair.key)
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "htpasswd").write_text("policyd:{PLAIN}a secret of tests\n")
    (folder / "password").write_text("a secret of tests\n")
    site = _SITE.format(port=port, folder=folder)
    with running(nginx(folder, site), port):
        url = f"https://127.0.0.1:{port}"
        yield HttpsServer(url, folder / "ca.pem", "policyd", folder / "password")


@contextmanager
def bundle_server(folder: Path) -> Iterator[BundleServer]:
    """Serve bundles until the end."""
    folder.mkdir(exist_ok=True)
    server = BundleServer(folder)
    try:
        yield server
    finally:
        server.close()
