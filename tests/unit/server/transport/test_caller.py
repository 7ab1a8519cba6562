"""Each transport tells a handler who calls, by the certificate that was shown."""

from __future__ import annotations

from policyd.config.limits import Limits
from policyd.config.tls_files import Identity
from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.server.doors import CertificateDoor
from policyd.server.transport.interface import Door, OpenDoor, TransportFactory, Unary
from tests.support.certificates import Authority, Pair
from tests.support.daemon import Caller
from tests.support.transports import SURPLUS

ORDERS = "spiffe://example.com/orders"
AUTHORITY = Authority()


def who(_: bytes, call: Call) -> bytes:
    return call.caller().encode()


def told(make: TransportFactory, door: Door, *pairs: Pair) -> list[str]:
    """Return whom a handler took each caller for, or the name of the status that it got."""
    transport = make({"/s/Who": Unary(who)}, Limits(), SURPLUS, door)
    own = AUTHORITY.issue("localhost")
    identity = Identity(own.certificate, own.key, AUTHORITY.certificate)
    address = transport.bind("localhost:0", lambda: identity)
    transport.start()
    answers = []
    try:
        for pair in pairs:
            with Caller(address, authorities=AUTHORITY.certificate, pair=pair) as caller:
                try:
                    answers.append(caller.raw("/s/Who", b"").decode())
                except Exception:
                    answers.append(caller.failure("/s/Who", b"").code.name)
    finally:
        transport.stop(0)
    return answers


def test_callers_are_told_by_their_certificates(make: TransportFactory) -> None:
    door = CertificateDoor([ORDERS, "dns:a.example"], CallFailed(StatusCode.PERMISSION_DENIED, ""))
    pairs = (AUTHORITY.issue(ORDERS), AUTHORITY.issue("a.example"), AUTHORITY.issue("b.example"))
    assert told(make, door, *pairs) == [ORDERS, "dns:a.example", "PERMISSION_DENIED"]


def test_an_open_door_knows_all_by_one_name(make: TransportFactory) -> None:
    assert told(make, OpenDoor("local"), AUTHORITY.issue("b.example")) == ["local"]
