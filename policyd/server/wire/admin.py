"""What the AdminService tells and is told, as values and as messages.

Values have the names of the messages' fields; times are moments in UTC, `None` for never.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from policyd.server.wire.failures import malformed
from policyd.v1 import admin_pb2 as messages

ValueT = TypeVar("ValueT", bound=msgspec.Struct)


class ProvenanceTold(msgspec.Struct, frozen=True):
    """Where policies came from; see `policyd.sources.policies.Provenance`."""

    kind: str = ""
    place: str = ""
    commit: str = ""
    ref: str = ""
    path: str = ""
    signer: str = ""
    name: str = ""
    sequence: int = 0
    created: datetime | None = None
    expires: datetime | None = None

    @property
    def label(self) -> str:
        """What a bundle is called, such as `orders@42`; empty for what is none."""
        return f"{self.name}@{self.sequence}" if self.name else ""


class PolicyStatus(msgspec.Struct, frozen=True):
    """The policies of a daemon; see the message of this name."""

    revision: str = ""
    provenance: ProvenanceTold = ProvenanceTold()
    loaded_at: datetime | None = None
    rules: int = 0
    current: bool = False
    problem: str = ""
    step: str = ""
    heard_at: datetime | None = None
    source_problem: str = ""


class IssuerStatus(msgspec.Struct, frozen=True):
    """An issuer and its keys."""

    issuer: str = ""
    keys: int = 0
    fetched_at: datetime | None = None
    problem: str = ""


class RevocationStatus(msgspec.Struct, frozen=True):
    """A list of revocations."""

    source: str = ""
    entries: int = 0
    stale: bool = False
    problem: str = ""


class SinkStatus(msgspec.Struct, frozen=True):
    """A place where records are delivered from the spool; what waits, and what became of others."""

    name: str = ""
    waiting: int = 0
    delivered: int = 0
    parked: int = 0
    missing: int = 0
    problem: str = ""


class Status(msgspec.Struct, frozen=True):
    """The state of a daemon."""

    version: str = ""
    serving: bool = False
    not_serving_because: str = ""
    troubles: tuple[str, ...] = ()
    policies: PolicyStatus = PolicyStatus()
    issuers: tuple[IssuerStatus, ...] = ()
    revocations: tuple[RevocationStatus, ...] = ()
    cached_tokens: int = 0
    log_writable: bool = False
    log_waiting: int = 0
    log_dropped: int = 0
    sinks: tuple[SinkStatus, ...] = ()


class ActivationRecord(msgspec.Struct, frozen=True):
    """What became of a policy set."""

    time: datetime
    outcome: str
    provenance: ProvenanceTold = ProvenanceTold()
    revision: str = ""
    step: str = ""
    problem: str = ""
    rules: int = 0
    rules_added: int = 0
    rules_removed: int = 0
    rules_changed: int = 0
    asked_by: str = ""


class Policies(msgspec.Struct, frozen=True):
    """The answer to a reload or an activation."""

    policies: PolicyStatus = PolicyStatus()


class Activations(msgspec.Struct, frozen=True):
    """What became of policy sets, newest first."""

    activations: tuple[ActivationRecord, ...] = ()


class ShadowDifference(msgspec.Struct, frozen=True):
    """Checks that the shadow policies decide in another way."""

    api: str = ""
    action: str = ""
    resource_type: str = ""
    before: str = ""
    reason: str = ""
    rules_before: tuple[str, ...] = ()
    after: str = ""
    rules_after: tuple[str, ...] = ()
    count: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    decision_id: str = ""


class ShadowDoubt(msgspec.Struct, frozen=True):
    """Checks of which nobody can tell; `causes` has one for each of `facts`."""

    api: str = ""
    action: str = ""
    resource_type: str = ""
    facts: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    count: int = 0
    decision_id: str = ""


class ShadowDifferences(msgspec.Struct, frozen=True):
    """What the shadow policies would have decided in another way."""

    policies: PolicyStatus = PolicyStatus()
    serving_revision: str = ""
    sample: float = 0.0
    since: datetime | None = None
    checked: int = 0
    different: int = 0
    uncertain: int = 0
    beyond: int = 0
    dropped: int = 0
    differences: tuple[ShadowDifference, ...] = ()
    doubts: tuple[ShadowDoubt, ...] = ()


class ShadowLimit(msgspec.Struct, frozen=True):
    """Which differences to list."""

    limit: int = 0


class Limit(msgspec.Struct, frozen=True):
    """Which activations to list."""

    limit: int = 0


class Name(msgspec.Struct, frozen=True):
    """Which set is to serve."""

    name: str = ""


class Nothing(msgspec.Struct, frozen=True):
    """A request that says nothing."""


#: What each method takes and gives, as messages and as values.
_SHAPES: dict[type[msgspec.Struct], type[Message]] = {
    Status: messages.GetStatusResponse,
    Limit: messages.ListActivationsRequest,
    Activations: messages.ListActivationsResponse,
    Name: messages.ActivateRequest,
    Policies: messages.ActivateResponse,
    ShadowLimit: messages.ListShadowDifferencesRequest,
    ShadowDifferences: messages.ListShadowDifferencesResponse,
    Nothing: messages.GetStatusRequest,
}


def write(value: msgspec.Struct) -> bytes:
    """Return the bytes of a value's message."""
    message = _SHAPES[type(value)]()
    json_format.Parse(msgspec.json.encode(_without_none(msgspec.to_builtins(value))), message)
    written: bytes = message.SerializeToString()
    return written


def read(shape: type[ValueT], data: bytes) -> ValueT:
    """Return the value of a message's bytes. Raises `CallFailed`."""
    message = _SHAPES[shape]()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise malformed(message.DESCRIPTOR.name) from None
    values = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return msgspec.convert(values, shape, strict=False)


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_none(one) for name, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(one) for one in value]
    return value
