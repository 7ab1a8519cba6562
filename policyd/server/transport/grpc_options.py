"""The options and the TLS credentials of gRPC servers, for both transports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

import grpc

from policyd.config.limits import Limits
from policyd.config.tls_files import Identity
from policyd.server.transport.interface import CurrentIdentity
from policyd.server.transport.room import WINDOW

#: gRPC's name for the certificate that a caller presented.
CERTIFICATE: Final = "x509_pem_cert"
_FOR_EVER = 2**31 - 1

#: Bytes that each header field counts in addition to its own (RFC 9113, section 6.5.2).
_A_HEADER = 32
#: Limits of calls that gRPC has read and the transport has not taken yet, for each thousand of
#: `Limits.calls`. Past the first number, gRPC cancels new calls at random; past the second, it
#: cancels all. Each costs about 25 KB, and a call behind that many would wait too long.
_PENDING, _MOST_PENDING = 3_000, 5_000
#: The most bytes read from a connection at once.
_MOST_READ = 65_536
#: Milliseconds of silence after which gRPC pings a connection, and the time for the reply.
_KEEPALIVE, _KEEPALIVE_ANSWER = 300_000, 20_000


def server_options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """Return the options of a server."""
    thousands = max(1, limits.calls // 1_000)
    return (
        ("grpc.max_receive_message_length", limits.message_bytes),
        # Without this, streams that are opened and at once reset pile up faster than they are
        # freed.
        ("grpc.max_concurrent_streams", limits.calls_per_connection),
        ("grpc.http.overload_protection", 1),
        # Past this number, gRPC closes every new connection. It is above the transport's own limit,
        # so that new connections have room until the most silent ones are closed.
        ("grpc.max_allowed_incoming_connections", limits.connections + limits.connections // 4),
        # With different values, gRPC would refuse calls between them at random.
        ("grpc.max_metadata_size", limits.header_bytes),
        ("grpc.absolute_max_metadata_size", limits.header_bytes),
        # With bandwidth probing, the window can grow to megabytes for each call, even without a
        # message.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW),
        # The room makes a better choice of which calls to end, but only if the transport keeps up.
        ("grpc.server.max_pending_requests", _PENDING * thousands),
        ("grpc.server.max_pending_requests_hard_limit", _MOST_PENDING * thousands),
        # gRPC parses everything that it reads at once while others wait, and a megabyte of headers
        # takes long.
        ("grpc.experimental.tcp_max_read_chunk_size", _MOST_READ),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_timeout)),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.connection_idle)),
        ("grpc.max_connection_age_ms", _milliseconds(limits.connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(limits.connection_age_grace)),
        # Otherwise two daemons on one port would silently get half of the calls each.
        ("grpc.so_reuseport", int(limits.shared_ports)),
        # Detects callers that vanished without closing their connection.
        ("grpc.keepalive_time_ms", _KEEPALIVE),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_ANSWER),
        # Idle clients may send pings to keep their connection alive.
        ("grpc.keepalive_permit_without_calls", 1),
        # PINGs never end a connection, however many there are. Ending the connection of a caller
        # that does not read would wait for that caller, and each further PING would cost more.
        # Acknowledging PINGs costs little, and gRPC stops reading when 10,000 acknowledgements
        # wait.
        ("grpc.http2.max_ping_strikes", 0),
    )


def most_headers(limits: Limits) -> int:
    """Return the most header fields that a call may have, however small they are.

    Until a caller has acknowledged the daemon's SETTINGS, gRPC accepts more, up to 16 MiB.
    """
    return limits.header_bytes // _A_HEADER


def _milliseconds(seconds: float) -> int:
    """Return a time in gRPC's unit, milliseconds; 0 means for ever."""
    return round(seconds * 1000) if seconds else _FOR_EVER


def server_credentials(current: CurrentIdentity) -> grpc.ServerCredentials:
    """Return the credentials of a listener with TLS.

    gRPC calls back at each handshake for the current identity, one thread at a time.
    """
    shown = current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        newest = current()
        if newest is shown:
            return None
        shown = newest
        return _certificates(newest)

    # grpcio accepts `None` for "unchanged"; its type stubs do not know that.
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed)
    return grpc.dynamic_ssl_server_credentials(
        _certificates(shown), fetcher, shown.client_authorities is not None
    )


def _certificates(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.private_key, identity.certificate)], identity.client_authorities
    )
