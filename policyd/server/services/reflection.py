"""Server reflection: tells a tool such as grpcurl what the services and messages are.

Version 1 and version 1alpha of the protocol differ in their name only, so one handler serves both.
No message of policyd has extensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection_pb2 import (
    ErrorResponse,
    ExtensionNumberResponse,
    FileDescriptorResponse,
    ListServiceResponse,
    ServerReflectionRequest,
    ServerReflectionResponse,
    ServiceResponse,
)

from policyd.pdp.calls import Call, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.transport.interface import Exchange, Methods
from policyd.server.wire.failures import failure

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


class Reflection:
    """Answers for `services`, whose files are in `pool`."""

    def __init__(self, services: Iterable[str], pool: DescriptorPool | None = None) -> None:
        self._services = sorted({*services, SERVICES[1]})
        self._pool = Default() if pool is None else pool

    def methods(self) -> Methods:
        """Return the methods of both versions."""
        answer = Exchange(self.answer, apart=True)
        return {f"/{name}/ServerReflectionInfo": answer for name in SERVICES}

    def answer(self, data: bytes, _call: Call) -> bytes:
        """Answer one ServerReflectionRequest; what is not found is an answer too."""
        try:
            request = ServerReflectionRequest.FromString(data)
        except DecodeError:
            text = "not a reflection message"
            raise failure(
                StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text
            ) from None
        response = ServerReflectionResponse(valid_host=request.host, original_request=request)
        self._fill(response, request)
        serialised: bytes = response.SerializeToString()
        return serialised

    def _fill(self, response: ServerReflectionResponse, request: ServerReflectionRequest) -> None:
        pool, kind = self._pool, request.WhichOneof("message_request")
        if kind == "file_by_filename":
            self._files(response, pool.FindFileByName, request.file_by_filename)
        elif kind == "file_containing_symbol":
            self._files(response, pool.FindFileContainingSymbol, request.file_containing_symbol)
        elif kind == "file_containing_extension":
            response.error_response.CopyFrom(_not_found())
        elif kind == "all_extension_numbers_of_type":
            self._extensions(response, request.all_extension_numbers_of_type)
        elif kind == "list_services":
            response.list_services_response.CopyFrom(
                ListServiceResponse(service=[ServiceResponse(name=name) for name in self._services])
            )
        else:
            response.error_response.CopyFrom(
                ErrorResponse(
                    error_code=StatusCode.INVALID_ARGUMENT, error_message="nothing was asked"
                )
            )

    def _files(
        self,
        response: ServerReflectionResponse,
        find: Callable[[str], FileDescriptor],
        name: str,
    ) -> None:
        try:
            response.file_descriptor_response.CopyFrom(_with_imports(find(name)))
        except KeyError:
            response.error_response.CopyFrom(_not_found())

    def _extensions(self, response: ServerReflectionResponse, name: str) -> None:
        try:
            self._pool.FindMessageTypeByName(name)
        except KeyError:
            response.error_response.CopyFrom(_not_found())
        else:
            response.all_extension_numbers_response.CopyFrom(
                ExtensionNumberResponse(base_type_name=name)
            )


def _not_found() -> ErrorResponse:
    return ErrorResponse(error_code=StatusCode.NOT_FOUND, error_message="not found")


def _with_imports(file: FileDescriptor) -> FileDescriptorResponse:
    """Return the file and all that it imports, so that one question is enough."""
    found: dict[str, bytes] = {}
    waiting = [file]
    while waiting:
        current = waiting.pop()
        if current.name not in found:
            found[current.name] = current.serialized_pb
            waiting.extend(current.dependencies)
    return FileDescriptorResponse(file_descriptor_proto=list(found.values()))
