"""The client's own distribution, beside the releases of grpcio and protobuf that services have."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.server.services.health import Health
from policyd.server.transport.interface import Unary
from policyd.server.transport.standard import StandardTransport
from policyd.server.wire.failures import failure
from policyd.v1 import authorization_pb2 as messages
from tests.packaging.environments import ROOT, build_wheel, create, install, succeed

#: The oldest releases that have a wheel for the newer of these Pythons.
OLDEST = (
    ("grpcio==1.60.0", "protobuf==4.25.0")
    if sys.version_info < (3, 13)
    else ("grpcio==1.68.0", "protobuf==4.25.5")
)
RELEASES = [OLDEST, ("grpcio", "protobuf<6"), ("grpcio", "protobuf<7"), ("grpcio", "protobuf")]
ASK = """
import asyncio, sys
from policyd_client import AsyncClient, AuthorizationFailed, Client, Question, Resource

async def ask(question):
    async with AsyncClient(sys.argv[1]) as client:
        return await client.ask(question)

with Client(sys.argv[1]) as client:
    client.wait_until_serving(timeout=10)
    answer = client.check("token", action="read", resource=Resource("patient", "p1", {"n": [1]}))
    print(answer.allowed, answer.reason, answer.subject.kind, answer.cacheable_until)
    try:
        client.batch_check("token", [("read", Resource("patient"))])
    except AuthorizationFailed as failed:
        print(failed.code, failed.reason)
answer = asyncio.run(ask(Question("token", "read", Resource("patient", "p1", {"n": [1]}))))
print(answer.allowed)
"""
ANSWER = "True ALLOWED user 2027-01-15 08:00:00+00:00\nINVALID_ARGUMENT UNKNOWN_API\nTrue\n"


def check(data: bytes, _call: Call) -> bytes:
    request = messages.CheckRequest.FromString(data)
    assert list(request.resource.properties.fields) == ["n"]
    response = messages.CheckResponse(
        allowed=True,
        reason="ALLOWED",
        subject=messages.Subject(subject="s", kind=messages.SUBJECT_KIND_USER),
    )
    response.cacheable_until.seconds = 1_800_000_000
    return response.SerializeToString()


def batch_check(_data: bytes, _call: Call) -> bytes:
    raise failure(StatusCode.INVALID_ARGUMENT, "UNKNOWN_API", "no such API")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT / "clients" / "python", tmp_path_factory.mktemp("client-wheel"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create(tmp_path_factory.mktemp("client-environment"))


@pytest.fixture
def target() -> Iterator[str]:
    health = Health({"policyd.v1.AuthorizationService"})
    health.become(serving=True)
    methods = {
        "/policyd.v1.AuthorizationService/Check": Unary(check),
        "/policyd.v1.AuthorizationService/BatchCheck": Unary(batch_check),
        **health.methods(),
    }
    surplus = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "")
    transport = StandardTransport(methods, Limits(), surplus)
    bound = transport.bind("127.0.0.1:0")
    transport.start()
    yield bound
    transport.stop(grace=0)


def test_holds_its_modules_and_descriptors(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    tree = ROOT / "clients" / "python"
    files = {
        str(path.relative_to(tree))
        for path in (tree / "policyd_client").rglob("*.*")
        if path.parent.name != "__pycache__"
    }
    assert names == files


@pytest.mark.slow
@pytest.mark.parametrize("releases", RELEASES, ids=" ".join)
def test_asks_a_daemon(
    releases: tuple[str, str], wheel: Path, environment: Path, target: str
) -> None:
    install(environment, "--upgrade", wheel, *releases)
    assert succeed([environment / "python", "-W", "error", "-c", ASK, target], environment) == (
        ANSWER
    )
