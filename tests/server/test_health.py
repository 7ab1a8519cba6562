"""Health, reflection and the limits of long calls."""

from __future__ import annotations

import queue
import signal
from collections.abc import Iterator
from typing import Protocol

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from policyd.v1 import authorization_pb2 as messages
from tests.support.daemon import PATIENCE, SERVICE, Caller, Failure, Site, check_request

HEALTH = "/grpc.health.v1.Health"
SERVING = HealthCheckResponse.SERVING
NAMES = ["", "policyd.v1.AuthorizationService"]


class Watching(Protocol):
    """A watch that is open."""

    def __iter__(self) -> Iterator[bytes]: ...

    def __next__(self) -> bytes: ...

    def cancel(self) -> bool: ...


def watch(caller: Caller, service: str = "") -> Watching:
    method: grpc.UnaryStreamMultiCallable[bytes, bytes]
    method = caller.channel.unary_stream(f"{HEALTH}/Watch")
    asked = HealthCheckRequest(service=service)
    return method(asked.SerializeToString(), timeout=PATIENCE)


def status(data: bytes) -> int:
    return int(HealthCheckResponse.FromString(data).status)


@pytest.mark.parametrize("service", NAMES)
def test_says_that_it_serves(caller: Caller, service: str) -> None:
    asked = HealthCheckRequest(service=service)
    assert status(caller.raw(f"{HEALTH}/Check", asked.SerializeToString())) == SERVING


def test_an_unknown_service_is_not_found(caller: Caller) -> None:
    asked = HealthCheckRequest(service="x")
    failed = caller.failure(f"{HEALTH}/Check", asked.SerializeToString())
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_SERVICE")
    watching = watch(caller, "x")
    assert status(next(watching)) == HealthCheckResponse.SERVICE_UNKNOWN
    watching.cancel()


def test_bytes_that_are_no_message_are_the_callers_mistake(caller: Caller) -> None:
    failed = caller.failure(f"{HEALTH}/Check", b"\xff")
    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT


def test_watchers_hear_of_the_end_before_it_comes(site: Site) -> None:
    site.configure("drain = 30")
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        watching = watch(caller)
        assert status(next(watching)) == SERVING
        daemon.signal(signal.SIGTERM)
        assert status(next(watching)) == HealthCheckResponse.NOT_SERVING
        assert caller.check(check_request()).allowed  # it drains, it does not refuse
        daemon.signal(signal.SIGTERM)  # a second one ends the wait
        watching.cancel()
        assert daemon.wait() == 0


def reflect(
    caller: Caller, version: str, *asked: ServerReflectionRequest
) -> list[ServerReflectionResponse]:
    method: grpc.StreamStreamMultiCallable[bytes, bytes]
    method = caller.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    )
    answers = method(iter([one.SerializeToString() for one in asked]), timeout=PATIENCE)
    return [ServerReflectionResponse.FromString(answer) for answer in answers]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_leads_from_services_to_messages(caller: Caller, version: str) -> None:
    services, files, none = reflect(
        caller,
        version,
        ServerReflectionRequest(list_services="*"),
        ServerReflectionRequest(file_containing_symbol="policyd.v1.AuthorizationService"),
        ServerReflectionRequest(file_containing_symbol="policyd.v1.Nothing"),
    )
    names = [service.name for service in services.list_services_response.service]
    assert names == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "policyd.v1.AuthorizationService",
    ]
    found = {
        FileDescriptorProto.FromString(data).name
        for data in files.file_descriptor_response.file_descriptor_proto
    }
    assert {
        "policyd/v1/authorization.proto",
        "google/protobuf/struct.proto",
        "google/rpc/status.proto",
        "google/protobuf/any.proto",
    } <= found
    assert none.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_reflection_answers_every_kind_of_question(caller: Caller) -> None:
    by_name, numbers, no_numbers, extension, nothing = reflect(
        caller,
        "v1",
        ServerReflectionRequest(file_by_filename="policyd/v1/authorization.proto"),
        ServerReflectionRequest(all_extension_numbers_of_type="policyd.v1.CheckRequest"),
        ServerReflectionRequest(all_extension_numbers_of_type="policyd.v1.Nothing"),
        ServerReflectionRequest(
            file_containing_extension={"containing_type": "x", "extension_number": 1}
        ),
        ServerReflectionRequest(),
    )
    assert by_name.file_descriptor_response.file_descriptor_proto
    assert numbers.all_extension_numbers_response.base_type_name == "policyd.v1.CheckRequest"
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    assert no_numbers.error_response.error_code == not_found
    assert extension.error_response.error_code == not_found
    assert nothing.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


class OpenStream:
    """A stream of questions that stays open until it is closed."""

    def __init__(self, caller: Caller) -> None:
        method: grpc.StreamStreamMultiCallable[bytes, bytes]
        method = caller.channel.stream_stream(f"{SERVICE}/CheckStream")
        self._questions: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.answers = method(self._waiting(), timeout=PATIENCE)

    def _waiting(self) -> Iterator[bytes]:
        while (question := self._questions.get()) is not None:
            yield question

    def ask(self) -> messages.CheckStreamResponse:
        request = messages.CheckStreamRequest(request=check_request())
        self._questions.put(request.SerializeToString())
        return messages.CheckStreamResponse.FromString(next(self.answers))

    def close(self) -> None:
        self._questions.put(None)
        for _ in self.answers:
            pass


def test_a_surplus_stream_is_refused_and_starves_nobody(caller: Caller) -> None:
    streams = [OpenStream(caller) for _ in range(4)]  # as many as the configuration allows
    assert all(stream.ask().response.allowed for stream in streams)
    for _ in range(10):
        surplus = OpenStream(caller)
        with pytest.raises(grpc.RpcError) as caught:
            surplus.ask()
        failed = Failure(caught.value)
        assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (failed.domain, failed.reason) == ("policyd", "TOO_MANY_STREAMS")
    assert caller.check(check_request()).allowed
    for stream in streams:
        stream.close()
    again = OpenStream(caller)
    assert again.ask().response.allowed
    again.close()


def test_watches_that_are_dropped_make_room(caller: Caller) -> None:
    for _ in range(20):
        watching = watch(caller)
        assert status(next(watching)) == SERVING
        watching.cancel()
        list_until_over(watching)


def list_until_over(watching: Watching) -> None:
    with pytest.raises(grpc.RpcError):
        for _ in watching:
            pass
