"""JSON values as values of the declared types.

A reader takes a JSON value that is not null and returns the value that a program computes with, or
`ILL_TYPED`; `reader(type)` chooses it. Null and absence are no business of a reader: a program
holds `None` for what is missing.

    string, bool    str, bool
    int, time       int; a time is whole seconds since the epoch
    decimal         int, the ten-thousandths of it
    ip              (4 or 6, the bytes of the address)
    set             frozenset of the above

A vocabulary closes the values of a string: other texts are ill-typed. Among the members of a claim
they are left out, and in any other set they are ill-typed too (docs/semantics.md).

So equality is `==` for every type, and a block of addresses is a range of pairs.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Final

import msgspec

from policyd.json_types import Json
from policyd.language.policy import Scalar
from policyd.language.types import Fact, Type

Address = tuple[int, bytes]
#: What is known of an element of a list: the values of its fields, in the order of their
#: declarations, and then for each whether it is present. `None` is what is unknown.
Element = tuple[object, ...]
Value = (
    str
    | int
    | bool
    | Address
    | frozenset[str]
    | frozenset[int]
    | frozenset[Address]
    | tuple[Element, ...]
)


class IllTyped(Enum):
    """A value that is there, and is not of the declared type."""

    ILL_TYPED = "ill-typed"


ILL_TYPED: Final = IllTyped.ILL_TYPED

Reader = Callable[[Json], Value | IllTyped]

#: Integers that a JSON number holds exactly (RFC 7493, section 2.2).
MAX_INT: Final = 2**53 - 1
#: Elements that a list of records has at most.
MAX_ELEMENTS: Final = 64
#: As far as decimals reach, so that milliseconds since 1970 fit.
MAX_DECIMAL: Final = 2**53
_PLACES = 4
_SCALE = 10**_PLACES
#: Of more digits none is within the bounds.
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,4})?", re.ASCII)
#: The first and the last second of the years 1 to 9999.
MIN_TIME: Final = -62_135_596_800
MAX_TIME: Final = 253_402_300_799

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MAPPED = b"\x00" * 10 + b"\xff\xff"
_MAPPED_BITS = 96
#: Comes after every address.
_BEYOND = (7, b"")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.\d+)?"
    r"(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)


def reader(type_: Type) -> Reader:
    """Return the reader of a type."""
    return _READERS[type_]


def reader_of(fact: Fact) -> Reader:
    """Return the reader of a fact: that of its type, its vocabulary, or its record."""
    if fact.type is Type.LIST:
        return record_reader(fact)
    if fact.vocabulary is None:
        return reader(fact.type)
    values = fact.vocabulary.values
    if fact.type.element is None:
        return lambda raw: raw if type(raw) is str and raw in values else ILL_TYPED

    def read_own(raw: Json) -> frozenset[str] | IllTyped:
        members = read_strings(raw)
        return ILL_TYPED if members is ILL_TYPED else members & values

    def read_closed(raw: Json) -> frozenset[str] | IllTyped:
        members = read_strings(raw)
        return members if members is not ILL_TYPED and members <= values else ILL_TYPED

    return read_own if fact.drops_foreign else read_closed


def read_string(raw: Json) -> str | IllTyped:
    """Read a string; one that holds half of a surrogate pair is no text."""
    if type(raw) is not str:
        return ILL_TYPED
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError:
            return ILL_TYPED
    return raw


def read_bool(raw: Json) -> bool | IllTyped:
    return raw if type(raw) is bool else ILL_TYPED


def read_int(raw: Json) -> int | IllTyped:
    """Read a whole number within ±(2^53-1); 1.0 is 1."""
    if type(raw) is float and raw.is_integer():
        raw = int(raw)
    if type(raw) is int and -MAX_INT <= raw <= MAX_INT:
        return raw
    return ILL_TYPED


def read_decimal(raw: Json) -> int | IllTyped:
    """Read a number by its shortest text that names the same double, or such a text, as whole
    ten-thousandths; at most four digits stand after its point, and it is within ±2^53."""
    if type(raw) is int:
        return raw * _SCALE if -MAX_DECIMAL <= raw <= MAX_DECIMAL else ILL_TYPED
    if type(raw) is float:
        raw = repr(raw)  # with an exponent, it is too large or has too many digits
    if type(raw) is not str or _DECIMAL.fullmatch(raw) is None:
        return ILL_TYPED
    whole, _, fraction = raw.partition(".")
    scaled = int(whole + fraction.ljust(_PLACES, "0"))
    return scaled if -MAX_DECIMAL * _SCALE <= scaled <= MAX_DECIMAL * _SCALE else ILL_TYPED


def read_time(raw: Json) -> int | IllTyped:
    """Read a NumericDate (RFC 7519, section 2) or RFC 3339 text, cut to whole seconds."""
    if type(raw) is str:
        return _read_time_text(raw)
    # The comparison comes before the floor: it is false for NaN and the infinities.
    if (type(raw) is int or type(raw) is float) and MIN_TIME <= raw < MAX_TIME + 1:
        return int(raw // 1)
    return ILL_TYPED


def _read_time_text(text: str) -> int | IllTyped:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return ILL_TYPED
    year, month, day, hour, minute, second, sign, hours, minutes = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        return ILL_TYPED
    seconds = days * 86_400 + int(hour) * 3_600 + int(minute) * 60 + int(second)
    if sign is not None:
        offset = int(hours) * 3_600 + int(minutes) * 60
        seconds += -offset if sign == "+" else offset
    return seconds if MIN_TIME <= seconds <= MAX_TIME else ILL_TYPED


def read_ip(raw: Json) -> Address | IllTyped:
    """Read an address; an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) is its IPv4 address."""
    if type(raw) is not str:
        return ILL_TYPED
    try:
        if ":" not in raw:
            return (4, inet_pton(AF_INET, raw))
        packed = inet_pton(AF_INET6, raw)
    except (OSError, ValueError):
        return ILL_TYPED
    return (4, packed[12:]) if packed.startswith(_MAPPED) else (6, packed)


def read_strings(raw: Json) -> frozenset[str] | IllTyped:
    if type(raw) is not list:
        return ILL_TYPED
    values = [value for item in raw if (value := read_string(item)) is not ILL_TYPED]
    return frozenset(values) if len(values) == len(raw) else ILL_TYPED


def read_ints(raw: Json) -> frozenset[int] | IllTyped:
    if type(raw) is not list:
        return ILL_TYPED
    values = [value for item in raw if (value := read_int(item)) is not ILL_TYPED]
    return frozenset(values) if len(values) == len(raw) else ILL_TYPED


def read_ips(raw: Json) -> frozenset[Address] | IllTyped:
    if type(raw) is not list:
        return ILL_TYPED
    values = [value for item in raw if (value := read_ip(item)) is not ILL_TYPED]
    return frozenset(values) if len(values) == len(raw) else ILL_TYPED


def record_reader(owner: Fact) -> Reader:
    """Return the reader of a list of records."""
    fields = tuple(
        # Members of a set are foreign to a vocabulary as they are where the list stands.
        (field.path, reader_of(msgspec.structs.replace(field.fact, origin=owner.origin)))
        for field in owner.record
    )
    has_key = any(path is None for path, _ in fields)

    def read(raw: Json) -> tuple[Element, ...] | IllTyped:
        members: list[tuple[str | None, Json]]
        if type(raw) is list:
            members = [(None, item) for item in raw[: MAX_ELEMENTS + 1]]
        elif type(raw) is dict and has_key and len(raw) <= MAX_ELEMENTS:
            members = [*raw.items()]
        else:
            return ILL_TYPED
        if len(members) > MAX_ELEMENTS:
            return ILL_TYPED
        elements: list[Element] = []
        for key, item in members:
            if type(item) is not dict:
                return ILL_TYPED
            elements.append(_element(key, item, fields))
        return tuple(elements)

    return read


def _element(
    key: str | None,
    item: dict[str, Json],
    fields: tuple[tuple[tuple[str, ...] | None, Reader], ...],
) -> Element:
    known: list[object] = []
    present: list[object] = []
    for path, read in fields:
        raw: Json | IllTyped = key if path is None else json_at(path, item)
        value = raw if raw is None or raw is ILL_TYPED else read(raw)
        known.append(None if value is ILL_TYPED else value)
        present.append(None if value is ILL_TYPED else value is not None)
    return (*known, *present)


def json_at(path: tuple[str, ...], payload: Mapping[str, Json]) -> Json | IllTyped:
    """Return the JSON value at a path, `None` where it is missing."""
    *outer, last = path
    holder = payload
    for name in outer:
        inner = holder.get(name)
        if inner is None:
            return None
        if type(inner) is not dict:
            return ILL_TYPED
        holder = inner
    return holder.get(last)


def addressed(raw: Json, audiences: frozenset[str]) -> Json:
    """Drop the authorization details that are for other APIs: their `locations` name none of the
    audiences (RFC 9396, section 2.2). What is no list of details stays as it is."""
    if type(raw) is list and len(raw) <= MAX_ELEMENTS:
        return [item for item in raw if _is_for(item, audiences)]
    if type(raw) is dict and len(raw) <= MAX_ELEMENTS:
        return {key: item for key, item in raw.items() if _is_for(item, audiences)}
    return raw


def _is_for(detail: Json, audiences: frozenset[str]) -> bool:
    locations = detail.get("locations") if type(detail) is dict else None
    if locations is None:
        return True
    return type(locations) is list and not audiences.isdisjoint(
        [one for one in locations if type(one) is str]
    )


def keys_among(
    elements: tuple[Element, ...] | None, field: int, held: Mapping[object, object]
) -> Iterable[object]:
    """Return the keys of an index to look under: the values that a field has in some element.

    Where it is unknown in one, or the list is, that is `None` alone, if the index has it: what
    stands there is all that could be unknown.
    """
    values = {None} if elements is None else {element[field] for element in elements}
    if None in values and None in held:
        return (None,)
    return values & held.keys()


_READERS: dict[Type, Reader] = {
    Type.STRING: read_string,
    Type.INT: read_int,
    Type.DECIMAL: read_decimal,
    Type.BOOL: read_bool,
    Type.TIME: read_time,
    Type.IP: read_ip,
    Type.SET_OF_STRING: read_strings,
    Type.SET_OF_INT: read_ints,
    Type.SET_OF_IP: read_ips,
}


# -- literals, and blocks of addresses -----------------------------------------------------------

Blocks = tuple[tuple[Address, Address], ...]


def of_literal(value: Scalar) -> str | int | bool | Address:
    """Return a policy's literal, a block of addresses excepted, as the value it stands for.

    Equal texts are one object: rules that name the same value then read the same memory.
    """
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, Decimal):
        return int(value * _SCALE)
    if isinstance(value, IPv4Address):
        return (4, value.packed)
    if isinstance(value, IPv6Address):
        mapped = value.ipv4_mapped
        return (6, value.packed) if mapped is None else (4, mapped.packed)
    if isinstance(value, IPv4Network | IPv6Network):
        raise TypeError("a block of addresses is no value")
    return value


def block(value: Scalar) -> tuple[Address, Address]:
    """Return the first and the last address of a block; an address is a block of one."""
    if isinstance(value, IPv4Network):
        return (4, value.network_address.packed), (4, value.broadcast_address.packed)
    if isinstance(value, IPv6Network):
        low, high = value.network_address.packed, value.broadcast_address.packed
        if low.startswith(_MAPPED) and value.prefixlen >= _MAPPED_BITS:
            return (4, low[12:]), (4, high[12:])
        return (6, low), (6, high)
    address = of_literal(value)
    if not isinstance(address, tuple):
        raise TypeError("only addresses have blocks")
    return address, address


def merged(blocks: Blocks) -> Blocks:
    """Return the same addresses as blocks that are sorted and do not overlap."""
    result: list[tuple[Address, Address]] = []
    for low, high in sorted(blocks):
        if result and low <= result[-1][1]:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


def in_blocks(address: Address, blocks: Blocks) -> bool:
    """Tell whether an address lies in one of some merged blocks."""
    at = bisect_right(blocks, (address, _BEYOND))
    return at > 0 and address <= blocks[at - 1][1]


def any_in_blocks(addresses: frozenset[Address], blocks: Blocks) -> bool:
    """Tell whether some address lies in one of some merged blocks."""
    return any(in_blocks(address, blocks) for address in addresses)


def all_blocks_hit(addresses: frozenset[Address], blocks: Blocks) -> bool:
    """Tell whether each block (these need not be merged) holds some of the addresses."""
    ordered = sorted(addresses)
    for low, high in blocks:
        at = bisect_left(ordered, low)
        if at == len(ordered) or ordered[at] > high:
            return False
    return True
