"""Listeners: each an address, the services that are offered there, and how callers reach them.

Input: the tables of the configuration. Output: `Listener`s. Every service has one row in
`_SERVICES`, and every rule of `policyd.config.reach` judges every listener, wherever it was
configured.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from policyd.config.access import SocketAccess
from policyd.config.addresses import (
    Address,
    AddressInvalid,
    UnixAddress,
    parse_address,
)
from policyd.config.findings import (
    ConfigurationInvalid,
    Findings,
    Key,
    did_you_mean,
    dotted,
    variable_of,
)
from policyd.config.tables import File, ListenerTable, Tls
from policyd.config.tls_files import TlsFiles
from policyd.diagnostics import Diagnostic, Source

#: Names of services. Health and reflection are on each listener of gRPC's.
AUTHORIZATION: Final = "authorization"
EXPLANATION: Final = "explanation"
ADMIN: Final = "admin"
AUTHZEN: Final = "authzen"
CONNECT: Final = "connect"
ENVOY: Final = "envoy"
FORWARD_AUTH: Final = "forward-auth"
PAGES: Final = "pages"
WEBHOOK: Final = "webhook"

#: The socket of operators, in the state folder.
ADMIN_SOCKET: Final = "admin.sock"
#: The mode of a socket of `server.admin_listen`.
_OWNER_ALONE: Final = 0o600

Protocol = Literal["grpc", "http"]


class Service(msgspec.Struct, frozen=True):
    """A kind of service: what carries it, and whether its calls hold access tokens.

    Where Connect carries it too, it goes with whatever else its listener offers.
    """

    protocol: Protocol
    tokens: bool = True
    both: bool = False


_SERVICES: Final = {
    AUTHORIZATION: Service("grpc"),
    EXPLANATION: Service("grpc", both=True),
    ENVOY: Service("grpc"),
    ADMIN: Service("grpc", tokens=False),
    CONNECT: Service("http"),
    AUTHZEN: Service("http"),
    FORWARD_AUTH: Service("http"),
    PAGES: Service("http", tokens=False),
    WEBHOOK: Service("http", tokens=False),
}


class Listener(msgspec.Struct, frozen=True):
    """An address, the names of its services, the files of its TLS identity, and who may call.

    Without `tls` it speaks plain text; `insecure` permits that where others reach it. `key` is
    where the configuration names it, `tls_key` the identity. `callers` are the names of
    certificates that are let in, all where it is empty. `token_file` holds the secrets that callers
    over HTTP present. `access` is who may use its Unix socket. `certificate_header` is the header
    field in which gateways tell of their caller's certificate, in lower case; empty for none. The
    daemon serves without an `optional` one where it cannot listen there.
    """

    address: Address
    services: frozenset[str]
    key: Key
    tls: TlsFiles | None = None
    insecure: bool = False
    tls_key: Key = ("server", "tls")
    callers: frozenset[str] = frozenset()
    token_file: Path | None = None
    access: SocketAccess = SocketAccess()
    certificate_header: str = ""
    optional: bool = False

    @property
    def protocol(self) -> Protocol:
        """What carries its services, which is the same for all of one listener."""
        (protocol,) = _protocols(self.services)
        return protocol

    @property
    def decides(self) -> bool:
        """Whether it is over HTTP, and more than a few pages in plain text."""
        return self.protocol == "http" and not self.shows_pages_alone

    @property
    def shows_pages_alone(self) -> bool:
        """Whether it shows pages in plain text, and nothing else."""
        return self.services == {PAGES} and self.tls is None

    @property
    def takes_tokens(self) -> bool:
        """Whether calls there hold access tokens."""
        return any(_SERVICES[name].tokens for name in self.services)

    @property
    def authenticates(self) -> bool:
        """Whether callers have to show who they are."""
        mutual = self.tls is not None and self.tls.client_authorities is not None
        return mutual or self.token_file is not None

    def offering(self, *more: str) -> Listener:
        """Return the listener with more services."""
        return msgspec.structs.replace(self, services=self.services.union(more))


def listeners_of(
    file: File, base: Path, state: Path | None, findings: Findings
) -> Iterator[Listener]:
    """Yield the listeners of a configuration in `base`: those of the short forms, then the table's.

    Operators have a socket in the `state` folder, if there is one and nothing else is said. Each
    has an address, and services that one protocol carries; what that comes to is judged
    elsewhere.
    """
    yield from _short_forms(file, base, findings)
    for number, table in enumerate(file.listeners):
        key = ("listeners", number)
        services = _services(table, key, findings)
        for address in _addresses((*key, "address"), (table.address,), base, findings):
            if services:
                yield _listener(address, services, table, key, base)
    if _lacks_admin(file) and state is not None:
        yield Listener(
            UnixAddress(state / ADMIN_SOCKET),
            frozenset({ADMIN}),
            ("server", "admin_listen"),
            access=SocketAccess(_OWNER_ALONE),
            optional=True,
        )


def _lacks_admin(file: File) -> bool:
    """Tell whether nothing is said of operators. Several workers cannot share a socket."""
    said = file.server.admin_listen is not None
    listed = any(ADMIN in table.services for table in file.listeners)
    return not said and not listed and file.server.workers == 1


def _short_forms(file: File, base: Path, findings: Findings) -> Iterator[Listener]:
    """Yield the listeners of `listen`, `explain_listen` and `admin_listen` of `[server]`, and of
    `http.listen`."""
    server = file.server
    pages = {PAGES} if file.http.webhook_secret_file is None else {PAGES, WEBHOOK}
    tls = None if server.tls is None else tls_files(server.tls, base)
    rows = (
        (("server", "listen"), server.listen, {AUTHORIZATION}, tls),
        (("server", "explain_listen"), server.explain_listen, {AUTHORIZATION, EXPLANATION}, tls),
        (("server", "admin_listen"), server.admin_listen or (), {ADMIN}, tls),
        (("http", "listen"), file.http.listen, pages, None),
    )
    for key, texts, services, identity in rows:
        for address in _addresses(key, texts, base, findings):
            admin = services == {ADMIN}
            yield Listener(
                address,
                frozenset(services),
                key,
                None if admin and isinstance(address, UnixAddress) else identity,
                server.insecure,
                access=SocketAccess(_OWNER_ALONE) if admin else SocketAccess(),
            )


def _listener(
    address: Address, services: frozenset[str], table: ListenerTable, key: Key, base: Path
) -> Listener:
    return Listener(
        address,
        services,
        key,
        None if table.tls is None else tls_files(table.tls, base),
        table.insecure,
        (*key, "tls"),
        frozenset(table.callers),
        None if table.token_file is None else base / table.token_file,
        SocketAccess(int(table.mode, 8), table.owner, table.group),
        (table.certificate_header or "").lower(),
    )


def _services(table: ListenerTable, key: Key, findings: Findings) -> frozenset[str]:
    """Return the services of a table's listener; nothing where they do not make sense."""
    place = (*key, "services")
    before = len(findings.found)
    if not table.services:
        known = ", ".join(f"`{name}`" for name in _SERVICES)
        findings.add("P5004", place, f"`{dotted(place)}` is empty", f"known are {known}")
    for name in table.services:
        if name not in _SERVICES:
            known = ", ".join(f"`{one}`" for one in _SERVICES)
            help_ = did_you_mean(name, _SERVICES) or f"known are {known}"
            findings.add("P5004", place, f"there is no service `{name}`", help_)
    if len(findings.found) > before:
        return frozenset()
    if len(_protocols(table.services)) > 1:
        findings.add(
            "P5004",
            place,
            f"`{dotted(place)}` mixes services of gRPC and of HTTP",
            "give each protocol a listener of its own",
        )
        return frozenset()
    return frozenset(table.services)


def _protocols(services: Iterable[str]) -> set[Protocol]:
    """Return what carries services: one protocol, or more where they do not go together."""
    kinds = [_SERVICES[name] for name in services]
    protocols = {kind.protocol for kind in kinds if not kind.both}
    return protocols or {kind.protocol for kind in kinds}


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
            findings.add("P5004", key, f"`{text}` is given twice")
        found.append(address)
    return tuple(found)


class AddressUnusable(ConfigurationInvalid):
    """The daemon cannot listen on an address of the configuration."""

    def __init__(self, headline: str, key: Key) -> None:
        help_ = f"stop what uses it, or write another address at `{dotted(key)}`"
        super().__init__([Diagnostic("P5009", headline, None, help=help_)])
        self._key = key

    def at(self, source: Source) -> ConfigurationInvalid:
        """Return the error with its place in the configuration's text."""
        if variable_of(self._key, os.environ) is not None:
            return self
        (found,) = self.diagnostics
        findings = Findings(source)
        findings.add("P5009", self._key, found.headline, found.help)
        return findings.error()


def is_socket(listener: Listener) -> bool:
    """Tell whether a listener is a Unix socket."""
    return isinstance(listener.address, UnixAddress)
