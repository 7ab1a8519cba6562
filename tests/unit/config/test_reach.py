"""The table of listeners: what each may be, and what is refused with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.access import SocketAccess
from policyd.config.configuration import examine
from policyd.config.findings import ConfigurationInvalid
from tests.unit.config.test_configuration import MINIMAL, configured

IDENTITY = 'certificate = "c", private_key = "k"'
MUTUAL = f'tls = {{ {IDENTITY}, client_authorities = "a" }}'
TLS = f"tls = {{ {IDENTITY} }}"
CERTIFICATES = 'certificate_header = "X-C"'
ORDERS = "spiffe://example.com/ns/shop/sa/orders"


def table(
    lines: str = "", address: str = "127.0.0.1:1", services: str = '["authorization"]'
) -> str:
    return f'{MINIMAL}\n[[listeners]]\naddress = "{address}"\nservices = {services}\n{lines}\n'


def headlines(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    path = tmp_path / "policyd.toml"
    path.write_text(text)
    try:
        found = examine(path)[1]
    except ConfigurationInvalid as error:
        found = error.diagnostics
    return [(one.code, one.headline) for one in found]


def test_a_listener_of_the_table(tmp_path: Path) -> None:
    lines = f'{MUTUAL}\ncallers = ["{ORDERS}", "dns:orders.example.com"]'
    made = configured(tmp_path, table(lines, "0.0.0.0:1", '["authorization", "explanation"]'))
    (one,) = made.listeners
    assert str(one.address) == "0.0.0.0:1"
    assert one.services == {"authorization", "explanation"}
    assert one.callers == {ORDERS, "dns:orders.example.com"}
    assert one.tls is not None
    assert one.tls.client_authorities == tmp_path / "a"
    assert (one.key, one.tls_key) == (("listeners", 0), ("listeners", 0, "tls"))


def test_the_default_listener_is_there_unless_the_table_is_used(tmp_path: Path) -> None:
    assert [str(one.address) for one in configured(tmp_path, MINIMAL).listeners] == [
        "127.0.0.1:8181"
    ]
    assert [str(one.address) for one in configured(tmp_path, table()).listeners] == ["127.0.0.1:1"]
    both = table() + '[server]\nlisten = ["127.0.0.1:2"]\n'
    addresses = [str(one.address) for one in configured(tmp_path, both).listeners]
    assert addresses == ["127.0.0.1:2", "127.0.0.1:1"]
    other = table() + "[server]\nworkers = 1\n"
    assert [str(one.address) for one in configured(tmp_path, other).listeners] == ["127.0.0.1:1"]


def test_a_socket_of_the_table(tmp_path: Path) -> None:
    lines = 'mode = "0600"\nowner = "root"\ngroup = "1234"'
    (one,) = configured(tmp_path, table(lines, "unix:s")).listeners
    assert one.access == SocketAccess(0o600, "root", "1234")


@pytest.mark.parametrize(
    ("lines", "address", "services", "said"),
    [
        ("", "127.0.0.1:1", "[]", "`listeners[0].services` is empty"),
        ("", "unix:s", '["admin", "authorization"]', "`admin` shares a listener"),
        ("", "127.0.0.1:1", '["authorisation"]', "there is no service `authorisation`"),
        ("", "127.0.0.1:1", '["authorization", "pages"]', "mixes services of gRPC and of HTTP"),
        ("", "8181", '["authorization"]', "has no port"),
        ('mode = "0600"', "127.0.0.1:1", '["authorization"]', "is for a Unix socket"),
        ('group = "a"', "127.0.0.1:1", '["authorization"]', "is for a Unix socket"),
        (TLS, "unix:s", '["authorization"]', "a Unix socket speaks plain text"),
        (f'callers = ["{ORDERS}"]', "127.0.0.1:1", '["authorization"]', "no caller is asked for"),
        (f'{TLS}\ncallers = ["{ORDERS}"]', "127.0.0.1:1", '["authorization"]', "is asked for"),
        ('token_file = "t"', "127.0.0.1:1", '["authorization"]', "show a certificate"),
        ('token_file = "t"', "127.0.0.1:1", '["pages"]', "no service of the listener asks"),
        (CERTIFICATES, "127.0.0.1:1", '["forward-auth"]', "could claim to have any certificate"),
        (f"{CERTIFICATES}\ninsecure = true", "127.0.0.1:1", '["forward-auth"]', "any certificate"),
        (f'{CERTIFICATES}\ntoken_file = "t"', "127.0.0.1:1", '["connect"]', "is for the service"),
        (CERTIFICATES.replace("X-C", "DPoP"), "unix:s", '["forward-auth"]', "another meaning"),
        (CERTIFICATES.replace("X-C", "X C"), "unix:s", '["forward-auth"]', "does not fit"),
        ("", "127.0.0.1:1", '["connect", "authorization"]', "mixes services"),
        ('mode = "rw"', "unix:s", '["authorization"]', "does not fit"),
        ('mode = "8888"', "unix:s", '["authorization"]', "does not fit"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, lines: str, address: str, services: str, said: str
) -> None:
    ((code, headline),) = headlines(tmp_path, table(lines, address, services))
    assert code == "P5004"
    assert said in headline


@pytest.mark.parametrize(
    "name",
    [
        "orders",
        "dns:",
        "dns:Orders.example.com",
        "dns:*.example.com",
        "spiffe://example.com",
        "spiffe://example.com/a/",
        "spiffe://Example.com/a",
        "spiffe://example.com/a?b",
        "https://example.com/a",
    ],
)
def test_what_names_no_caller_is_refused(tmp_path: Path, name: str) -> None:
    ((code, headline),) = headlines(tmp_path, table(f'{MUTUAL}\ncallers = ["{name}"]'))
    assert (code, headline) == ("P5004", f"`{name}` names no caller")


@pytest.mark.parametrize(
    ("lines", "refused"),
    [("", True), (TLS, True), (MUTUAL, False), ("insecure = true", False)],
)
def test_beyond_this_machine_callers_show_who_they_are(
    tmp_path: Path, lines: str, refused: bool
) -> None:
    found = headlines(tmp_path, table(lines, "0.0.0.0:1"))
    assert [code for code, _ in found] == ["P5005"] * refused


def test_over_http_a_secret_will_do(tmp_path: Path) -> None:
    text = table(f'{TLS}\ntoken_file = "t"', "0.0.0.0:1", '["connect"]')
    assert headlines(tmp_path, text) == []
    ((code, headline),) = headlines(tmp_path, table(TLS, "0.0.0.0:1", '["connect"]'))
    assert (code, headline) == ("P5005", "anybody who reaches `0.0.0.0:1` could ask there")
    (one,) = configured(tmp_path, table("", services='["connect", "explanation"]')).listeners
    assert (one.protocol, one.shows_pages_alone, one.decides) == ("http", False, True)


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        (b"", "holds 0 secrets"),
        (b"short", "a secret has 16 to 4096"),
        (b"a secret that is cut into words", "a secret has 16"),
        (b"a-sound-secret-of-some-length\n" * 17, "holds 17 secrets"),
        ("sound-but-för-its-letters".encode(), "a secret has 16"),
        (None, "No such file"),
        (b"a-sound-secret-of-some-length\n", None),
    ],
)
def test_files_of_secrets_are_looked_at(
    tmp_path: Path, secrets: bytes | None, said: str | None
) -> None:
    if secrets is not None:
        (tmp_path / "t").write_bytes(secrets)
    path = tmp_path / "policyd.toml"
    path.write_text(table('token_file = "t"', services='["connect"]'))
    found = [one.headline for one in examine(path, files=True)[1] if "token_file" in one.headline]
    assert len(found) == (0 if said is None else 1)
    assert said is None or said in found[0]


def test_two_listeners_have_two_addresses(tmp_path: Path) -> None:
    text = table() + '[server]\nlisten = ["127.0.0.1:1"]\n'
    ((code, headline),) = headlines(tmp_path, text)
    assert (code, headline) == ("P5004", "`127.0.0.1:1` is the address of `server.listen` too")


def test_accounts_that_do_not_exist_are_found_where_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text('{"keys": []}')
    path = tmp_path / "policyd.toml"
    path.write_text(table('owner = "no-such-user"\ngroup = "no-such-group"', "unix:s"))
    assert not examine(path)[1]
    said = [one.headline for one in examine(path, files=True)[1] if one.code == "P5008"]
    assert said[:2] == [
        "`listeners[0].owner`: there is no user `no-such-user`",
        "`listeners[0].group`: there is no group `no-such-group`",
    ]
