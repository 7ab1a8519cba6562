"""Listeners of the table: who may call, and that the decision log tells who did."""

from __future__ import annotations

import os
import stat

import grpc

from tests.support.certificates import Authority, Pair
from tests.support.daemon import SERVICE, Caller, Daemon, Site, check_request

ORDERS = "spiffe://example.com/ns/shop/sa/orders"
AUTHORITY = Authority()
MUTUAL = (
    'tls = { certificate = "cert.pem", private_key = "key.pem", client_authorities = "ca.pem" }'
)


def put_identity(site: Site) -> None:
    pair = AUTHORITY.issue("localhost", "127.0.0.1")
    (site.folder / "cert.pem").write_bytes(pair.certificate)
    (site.folder / "key.pem").write_bytes(pair.key)
    (site.folder / "ca.pem").write_bytes(AUTHORITY.certificate)


def target(daemon: Daemon, number: int = 0) -> str:
    return f"localhost:{daemon.addresses[number].rpartition(':')[2]}"


def asks(address: str, pair: Pair) -> bool:
    with Caller(address, authorities=AUTHORITY.certificate, pair=pair) as caller:
        return caller.check(check_request()).allowed


def test_callers_are_let_in_by_name_and_recorded(site: Site) -> None:
    put_identity(site)
    site.listen(
        f'address = "0.0.0.0:0"\nservices = ["authorization"]\n{MUTUAL}\n'
        f'callers = ["{ORDERS}", "dns:orders.example.com"]',
        f'address = "127.0.0.1:0"\nservices = ["authorization"]\n{MUTUAL}',
        'address = "127.0.0.1:0"\nservices = ["authorization"]',
    )
    with site.start() as daemon:
        assert asks(target(daemon), AUTHORITY.issue(ORDERS))
        assert asks(target(daemon), AUTHORITY.issue("orders.example.com", "x.example"))
        for stranger in (AUTHORITY.issue("x.example"), AUTHORITY.issue(f"{ORDERS}2")):
            with Caller(target(daemon), authorities=AUTHORITY.certificate, pair=stranger) as caller:
                failure = caller.failure(f"{SERVICE}/Check", check_request().SerializeToString())
            assert failure.code == grpc.StatusCode.PERMISSION_DENIED
            assert failure.reason == "CALLER_REFUSED"
        assert asks(target(daemon, 1), AUTHORITY.issue("x.example"))
        with Caller(daemon.addresses[2]) as caller:
            assert caller.check(check_request()).allowed
        forged = Authority().issue(ORDERS)
        with Caller(target(daemon), authorities=AUTHORITY.certificate, pair=forged) as caller:
            failure = caller.failure(f"{SERVICE}/Check", check_request().SerializeToString())
        assert failure.code == grpc.StatusCode.UNAVAILABLE
    assert [record["caller"] for record in site.records()] == [
        ORDERS,
        "dns:orders.example.com",
        "dns:x.example",
        "local",
    ]


def test_a_socket_is_given_to_whom_the_table_names(site: Site) -> None:
    group = os.getegid()
    site.listen(
        f'address = "unix:one"\nservices = ["authorization"]\nmode = "0622"\ngroup = "{group}"',
        'address = "unix:two"\nservices = ["authorization"]',
        'address = "unix:three"\nservices = ["pages"]\nmode = "0600"',
    )
    with site.start() as daemon:
        status = [(site.folder / name).stat() for name in ("one", "two", "three")]
        assert [stat.S_IMODE(one.st_mode) for one in status] == [0o622, 0o660, 0o600]
        assert status[0].st_gid == group
        for address in daemon.addresses:
            with Caller(address) as caller:
                assert caller.check(check_request()).allowed
    assert [record["caller"] for record in site.records()] == ["local"] * 2


def test_what_the_configuration_says_of_an_identity_is_said_of_its_listener(site: Site) -> None:
    site.listen(f'address = "127.0.0.1:0"\nservices = ["authorization"]\n{MUTUAL}')
    refused = site.run()
    assert refused.returncode == 2
    assert "error[P5008]: `listeners[0].tls`: " in refused.stderr


def test_a_taken_address_is_said_of_its_listener(site: Site) -> None:
    with site.start() as daemon:
        site.listen(f'address = "{daemon.addresses[0]}"\nservices = ["authorization"]')
        refused = site.run()
    assert refused.returncode == 2
    assert f"cannot listen on `{daemon.addresses[0]}` (`listeners[0]`): " in refused.stderr
