"""Addresses as a configuration writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.addresses import AddressInvalid, TcpAddress, UnixAddress, parse_address

BASE = Path("/etc/policyd")


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8181", TcpAddress("127.0.0.1", 8181), True),
        ("127.9.9.9:0", TcpAddress("127.9.9.9", 0), True),
        ("localhost:1", TcpAddress("localhost", 1), True),
        ("[::1]:1", TcpAddress("::1", 1), True),
        ("[::]:65535", TcpAddress("::", 65535), False),
        ("0.0.0.0:1", TcpAddress("0.0.0.0", 1), False),
        ("localhost.example.com:1", TcpAddress("localhost.example.com", 1), False),
        ("unix:run.sock", UnixAddress(Path("/etc/policyd/run.sock")), True),
        ("unix:/run/policyd.sock", UnixAddress(Path("/run/policyd.sock")), True),
    ],
)
def test_reads_addresses(text: str, address: TcpAddress | UnixAddress, loopback: bool) -> None:
    assert parse_address(text, BASE) == address
    assert address.is_loopback is loopback
    assert parse_address(str(address), BASE) == address


@pytest.mark.parametrize(
    "text",
    ["", ":1", "8181", "host", "host:", "host:65536", "host:-1", "::1:1", "a b:1", "unix:",
     "http://host:1", "host:1/x", "[::1]", "unix:/" + "x" * 107],
)  # fmt: skip
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(AddressInvalid):
        parse_address(text, BASE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("::1:8181", "is an IPv6 address without brackets: write `[::1]:8181`"),
        ("fe80::1:80", "is an IPv6 address without brackets: write `[fe80::1]:80`"),
        ("::1", "has no port: write `host:port`"),
        ("[::1]", "has no port: write `host:port`"),
        ("localhost", "has no port: write `host:port`"),
        ("8181", "has no port: write `host:port`"),
        ("localhost:", "has no port: after the colon stands a number from 0 to 65535"),
        ("localhost:http", "has no port: after the colon stands a number from 0 to 65535"),
        ("localhost:99999", ": a port is a number from 0 to 65535"),
        ("localhost:818181", "has no port: after the colon stands a number from 0 to 65535"),
        ("localhost:-1", "has no port: after the colon stands a number from 0 to 65535"),
        (":8181", "has no host: write `127.0.0.1:8181`"),
        ("http://localhost:8181", "is a URL"),
        ("/run/policyd.sock", "is a path: for a Unix socket write `unix:/run/policyd.sock`"),
        ("a b:1", "is neither `host:port` nor `unix:path`"),
    ],
)
def test_what_was_meant_is_said(text: str, said: str) -> None:
    with pytest.raises(AddressInvalid) as refused:
        parse_address(text, BASE)
    assert said in str(refused.value)
