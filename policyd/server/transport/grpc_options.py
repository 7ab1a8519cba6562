"""What gRPC is told of a server, by either transport: its options and its identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

import grpc

from policyd.server.transport.interface import CurrentIdentity, Identity, Limits
from policyd.server.transport.room import WINDOW

#: What gRPC calls the certificate that a caller showed.
CERTIFICATE: Final = "x509_pem_cert"
_FOR_EVER = 2**31 - 1

#: Bytes that a header field counts with, besides its own (RFC 9113, section 6.5.2).
_A_HEADER = 32
#: Calls that gRPC has read and the transport has not taken yet, for each thousand or less that it
#: takes at a time: past the first number gRPC cancels new ones by chance, past the second all.
#: Each costs some 25 KB, and who comes behind so many waits too long.
_PENDING, _MOST_PENDING = 3_000, 5_000
#: Bytes that are read from a connection at once.
_MOST_READ = 65_536
#: Milliseconds of silence after which a connection is asked whether it lives, and for the answer.
_KEEPALIVE, _KEEPALIVE_ANSWER = 300_000, 20_000


def server_options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """Return the options of a server."""
    thousands = max(1, limits.calls // 1_000)
    return (
        ("grpc.max_receive_message_length", limits.message_bytes),
        # Without it, streams that are opened and reset at once pile up faster than they are freed.
        ("grpc.max_concurrent_streams", limits.calls_per_connection),
        ("grpc.http.overload_protection", 1),
        # Past these gRPC closes new connections, good or bad; the room between is for those that
        # come before the most silent ones are closed.
        ("grpc.max_allowed_incoming_connections", limits.connections + limits.connections // 4),
        # Between the two, gRPC would refuse calls by chance.
        ("grpc.max_metadata_size", limits.header_bytes),
        ("grpc.absolute_max_metadata_size", limits.header_bytes),
        # A measured window may become megabytes for each call, message or not.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW),
        # The room chooses better whom to end, but for that the transport has to keep up.
        ("grpc.server.max_pending_requests", _PENDING * thousands),
        ("grpc.server.max_pending_requests_hard_limit", _MOST_PENDING * thousands),
        # What is read at once is parsed at once, and others wait: a megabyte of headers takes long.
        ("grpc.experimental.tcp_max_read_chunk_size", _MOST_READ),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.handshake_timeout)),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.connection_idle)),
        ("grpc.max_connection_age_ms", _milliseconds(limits.connection_age)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(limits.connection_age_grace)),
        # Else two daemons on one port would each get half of the calls without a word.
        ("grpc.so_reuseport", int(limits.shared_ports)),
        # Callers that vanished without a word are found out.
        ("grpc.keepalive_time_ms", _KEEPALIVE),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_ANSWER),
        # Idle clients may keep their connection alive.
        ("grpc.keepalive_permit_without_calls", 1),
        # No number of PINGs ends a connection. To end one whose caller does not read has to wait
        # for that caller, and each further PING makes it cost more; acknowledged, they cost little,
        # and gRPC stops reading when 10,000 acknowledgements wait.
        ("grpc.http2.max_ping_strikes", 0),
    )


def most_headers(limits: Limits) -> int:
    """Return how many header fields a call may have at most, however small they are.

    Until a caller has acknowledged the daemon's SETTINGS, gRPC takes more, up to 16 MiB of them.
    """
    return limits.header_bytes // _A_HEADER


def _milliseconds(seconds: float) -> int:
    """Return a time as gRPC wants it; 0 stands for ever."""
    return round(seconds * 1000) if seconds else _FOR_EVER


def server_credentials(current: CurrentIdentity) -> grpc.ServerCredentials:
    """Return the credentials of one listener that speaks TLS.

    gRPC asks at each handshake what to show from now on, one thread at a time.
    """
    shown = current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        newest = current()
        if newest is shown:
            return None
        shown = newest
        return _certificates(newest)

    # grpcio takes "no news" for an answer, which the types that others wrote for it do not know.
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed)
    return grpc.dynamic_ssl_server_credentials(
        _certificates(shown), fetcher, shown.client_authorities is not None
    )


def _certificates(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.private_key, identity.certificate)], identity.client_authorities
    )
