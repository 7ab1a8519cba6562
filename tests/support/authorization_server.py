"""An authorization server on loopback, over HTTPS with an authority of its own.

It answers introspection (RFC 7662) and userinfo requests with what a test put there, and checks who
asks as a real one would. `asked` are the requests that came, in order.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote_plus

import jwt

from policyd.json_types import Json
from policyd.tokens.minting import PrivateKey, generate_key, key_set_text, sign
from tests.support.daemon import AUDIENCE, PATIENCE, issuer_key
from tests.support.https import write_authority, write_certificate

CLIENT = "policyd"
SECRET = "correct horse"
JSON = "application/json"


class Asked(NamedTuple):
    """A request that came."""

    path: str
    authorization: str
    form: Mapping[str, str]


class Reply(NamedTuple):
    """What is answered."""

    body: bytes
    status: int = 200
    media_type: str = JSON


Route = Callable[[Asked], Reply]


def always(reply: Reply) -> Route:
    """Answer every request alike."""
    return lambda _asked: reply


class AuthorizationServer:
    """Serves until it is closed. What is in `tokens` is active; all else is not.

    `routes` answer in place of the usual, by path. `client_id` and `secret` are whose questions
    about tokens are answered, or with `client_key` whoever signs with it.
    """

    def __init__(self, folder: Path) -> None:
        self.ca_file = write_authority(folder / "ca.pem")
        self.tokens: dict[str, dict[str, Json]] = {}
        self.users: dict[str, dict[str, Json]] = {}
        self.routes: dict[str, Route] = {}
        self.asked: list[Asked] = []
        self.client_id = CLIENT
        self.secret = SECRET
        self.client_key: PrivateKey | None = None
        self.hanging = threading.Semaphore(0)
        self._assertions: set[str] = set()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self.answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(write_certificate(folder / "server.pem"))
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self._server.server_port}"

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def hang(self, _asked: Asked) -> Reply:
        """Answer only once `release` is called. `hanging` is raised when a request is here."""
        self.hanging.release()
        self._released.wait(PATIENCE)
        return self.introspect(_asked) if _asked.form else Reply(b"{}")

    def release(self) -> None:
        self._released.set()

    def count(self, token: str) -> int:
        """Return how often it was asked about a token."""
        return sum(asked.form.get("token") == token for asked in self.asked)

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        usual: dict[str, Route] = {
            "/introspect": self.introspect,
            "/userinfo": self.userinfo,
            "/.well-known/openid-configuration": self.discovery,
            "/jwks.json": lambda _: Reply(key_set_text(issuer_key())),
        }
        route = self.routes.get(asked.path) or usual.get(asked.path)
        return Reply(b"none", 404, "text/plain") if route is None else route(asked)

    def discovery(self, _asked: Asked) -> Reply:
        document = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks.json",
            "introspection_endpoint": f"{self.issuer}/introspect",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
        }
        return Reply(json.dumps(document).encode())

    def introspect(self, asked: Asked) -> Reply:
        if not self._is_the_client(asked):
            return Reply(b'{"error":"invalid_client"}', 401)
        claims = self.tokens.get(asked.form["token"])
        return Reply(json.dumps(claims or {"active": False}).encode())

    def userinfo(self, asked: Asked) -> Reply:
        claims = self.users.get(asked.authorization.removeprefix("Bearer "))
        if claims is None:
            return Reply(b'{"error":"invalid_token"}', 401)
        return Reply(json.dumps(claims).encode())

    def _is_the_client(self, asked: Asked) -> bool:
        if self.client_key is not None:
            return self._signed_by_the_client(asked.form, self.client_key)
        pair = base64.b64decode(asked.authorization.removeprefix("Basic ")).decode()
        name, _, secret = pair.partition(":")
        return (unquote_plus(name), unquote_plus(secret)) == (self.client_id, self.secret)

    def _signed_by_the_client(self, form: Mapping[str, str], key: PrivateKey) -> bool:
        """Check an assertion as RFC 7523, section 3, asks."""
        expected = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        if form.get("client_assertion_type") != expected:
            return False
        try:
            claims = jwt.decode(
                form["client_assertion"],
                jwt.PyJWK(key.public_jwk(), key.algorithm),
                algorithms=[key.algorithm],
                audience=self.issuer,
                issuer=self.client_id,
                options={"require": ["exp", "iat", "jti", "sub"]},
            )
        except jwt.PyJWTError:
            return False
        fresh = claims["jti"] not in self._assertions and claims["exp"] - claims["iat"] <= 60
        self._assertions.add(claims["jti"])
        return fresh and claims["sub"] == self.client_id

    # -- what tests put there ------------------------------------------------------------------

    def active(self, **changes: Json) -> dict[str, Json]:
        """Return the response about a token that may read patients; `None` removes a member."""
        now = int(time.time())
        claims: dict[str, Json] = {
            "active": True,
            "token_type": "Bearer",
            "iss": self.issuer,
            "sub": "user-1",
            "aud": AUDIENCE,
            "client_id": "app-1",
            "iat": now - 10,
            "exp": now + 3600,
            "scope": "openid read:patients",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def jwt(self, **changes: Json) -> str:
        """Return a JWT of this issuer that may read patients."""
        claims = self.active(**changes)
        return sign(issuer_key(), {**claims, "azp": claims["client_id"]})

    def configuration(self, introspection: str | None = None, further: str = "") -> str:
        """Return the table of this issuer in `policyd.toml`."""
        if introspection is None:
            introspection = f'client_id = "{CLIENT}"\nclient_secret_file = "secret"'
        asked = f"[issuers.introspection]\n{introspection}\n" if introspection else ""
        return (
            f'[[issuers]]\nissuer = "{self.issuer}"\ndialect = "oidc"\njwks_file = "jwks.json"\n'
            f'ca_file = "{self.ca_file}"\n{asked}{further}'
        )


@contextmanager
def authorization_server(folder: Path) -> Iterator[AuthorizationServer]:
    """Run an authorization server; the secret of its client stands in the folder's `secret`."""
    (folder / "secret").write_text(f"{SECRET}\n")
    server = AuthorizationServer(folder)
    try:
        yield server
    finally:
        server.close()


def client_key(folder: Path) -> PrivateKey:
    """Write a key for a client that signs, and return it."""
    key = generate_key("ES256", "client")
    (folder / "client.jwk").write_text(json.dumps(key.jwk))
    return key


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Callers that hang up are part of what is tested."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, form: str) -> None:
        assert isinstance(self.server, _Server)
        values = {name: each[0] for name, each in parse_qs(form, strict_parsing=bool(form)).items()}
        asked = Asked(self.path, self.headers.get("Authorization", ""), values)
        reply = self.server.answer(asked)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.media_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write no log."""
