"""Sockets to listen on, and who may take one."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.server.addresses import UnixAddress
from policyd.server.listeners import occupied
from policyd.server.transport.interface import BindFailed


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
