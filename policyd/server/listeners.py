"""Sockets to listen on: bound for a transport, and guarded while they are served.

Invariant: a Unix socket that another process serves is never taken from it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policyd.config.access import SocketAccess, group_id, user_id
from policyd.config.addresses import Address, TcpAddress
from policyd.config.findings import dotted, variable_of
from policyd.config.listeners import AddressUnusable, Listener
from policyd.server.transport.interface import BindFailed, CurrentIdentity, Transport

_SOCKET_MODE = 0o660
_OWNER_ONLY = 0o600


_USUAL = SocketAccess()


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


def bind(
    transport: Transport,
    address: Address,
    identity: CurrentIdentity | None = None,
    access: SocketAccess = _USUAL,
) -> str:
    """Let `transport` listen on `address`; return the address with its actual port.

    `access` is who may use it where it is a Unix socket. Call it before there are threads that make
    files: the permission mask belongs to the whole process.

    Raises:
        BindFailed: see `Transport.bind`.
    """
    if isinstance(address, TcpAddress):
        try:
            return transport.bind(str(address), identity)
        except BindFailed as error:
            raise BindFailed(_why_not(address) or str(error)) from None
    with socket_of(address.path, access):
        return transport.bind(str(address))


@contextmanager
def socket_of(path: Path, access: SocketAccess = _USUAL) -> Iterator[None]:
    """Let the socket that is made at `path` meanwhile be used as `access` says, and never by more.

    The permission mask that this takes is that of the whole process.
    """
    with _mask(_SOCKET_MODE if access == _USUAL else _OWNER_ONLY):
        yield
    if access != _USUAL:
        _give(path, access)


@contextmanager
def _mask(mode: int) -> Iterator[None]:
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)


def _give(path: Path, access: SocketAccess) -> None:
    """Give a socket, which nobody else may use yet, to those who may. Raises `BindFailed`."""
    try:
        os.chown(path, user_id(access.owner), group_id(access.group))
        path.chmod(access.mode)
    except KeyError as error:
        raise BindFailed(f"{path}: {error.args[0]}") from None
    except OSError as error:
        raise BindFailed(f"{path}: its owner cannot be set: {error.strerror}") from None


@contextmanager
def naming(listener: Listener) -> Iterator[None]:
    """Say of which listener it is that it cannot be listened on. Raises `AddressUnusable`."""
    try:
        yield
    except BindFailed as error:
        where = "" if listener.key == ("server", "listen") else f" (`{dotted(listener.key)}`)"
        variable = variable_of(listener.key, os.environ)
        if variable is not None:
            where = f" (set by `{variable}`)"
        raise AddressUnusable(
            f"cannot listen on `{listener.address}`{where}: {error}", listener.key
        ) from None


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
