"""Messages that are expensive to read or answer, written by hand, not by a protobuf library."""

from __future__ import annotations

from collections.abc import Callable

from policyd.v1 import authorization_pb2 as messages

API = b"health"


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def check(struct: bytes = b"", *, in_context: bool = False, more: bytes = b"") -> bytes:
    """Return a CheckRequest without a token that carries a Struct."""
    resource = field(1, b"patient") + field(2, b"p1")
    if not in_context:
        resource += field(3, struct)
    asked = field(2, API) + field(3, b"read") + field(4, resource)
    return asked + (field(5, struct) if in_context else b"") + more


def _listed(value: bytes, count: int, key: bytes = b"a") -> bytes:
    return field(1, field(1, key) + field(2, field(6, field(1, value) * count)))


#: By name: what fills so many bytes. Each is a whole request.
CheckOf = Callable[[int], bytes]
CHECKS: dict[str, CheckOf] = {
    "a list of nulls": lambda size: check(_listed(b"\x08\x00", size // 4)),
    "nulls in the context": lambda size: check(_listed(b"\x08\x00", size // 4), in_context=True),
    "empty Structs": lambda size: check(_listed(b"\x2a\x00", size // 4)),
    "a long key over many values": lambda size: check(
        _listed(b"\x2a\x00", size // 8, b"k" * (size // 2)), in_context=True
    ),
    "many small properties": lambda size: check(
        b"".join(
            field(1, field(1, b"%x" % number) + b"\x12\x02\x08\x00") for number in range(size // 14)
        )
    ),
    "empty proofs": lambda size: field(2, API) + field(7, field(1, b"") * (size // 2 - 20)),
    "a Struct in pieces": lambda size: field(2, API) + field(5, b"") * (size // 2 - 20),
    "a long request id": lambda size: check(more=field(6, b"r" * (size - 100))),
}


def empty_items(size: int) -> bytes:
    """Return a BatchCheckRequest of as many empty items as go into so many bytes."""
    return field(5, b"") * (size // 2)


def misspelt(token: str, names: list[str], count: int) -> bytes:
    """Return a batch about types of resources that are all a little misspelt."""
    batch = messages.BatchCheckRequest(access_token=token, api="health")
    for number in range(count):
        name = f"{names[number % len(names)][:-1]}q{number % 7}"
        batch.items.add(
            id=str(number), action="read", resource=messages.Resource(type=name, id="1")
        )
    return batch.SerializeToString()


def denied(token: str, type_: str) -> bytes:
    """Return a CheckRequest whose answer names what is missing."""
    asked = messages.CheckRequest(access_token=token, api="health", action="read")
    asked.resource.type, asked.resource.id = type_, "1"
    return asked.SerializeToString()


def batch(token: str, type_: str, count: int) -> bytes:
    """Return a batch of so many questions about one type of resource."""
    asked = messages.BatchCheckRequest(access_token=token, api="health")
    for number in range(count):
        asked.items.add(
            id=str(number), action="read", resource=messages.Resource(type=type_, id="1")
        )
    return asked.SerializeToString()
