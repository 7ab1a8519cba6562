"""The real daemon, as a process of its own, and what its callers send.

`Site` is a folder with configuration, keys and policies; `Site.start` runs the daemon in it. Its
address comes from its own log, so every test has ports of its own.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from pathlib import Path

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from policyd.json_types import Json
from policyd.tokens.minting import PrivateKey, generate_key, key_set_text, sign
from policyd.v1 import authorization_pb2 as messages
from tests.support.certificates import Pair
from tests.support.documents import ROOT

ISSUER = "https://my-domain.auth0.com/"
AUDIENCE = "https://example.com/health-api"
SERVICE = "/policyd.v1.AuthorizationService"
#: Far more than anything takes; what a failing test waits.
PATIENCE = 30.0
#: Seconds after which a page of metrics is surely made anew.
METRICS_KEPT = 0.11

LogLine = dict[str, Json]


@cache
def issuer_key() -> PrivateKey:
    """Return the key that every daemon of the tests trusts."""
    return generate_key()


def access_claims(further: Mapping[str, Json] | None = None, /, **changes: Json) -> dict[str, Json]:
    """Return the claims of a token that may read patients; `None` removes a claim.

    `further` are claims whose names are no Python names.
    """
    now = int(time.time())
    claims: dict[str, Json] = {
        "iss": ISSUER,
        "sub": "auth0|123456",
        "aud": [AUDIENCE, f"{ISSUER}userinfo"],
        "azp": "my_client_id",
        "iat": now - 10,
        "exp": now + 3600,
        "scope": "openid profile read:patients read:admin",
    }
    claims.update(further or {})
    return {name: value for name, value in (claims | changes).items() if value is not None}


def access_token(further: Mapping[str, Json] | None = None, /, **changes: Json) -> str:
    """Return such a token, signed."""
    return sign(issuer_key(), access_claims(further, **changes))


def check_request(token: str | None = None, /, **changes: object) -> messages.CheckRequest:
    """Return a question that is answered with ALLOWED, with fields changed."""
    request = messages.CheckRequest(
        access_token=access_token() if token is None else token,
        api="health",
        action="read",
        resource=messages.Resource(type="patient", id="p1"),
    )
    request.resource.properties.update({"sealed": False})
    for name, value in changes.items():
        if isinstance(value, Message):
            getattr(request, name).CopyFrom(value)
        else:
            setattr(request, name, value)
    return request


def resource(type_: str, id_: str = "", **properties: Json) -> messages.Resource:
    """Return a resource."""
    made = messages.Resource(type=type_, id=id_)
    made.properties.update(properties)
    return made


class Site:
    """A folder that a daemon runs in: `policies/`, `jwks.json`, `policyd.toml`."""

    def __init__(self, folder: Path, transport: str = "event") -> None:
        self.folder = folder
        self.transport = transport
        self.policies = folder / "policies"
        self.policies.mkdir()
        self.decisions = folder / "decisions.ndjson"
        shutil.copy(ROOT / "policies" / "health" / "health.policy", self.policies)
        (folder / "jwks.json").write_bytes(key_set_text(issuer_key()))
        self.configure()

    @property
    def policy(self) -> Path:
        """The only policy file."""
        return self.policies / "health.policy"

    def configure(
        self, server: str = "", decision_log: str = 'path = "decisions.ndjson"', issuers: str = ""
    ) -> None:
        """Write the configuration; by default it listens on a free port."""
        # Before what is given, which may end in a table of its own.
        if "drain" not in server:
            server = f"drain = 0\n{server}"
        if "listen = " not in server.replace("explain_listen", ""):
            server = f'listen = ["127.0.0.1:0"]\n{server}'
        server = f'transport = "{self.transport}"\n{server}'
        issuers = issuers or (
            f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'
        )
        (self.folder / "policyd.toml").write_text(
            f'[policies]\npath = "policies"\nsettle = 0.05\n[server]\n{server}\n'
            f"[decision_log]\n{decision_log}\n{issuers}"
        )

    def listen(self, *listeners: str, further: str = "") -> None:
        """Write a configuration whose listeners are these of the table, and `further` tables."""
        tables = "".join(f"[[listeners]]\n{one}\n" for one in listeners)
        (self.folder / "policyd.toml").write_text(
            '[policies]\npath = "policies"\nsettle = 0.05\n'
            f'[server]\ntransport = "{self.transport}"\ndrain = 0\n{tables}'
            f'[decision_log]\npath = "decisions.ndjson"\n{further}\n'
            f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'
        )

    @contextmanager
    def start(self, *options: str, prefix: tuple[str, ...] = ()) -> Iterator[Daemon]:
        """Run the daemon until the context ends; it must serve within `PATIENCE`.

        `prefix` is a command that runs it.
        """
        daemon = Daemon(self.folder, options, prefix)
        try:
            daemon.wait_for_log("serving")
            yield daemon
        finally:
            daemon.end()

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a daemon that is expected to give up."""
        return subprocess.run(
            command(options),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def records(self) -> list[LogLine]:
        """Return the decision log, without a line that is being written."""
        written, _, _ = self.decisions.read_text().rpartition("\n")
        return [json.loads(line) for line in written.splitlines()]


def command(options: tuple[str, ...]) -> list[str]:
    """Return the command line of a daemon."""
    program = "from policyd.cli.main import main; main()"
    return [sys.executable, "-c", program, "serve", "--config", "policyd.toml", *options]


class Daemon:
    """A daemon that runs. Its log is read as it is written."""

    def __init__(
        self, folder: Path, options: tuple[str, ...], prefix: tuple[str, ...] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, *command(options)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[LogLine] = []
        self.other_errors: list[str] = []
        self.output: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read_errors),
            threading.Thread(target=self._read_output),
        ]
        for reader in self._readers:
            reader.start()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                if line.startswith("{"):
                    self.log.append(json.loads(line))
                else:
                    self.other_errors.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        self.output.extend(self.process.stdout)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, in the order of the configuration."""
        found = self.wait_for_log("serving")["addresses"]
        assert isinstance(found, list)
        return [str(address) for address in found]

    def wait_for_log(
        self, message: str, matches: Callable[[LogLine], bool] = lambda _: True
    ) -> LogLine:
        """Return the first line of the log with that message that `matches`."""

        def found() -> LogLine | None:
            lines = (line for line in self.log if line["message"] == message and matches(line))
            return next(lines, None)

        def over() -> bool:
            return found() is not None or self.process.poll() is not None

        with self._news:
            self._news.wait_for(over, PATIENCE)
            line = found()
        assert line is not None, (message, self.log, self.other_errors)
        return line

    def page(self, path: str) -> str:
        """Return a page of its HTTP listener."""
        if path == "/metrics":
            time.sleep(METRICS_KEPT)
        addresses = self.wait_for_log("serving")["http"]
        assert isinstance(addresses, list)
        connection = HTTPConnection(str(addresses[0]), timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def troubles(self) -> list[str]:
        """Return what `/readyz` says is amiss."""
        found: list[str] = json.loads(self.page("/readyz"))["troubles"]
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; return the exit code."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def end(self) -> int:
        """Stop it, by force if it does not listen."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            raise
        finally:
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    stream.close()


