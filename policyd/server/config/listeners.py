"""Listeners: each an address, the services that are offered there, and how callers reach them.

In come the tables of the configuration, out go `Listener`s. Every service has one row in
`_SERVICES`, and every rule here judges every listener, wherever it was configured.

Invariant: no access token travels in plain text beyond this machine unless the configuration says
so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from policyd.server.addresses import (
    Address,
    AddressInvalid,
    TcpAddress,
    UnixAddress,
    parse_address,
)
from policyd.server.config.findings import Findings, Key
from policyd.server.config.tables import File, Tls
from policyd.server.tls import TlsFiles

#: Names of services. Health and reflection are on each listener of gRPC's.
AUTHORIZATION: Final = "authorization"
EXPLANATION: Final = "explanation"
PAGES: Final = "pages"


class Service(msgspec.Struct, frozen=True):
    """A kind of service: what carries it, and whether its calls hold access tokens."""

    protocol: Literal["grpc", "http"]
    tokens: bool


_SERVICES: Final = {
    AUTHORIZATION: Service("grpc", tokens=True),
    EXPLANATION: Service("grpc", tokens=True),
    PAGES: Service("http", tokens=False),
}


class Listener(msgspec.Struct, frozen=True):
    """An address, the names of its services, and the files of its TLS identity.

    Without `tls` it speaks plain text; `insecure` permits that where others reach it. `key` is
    where the configuration names it.
    """

    address: Address
    services: frozenset[str]
    key: Key
    tls: TlsFiles | None = None
    insecure: bool = False

    @property
    def protocol(self) -> Literal["grpc", "http"]:
        """What carries its services, which is the same for all of one listener."""
        (protocol,) = {_SERVICES[name].protocol for name in self.services}
        return protocol

    @property
    def shared(self) -> bool:
        """Whether several workers share its port; with HTTP each has a port of its own."""
        return self.protocol == "grpc"

    @property
    def takes_tokens(self) -> bool:
        """Whether calls there hold access tokens."""
        return any(_SERVICES[name].tokens for name in self.services)

    def offering(self, *more: str) -> Listener:
        """Return the listener with more services."""
        return msgspec.structs.replace(self, services=self.services.union(more))


def read_listeners(file: File, base: Path, findings: Findings) -> tuple[Listener, ...]:
    """Read the listeners of a configuration in `base`, and check each."""
    if not file.server.listen:
        findings.add("P5004", ("server", "listen"), "`server.listen` is empty")
    listeners = tuple(_listeners(file, base, findings))
    for listener in listeners:
        _check_reach(listener, findings)
        if file.server.workers > 1:
            _check_shareable(listener, findings)
    return listeners


def _listeners(file: File, base: Path, findings: Findings) -> Iterator[Listener]:
    server = file.server
    tls = None if server.tls is None else tls_files(server.tls, base)
    rows = (
        (("server", "listen"), server.listen, {AUTHORIZATION}, tls),
        (("server", "explain_listen"), server.explain_listen, {AUTHORIZATION, EXPLANATION}, tls),
        (("http", "listen"), file.http.listen, {PAGES}, None),
    )
    for key, texts, services, identity in rows:
        for address in _addresses(key, texts, base, findings):
            yield Listener(address, frozenset(services), key, identity, server.insecure)


def tls_files(tls: Tls, base: Path) -> TlsFiles:
    """Return the files of an identity, relative to `base`."""
    authorities = tls.client_authorities
    return TlsFiles(
        base / tls.certificate,
        base / tls.private_key,
        None if authorities is None else base / authorities,
    )


def _addresses(
    key: Key, texts: Iterable[str], base: Path, findings: Findings
) -> tuple[Address, ...]:
    found: list[Address] = []
    for text in texts:
        try:
            address = parse_address(text, base)
        except AddressInvalid as error:
            findings.add("P5004", key, str(error))
            continue
        if address in found:
            findings.add("P5004", key, f"`{text}` stands twice")
        found.append(address)
    return tuple(found)


def _check_reach(listener: Listener, findings: Findings) -> None:
    """Refuse plain text beyond this machine for calls with tokens."""
    if listener.address.is_loopback or listener.tls is not None or listener.insecure:
        return
    if listener.takes_tokens:
        findings.add(
            "P5005",
            listener.key,
            f"`{listener.address}` can be reached by others, and calls carry access tokens",
            "listen on loopback or a Unix socket, configure `[server.tls]`, or set "
            "`insecure = true` where the network itself is trusted",
        )


def _check_shareable(listener: Listener, findings: Findings) -> None:
    """Refuse an address that workers can neither share nor count up from."""
    address = listener.address
    if isinstance(address, UnixAddress) or (listener.shared and address.port == 0):
        findings.add(
            "P5004",
            ("server", "workers"),
            f"several workers cannot share `{address}`",
            "give a TCP port, or run one worker",
        )


def check_development(listeners: Iterable[Listener], findings: Findings) -> None:
    """Refuse listeners that others can reach: in development mode anybody can mint tokens."""
    for listener in listeners:
        if not listener.address.is_loopback:
            findings.add(
                "P5007",
                listener.key,
                f"development mode does not listen on `{listener.address}`, which others can reach",
                "use an address such as `127.0.0.1:8181`",
            )


def of_worker(number: int, listener: Listener) -> Listener:
    """Return a listener as worker `number` has it: one that is not shared gets a port of its own.

    The ports follow each other.
    """
    address = listener.address
    if listener.shared or not isinstance(address, TcpAddress) or address.port == 0:
        return listener
    address = msgspec.structs.replace(address, port=address.port + number)
    return msgspec.structs.replace(listener, address=address)
