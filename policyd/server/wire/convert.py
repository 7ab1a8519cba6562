"""Requests to the model's questions; `convert_response` is the way back.

Input: the bytes of a request. Output: questions, or `CallFailed` with INVALID_ARGUMENT for bytes
that are no message. Parsing is here, not in gRPC's deserialiser, because gRPC answers INTERNAL when
that fails.

Invariants: every whole message that a caller can send becomes a question, INVALID_ARGUMENT, or
where it is past a limit RESOURCE_EXHAUSTED. What a message can hold is bounded (`limits`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from google.protobuf.message import DecodeError

from policyd.config.request_limits import DEFAULTS, RequestLimits
from policyd.decision.model import BatchItem, BatchRequest, Request
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.questions import proof_of
from policyd.server.wire import view
from policyd.server.wire.failures import malformed
from policyd.server.wire.limits import (
    SURELY_SHORT,
    check_filter,
    check_item,
    check_items,
    check_length,
    check_names,
    check_proof,
    check_question,
    too_many_items,
)
from policyd.server.wire.structs import Structs, recalled
from policyd.tokens.model import NO_PROOF, SenderProof

#: Where the question stands in the messages that hold one.
IN_REQUEST: Final = "request."


class Batch(msgspec.Struct, frozen=True):
    """A batch as its message has it: `ids` of all items, and the questions of those that are sound.

    What is wrong with an item that is malformed by itself is in `malformed`, by its place.
    """

    request: BatchRequest
    ids: Sequence[str]
    malformed: Mapping[int, CallFailed]


class StreamedRequest(msgspec.Struct, frozen=True):
    """A question of a stream, and its name there. It may be malformed by itself."""

    id: str
    request: Request | CallFailed


def check_request(data: bytes, limits: RequestLimits = DEFAULTS) -> Request:
    """Read a CheckRequest."""
    try:
        return _request(view.CHECK_REQUEST.FromString(data), len(data), limits)
    except DecodeError:
        raise malformed("policyd.v1.CheckRequest") from None


def partial_check_request(
    data: bytes, limits: RequestLimits = DEFAULTS
) -> tuple[Request, tuple[str, ...]]:
    """Read a PartialCheckRequest: the question, and the names of what is unknown."""
    try:
        message = view.PARTIAL_CHECK_REQUEST.FromString(data)
        return _request(message, len(data), limits), _names(message.assumed_unknown)
    except DecodeError:
        raise malformed("policyd.v1.PartialCheckRequest") from None


def filter_request(data: bytes, limits: RequestLimits = DEFAULTS) -> Request:
    """Read a FilterRequest, as a question about a resource that is not known."""
    try:
        message = view.FILTER_REQUEST.FromString(data)
    except DecodeError:
        raise malformed("policyd.v1.FilterRequest") from None
    check_filter(message)
    entries = message.context
    context = recalled(entries)
    if context is None:
        context = Structs(limits.values).read(entries, "context")
    request_id = message.request_id
    return Request(
        message.access_token,
        message.api,
        message.action,
        message.resource_type,
        context=context,
        proof=_proof(message.proof, request_id) if message.HasField("proof") else NO_PROOF,
        request_id=request_id,
    )


def _names(given: Sequence[str]) -> tuple[str, ...]:
    check_names(given)
    return tuple(given)


def explain_request(data: bytes, limits: RequestLimits = DEFAULTS) -> Request:
    """Read an ExplainRequest."""
    try:
        message = view.EXPLAIN_REQUEST.FromString(data)
        return _request(message.request, len(data), limits, IN_REQUEST)
    except DecodeError:
        raise malformed("policyd.v1.ExplainRequest") from None


def _request(message: view.CheckRequest, size: int, limits: RequestLimits, at: str = "") -> Request:
    """Read a CheckRequest that stands at `at` in a message of `size` bytes."""
    token, request_id = message.access_token, message.request_id
    if size - len(token) > SURELY_SHORT:
        check_question(message, at)
    resource = message.resource
    properties, entries = resource.properties, message.context
    attributes, context = recalled(properties), recalled(entries)
    if attributes is None or context is None:
        structs = Structs(limits.values, at)
        attributes = structs.read(properties, "resource.properties")
        context = structs.read(entries, "context")
    return Request(
        token,
        message.api,
        message.action,
        resource.type,
        resource.id,
        attributes,
        context,
        _proof(message.proof, request_id, at) if message.HasField("proof") else NO_PROOF,
        request_id,
    )


def _proof(message: view.SenderProof, request_id: str, at: str = "") -> SenderProof:
    """Read what came along with a token. A request without a name is told from all others."""
    check_proof(message, at)
    return SenderProof(
        tuple(message.dpop_proofs),
        message.http_method,
        message.http_uri,
        message.client_certificate_sha256,
        proof_of(request_id),
    )


def batch_check_request(data: bytes, limits: RequestLimits = DEFAULTS) -> Batch:
    """Read a BatchCheckRequest."""
    check_items(data, limits.batch_items)
    try:
        return _batch(view.BATCH_CHECK_REQUEST.FromString(data), limits)
    except DecodeError:
        raise malformed("policyd.v1.BatchCheckRequest") from None


def batch_partial_check_request(
    data: bytes, limits: RequestLimits = DEFAULTS
) -> tuple[Batch, tuple[str, ...]]:
    """Read a BatchPartialCheckRequest: the questions, and the names of what is unknown."""
    check_items(data, limits.batch_items)
    try:
        message = view.BATCH_PARTIAL_CHECK_REQUEST.FromString(data)
        return _batch(message, limits), _names(message.assumed_unknown)
    except DecodeError:
        raise malformed("policyd.v1.BatchPartialCheckRequest") from None


def _batch(message: view.BatchCheckRequest, limits: RequestLimits) -> Batch:
    """Read the questions of a batch."""
    request_id, api = message.request_id, message.api
    if len(message.items) > limits.batch_items:
        raise too_many_items(limits.batch_items)
    check_length("request_id", request_id)
    check_length("api", api)
    structs = Structs(limits.values)
    context = structs.read(message.context, "context")
    ids: list[str] = []
    items: list[BatchItem] = []
    malformed_items: dict[int, CallFailed] = {}
    for place, item in enumerate(message.items):
        name, resource = item.id, item.resource
        action, resource_type, resource_id = item.action, resource.type, resource.id
        ids.append(name)
        attributes = recalled(resource.properties)
        texts = len(name) + len(action) + len(resource_type) + len(resource_id)
        if attributes is not None and texts <= SURELY_SHORT:
            items.append(BatchItem(action, resource_type, resource_id, attributes))
            continue
        check_length("id", name, f"items.{place}.")
        read = _item(item, structs)
        if isinstance(read, CallFailed):
            malformed_items[place] = read
        else:
            items.append(read)
    request = BatchRequest(
        message.access_token,
        api,
        items,
        context,
        _proof(message.proof, request_id) if message.HasField("proof") else NO_PROOF,
        request_id,
    )
    return Batch(request, ids, malformed_items)


def _item(item: view.BatchCheckItem, structs: Structs) -> BatchItem | CallFailed:
    """Read an item, or say what is wrong with it. Raises what is wrong with the whole batch."""
    resource = item.resource
    action, resource_type, resource_id = item.action, resource.type, resource.id
    try:
        if len(action) + len(resource_type) + len(resource_id) > SURELY_SHORT:
            check_item(item)
        attributes = structs.read(resource.properties, "resource.properties")
    except CallFailed as failed:
        if failed.code is not StatusCode.INVALID_ARGUMENT:  # what is left will not be read either
            raise
        return failed.kept()
    return BatchItem(action, resource_type, resource_id, attributes)


def check_stream_request(data: bytes, limits: RequestLimits = DEFAULTS) -> StreamedRequest:
    """Read a CheckStreamRequest."""
    try:
        message = view.CHECK_STREAM_REQUEST.FromString(data)
        name = message.id
        check_length("id", name)
        try:
            return StreamedRequest(name, _request(message.request, len(data), limits, IN_REQUEST))
        except CallFailed as failed:
            return StreamedRequest(name, failed.kept())
    except DecodeError:
        raise malformed("policyd.v1.CheckStreamRequest") from None
