"""The listeners that answer questions over HTTP, from the configuration to their sockets.

Input: listeners and what answers. Output: a server that is bound and not started. The library
that reads HTTP is loaded with this module, and costs a daemon without such a listener nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import msgspec

from policyd.config.addresses import TcpAddress, UnixAddress
from policyd.config.configuration import Configuration
from policyd.config.findings import ConfigurationInvalid, dotted
from policyd.config.listeners import (
    AUTHORIZATION,
    AUTHZEN,
    CONNECT,
    EXPLANATION,
    FORWARD_AUTH,
    PAGES,
    WEBHOOK,
    Listener,
)
from policyd.config.request_limits import RequestLimits
from policyd.config.secrets import CallerSecrets, SecretUnusable, read_webhook_secrets
from policyd.config.tls_files import TlsFiles
from policyd.pdp.answering import Answering
from policyd.pdp.calls import CallFailed, Deferred, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.connections import most_connections
from policyd.server.doors import CertificateDoor, reach
from policyd.server.http.server import Request, Response
from policyd.server.http.site import Room, Site, WebDoor
from policyd.server.http.webhook import GitWebhook
from policyd.server.listeners import naming, occupied, socket_of
from policyd.server.services.authzen import AuthzenMetadata, AuthzenService
from policyd.server.services.authzen_request import Subjects
from policyd.server.services.authzen_search import AuthzenSearch
from policyd.server.services.connect import ConnectService
from policyd.server.services.forward_auth import ForwardAuthService
from policyd.server.state import DaemonState
from policyd.server.tls import TlsIdentity
from policyd.server.transport.interface import BindFailed, Methods
from policyd.server.transport.web import WebAnswer, WebRequest, WebResponse, converted, plain
from policyd.server.transport.web_connection import WebLimits
from policyd.server.transport.web_server import WebServer
from policyd.server.wire.failures import failure

#: Answers a request for a page, at once or later.
PagesAnswer = Callable[[Request], Response | Deferred[Response]]


class Answers(msgspec.Struct, frozen=True, eq=False):
    """What listeners over HTTP offer: the methods of gRPC's services, `answering` for the others,
    and `pages` where a listener has them too."""

    configuration: Configuration
    methods: Mapping[str, Methods]
    answering: Answering
    state: DaemonState
    pages: Callable[[], PagesAnswer]


class Decisions(msgspec.Struct, frozen=True, eq=False):
    """A server with its addresses by listener, and the secrets that its callers present."""

    server: WebServer
    addresses: Mapping[Listener, str]
    secrets: tuple[CallerSecrets, ...]


def open_decisions(
    listeners: Iterable[Listener],
    answers: Answers,
    identities: Mapping[TlsFiles, TlsIdentity],
    running: ExitStack,
) -> Decisions:
    """Bind the listeners; their sockets are held until `running` ends.

    Raises:
        ConfigurationInvalid: an address or a file of a listener cannot be used.
    """
    configuration = answers.configuration
    server = WebServer(web_limits(configuration))
    addresses: dict[Listener, str] = {}
    secrets: list[CallerSecrets] = []
    for listener in listeners:
        secret = _secrets(listener)
        if secret is not None:
            secrets.append(secret)
        identity = None if listener.tls is None else identities[listener.tls].identity
        with naming(listener):
            running.enter_context(occupied(listener.address))
            listening = _bound(listener, shared=configuration.server.workers > 1)
        addresses[listener] = _name(listener, listening)
        server.listen(listening, _site(listener, answers, secret), identity)
    return Decisions(server, addresses, tuple(secrets))


def web_limits(configuration: Configuration) -> WebLimits:
    """Return what the server bears: the limits of gRPC's, where HTTP has the same."""
    server = configuration.server
    return WebLimits(
        body_bytes=server.max_message_bytes,
        # A quarter of the descriptors: gRPC may have half.
        connections=max(1, most_connections(2 * server.max_connections) // 2),
        unfinished_bytes=server.max_unfinished_bytes,
        receive_timeout=server.receive_timeout,
        send_timeout=server.send_timeout,
        handshake_timeout=server.handshake_timeout,
        idle=server.max_connection_idle,
    )


def _secrets(listener: Listener) -> CallerSecrets | None:
    if listener.token_file is None:
        return None
    setting = dotted((*listener.key, "token_file"))
    try:
        return CallerSecrets(listener.token_file, setting)
    except SecretUnusable as error:
        raise ConfigurationInvalid.of("P5008", f"`{setting}`: {error}") from None


def _site(listener: Listener, answers: Answers, secrets: CallerSecrets | None) -> Site:
    certificates = None
    if listener.tls is not None and listener.tls.client_authorities is not None:
        refusal = failure(
            StatusCode.PERMISSION_DENIED,
            ErrorReason.CALLER_REFUSED,
            "this certificate may not call",
        )
        certificates = CertificateDoor(listener.callers, refusal)
    door = WebDoor(reach(listener.address), certificates, secrets)
    return Site(tuple(_rooms(listener, answers)), door, tuple(_public_rooms(listener, answers)))


def _public_rooms(listener: Listener, answers: Answers) -> Iterable[Room]:
    """Yield what a listener shows to everybody."""
    if AUTHZEN in listener.services:
        table = answers.configuration.authzen
        searches = answers.state.directory is not None
        yield AuthzenMetadata(table.policy_decision_point, searches=searches)
    if WEBHOOK in listener.services:
        yield GitWebhook(_webhook_secrets(answers.configuration), answers.state.policies.soon)
    if PAGES in listener.services:
        yield _PagesRoom(answers.pages())


def _webhook_secrets(configuration: Configuration) -> tuple[bytes, ...]:
    path = configuration.webhook_secret
    assert path is not None, "a listener with the webhook has secrets"
    try:
        return read_webhook_secrets(path)
    except SecretUnusable as error:
        raise ConfigurationInvalid.of("P5008", f"`http.webhook_secret_file`: {error}") from None


def _rooms(listener: Listener, answers: Answers) -> Iterable[Room]:
    """Yield the services of a listener, as rooms of its site."""
    server = answers.configuration.server
    if CONNECT in listener.services:
        methods = dict(answers.methods[AUTHORIZATION])
        if EXPLANATION in listener.services:
            methods |= answers.methods[EXPLANATION]
        yield ConnectService(methods, server.max_values, server.max_batch_items)
    if AUTHZEN in listener.services:
        table = answers.configuration.authzen
        subjects = Subjects(frozenset(table.asserted), table.asserted_scopes)
        limits = RequestLimits(server.max_values, server.max_batch_items)
        default = table.api or server.default_api
        yield AuthzenService(answers.answering, default, subjects, limits)
        if answers.state.directory is not None:
            yield AuthzenSearch(
                answers.answering,
                answers.state.engine.api,
                answers.state.directory,
                default,
                subjects,
                limits,
            )
    if FORWARD_AUTH in listener.services:
        yield ForwardAuthService(
            answers.answering, answers.state.engine.api, listener.certificate_header
        )


class _PagesRoom:
    """The pages, which know requests by path and host alone."""

    credential = ""

    def __init__(self, pages: PagesAnswer) -> None:
        self._pages = pages

    def has(self, _path: str) -> bool:
        """Tell that whatever else there is not may be a page."""
        return True

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request."""
        if request.method not in ("GET", "HEAD"):
            return plain(405, "", ("Allow", "GET, HEAD"))
        hosts = request.values("host")
        page = self._pages(Request(request.path, hosts[0] if hosts else ""))
        return converted(page, _as_web)

    def failed(self, _request: WebRequest, _failed: CallFailed) -> WebResponse:
        """Say that a page could not be made."""
        return plain(500)


def _as_web(page: Response) -> WebResponse:
    return WebResponse(page.status, page.body, page.content_type, page.headers)


def _bound(listener: Listener, *, shared: bool) -> socket.socket:
    """Return a socket that is bound to a listener's address. Raises `BindFailed`."""
    address = listener.address
    unused = ExitStack()
    try:
        if isinstance(address, UnixAddress):
            made = unused.enter_context(socket.socket(socket.AF_UNIX))
            with socket_of(address.path, listener.access):
                made.bind(os.fspath(address.path))
            return made
        family, _, _, _, name = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = unused.enter_context(socket.socket(family))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(name)
        made.listen(1)  # the port is taken from now on, though nobody is answered before the start
    except OSError as error:
        unused.close()
        raise BindFailed(error.strerror or str(error)) from None
    return made


def _name(listener: Listener, listening: socket.socket) -> str:
    if isinstance(listener.address, UnixAddress):
        return str(listener.address)
    return str(TcpAddress(listener.address.host, listening.getsockname()[1]))
