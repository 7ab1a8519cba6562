"""Addresses to listen on: the text of a configuration to a host and port, or a socket's path."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path

import msgspec

from policyd.errors import PolicydError

_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535
_LONGEST_PATH = 107  # sun_path holds 108 bytes, one of them the end (unix(7))


class AddressInvalid(PolicydError):
    """A text names no address."""


class TcpAddress(msgspec.Struct, frozen=True):
    """A host, by name or address, and a port; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class UnixAddress(msgspec.Struct, frozen=True):
    """An absolute path of a socket."""

    path: Path

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it: always."""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str, base: Path) -> Address:
    """Read `host:port`, `[v6]:port` or `unix:path`, the path relative to `base`.

    Raises:
        AddressInvalid: it is none of these.
    """
    if text.startswith("unix:"):
        path = (base / text.removeprefix("unix:")).absolute()
        if text == "unix:" or len(os.fsencode(path)) > _LONGEST_PATH:
            raise AddressInvalid(
                f"`{text}`: the path of a socket has 1 to {_LONGEST_PATH} bytes, from the root"
            )
        return UnixAddress(path)
    match = _TCP.fullmatch(text)
    if match is None:
        raise AddressInvalid(f"`{text}` {_why_no_address(text)}")
    if int(match["port"]) > _LAST_PORT:
        raise AddressInvalid(f"`{text}`: a port is a number from 0 to {_LAST_PORT}")
    return TcpAddress(match["v6"] or match["host"], int(match["port"]))


def _why_no_address(text: str) -> str:
    """Say what is amiss with the form of an address, and what was meant where that is certain."""
    host, colon, port = text.rpartition(":")
    if "://" in text:
        return "is a URL: an address is `host:port`, without scheme and path"
    if text.startswith("/"):
        return f"is a path: for a Unix socket write `unix:{text}`"
    if ":" in host and "[" not in text and port.isdecimal() and _is_v6(host):
        return f"is an IPv6 address without brackets: write `[{host}]:{port}`"
    if _is_v6(text.strip("[]")) or not colon:
        return "has no port: write `host:port`, such as `127.0.0.1:8181` or `[::1]:8181`"
    if not host:
        return f"has no host: write `127.0.0.1{text}`, or the address to be reached at"
    if not port.isdecimal() or len(port) > len(str(_LAST_PORT)):
        return f"has no port: after the colon stands a number from 0 to {_LAST_PORT}"
    return "is neither `host:port` nor `unix:path`"


def _is_v6(text: str) -> bool:
    try:
        return ip_address(text).version == 6
    except ValueError:
        return False
