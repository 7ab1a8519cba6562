"""Who reaches a listener, and who may call there: the rules that every listener is held to.

Input: listeners. Output: findings. Invariants: no access token travels in plain text beyond this
machine, and no caller from beyond it asks a listener of the table without showing who it is, unless
the configuration says so. The short form `server.listen` asks for TLS alone: there the access token
is the credential, as it was before there was a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from policyd.config.addresses import TcpAddress, UnixAddress
from policyd.config.findings import Findings, Key, dotted
from policyd.config.listeners import (
    ADMIN,
    FORWARD_AUTH,
    Listener,
    is_socket,
    listeners_of,
)
from policyd.config.secrets import SecretUnusable, read_secrets
from policyd.config.tables import File, ListenerTable

#: `spiffe://` with a trust domain and a path (SPIFFE ID specification, section 2), or `dns:` with a
#: host name in lower case.
_CALLER: Final = re.compile(
    r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+|dns:(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*"
)
_TABLE: Final = "listeners"
#: Header fields that forward authentication reads for something else.
_READ: Final = frozenset(
    {
        "authorization",
        "policyd-authorization",
        "dpop",
        "host",
        "x-forwarded-method",
        "x-forwarded-uri",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-original-method",
        "x-original-uri",
    }
)


def read_listeners(
    file: File, base: Path, state: Path | None, findings: Findings
) -> tuple[Listener, ...]:
    """Read the listeners of a configuration in `base`, and check each."""
    if not file.server.listen and not file.listeners:
        findings.add("P5004", ("server", "listen"), "`server.listen` is empty")
    listeners = tuple(listeners_of(file, base, state, findings))
    for listener in listeners:
        _check_reach(listener, findings)
        _check_admin(listener, findings)
        if listener.key[0] == _TABLE:
            _check_callers(listener, findings)
            _check_certificate_header(listener, findings)
            _check_access(listener, file.listeners[_number(listener)], findings)
        if file.server.workers > 1:
            _check_shareable(listener, findings)
    _check_distinct(listeners, findings)
    return listeners


def _number(listener: Listener) -> int:
    number = listener.key[1]
    assert isinstance(number, int)
    return number


def _check_reach(listener: Listener, findings: Findings) -> None:
    """Refuse calls with tokens from beyond this machine in plain text, or by anybody."""
    if listener.address.is_loopback or listener.insecure or not listener.takes_tokens:
        return
    table = listener.key[0] == _TABLE
    where = f"`{dotted((*listener.key, 'tls'))}`" if table else "`[server.tls]`"
    if listener.tls is None:
        findings.add(
            "P5005",
            listener.key,
            f"`{listener.address}` can be reached by others, and calls carry access tokens",
            f"listen on loopback or a Unix socket, configure {where}, or set "
            "`insecure = true` where the network itself is trusted",
        )
    elif table and not listener.authenticates:
        token = "" if listener.protocol == "grpc" else ", or a `token_file`"
        findings.add(
            "P5005",
            listener.key,
            f"anybody who reaches `{listener.address}` could ask there",
            f"give its `tls` the `client_authorities` of those who may call{token}, or set "
            "`insecure = true` where the network itself is trusted",
        )


def _check_admin(listener: Listener, findings: Findings) -> None:
    """Refuse operators whom nothing tells from others, and others where operators ask."""
    if ADMIN not in listener.services:
        return
    mutual = listener.tls is not None and listener.tls.client_authorities is not None
    if not (mutual or is_socket(listener)):
        findings.add(
            "P5005",
            listener.key,
            f"anybody who reaches `{listener.address}` could change which policies serve",
            "use a Unix socket, such as `unix:admin.sock`, or TLS with `client_authorities`",
        )
    if len(listener.services) > 1:
        findings.add(
            "P5004",
            (*listener.key, "services"),
            "`admin` shares a listener with services for everybody",
            "give it a listener of its own",
        )


def _check_callers(listener: Listener, findings: Findings) -> None:
    key: Key = (*listener.key, "callers")
    for name in sorted(listener.callers):
        if _CALLER.fullmatch(name) is None:
            findings.add(
                "P5004",
                key,
                f"`{name}` names no caller",
                "write `spiffe://DOMAIN/PATH`, or `dns:NAME` with a host name in lower case",
            )
    if listener.callers and (listener.tls is None or listener.tls.client_authorities is None):
        findings.add(
            "P5004",
            key,
            f"`{dotted(key)}` names certificates, which no caller is asked for",
            f"add `client_authorities` to `{dotted((*listener.key, 'tls'))}`",
        )
    place: Key = (*listener.key, "token_file")
    if listener.token_file is not None and listener.protocol == "grpc":
        findings.add(
            "P5004",
            place,
            f"`{dotted(place)}`: callers over gRPC show a certificate, and no secret",
            "use `client_authorities` and `callers`",
        )
    elif listener.token_file is not None and not listener.takes_tokens:
        headline = f"`{dotted(place)}`: no service of the listener asks for a secret"
        findings.add("P5004", place, headline)


def _check_certificate_header(listener: Listener, findings: Findings) -> None:
    """Refuse a header field that nobody reads, or that anybody could write."""
    key: Key = (*listener.key, "certificate_header")
    if not listener.certificate_header:
        return
    if FORWARD_AUTH not in listener.services:
        headline = f"`{dotted(key)}` is for the service `{FORWARD_AUTH}` alone"
        findings.add("P5004", key, headline)
    elif not (listener.authenticates or is_socket(listener)):
        findings.add(
            "P5004",
            key,
            f"anyone who can reach `{listener.address}` could claim to have any certificate",
            "have the gateway show a certificate or a secret, or listen on a Unix socket",
        )
    elif listener.certificate_header in _READ:
        findings.add("P5004", key, f"`{dotted(key)}`: that field has another meaning")


def _check_access(listener: Listener, table: ListenerTable, findings: Findings) -> None:
    """Refuse permissions of a socket where there is none, and TLS where nobody is in between."""
    if is_socket(listener):
        if listener.tls is not None:
            key: Key = (*listener.key, "tls")
            findings.add(
                "P5004",
                key,
                f"`{dotted(key)}`: a Unix socket speaks plain text",
                "say by `mode`, `owner` and `group` who may use it",
            )
        return
    default = ListenerTable(address="", services=())
    for name in ("mode", "owner", "group"):
        if getattr(table, name) != getattr(default, name):
            key = (*listener.key, name)
            findings.add("P5004", key, f"`{dotted(key)}` is for a Unix socket, and not for TCP")


def _check_shareable(listener: Listener, findings: Findings) -> None:
    """Refuse an address that workers cannot share. Pages alone are shown by one process."""
    address = listener.address
    if listener.shows_pages_alone:
        return
    if isinstance(address, UnixAddress) or address.port == 0:
        findings.add(
            "P5004",
            ("server", "workers"),
            f"several workers cannot share `{address}`",
            "give a TCP port, or run one worker",
        )


def _check_distinct(listeners: Sequence[Listener], findings: Findings) -> None:
    """Refuse an address that two listeners name."""
    seen: dict[object, Listener] = {}
    for listener in listeners:
        address = listener.address
        if isinstance(address, TcpAddress) and address.port == 0:
            continue
        before = seen.setdefault(address, listener)
        if before is not listener and before.key != listener.key:
            findings.add(
                "P5004", listener.key, f"`{address}` is the address of `{dotted(before.key)}` too"
            )


def check_accounts(listeners: Iterable[Listener], findings: Findings) -> None:
    """Refuse owners and groups of sockets that this machine does not know."""
    for listener in listeners:
        for name, problem in listener.access.problems():
            key = (*listener.key, name)
            findings.add("P5008", key, f"`{dotted(key)}`: {problem}")


def check_secrets(listeners: Iterable[Listener], findings: Findings) -> None:
    """Refuse files that hold no secrets for callers."""
    for listener in listeners:
        if listener.token_file is None:
            continue
        key = (*listener.key, "token_file")
        try:
            read_secrets(listener.token_file)
        except SecretUnusable as error:
            findings.add("P5008", key, f"`{dotted(key)}`: {error}")


def check_library(listeners: Iterable[Listener], findings: Findings) -> None:
    """Refuse listeners that answer over HTTP where the library for it is not installed."""
    for listener in listeners:
        if listener.decides and find_spec("httptools") is None:
            findings.add(
                "P5004",
                listener.key,
                f"`{listener.address}` answers over HTTP, which needs the library `httptools`",
                "install `policyd[http]`",
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