class Caller:
    """A connection to a daemon, on which one can send any bytes to any method.

    With `authorities`, in PEM, it is over TLS, and shows the certificate of `pair`.
    """

    def __init__(self, target: str, *, authorities: bytes = b"", pair: Pair | None = None) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        if authorities:
            shown = (pair.key, pair.certificate) if pair else (None, None)
            credentials = grpc.ssl_channel_credentials(authorities, *shown)
            self.channel = grpc.secure_channel(target, credentials, options)
        else:
            self.channel = grpc.insecure_channel(target, options)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def raw(self, method: str, data: bytes) -> bytes:
        """Call a unary method."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(method)
        return call(data, timeout=PATIENCE)

    def check(self, request: messages.CheckRequest) -> messages.CheckResponse:
        """Call Check."""
        data = self.raw(f"{SERVICE}/Check", request.SerializeToString())
        return messages.CheckResponse.FromString(data)

    def batch_check(self, request: messages.BatchCheckRequest) -> messages.BatchCheckResponse:
        """Call BatchCheck."""
        data = self.raw(f"{SERVICE}/BatchCheck", request.SerializeToString())
        return messages.BatchCheckResponse.FromString(data)

    def failure(self, method: str, data: bytes) -> Failure:
        """Call a unary method that must fail."""
        try:
            self.raw(method, data)
        except grpc.RpcError as error:
            return Failure(error)
        raise AssertionError("the call did not fail")


class Failure:
    """How a call failed: gRPC's code and policyd's details."""

    def __init__(self, error: object) -> None:
        assert isinstance(error, grpc.Call)
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = self.domain = ""
        self.metadata: Mapping[str, str] = {}
        self.violations: dict[str, str] = {}
        trailers = {item[0]: item[1] for item in error.trailing_metadata() or ()}
        details = trailers.get("grpc-status-details-bin")
        if isinstance(details, bytes):
            self._read(Status.FromString(details))

    def _read(self, status: Status) -> None:
        assert status.code == self.code.value[0]
        assert status.message == self.message
        for detail in status.details:
            info, request = ErrorInfo(), BadRequest()
            if detail.Unpack(info):
                self.reason, self.domain = info.reason, info.domain
                self.metadata = dict(info.metadata)
            elif detail.Unpack(request):
                self.violations = {one.field: one.description for one in request.field_violations}
