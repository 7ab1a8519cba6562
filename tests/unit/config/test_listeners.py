"""Listeners: which services stand where, and that each is held to the same rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.addresses import TcpAddress, UnixAddress
from policyd.config.configuration import examine
from policyd.config.listeners import ADMIN, AUTHORIZATION, EXPLANATION, PAGES, Listener
from policyd.config.tls_files import TlsFiles
from policyd.server.development import development_listeners
from tests.unit.config.test_configuration import MINIMAL, configured, server

HERE = TcpAddress("127.0.0.1", 1)
EVERYWHERE = """
listen = ["127.0.0.1:1"]
explain_listen = ["127.0.0.1:2"]
"""
PAGES_THERE = '[http]\nlisten = ["127.0.0.1:3"]\n'


def listener(*services: str, address: TcpAddress | UnixAddress = HERE) -> Listener:
    return Listener(address, frozenset(services), ("server", "listen"))


def codes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "policyd.toml"
    path.write_text(text)
    return [found.code for found in examine(path)[1]]


def test_each_address_has_its_services(tmp_path: Path) -> None:
    made = configured(tmp_path, server(EVERYWHERE) + PAGES_THERE)
    assert [(str(one.address), sorted(one.services), one.protocol) for one in made.listeners] == [
        ("127.0.0.1:1", [AUTHORIZATION], "grpc"),
        ("127.0.0.1:2", [AUTHORIZATION, EXPLANATION], "grpc"),
        ("127.0.0.1:3", [PAGES], "http"),
    ]
    assert [one.tls for one in made.listeners] == [None] * 3


def test_one_identity_is_that_of_each_listener_with_tokens(tmp_path: Path) -> None:
    tls = '[server.tls]\ncertificate = "c.pem"\nprivate_key = "k.pem"\n'
    made = configured(tmp_path, server(EVERYWHERE) + tls + PAGES_THERE)
    files = TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem")
    assert [one.tls for one in made.listeners] == [files, files, None]


@pytest.mark.parametrize(
    ("key", "refused"), [("listen", True), ("explain_listen", True), ("pages", False)]
)
def test_plain_text_beyond_this_machine_holds_no_tokens(
    tmp_path: Path, key: str, refused: bool
) -> None:
    line = '["0.0.0.0:1"]'
    text = f"{MINIMAL}[http]\nlisten = {line}" if key == "pages" else server(f"{key} = {line}")
    assert codes(tmp_path, text) == ["P5005"] * refused


@pytest.mark.parametrize(
    ("table", "refused"),
    [
        ('[server]\nlisten = ["127.0.0.1:0"]', True),
        ('[server]\nlisten = ["unix:a"]', True),
        ('[server]\nexplain_listen = ["127.0.0.1:0"]', True),
        ('[server]\n[http]\nlisten = ["127.0.0.1:0"]', False),
        ('[server]\n[http]\nlisten = ["unix:a"]', False),
    ],
)
def test_workers_share_ports_and_one_process_shows_pages(
    tmp_path: Path, table: str, refused: bool
) -> None:
    text = f"{MINIMAL}[dpop]\nenabled = false\n{table}\n".replace(
        "[server]", "[server]\nworkers = 2"
    )
    assert codes(tmp_path, text) == ["P5004"] * refused


def test_what_services_have_in_common() -> None:
    made = {name: listener(name) for name in (AUTHORIZATION, EXPLANATION, PAGES)}
    told = {
        name: (one.protocol, one.shows_pages_alone, one.takes_tokens) for name, one in made.items()
    }
    assert told == {
        AUTHORIZATION: ("grpc", False, True),
        EXPLANATION: ("grpc", False, True),
        PAGES: ("http", True, False),
    }
    assert all(one.tls is None and not one.insecure for one in made.values())
    with pytest.raises(ValueError, match="too many"):
        _ = listener(AUTHORIZATION, PAGES).protocol


def test_in_development_calls_are_explained_and_pages_are_somewhere() -> None:
    calls, explained = listener(AUTHORIZATION), listener(AUTHORIZATION, EXPLANATION)
    pages = listener(PAGES)
    assert development_listeners([calls, explained, pages]) == (explained, explained, pages)
    _, added = development_listeners([calls])
    assert (list(added.services), str(added.address)) == ([PAGES], "127.0.0.1:0")


TABLE = '[[listeners]]\naddress = "unix:x.sock"\nservices = ["admin"]\n'


@pytest.mark.parametrize(
    ("state", "text", "sockets"),
    [
        ('state = "kept"', "", ["unix:{}/kept/admin.sock"]),
        ("", "", []),
        ('state = "kept"', "admin_listen = []", []),
        ('state = "kept"', 'admin_listen = ["unix:a.sock"]', ["unix:{}/a.sock"]),
        ('state = "kept"', f"{TABLE}", ["unix:{}/x.sock"]),
        ('state = "kept"', "workers = 2\n[dpop]\nenabled = false", []),
    ],
)
def test_operators_have_a_socket_in_the_state_folder(
    tmp_path: Path, state: str, text: str, sockets: list[str]
) -> None:
    base = server('listen = ["127.0.0.1:1"]\n' + text)
    made = configured(tmp_path, base.replace("[policies]\n", f"[policies]\n{state}\n"))
    found = [one for one in made.listeners if ADMIN in one.services]
    assert [str(one.address) for one in found] == [one.format(tmp_path) for one in sockets]
    assert [one.optional for one in found] == ["kept" in one for one in sockets]
