"""Literals of a policy as values of a type.

These readers serve the checker alone: a literal that is no value of its type is an error at load
time. The evaluators read what arrives in requests by themselves.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,4})?", re.ASCII)
#: As far as decimals reach, so that milliseconds since 1970 fit.
MAX_DECIMAL = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_time(text: str) -> int:
    """Read RFC 3339 text with upper-case `T` and `Z` as whole seconds since the epoch.

    A fraction is cut towards the past. Raises `ValueError` with what is wrong.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError('write a time as in `"2026-11-22T10:00:00Z"` (RFC 3339)')
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"there is no such time: {error}") from None
    if match[7] is not None:
        if int(match[8]) > 23 or int(match[9]) > 59:
            raise ValueError("an offset reaches from -23:59 to +23:59")
        offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
        try:
            moment = moment - offset if match[7] == "+" else moment + offset
        except OverflowError:
            raise ValueError("years reach from 0001 to 9999") from None
    return int((moment - _EPOCH).total_seconds())


def read_decimal(text: str) -> Decimal:
    """Read a decimal as JSON may carry it in a text. Raises `ValueError` with what is wrong."""
    if _DECIMAL.fullmatch(text) is None or abs(Decimal(text)) > MAX_DECIMAL:
        raise ValueError("write a number with at most four digits after its point")
    return Decimal(text)


def json_number(value: Decimal) -> float | str:
    """Return a decimal as JSON carries it: a number, or a text where no double stands for it."""
    return float(value) if Decimal(repr(float(value))) == value else str(value)


def read_address(text: str) -> IPv4Address | IPv6Address:
    """Read an IP address; an IPv4-mapped IPv6 address is its IPv4 address.

    Raises `ValueError` with what is wrong.
    """
    if "%" in text:
        raise ValueError("an address has no zone id")
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError('write an address as in `"192.0.2.1"` or `"2001:db8::1"`') from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def read_block(text: str) -> IPv4Network | IPv6Network:
    """Read a block of addresses, `address/length` without host bits.

    A block of IPv4-mapped addresses is its IPv4 block. Raises `ValueError` with what is wrong.
    """
    address_text, _, length_text = text.partition("/")
    if not re.fullmatch(r"0|[1-9][0-9]{0,2}", length_text):
        raise ValueError('write a block as in `"10.0.0.0/8"`: an address, a slash, a length')
    if "%" in address_text:
        raise ValueError("an address has no zone id")
    try:
        block = ip_network(text, strict=False)
    except ValueError:
        raise ValueError('write a block as in `"10.0.0.0/8"` or `"2001:db8::/32"`') from None
    if block.network_address != ip_address(address_text):
        raise ValueError(f"the address has bits beyond the length; the block is `{block}`")
    if isinstance(block, IPv6Network):
        mapped = block.network_address.ipv4_mapped
        if mapped is not None and block.prefixlen >= 96:
            return ip_network((mapped, block.prefixlen - 96))
    return block
