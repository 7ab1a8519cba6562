"""JSON values as declared types, read the plain way: with `ipaddress` and `datetime`.

The interpreter's own, apart from what compiled programs read (`values`), so that the two can judge
each other. `None` stands for a value that is not of the type.

    string, int, bool    as they are; a whole float is its int
    decimal              Decimal
    time                 int, whole seconds since the epoch
    ip                   IPv4Address or IPv6Address
    set                  frozenset
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from policyd.json_types import Json
from policyd.language.policy import Scalar
from policyd.language.types import Fact, Origin, Type

Value = Scalar | frozenset[Scalar]


def canonical(value: Scalar) -> Scalar:
    """Write IPv4-mapped IPv6 addresses and blocks as what they map to."""
    if isinstance(value, IPv6Address):
        return value.ipv4_mapped or value
    if isinstance(value, IPv6Network) and value.subnet_of(IPv6Network("::ffff:0:0/96")):
        return ip_network((value.network_address.packed[12:], value.prefixlen - 96))
    return value


def value_of(raw: Json, fact: Fact) -> Value | None:
    """Return a JSON value as a value of a fact, `None` when it is not of the fact's type."""
    if fact.type is Type.LIST:  # its elements have values, and it has none itself
        return None if records(raw, fact) is None else frozenset()
    value = typed(raw, fact.type)
    if value is None or fact.vocabulary is None:
        return value
    known = fact.vocabulary.values
    if not isinstance(value, frozenset):
        return value if value in known else None
    if fact.origin in (Origin.CLAIM, Origin.USERINFO):  # an issuer's roles serve many APIs
        return frozenset(member for member in value if member in known)
    return value if all(member in known for member in value) else None


class Record(NamedTuple):
    """An element of a list: its number there, from 1; the name under which it stands in an object;
    and its members."""

    number: int
    key: str | None
    members: dict[str, Json]

    @property
    def name(self) -> str:
        """What a trace calls it."""
        return str(self.number) if self.key is None else f'"{self.key}"'


def records(raw: Json, fact: Fact) -> list[Record] | None:
    """Return the elements of a list of records, `None` when it is missing, or is none."""
    found: list[tuple[str | None, Json]]
    if isinstance(raw, list):
        found = [(None, item) for item in raw]
    elif isinstance(raw, dict) and any(field.path is None for field in fact.record):
        found = list(raw.items())
    else:
        return None
    elements = [
        Record(number, key, item)
        for number, (key, item) in enumerate(found, 1)
        if isinstance(item, dict)
    ]
    return elements if len(elements) == len(found) <= 64 else None


def addressed(details: list[Record], audiences: tuple[str, ...]) -> list[Record]:
    """Leave out the authorization details whose `locations` name none of an API's audiences (RFC
    9396, section 2.2). The others keep the numbers that they have in the token."""
    return [detail for detail in details if _is_for(detail.members, audiences)]


def _is_for(detail: dict[str, Json], audiences: tuple[str, ...]) -> bool:
    locations = detail.get("locations")
    if locations is None:
        return True
    return isinstance(locations, list) and any(one in locations for one in audiences)


def typed(raw: Json, type_: Type) -> Value | None:
    """Return a JSON value as a value of a type, `None` when it is not of that type."""
    if type_.element is not None:
        if not isinstance(raw, list):
            return None
        elements = [_scalar(item, type_.element) for item in raw]
        known = [element for element in elements if element is not None]
        return frozenset(known) if len(known) == len(elements) else None
    return _scalar(raw, type_)


def _scalar(raw: Json, type_: Type) -> Scalar | None:
    match type_:
        case Type.BOOL:
            return raw if isinstance(raw, bool) else None
        case Type.INT:
            return _int(raw)
        case Type.DECIMAL:
            return _decimal(raw)
        case Type.STRING:
            return raw if isinstance(raw, str) and _is_text(raw) else None
        case Type.IP:
            return _ip(raw)
        case Type.TIME:
            return _time_text(raw) if isinstance(raw, str) else _numeric_date(raw)
    raise TypeError(f"{type_} is no scalar")


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _int(raw: Json) -> int | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    if not abs(raw) <= 9_007_199_254_740_991 or raw != int(raw):
        return None
    return int(raw)


def _decimal(raw: Json) -> Decimal | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    if isinstance(raw, str) and not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", raw, re.ASCII):
        return None
    text = raw if isinstance(raw, str) else repr(raw)
    if len(text) > 400:  # more than any number within the bounds, or any double, takes
        return None
    value = Decimal(text)
    if not value.is_finite() or abs(value) > 9_007_199_254_740_992:
        return None
    places = value.as_tuple().exponent
    assert isinstance(places, int)  # it is finite
    return value if places >= -4 else None


def _ip(raw: Json) -> IPv4Address | IPv6Address | None:
    if not isinstance(raw, str) or "%" in raw:
        return None
    try:
        address = ip_address(raw)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_SHAPE = re.compile(r"....-..-..T..:..:..(\.[0-9]+)?(Z|[+-]..:..)")


def _numeric_date(raw: Json) -> int | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    if isinstance(raw, float) and not math.isfinite(raw):
        return None
    return _in_years(math.floor(raw))


def _time_text(text: str) -> int | None:
    """Read RFC 3339 text. `fromisoformat` reads more than that, so its shape is checked first."""
    shape = _SHAPE.fullmatch(text)
    if shape is None or not text.isascii():
        return None
    whole = text[:19] + text[shape.start(2) :]
    hour, minute_of_offset = whole[11:13], whole[-2:] if len(whole) > 20 else "00"
    if hour >= "24" or minute_of_offset >= "60" or not re.sub("[-+T:Z]", "", whole).isdigit():
        return None
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        return None
    return _in_years((moment - _EPOCH) // _SECOND)


def _in_years(seconds: int) -> int | None:
    """Return a time in the years 1 to 9999, the only ones there are."""
    earliest = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _SECOND
    latest = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // _SECOND
    return seconds if earliest <= seconds <= latest else None
