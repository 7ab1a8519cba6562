"""Who calls: names in certificates, and who of their holders is let in."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from policyd.config.addresses import TcpAddress, UnixAddress
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.doors import CertificateDoor, names_of, reach
from tests.support.certificates import Authority

AUTHORITY = Authority()
ORDERS = "spiffe://example.com/ns/shop/sa/orders"
REFUSAL = CallFailed(StatusCode.PERMISSION_DENIED, "no")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((ORDERS,), (ORDERS,)),
        (("Orders.Example.com",), ("dns:orders.example.com",)),
        (("a.example", ORDERS, "b.example"), (ORDERS, "dns:a.example", "dns:b.example")),
        # With two URIs, nobody can tell which of them the holder is.
        ((ORDERS, "spiffe://example.com/other", "a.example"), ("dns:a.example",)),
        # A URI that is no SPIFFE ID names nobody here, and neither does an address.
        (("https://orders.example.com/", "a.example"), ("dns:a.example",)),
    ],
)
def test_names_of_a_certificate(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert names_of(AUTHORITY.issue(*names).certificate) == expected


def test_a_certificate_may_come_in_der() -> None:
    pem = AUTHORITY.issue(ORDERS, "a.example").certificate
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    assert names_of(der) == names_of(pem) == (ORDERS, "dns:a.example")


@pytest.mark.parametrize("names", [(), ("127.0.0.1",), (ORDERS, "spiffe://example.com/other")])
def test_a_certificate_without_names_is_known_by_its_fingerprint(names: tuple[str, ...]) -> None:
    (found,) = names_of(AUTHORITY.issue(*names).certificate)
    kind, _, digest = found.partition(":")
    assert (kind, len(digest)) == ("certificate", 64)


@pytest.mark.parametrize("data", [b"", b"-----BEGIN", b"garbage"])
def test_what_is_no_certificate_names_nobody(data: bytes) -> None:
    assert names_of(data) == ()
    with pytest.raises(CallFailed):
        CertificateDoor((), REFUSAL).caller(data)


def test_only_listed_callers_are_let_in() -> None:
    door = CertificateDoor([ORDERS, "dns:b.example"], REFUSAL)
    assert door.caller(AUTHORITY.issue(ORDERS).certificate) == ORDERS
    assert door.caller(AUTHORITY.issue("a.example", "b.example").certificate) == "dns:b.example"
    for name in ("spiffe://example.com/ns/shop/sa/orders2", "a.example", "orders"):
        with pytest.raises(CallFailed) as caught:
            door.caller(AUTHORITY.issue(name).certificate)
        assert caught.value.code is StatusCode.PERMISSION_DENIED


def test_whoever_the_authority_vouches_for_is_let_in_where_none_are_listed() -> None:
    assert CertificateDoor((), REFUSAL).caller(AUTHORITY.issue(ORDERS).certificate) == ORDERS


def test_how_far_a_listener_reaches() -> None:
    assert reach(UnixAddress(Path("/run/a"))) == "local"
    assert reach(TcpAddress("127.0.0.1", 1)) == "local"
    assert reach(TcpAddress("0.0.0.0", 1)) == "network"
