"""A server that takes decision records over HTTP, in this process."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec


class Post(msgspec.Struct, frozen=True):
    """A batch: its path with the query, its header fields by lower-case name, and its lines."""

    path: str
    headers: Mapping[str, str]
    lines: list[bytes]


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


OK = Answer(204)


class Collector:
    """Answers batches by `judge`, and keeps those that it answers by 2xx."""

    def __init__(self, judge: Callable[[Post], Answer] = lambda _: OK) -> None:
        self.judge = judge
        self.posts: list[Post] = []  # all that came
        self.lines: list[bytes] = []  # what was taken, in order
        self.port = 0
        self.secure = False

    @property
    def url(self) -> str:
        return f"http{'s' if self.secure else ''}://localhost:{self.port}/records"

    def take(self, post: Post) -> Answer:
        """Judge a batch; `lines` are complete before the answer leaves."""
        self.posts.append(post)
        answer = self.judge(post)
        if 200 <= answer.status < 300:
            self.lines += post.lines
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller may leave whenever it likes."""


@contextmanager
def collecting(
    judge: Callable[[Post], Answer] = lambda _: OK, tls: ssl.SSLContext | None = None
) -> Iterator[Collector]:
    """Serve on a port of loopback."""
    collector = Collector(judge)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert body.endswith(b"\n")
            fields = {name.lower(): value for name, value in self.headers.items()}
            answer = collector.take(Post(self.path, fields, body[:-1].split(b"\n")))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *args: object) -> None: ...

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        collector.secure = True
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def server_context(certificate: Path, private_key: Path, clients: Path) -> ssl.SSLContext:
    """Return a server's TLS, which insists on a certificate of `clients`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    context.load_verify_locations(clients)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
