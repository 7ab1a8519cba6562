"""The peers as servers: how each is started, what it is asked, and what it must answer.

All are asked the sample policy's question with the same tokens, verify the token themselves, and
remember what they verified where they can. Their configurations and policies stand in the folders
beside this file.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from bench.load import Method
from bench.material import AUDIENCE, ISSUER, Material
from bench.peers import install
from bench.peers.wire import field, flag
from bench.servers import (
    CHECK,
    Server,
    daemon,
    free_port,
    requests,
    started,
    until_listening,
    until_serving,
)

HERE = Path(__file__).resolve().parent
Ask = Callable[[Sequence[str], bool], list[bytes]]


class Peer(msgspec.Struct, frozen=True):
    """One candidate. `ask` makes requests of tokens, about records that are sealed or not.

    `method` expects the answer to a record that is not; `denial` stands in the other.
    """

    name: str
    start: Callable[[Material], AbstractContextManager[Server]]
    method: Method
    denial: bytes
    ask: Ask


def policyd(transport: str) -> Peer:
    @contextmanager
    def start(material: Material) -> Iterator[Server]:
        with daemon(material, transport) as server:
            until_serving(server)
            yield server

    def ask(tokens: Sequence[str], sealed: bool) -> list[bytes]:
        return requests(tokens, sealed=sealed)

    denial = b"INSUFFICIENT_USER_AUTHENTICATION"
    return Peer(f"policyd, {transport}", start, CHECK, denial, ask)


Start = Callable[[Material], AbstractContextManager[Server]]


def cerbos(version: str) -> Peer:
    """Return Cerbos over gRPC. Raises `install.NotInstalled`."""
    name, start = cerbos_at(version, "GRPC_PORT")
    method = Method("/cerbos.svc.v1.CerbosService/CheckResources", _cerbos_effect(1))
    return Peer(name, start, method, _cerbos_effect(2), _cerbos)


def cerbos_at(version: str, which: str) -> tuple[str, Start]:
    """Return Cerbos's name with its version, and what starts it; the server's address is that of
    the port that this variable of its configuration has. Raises `install.NotInstalled`."""
    program = install.cerbos(version)

    @contextmanager
    def start(material: Material) -> Iterator[Server]:
        with tempfile.TemporaryDirectory(prefix="bench-cerbos-") as name:
            folder = Path(name)
            ports = {"GRPC_PORT": free_port(), "HTTP_PORT": free_port()}
            (folder / "jwks.json").write_bytes(material.key_set)
            environment = {
                **{port: str(number) for port, number in ports.items()},
                "POLICIES": str(HERE / "cerbos" / "policies"),
                "KEY_SET": str(folder / "jwks.json"),
            }
            configuration = str(HERE / "cerbos" / "cerbos.yaml")
            command = [str(program), "server", "--config", configuration, "--log-level", "error"]
            with started(command, ports[which], folder, environment) as server:
                until_listening(server)
                yield server

    return f"Cerbos {_version(program, '--version')}", start


def _cerbos_effect(effect: int) -> bytes:
    """Return how an answer tells an action's effect: 1 allows, 2 denies."""
    return field(1, "read") + bytes([2 << 3, effect])


def _cerbos(tokens: Sequence[str], sealed: bool) -> list[bytes]:
    """Return CheckResourcesRequest messages of cerbos.request.v1."""
    principal = field(1, "caller") + field(3, "caller")
    attribute = field(1, "sealed") + field(2, flag(4, value=sealed))
    return [
        field(1, str(number))
        + field(3, principal)
        + field(
            4,
            field(1, "read")
            + field(2, field(1, "patient") + field(3, f"p{number}") + field(4, attribute)),
        )
        + field(5, field(1, field(1, token) + field(2, "bench")))
        for number, token in enumerate(tokens)
    ]


def opa() -> Peer:
    """Return OPA over plain HTTP/2. Raises `install.NotInstalled`."""
    program = install.opa()

    @contextmanager
    def start(material: Material) -> Iterator[Server]:
        with tempfile.TemporaryDirectory(prefix="bench-opa-") as name:
            folder, port = Path(name), free_port()
            shutil.copy(HERE / "opa" / "health.rego", folder)
            data = {"keys": material.key_set.decode(), "issuer": ISSUER, "audience": AUDIENCE}
            (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
            command = [str(program), "run", "--server", "--h2c", "--addr", f"127.0.0.1:{port}"]
            command += ["--config-file", str(HERE / "opa" / "opa.yaml"), "--log-level", "error"]
            command += ["--skip-version-check", "health.rego", "data.json"]
            with started(command, port, folder) as server:
                until_listening(server)
                yield server

    method = Method("/v1/data/health/allow", b'"result":true', grpc=False)
    name = f"OPA {_version(program, 'version')}"
    return Peer(name, start, method, b'"result":false', _opa)


def _opa(tokens: Sequence[str], sealed: bool) -> list[bytes]:
    return [
        json.dumps(
            {
                "input": {
                    "token": token,
                    "action": "read",
                    "resource": {"type": "patient", "id": f"p{number}", "sealed": sealed},
                }
            }
        ).encode()
        for number, token in enumerate(tokens)
    ]


def _version(program: Path, argument: str) -> str:
    said = subprocess.run(
        [program, argument], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    words = said.split()
    return next(word for word in words if word[:1].isdigit())
