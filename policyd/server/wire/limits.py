"""How much one request may hold: what keeps a caller from holding up all others with a message.

Everything that a request can repeat or nest is bounded, and each text that outlives the call, in
the decision log or in the memory of proofs. What is refused is refused before it is made into
objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.pdp.questions import LONGEST, MOST_NAMES, MOST_PROOFS
from policyd.server.wire import view
from policyd.server.wire.failures import field_failure

#: In so many bytes, or in the texts of an item together, no text is longer than its limit.
SURELY_SHORT: Final = 256
#: More fields than a message has besides its repeated ones.
_OTHER_FIELDS: Final = 64

#: What stands in the fields of a message: by their numbers, those that are messages themselves.
Shape = Mapping[int, "Shape"]

# google/protobuf/struct.proto. A field of type map is a message of key (1) and value (2).
_STRUCT: Final[dict[int, Shape]] = {}
_VALUE: Final[dict[int, Shape]] = {5: _STRUCT}
_VALUE[6] = {1: _VALUE}
_STRUCT[1] = {2: _VALUE}
#: How many fields a value takes on the wire, its name among them.
_FIELDS_A_VALUE: Final = 4
_NOTHING_NESTED: Final[Shape] = {}

_DELIMITED, _VARINT, _EIGHT_BYTES, _FOUR_BYTES = 2, 0, 1, 5
_LONGEST_VARINT: Final = 63


def check_question(message: view.CheckRequest, at: str) -> None:
    """Refuse a question with a text that is too long; `at` is where it stands in its message."""
    resource = message.resource
    for field, text in (
        ("api", message.api),
        ("action", message.action),
        ("resource.type", resource.type),
        ("resource.id", resource.id),
        ("request_id", message.request_id),
    ):
        check_length(field, text, at)


def check_filter(message: view.FilterRequest) -> None:
    """Refuse a question about all resources of a type with a text that is too long."""
    for field, text in (
        ("api", message.api),
        ("action", message.action),
        ("resource_type", message.resource_type),
        ("request_id", message.request_id),
    ):
        check_length(field, text)


def check_item(item: view.BatchCheckItem) -> None:
    """Refuse an item of a batch with a text that is too long, its own name aside."""
    resource = item.resource
    for field, text in (
        ("action", item.action),
        ("resource.type", resource.type),
        ("resource.id", resource.id),
    ):
        check_length(field, text)


def check_proof(message: view.SenderProof, at: str) -> None:
    """Refuse what came along with a token where there is too much of it."""
    number = len(message.dpop_proofs)
    if number > MOST_PROOFS:
        what = f"holds {number} proofs, at most {MOST_PROOFS} are looked at"
        raise field_failure(f"{at}proof.dpop_proofs", what, ErrorReason.FIELD_TOO_LONG)
    check_length("proof.http_method", message.http_method, at)
    check_length("proof.http_uri", message.http_uri, at)
    check_length("proof.client_certificate_sha256", message.client_certificate_sha256, at)


def check_names(names: Sequence[str]) -> None:
    """Refuse names of unknown facts where there are too many, or one is too long."""
    if len(names) > MOST_NAMES:
        what = f"holds {len(names)} names, at most {MOST_NAMES} are looked at"
        raise field_failure("assumed_unknown", what, ErrorReason.FIELD_TOO_LONG)
    for name in names:
        check_length("assumed_unknown", name)


def check_length(field: str, text: str, at: str = "") -> None:
    """Refuse a text that is longer than its field may be."""
    if len(text) > LONGEST[field]:
        what = f"has {len(text)} characters, the limit is {LONGEST[field]}"
        raise field_failure(f"{at}{field}", what, ErrorReason.FIELD_TOO_LONG)


def check_items(data: bytes, most: int) -> None:
    """Refuse a BatchCheckRequest that surely has more than `most` items, before it is read."""
    field = view.BATCH_ITEMS << 3 | _DELIMITED
    # What begins an item is this byte, or where it is spelled longer than need be, the other one.
    begun = data.count(field) + data.count(field | 0x80)
    if begun > most and has_more_fields(data, most + _OTHER_FIELDS, _NOTHING_NESTED):
        raise too_many_items(most)


def too_many_items(most: int) -> CallFailed:
    """Return the error for a batch with more than `most` items."""
    return field_failure(
        "items",
        f"a batch holds at most {most} items, this one more",
        ErrorReason.BATCH_TOO_LARGE,
        StatusCode.RESOURCE_EXHAUSTED,
    )


def has_more_values(data: bytes, most: int) -> bool:
    """Tell whether a Struct has more fields than `most` values can take, without reading it."""
    return has_more_fields(data, most * _FIELDS_A_VALUE, _STRUCT)


def has_more_fields(data: bytes, most: int, shape: Shape) -> bool:
    """Tell whether a message has more than `most` fields, those of nested messages included.

    It goes through the wire format of protobuf, a step a field, and makes no object for any. What
    is malformed is for protobuf to refuse: up to there it has no more fields than were counted.
    """
    at, end = 0, len(data)
    outer: list[tuple[int, Shape]] = []
    try:
        for _ in range(most + 1):
            while at >= end:
                if not outer:
                    return False
                end, shape = outer.pop()
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == _DELIMITED:
                size, at = _varint(data, at)
                inner = shape.get(tag >> 3)
                if inner is None:
                    at += size
                else:
                    outer.append((end, shape))
                    end, shape = at + size, inner
            elif kind == _VARINT:
                _, at = _varint(data, at)
            elif kind == _EIGHT_BYTES:
                at += 8
            elif kind == _FOUR_BYTES:
                at += 4
            # What is left are the marks around a group, which are fields by themselves here.
    except IndexError:  # the message is cut off
        return False
    return True


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it, and where what follows begins.

    Raises IndexError where it does not end within 64 bits.
    """
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    while byte >= 0x80:
        if shift > _LONGEST_VARINT:
            raise IndexError
        at += 1
        byte = data[at]
        number |= (byte & 0x7F) << shift
        shift += 7
    return number, at + 1
