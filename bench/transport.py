"""P1 and P8: the daemon over its sockets, beside a handler on the same transport that only answers.

Servers stand on one core, the load on another; the two servers are loaded in turn. `python -m
bench.transport PORT` is the other server: it decodes each request and returns the same response.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1.health_pb2 import HealthCheckResponse

from bench.load import run
from bench.material import API, COUNT, Material
from bench.report import Figure, Row, interleaved, ratio
from policyd.server.standard import StandardTransport
from policyd.server.transport import Call, CallFailed, Limits, StatusCode, Unary
from policyd.v1 import authorization_pb2 as messages

CHECK = "/policyd.v1.AuthorizationService/Check"
HEALTH = "/grpc.health.v1.Health/Check"
IN_FLIGHT = 32
START_LIMIT = 30.0
# As the process began; where there is but one core, both are that one.
_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = {_CORES[0]}, {_CORES[-1]}


class Server:
    """A process that listens on a port of its own, and what it costs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, errors: Path) -> None:
        self.process = process
        self.address = ("127.0.0.1", port)
        self._errors = errors

    def insist(self) -> None:
        """Raise, with the server's own words, when the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise RuntimeError(f"a server ended with exit code {code}: {self._errors.read_text()}")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(command: Sequence[str], port: int, folder: Path) -> Iterator[Server]:
    """Run a server on its core until the block ends."""
    os.sched_setaffinity(0, SERVER_CORE)  # which the child inherits
    try:
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
            )
    finally:
        os.sched_setaffinity(0, LOAD_CORE)
    try:
        yield Server(process, port, folder / "stderr")
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def daemon(material: Material) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        port = free_port()
        configuration = material.configuration(Path(name), port)
        program = str(Path(sys.executable).with_name("policyd"))
        command = [program, "serve", "--config", str(configuration)]
        with started(command, port, Path(name)) as server:
            yield server


@contextmanager
def constant() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        port = free_port()
        command = [sys.executable, "-m", "bench.transport", str(port)]
        with started(command, port, Path(name)) as server:
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


def until_serving(server: Server) -> None:
    """Return when the health service says SERVING."""
    until_listening(server)
    with grpc.insecure_channel("{}:{}".format(*server.address)) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH)
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit:
            answer = HealthCheckResponse.FromString(check(b"", timeout=5))
            if answer.status == HealthCheckResponse.SERVING:
                return
            time.sleep(0.002)
    raise RuntimeError(f"the daemon is not SERVING after {START_LIMIT:.0f} s")


def requests(material: Material) -> list[bytes]:
    """Return one message a token, each about a resource of its own."""
    properties = Struct()
    properties.update({"sealed": False})
    context = Struct()
    context.update({"ip": "192.0.2.7"})
    return [
        messages.CheckRequest(
            access_token=token,
            api=API,
            action="read",
            resource=messages.Resource(type="patient", id=f"p{number}", properties=properties),
            context=context,
        ).SerializeToString()
        for number, token in enumerate(material.tokens)
    ]


def rows_of_check(material: Material, rounds: int, calls: int) -> list[Row]:
    """P1: throughput, CPU and latency of a warm unary Check beside the constant answer."""
    with daemon(material) as ours, constant() as theirs:
        until_serving(ours)
        until_listening(theirs)
        bodies = requests(material)
        _insist_on_allow(ours, bodies[0])
        found: dict[str, list[tuple[float, float, float]]] = {"ours": [], "theirs": []}
        for number in range(rounds + 1):
            for name, server in (("ours", ours), ("theirs", theirs)):
                before = server.cpu_seconds()
                busy = run(server.address, CHECK, bodies, calls=calls, in_flight=IN_FLIGHT)
                cost = (server.cpu_seconds() - before) / calls
                alone = run(server.address, CHECK, bodies, calls=max(COUNT, calls // 5))
                if number:
                    found[name].append((busy.rate, cost * 1e6, alone.mean * 1e6))
    rate, cpu, latency = (_figures(found, i, unit) for i, unit in enumerate(("/s", "us", "us")))
    extra = Figure(tuple(a - b for a, b in zip(cpu[0].rounds, cpu[1].rounds, strict=True)), "us")
    what = f"Check, {IN_FLIGHT} in flight"
    return [
        Row("P1", f"{what}: throughput", "", rate[0]),
        Row("P1", "constant answer, same transport: throughput", "", rate[1]),
        Row("P1", "ratio of the throughputs", ">= 0.80", ratio(*rate)),
        Row("P1", f"{what}: server CPU a call", "", cpu[0]),
        Row("P1", "constant answer: server CPU a call", "", cpu[1]),
        Row("P1", "more CPU a check", "<= 25 us", extra),
        Row("P1", "Check, one at a time: mean latency", "", latency[0]),
        Row("P1", "constant answer, one at a time: mean latency", "", latency[1]),
        Row("P1", "ratio of the latencies", "<= 1.25", ratio(*latency)),
    ]


def _figures(
    found: dict[str, list[tuple[float, float, float]]], index: int, unit: str
) -> tuple[Figure, Figure]:
    ours, theirs = (
        Figure(tuple(values[index] for values in found[name]), unit) for name in ("ours", "theirs")
    )
    return ours, theirs


def _insist_on_allow(server: Server, body: bytes) -> None:
    """Prove that the load asks what it means to: a benchmark of refusals would be a fast one."""
    with grpc.insecure_channel("{}:{}".format(*server.address)) as channel:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
        decision = messages.CheckResponse.FromString(check(body, timeout=10))
    if not decision.allowed:
        raise RuntimeError(f"the daemon denies the benchmark's question: {decision}")


def rows_of_start(material: Material, rounds: int) -> list[Row]:
    """P8: from starting the process to SERVING, as a health probe sees it."""

    def start() -> float:
        begin = time.perf_counter()
        with daemon(material) as server:
            until_serving(server)
            return time.perf_counter() - begin

    found = interleaved({"start": start}, rounds, "s")
    return [Row("P8", "start to SERVING", "<= 1.0 s", found["start"])]


def answer_constantly(port: int) -> None:
    """Serve Check with one and the same answer, all of whose fields are set."""
    answer = messages.CheckResponse(
        allowed=True,
        reason="ALLOWED",
        message="allowed by reads",
        rules=["reads"],
        http_status=200,
        subject=messages.Subject(
            subject="auth0|00000000",
            issuer="https://bench.example.com/",
            client="bench_client_id",
        ),
        decision_id="AAAAAAAAAAAAAAAA-1",
        policy_revision="0" * 64,
    )
    answer.cacheable_until.FromSeconds(int(time.time()) + 5)
    encoded = answer.SerializeToString()

    def handler(body: bytes, _: Call) -> bytes:
        messages.CheckRequest.FromString(body)
        return encoded

    surplus = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "too many streams")
    transport = StandardTransport({CHECK: Unary(handler)}, Limits(), surplus)
    transport.bind(f"127.0.0.1:{port}")
    transport.start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    answer_constantly(int(sys.argv[1]))
