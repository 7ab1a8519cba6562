"""`Client`: questions to a daemon over gRPC, answers as plain values.

Invariants: an `Answer` exists only where the daemon gave one; everything else, a daemon that cannot
be reached included, raises `AuthorizationFailed`. There is no default that allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from types import TracebackType
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from . import messages
from .values import Answer, AuthorizationFailed, Json, Proof, Resource, Subject

_SERVICE = "/policyd.v1.AuthorizationService"
_DETAILS = "grpc-status-details-bin"
_KINDS: dict[int, str | None] = {
    messages.SUBJECT_KIND_USER: "user",
    messages.SUBJECT_KIND_APPLICATION: "application",
}


class Client:
    """Asks the daemon at `target`: `host:port` or `unix:path`.

    `timeout` is in seconds, for each question. With `authorities` (PEM) the daemon must present a
    certificate that one of them issued; without, the connection is plain text.
    """

    def __init__(
        self, target: str, *, timeout: float = 5.0, authorities: bytes | None = None
    ) -> None:
        self._timeout = timeout
        if authorities is None:
            self._channel = grpc.insecure_channel(target)
        else:
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(authorities))
        self._check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"{_SERVICE}/Check"
        )
        self._batch_check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"{_SERVICE}/BatchCheck"
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def wait_until_serving(self, timeout: float) -> None:
        """Wait until the daemon says that it serves, `timeout` seconds at most.

        Raises `AuthorizationFailed` when that time is over.
        """
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes]
        watch = self._channel.unary_stream("/grpc.health.v1.Health/Watch")
        states = watch(b"", timeout=timeout, wait_for_ready=True)
        try:
            for state in states:
                if _serves(state):
                    states.cancel()
                    return
        except grpc.RpcError as error:
            raise _failed(error) from None
        raise AuthorizationFailed("UNAVAILABLE", "the daemon stopped before it served")

    def check(
        self,
        access_token: str,
        *,
        action: str,
        resource: Resource,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> Answer:
        """Ask one question. Raises `AuthorizationFailed`."""
        message = messages.CheckRequest(
            access_token=access_token,
            api=api,
            action=action,
            resource=_resource(resource),
            context=_struct(context or {}),
            proof=_proof(proof),
            request_id=request_id,
        )
        data = self._call(self._check, message)
        return _answer(_parsed(messages.CheckResponse, data))

    def batch_check(
        self,
        access_token: str,
        items: Sequence[tuple[str, Resource]],
        *,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> list[Answer | AuthorizationFailed]:
        """Ask several questions, pairs of action and resource, about one token.

        The result is by item: an answer, or why that item has none. Raises `AuthorizationFailed`.
        """
        message = messages.BatchCheckRequest(
            access_token=access_token,
            api=api,
            context=_struct(context or {}),
            items=[
                messages.BatchCheckItem(action=action, resource=_resource(resource))
                for action, resource in items
            ],
            proof=_proof(proof),
            request_id=request_id,
        )
        data = self._call(self._batch_check, message)
        return [_outcome(result) for result in _parsed(messages.BatchCheckResponse, data).results]

    def _call(self, method: grpc.UnaryUnaryMultiCallable[bytes, bytes], message: Message) -> bytes:
        try:
            return method(message.SerializeToString(), timeout=self._timeout)
        except grpc.RpcError as error:
            raise _failed(error) from None


M = TypeVar("M", bound=Message)


def _serves(state: bytes) -> bool:
    health = messages.HealthCheckResponse
    return health.FromString(state).status == health.SERVING


def _parsed(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise AuthorizationFailed("UNKNOWN", "the answer is no message of policyd") from None


def _resource(resource: Resource) -> messages.Resource:
    return messages.Resource(
        type=resource.type, id=resource.id, properties=_struct(resource.properties)
    )


def _proof(proof: Proof | None) -> messages.SenderProof | None:
    if proof is None:
        return None
    return messages.SenderProof(
        dpop_proofs=proof.dpop_proofs,
        http_method=proof.http_method,
        http_uri=proof.http_uri,
        client_certificate_sha256=proof.client_certificate_sha256,
    )


def _struct(values: Mapping[str, Json]) -> messages.Struct:
    struct = messages.Struct()
    struct.update(values)
    return struct


def _failed(error: object) -> AuthorizationFailed:
    """`error` is a grpc.RpcError, which is a grpc.Call too; no type says so."""
    if not isinstance(error, grpc.Call):
        return AuthorizationFailed("UNKNOWN", str(error))
    details = {item[0]: item[1] for item in error.trailing_metadata() or ()}.get(_DETAILS)
    status = messages.Status()
    if isinstance(details, bytes):
        try:
            status.ParseFromString(details)
        except DecodeError:  # not of policyd; the code alone counts
            status.Clear()
    return AuthorizationFailed(error.code().name, error.details() or "", _reason(status))


def _reason(status: messages.Status) -> str:
    info = messages.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            reason: str = info.reason
            return reason
    return ""


def _outcome(result: messages.BatchCheckResult) -> Answer | AuthorizationFailed:
    kind = result.WhichOneof("outcome")
    if kind == "response":
        return _answer(result.response)
    code = next((one.name for one in grpc.StatusCode if one.value[0] == result.error.code), "")
    return AuthorizationFailed(code or "UNKNOWN", result.error.message, _reason(result.error))


def _answer(message: messages.CheckResponse) -> Answer:
    subject, until = message.subject, message.cacheable_until
    return Answer(
        allowed=message.allowed,
        reason=message.reason,
        message=message.message,
        rules=tuple(message.rules),
        rules_truncated=message.rules_truncated,
        missing_scopes=tuple(message.missing_scopes),
        http_status=message.http_status,
        www_authenticate=message.www_authenticate,
        retry_after_seconds=message.retry_after_seconds,
        dpop_nonce=message.dpop_nonce,
        subject=Subject(subject.subject, subject.issuer, subject.client, _KINDS.get(subject.kind))
        if message.HasField("subject")
        else None,
        decision_id=message.decision_id,
        policy_revision=message.policy_revision,
        cacheable_until=datetime.fromtimestamp(until.seconds, timezone.utc)
        if message.HasField("cacheable_until")
        else None,
        search_stopped=message.search_stopped,
    )
