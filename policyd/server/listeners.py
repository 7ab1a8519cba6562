"""Addresses to listen on, and what makes it safe to do so.

In comes the text of a configuration, out go addresses; `occupied` guards a Unix socket while it is
served. Invariants: plain text is not spoken beyond this machine unless the configuration says so; a
socket that another process serves is never taken from it.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import msgspec

from policyd.errors import PolicydError
from policyd.server.transport.interface import BindFailed, CurrentIdentity, Transport

_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535
_LONGEST_PATH = 107  # sun_path holds 108 bytes, one of them the end (unix(7))
_SOCKET_MODE = 0o660


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


@contextmanager
def occupied(address: Address) -> Iterator[None]:
    """Hold what must be held while `address` is served; `bind` it inside.

    For a Unix socket this is a lock on a file beside it. A socket that a process left behind is
    removed before, the own one after.

    Raises:
        BindFailed: another process serves the socket, or the path holds something else.
    """
    if isinstance(address, TcpAddress):
        yield
        return
    path = address.path
    if not path.parent.is_dir():
        raise BindFailed(f"{path}: there is no directory {path.parent}")
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BindFailed(f"{path}: no {path.name}.lock beside it: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BindFailed(f"{path} is served by another policyd") from None
        _remove_stale(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def bind(transport: Transport, address: Address, identity: CurrentIdentity | None = None) -> str:
    """Let `transport` listen on `address`; return the address with its actual port.

    A Unix socket may be used by its owner and group. Call it before there are threads that make
    files: the permission mask belongs to the whole process.

    Raises:
        BindFailed: see `Transport.bind`.
    """
    if isinstance(address, TcpAddress):
        try:
            return transport.bind(str(address), identity)
        except BindFailed as error:
            raise BindFailed(_why_not(address) or str(error)) from None
    with socket_mask():
        return transport.bind(str(address))


@contextmanager
def socket_mask() -> Iterator[None]:
    """Let files that are made meanwhile be used by owner and group alone, in the whole process."""
    before = os.umask(0o777 & ~_SOCKET_MODE)
    try:
        yield
    finally:
        os.umask(before)


def _why_not(address: TcpAddress) -> str | None:
    """Say what the system says: gRPC keeps it to itself."""
    try:
        for family, kind, protocol, _, name in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(name)
    except OSError as error:
        return error.strerror
    return None


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindFailed(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise BindFailed(f"{path}: {error.strerror}") from error
    raise BindFailed(f"{path} is served by another process")
