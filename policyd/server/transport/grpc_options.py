"""What gRPC is told of a server, by either transport: its options and its identity."""

from __future__ import annotations

import grpc

from policyd.server.transport.interface import Identity, Limits


def server_options(limits: Limits) -> tuple[tuple[str, int], ...]:
    """Return the options of a server."""
    return (
        ("grpc.max_receive_message_length", limits.message_bytes),
        # Else two daemons on one port would each get half of the calls without a word.
        ("grpc.so_reuseport", int(limits.shared_ports)),
        # Idle clients may keep their connection alive.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    )


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """Return the credentials of a listener that speaks TLS."""
    return grpc.ssl_server_credentials(
        [(identity.private_key, identity.certificate)],
        root_certificates=identity.client_authorities,
        require_client_auth=identity.client_authorities is not None,
    )
