"""Sockets to listen on, and who may take one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policyd.config.addresses import TcpAddress, UnixAddress
from policyd.server.listeners import bind, occupied
from policyd.server.transport.interface import BindFailed, CurrentIdentity, Transport
from policyd.server.transport.standard import StandardTransport


class Binding(StandardTransport):
    """A transport that binds nothing, or fails as gRPC does; for Unix sockets it makes a file."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem

    def bind(self, address: str, identity: CurrentIdentity | None = None) -> str:
        if self.problem is not None:
            raise BindFailed(self.problem)
        if address.startswith("unix:"):
            Path(address.removeprefix("unix:")).touch()
        return f"bound {address}"


def test_a_socket_in_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "no" / "s")
    missing = f"there is no directory {tmp_path / 'no'}$"
    with pytest.raises(BindFailed, match=missing), occupied(address):
        pass


def test_only_one_can_hold_a_socket(tmp_path: Path) -> None:
    address = UnixAddress(tmp_path / "s")
    with occupied(address), pytest.raises(BindFailed, match="another policyd"), occupied(address):
        pass
    with occupied(address):
        pass


@contextmanager
def left_behind(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as left:
        left.bind(str(path))
        yield left


def test_a_tcp_address_is_held_by_its_port_alone() -> None:
    with occupied(TcpAddress("127.0.0.1", 1)), occupied(TcpAddress("127.0.0.1", 1)):
        pass


def test_a_socket_that_a_process_left_behind_is_removed_and_the_own_one_after(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    with left_behind(path):
        pass
    with occupied(UnixAddress(path)):
        assert not path.exists()
        with left_behind(path):
            pass
    assert not path.exists()


def test_a_socket_that_another_process_serves_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with left_behind(path) as served:
        served.listen()
        why = r"is served by another process$"
        with pytest.raises(BindFailed, match=why), occupied(UnixAddress(path)):
            pass
        assert path.exists()


def test_what_is_no_socket_of_ours_is_not_removed(tmp_path: Path) -> None:
    file, datagrams = tmp_path / "file", tmp_path / "datagrams"
    file.touch()
    with left_behind(datagrams, socket.SOCK_DGRAM):
        for path, why in ((file, "exists and is no socket"), (datagrams, "Protocol wrong type")):
            with pytest.raises(BindFailed, match=why), occupied(UnixAddress(path)):
                pass
            assert path.exists()


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "s.lock").mkdir()
    why = r"no s\.lock beside it: Is a directory$"
    with pytest.raises(BindFailed, match=why), occupied(UnixAddress(tmp_path / "s")):
        pass


def test_a_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    before = os.umask(0o22)
    try:
        path = tmp_path / "s"
        assert bind(Binding(), UnixAddress(path)) == f"bound unix:{path}"
        assert path.stat().st_mode & 0o777 == 0o660 & 0o666
        (tmp_path / "other").touch()
        assert (tmp_path / "other").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


def test_why_a_port_cannot_be_had_is_told_in_the_words_of_the_system() -> None:
    transport: Transport = Binding("gRPC says no more than no")
    assert bind(Binding(), TcpAddress("127.0.0.1", 1)) == "bound 127.0.0.1:1"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = TcpAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(BindFailed, match=r"^Address already in use$") as caught:
            bind(transport, address)
    assert caught.value.__cause__ is None
    with pytest.raises(BindFailed, match=r"^gRPC says no more than no$"):
        bind(transport, TcpAddress("127.0.0.1", 0))
