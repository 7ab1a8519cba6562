"""P1 and P8: the daemon over its sockets, beside a handler on the same transport that only answers.

Servers stand on one core, the load on another; all are loaded in turn, over each transport.
`python -m bench.transport PORT TRANSPORT` is the other server: it decodes each request and returns
the same response.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1.health_pb2 import HealthCheckResponse

from bench.load import run
from bench.material import API, COUNT, Material
from bench.report import Figure, Row, interleaved, ratio
from policyd.server.event import EventTransport
from policyd.server.standard import StandardTransport
from policyd.server.transport import (
    Call,
    CallFailed,
    Limits,
    StatusCode,
    TransportFactory,
    Unary,
)
from policyd.v1 import authorization_pb2 as messages

CHECK = "/policyd.v1.AuthorizationService/Check"
HEALTH = "/grpc.health.v1.Health/Check"
IN_FLIGHT = 32
TRANSPORTS: dict[str, TransportFactory] = {
    "event": EventTransport,
    "standard": StandardTransport,
}
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
def daemon(material: Material, transport: str = "event") -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        port = free_port()
        configuration = material.configuration(Path(name), port)
        program = str(Path(sys.executable).with_name("policyd"))
        setting = f"POLICYD_SERVER__TRANSPORT={transport}"
        command = ["env", setting, program, "serve", "--config", str(configuration)]
        with started(command, port, Path(name)) as server:
            yield server


@contextmanager
def constant(transport: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        port = free_port()
        command = [sys.executable, "-m", "bench.transport", str(port), transport]
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
    """P1 and P1e: a warm unary Check beside the constant answer, on both transports in turn."""
    found: dict[tuple[str, str], list[Measured]] = {}
    with ExitStack() as stack:
        servers: dict[tuple[str, str], Server] = {}
        for transport in TRANSPORTS:
            servers[transport, "ours"] = stack.enter_context(daemon(material, transport))
            servers[transport, "theirs"] = stack.enter_context(constant(transport))
        bodies = requests(material)
        for (_, name), server in servers.items():
            if name == "ours":
                until_serving(server)
                _insist_on_allow(server, bodies[0])
            else:
                until_listening(server)
        for number in range(rounds + 1):
            for key, server in servers.items():
                measured = _measure(server, bodies, calls)
                if number:
                    found.setdefault(key, []).append(measured)
    rows = [row for transport in TRANSPORTS for row in _rows_of_transport(transport, found)]
    rates = [_figure(found[name, "ours"], 0, "/s") for name in ("event", "standard")]
    rows.append(Row("P1e", "Check: event / standard, throughput", ">= 1.6 x", ratio(*rates)))
    return rows


#: Calls a second, CPU microseconds a call, and microseconds of a call alone.
Measured = tuple[float, float, float]


def _measure(server: Server, bodies: list[bytes], calls: int) -> Measured:
    before = server.cpu_seconds()
    busy = run(server.address, CHECK, bodies, calls=calls, in_flight=IN_FLIGHT)
    cost = (server.cpu_seconds() - before) / calls
    alone = run(server.address, CHECK, bodies, calls=max(COUNT, calls // 5))
    return busy.rate, cost * 1e6, alone.mean * 1e6


def _rows_of_transport(
    transport: str, found: dict[tuple[str, str], list[Measured]]
) -> Iterator[Row]:
    ours, theirs = found[transport, "ours"], found[transport, "theirs"]
    for index, unit, what, compared, target in (
        (0, "/s", f"{IN_FLIGHT} in flight: throughput", "ratio of the throughputs", ">= 0.80"),
        (1, "us", "server CPU a call", "more CPU a check", "<= 25 us"),
        (2, "us", "one at a time: mean latency", "ratio of the latencies", "<= 1.25"),
    ):
        pair = _figure(ours, index, unit), _figure(theirs, index, unit)
        yield Row("P1", f"{transport}: Check, {what}", "", pair[0])
        yield Row("P1", f"{transport}: constant answer, {what}", "", pair[1])
        difference = compared.startswith("more")
        figure = _difference(*pair, unit) if difference else ratio(*pair)
        yield Row("P1", f"{transport}: {compared}", target, figure)


def _difference(ours: Figure, theirs: Figure, unit: str) -> Figure:
    return Figure(tuple(a - b for a, b in zip(ours.rounds, theirs.rounds, strict=True)), unit)


def _figure(rounds: list[Measured], index: int, unit: str) -> Figure:
    return Figure(tuple(values[index] for values in rounds), unit)


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


def answer_constantly(port: int, name: str) -> None:
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
    transport = TRANSPORTS[name]({CHECK: Unary(handler)}, Limits(), surplus)
    transport.bind(f"127.0.0.1:{port}")
    transport.start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    answer_constantly(int(sys.argv[1]), sys.argv[2])
