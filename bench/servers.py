"""Servers as processes of their own on one core: started, awaited, weighed, and ended.

The load stands on another core. Input: a command. Output: a `Server` with its address; where it
ends by itself, its own words are in what is raised. Nothing outlives the block that started it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1.health_pb2 import HealthCheckResponse

from bench.load import Method
from bench.material import API, POLICIES, Material
from policyd.v1 import authorization_pb2 as messages

SERVICE = "/policyd.v1.AuthorizationService"
CHECK = Method(f"{SERVICE}/Check", b"ALLOWED")
BATCH_CHECK = Method(f"{SERVICE}/BatchCheck", b"ALLOWED")
HEALTH = "/grpc.health.v1.Health/Check"
TRANSPORTS = ("event", "standard")
START_LIMIT = 30.0
# As the process began; where there is but one core, both are that one.
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = {_CORES[0]}, {_CORES[-1]}
TWO_CORES = set(_CORES[:2])
CORES = len(_CORES)


class Server:
    """A process that listens on a port of its own, and what it costs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.address = ("127.0.0.1", port)
        self.folder = folder

    @property
    def errors(self) -> str:
        """What it has written to its standard error."""
        return (self.folder / "stderr").read_text(encoding="utf-8", errors="replace")

    def insist(self) -> None:
        """Raise, with the server's own words, when the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise RuntimeError(f"a server ended with exit code {code}: {self.errors[-2000:]}")

    def cpu_seconds(self) -> float:
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_megabytes(self) -> float:
        return self._status("VmRSS") / 1024

    def peak_megabytes(self) -> float:
        """The most that was ever resident."""
        return self._status("VmHWM") / 1024

    def children(self) -> list[int]:
        """The processes that it has started itself, such as its workers."""
        return [int(one) for one in self._proc(f"task/{self.process.pid}/children").split()]

    def threads(self) -> int:
        return self._status("Threads")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def _status(self, name: str) -> int:
        for line in self._proc("status").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0])
        raise RuntimeError(f"the kernel tells no {name}")

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text(encoding="utf-8")


@contextmanager
def started(
    command: Sequence[str],
    port: int,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    cores: Set[int] = SERVER_CORE,
) -> Iterator[Server]:
    """Run a server on its core until the block ends. `environment` is added to this process's."""
    os.sched_setaffinity(0, cores)  # which the child inherits
    try:
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
    finally:
        os.sched_setaffinity(0, LOAD_CORE)
    try:
        yield Server(process, port, folder)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def daemon(
    material: Material,
    transport: str = "event",
    *,
    policies: Path = POLICIES,
    revoked: bool = True,
    workers: int = 1,
    cores: Set[int] = SERVER_CORE,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Server]:
    """Run policyd on a free port; its folder holds its configuration and what it logs.

    `environment` is added to what this sets; `prefix` is a command that runs another one.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        port = free_port()
        configuration = material.configuration(Path(name), port, policies, revoked=revoked)
        program = str(Path(sys.executable).with_name("policyd"))
        command = [*prefix, program, "serve", "--config", str(configuration)]
        environment = {
            "POLICYD_SERVER__TRANSPORT": transport,
            "POLICYD_SERVER__WORKERS": str(workers),
            **(environment or {}),
        }
        if workers > 1:  # which share no ports for pages and remember no proofs together
            environment |= {"POLICYD_HTTP__LISTEN": "[]", "POLICYD_DPOP__ENABLED": "false"}
        with started(command, port, Path(name), environment, cores) as server:
            yield server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def until_listening(server: Server) -> None:
    limit = time.monotonic() + START_LIMIT
    while time.monotonic() < limit:
        server.insist()
        try:
            socket.create_connection(server.address, timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.002)
        else:
            return
    raise RuntimeError(f"the server does not listen after {START_LIMIT:.0f} s")


def until_serving(server: Server, patience: float = START_LIMIT) -> None:
    """Return when the health service says SERVING, within some seconds after it answers."""
    until_listening(server)
    with grpc.insecure_channel("{}:{}".format(*server.address)) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH)
        limit = time.monotonic() + patience
        while time.monotonic() < limit:
            server.insist()
            answer = HealthCheckResponse.FromString(check(b"", timeout=START_LIMIT))
            if answer.status == HealthCheckResponse.SERVING:
                return
            time.sleep(0.002)
    raise RuntimeError(f"the daemon is not SERVING after {patience:.0f} s")


def call(server: Server, method: str, body: bytes) -> bytes:
    """Make one call with grpcio's own client."""
    with grpc.insecure_channel("{}:{}".format(*server.address)) as channel:
        stub: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return stub(body, timeout=START_LIMIT)


def channel_of_its_own(server: Server) -> grpc.Channel:
    """Return a channel that shares no connection with another."""
    address = "{}:{}".format(*server.address)
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def workers_of(channels: Sequence[grpc.Channel], body: bytes) -> Counter[str]:
    """Return how many of the channels lead to each worker.

    Each process has a prefix of its own in the identifiers of its decisions. Raises `RpcError` for
    a worker that has no policies yet.
    """
    found: Counter[str] = Counter()
    for channel in channels:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK.path)
        answer = check(body, timeout=START_LIMIT, wait_for_ready=True)
        found[messages.CheckResponse.FromString(answer).decision_id.partition("-")[0]] += 1
    return found


def until_workers_answer(
    server: Server, body: bytes, number: int, before: Set[str] = frozenset()
) -> None:
    """Return when so many workers have answered over new connections, one of them not one of
    `before`, if that names any."""
    seen: set[str] = set()
    limit = time.monotonic() + START_LIMIT
    while len(seen) < number or (before and not seen - before):
        server.insist()
        if time.monotonic() > limit:
            raise RuntimeError(f"{len(seen)} of {number} workers answer after {START_LIMIT:.0f} s")
        with channel_of_its_own(server) as channel, suppress(grpc.RpcError):
            seen |= workers_of([channel], body).keys()


def insist_on_allow(server: Server, body: bytes) -> None:
    """Prove that the load asks what it means to: a benchmark of refusals would be a fast one."""
    decision = messages.CheckResponse.FromString(call(server, CHECK.path, body))
    if not decision.allowed:
        raise RuntimeError(f"the daemon denies the benchmark's question: {decision}")


def requests(tokens: Sequence[str], *, sealed: bool = False) -> list[bytes]:
    """Return one CheckRequest a token, each about a resource of its own."""
    context = _context()
    return [
        messages.CheckRequest(
            access_token=token,
            api=API,
            action="read",
            resource=_patient(number, sealed=sealed),
            context=context,
        ).SerializeToString()
        for number, token in enumerate(tokens)
    ]


def batches(tokens: Sequence[str], size: int) -> list[bytes]:
    """Return one BatchCheckRequest a token, each about so many resources."""
    context = _context()
    items = [
        messages.BatchCheckItem(id=str(number), action="read", resource=_patient(number))
        for number in range(size)
    ]
    return [
        messages.BatchCheckRequest(
            access_token=token, api=API, context=context, items=items
        ).SerializeToString()
        for token in tokens
    ]


def _patient(number: int, *, sealed: bool = False) -> messages.Resource:
    properties = Struct()
    properties.update({"sealed": sealed})
    return messages.Resource(type="patient", id=f"p{number}", properties=properties)


def _context() -> Struct:
    context = Struct()
    context.update({"ip": "192.0.2.7"})
    return context
