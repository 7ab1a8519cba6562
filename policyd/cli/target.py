"""Addresses of a daemon as people write them, and why nobody answers there.

gRPC says of a failed connection what the socket saw. What the user can change is another matter:
whether anything listens, and whether one side speaks TLS and the other does not.
"""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path
from typing import Final, NamedTuple

#: Where a daemon listens if its configuration does not say otherwise.
DEFAULT_TARGET: Final = "127.0.0.1:8181"
_PORT: Final = DEFAULT_TARGET.rpartition(":")[2]
_V6 = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_PATIENCE = 2.0


def full_target(text: str) -> str:
    """Return `text` with the default port if it is a host without a port."""
    if text.startswith("unix:") or "/" in text:
        return text
    if _V6.fullmatch(text) or ":" not in text:
        return f"{text}:{_PORT}"
    return text


class Identity(NamedTuple):
    """What a question is asked with over TLS: authorities, and a certificate with its key."""

    authorities: Path
    certificate: Path | None = None
    private_key: Path | None = None


def why_unreachable(target: str, identity: Identity | None = None) -> str | None:
    """Return what to do about a target that could not be asked, or `None` where that is open.

    It was asked over TLS if there is an `identity`. Connects twice, for some seconds at most.
    """
    tls = identity is not None
    if "/" in target.removeprefix("unix:") and not target.startswith("unix:"):
        return "an address is `host:port` or `unix:path`"
    if target.startswith("unix:"):
        return _why_no_socket(target.removeprefix("unix:"))
    host, _, port = target.rpartition(":")
    if not port.isdecimal():
        return "an address is `host:port` or `unix:path`"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE) as connection:
            speaks_tls = _speaks_tls(connection)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        return f"{said.lower()}: does a daemon listen on {target}?"
    if speaks_tls and not tls:
        return "this port speaks TLS: try --authorities FILE"
    if speaks_tls is False and tls:
        return "this port does not speak TLS: try without --authorities"
    return None if identity is None else _why_not_with(identity, host.strip("[]"), int(port))


def _why_not_with(identity: Identity, host: str, port: int) -> str | None:
    """Say which side of a TLS connection does not accept the other's certificate, if one does."""
    try:
        context = ssl.create_default_context(cafile=identity.authorities)
    except OSError:
        return f"{identity.authorities} holds no certificate in PEM: check --authorities"
    context.set_alpn_protocols(["h2"])
    try:
        if identity.certificate is not None:
            context.load_cert_chain(identity.certificate, identity.private_key)
    except OSError:
        return (
            "the certificate and the key cannot be used: check --client-certificate, --client-key"
        )
    try:
        with (
            socket.create_connection((host, port), _PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname=host) as secure,
        ):
            # Who takes part in HTTP/2 begins with a frame; who refuses a certificate hangs up.
            if secure.recv(1):
                return None
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted ({error.verify_message}): check --authorities"
    except (ssl.SSLError, ConnectionResetError):
        pass
    except OSError:
        return None
    if identity.certificate is None:
        return "it asks its callers for a certificate: try --client-certificate and --client-key"
    return "it does not accept this certificate: check --client-certificate"


def _why_no_socket(path: str) -> str | None:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(path)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        return f"{said}: does a daemon listen on unix:{path}?"
    return None


def _speaks_tls(connection: socket.socket) -> bool | None:
    """Tell whether the other side speaks TLS; `None` where it does not tell."""
    # Nothing is sent but the greeting, so it does not matter who is there.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        return error.reason not in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
    except OSError:
        return None
    return True
