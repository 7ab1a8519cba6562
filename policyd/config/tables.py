"""The tables of `policyd.toml`: keys, types, bounds and defaults, one class a table.

`policyd.config.reading` holds a file against them. What takes more than one key to judge is
judged in `policyd.config.configuration`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from policyd.audit.log import DEFAULT_CAPACITY, DEFAULT_CAPACITY_BYTES, Durability, WhenFull
from policyd.audit.spool import DEFAULT_MAX_BYTES
from policyd.config.authzen_tables import AuthzenDatabase as AuthzenDatabase
from policyd.config.authzen_tables import AuthzenTable as AuthzenTable
from policyd.config.authzen_tables import EntityTable as EntityTable
from policyd.config.fields import (
    AccountName,
    EnvironmentName,
    FieldName,
    PathText,
    ScopeToken,
    Seconds,
)
from policyd.config.fields import Table as Table
from policyd.config.identity_names import NAMES
from policyd.config.limits import DEFAULT_WAITING_CALLS, DEFAULT_WAITING_THREADS, Limits
from policyd.config.policy_tables import Bundle as Bundle
from policyd.config.policy_tables import Git as Git
from policyd.config.policy_tables import Policies as Policies
from policyd.config.policy_tables import Shadow as Shadow
from policyd.config.request_limits import DEFAULTS as MESSAGES
from policyd.config.sink_tables import SinkTable as SinkTable
from policyd.decision.model import MAX_DECISION_AGE
from policyd.sources.revocations.settings import DEFAULT_KEY, DEFAULT_LONGEST_TOKEN_LIFE
from policyd.tokens.revocation.revocation_list import DEFAULT_MAX_STALENESS, ClaimNames
from policyd.tokens.settings.dialect import Dialect, ScopeForm
from policyd.tokens.settings.dpop import DEFAULTS as DPOP
from policyd.tokens.settings.endpoints import (
    DEFAULT_CACHE,
    DEFAULT_NEGATIVE_CACHE,
    DEFAULT_TIMEOUT,
)
from policyd.tokens.settings.issuers import (
    DEFAULT_ALGORITHMS,
    DEFAULT_LEEWAY,
    DEFAULT_MAX_STALE,
    RequiredBinding,
)
from policyd.tokens.validator import (
    DEFAULT_CACHE_BYTES,
    DEFAULT_CACHE_ENTRIES,
    DEFAULT_TOKEN_BYTES,
    LONGEST_TOKEN_BYTES,
)

#: What holds where the file says nothing, from those whom it concerns.
CALLS = Limits()
DIALECT = Dialect()
CLAIMS = ClaimNames()
Share = Annotated[float, Meta(gt=0, le=1, description="a share, above 0 and at most 1")]


class Tls(Table, frozen=True):
    """PEM files. With `client_authorities`, callers must present a certificate of theirs."""

    certificate: PathText
    private_key: PathText
    client_authorities: PathText | None = None


class Server(Table, frozen=True):
    """How the daemon is reached. Times are in seconds.

    `explain_listen` are the listeners that offer explanations besides; they show rules and values.
    `admin_listen` are those for operators: Unix sockets, or with client authorities.
    `transport` is how calls are carried: `event`, where it passes a test at start, or `standard`.
    `threads` is the size of the standard one's pool, which grows where its threads are held up.
    `waiting_threads` ask issuers about opaque tokens and users, for at most `max_waiting` calls at
    a time. `workers` is the number of processes, which share the ports; one that gives no sign of
    life for `worker_timeout` is replaced. `max_message_bytes`,
    `max_values` (in properties and context together) and `max_batch_items` bound one message.
    `drain` is how long the daemon still takes calls after it says NOT_SERVING, `grace` how long
    calls under way may take from then on.
    """

    listen: tuple[str, ...] = ("127.0.0.1:8181",)
    explain_listen: tuple[str, ...] = ()
    admin_listen: tuple[str, ...] | None = None
    default_api: str = ""
    insecure: bool = False
    tls: Tls | None = None
    transport: Literal["event", "standard"] = "event"
    threads: Annotated[int, Meta(ge=1, le=64)] = CALLS.threads
    waiting_threads: Annotated[int, Meta(ge=1, le=256)] = DEFAULT_WAITING_THREADS
    max_waiting: Annotated[int, Meta(ge=1, le=100_000)] = DEFAULT_WAITING_CALLS
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    worker_timeout: Annotated[float, Meta(ge=2, le=3600)] = 30.0
    max_message_bytes: Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)] = CALLS.message_bytes
    max_values: Annotated[int, Meta(ge=1, le=1_000_000)] = MESSAGES.values
    max_batch_items: Annotated[int, Meta(ge=1, le=100_000)] = MESSAGES.batch_items
    max_calls: Annotated[int, Meta(ge=1, le=100_000)] = CALLS.calls
    max_streams: Annotated[int, Meta(ge=1, le=10_000)] = CALLS.streams
    max_calls_per_connection: Annotated[int, Meta(ge=1, le=100_000)] = CALLS.calls_per_connection
    max_unfinished_bytes: Annotated[int, Meta(ge=1024 * 1024, le=2**40)] = CALLS.unfinished_bytes
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = CALLS.connections
    receive_timeout: Annotated[float, Meta(ge=0.1, le=3600)] = CALLS.receive_timeout
    send_timeout: Annotated[float, Meta(ge=0.1, le=3600)] = CALLS.send_timeout
    handshake_timeout: Annotated[float, Meta(ge=0.1, le=3600)] = CALLS.handshake_timeout
    max_connection_idle: Annotated[float, Meta(ge=0, le=1_000_000)] = 3600.0
    max_connection_age: Annotated[float, Meta(ge=0, le=1_000_000)] = CALLS.connection_age
    max_connection_age_grace: Annotated[float, Meta(ge=0, le=1_000_000)] = (
        CALLS.connection_age_grace
    )
    max_decision_age: Annotated[int, Meta(ge=0, le=3600)] = MAX_DECISION_AGE
    drain: Seconds = 0.5
    grace: Seconds = 10.0


class Tokens(Table, frozen=True):
    """Limits of token validation: the longest token that is looked at, and the cache of verified
    tokens, in entries and (by estimate) bytes; 0 entries turn it off."""

    max_token_bytes: Annotated[int, Meta(ge=1, le=LONGEST_TOKEN_BYTES)] = DEFAULT_TOKEN_BYTES
    cache_entries: Annotated[int, Meta(ge=0)] = DEFAULT_CACHE_ENTRIES
    cache_bytes: Annotated[int, Meta(ge=0)] = DEFAULT_CACHE_BYTES


class Dpop(Table, frozen=True):
    """DPoP proofs; the meanings are those of `policyd.tokens.settings.dpop.DpopSettings`.

    `nonce_secret_file` holds the secret that nonces are made from; without one the daemon makes one
    at each start.
    """

    enabled: bool = DPOP.enabled
    max_age: int = DPOP.max_age
    leeway: int = DPOP.leeway
    algorithms: tuple[str, ...] = DPOP.algorithms
    nonce: bool = DPOP.nonce
    nonce_secret_file: PathText | None = None
    nonce_lifetime: int = DPOP.nonce_lifetime
    replay_entries: int = DPOP.replay_entries
    replay_per_key: int = DPOP.replay_per_key


class DecisionLogTable(Table, frozen=True):
    """Where decision records go: to a file and to `sinks`, or with none to standard output.

    `spool` is the folder where they wait for several sinks or remote ones, in `max_bytes` at most.
    `capacity` is how many may wait to be written, `capacity_bytes` how much of the memory they may
    take meanwhile, by estimate. `durability` says when a record is on the disk, and `when_full`
    what becomes of answers whose records cannot be taken. `sample_allows` is the share of allows
    that are recorded, `sample_allows_of` that of some APIs. `mask` names facts, such as
    `token.email` or `resource.ssn`, whose values stay out of the log and of explanations.
    """

    path: PathText | None = None
    sinks: tuple[SinkTable, ...] = ()
    spool: PathText | None = None
    max_bytes: Annotated[int, Meta(ge=1024 * 1024, le=1024**5)] = DEFAULT_MAX_BYTES
    capacity: Annotated[int, Meta(ge=1, le=10_000_000)] = DEFAULT_CAPACITY
    capacity_bytes: Annotated[int, Meta(ge=1024 * 1024, le=1024**4)] = DEFAULT_CAPACITY_BYTES
    durability: Durability = "interval"
    when_full: WhenFull = "drop_oldest"
    sample_allows: Share = 1.0
    sample_allows_of: dict[str, Share] = msgspec.field(default_factory=dict)
    mask: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    hash_key_file: PathText | None = None


class Log(Table, frozen=True):
    """The daemon's own log, on standard error. `auto` is text on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Http(Table, frozen=True):
    """Listeners for health, metrics and the metadata of APIs, over plain HTTP; none by default.

    They take no tokens and tell nothing that is secret. With `webhook_secret_file`, they take word
    that a repository changed; the file holds what forges sign that with, one secret a line.
    """

    listen: tuple[str, ...] = ()
    webhook_secret_file: PathText | None = None


class MetadataTable(Table, frozen=True):
    """`in_challenges` is whether challenges name the URL of an API's metadata (RFC 9728): once its
    clients can get it there. `details_in_challenges` is whether they say that a token lacks an
    authorization detail, as only an individual draft has it."""

    in_challenges: bool = False
    details_in_challenges: bool = False


class ApiTable(Table, frozen=True):
    """What is told of an API; see `policyd.pdp.metadata.ApiSettings`."""

    resource: str | None = None
    name: str | None = None
    documentation: str | None = None
    base_scopes: tuple[ScopeToken, ...] = ()


class ListenerTable(Table, frozen=True):
    """A listener: its address, its services, and who may call.

    `callers` are names of client certificates, `spiffe://…` or `dns:NAME`; empty lets in all whom
    the client authorities vouch for. `token_file` holds the secrets that callers over HTTP present,
    one a line. `certificate_header` is the header field in which a gateway tells the certificate
    that its own caller showed. `mode`, `owner` and `group` are those of a Unix socket.
    """

    address: str
    services: tuple[str, ...]
    tls: Tls | None = None
    callers: tuple[str, ...] = ()
    token_file: PathText | None = None
    certificate_header: FieldName | None = None
    mode: Annotated[
        str,
        Meta(pattern=r"^0?[0-7]{3}$", description='permissions in octal, as a text such as "0660"'),
    ] = "0660"
    owner: AccountName | None = None
    group: AccountName | None = None
    insecure: bool = False


class EnvoyTable(Table, frozen=True):
    """How the listeners with `envoy` answer.

    The three header fields tell the service behind Envoy who sent a request, and which decision let
    it pass. With `strip_token`, that service does not get the token. `external_origin` is scheme
    and host of the URLs that clients use, where a proxy before Envoy changes them.
    """

    subject_header: str = NAMES.subject
    client_header: str = NAMES.client
    decision_id_header: str = NAMES.decision_id
    strip_token: bool = False
    external_origin: str | None = None


class DialectTable(Table, frozen=True):
    """A dialect; the meanings are those of `policyd.tokens.settings.dialect.Dialect`.

    The values of a condition are judged there too: no union of types makes good messages.
    """

    at_jwt: bool = DIALECT.at_jwt
    marks: tuple[dict[str, object], ...] = ()
    decisive: bool = DIALECT.decisive
    client_outside_audience: bool = DIALECT.client_outside_audience
    client: tuple[str, ...] = DIALECT.client
    subject: tuple[object, ...] = tuple(way[0] for way in DIALECT.subject)
    scope: str = DIALECT.scope
    scope_form: ScopeForm = DIALECT.scope_form
    permissions: str | None = DIALECT.permissions
    token_id: str = DIALECT.token_id
    required: tuple[str, ...] = ()
    user: tuple[dict[str, object], ...] = ()
    application: tuple[dict[str, object], ...] = ()
    auth_time_tells: bool = DIALECT.auth_time_tells
    user_separator: str | None = None
    application_suffix: str | None = None


class RevocationsRedis(Table, frozen=True):
    """A Redis to share the list by; see `policyd.sources.revocations.RedisSettings`.

    `insecure` allows a plain connection to another machine.
    """

    url: str
    key: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            pattern=r"^[^{}]+$",
            description="a text of 1 to 200 characters without braces",
        ),
    ] = DEFAULT_KEY
    password_file: PathText | None = None
    password_env: EnvironmentName | None = None
    ca_file: PathText | None = None
    certificate: PathText | None = None
    private_key: PathText | None = None
    insecure: bool = False


class RevocationsTable(Table, frozen=True):
    """Where revocations come from; see `policyd.sources.revocations.RevocationSettings`.

    Without the table nobody revokes. Times are in seconds.
    """

    file: PathText | None = None
    redis: RevocationsRedis | None = None
    max_staleness: Annotated[float, Meta(ge=2, le=86_400)] = DEFAULT_MAX_STALENESS
    on_stale: Literal["deny", "allow"] = "deny"
    session_claims: tuple[str, ...] = CLAIMS.session
    organisation_claims: tuple[str, ...] = CLAIMS.organisation
    longest_token_life: Annotated[int, Meta(ge=60, le=3650 * 86_400)] = DEFAULT_LONGEST_TOKEN_LIFE


class Introspection(Table, frozen=True):
    """How an issuer is asked about opaque tokens; the meanings are those of
    `policyd.tokens.settings.endpoints.IntrospectionSettings`."""

    client_id: str
    endpoint: str | None = None
    client_secret_file: PathText | None = None
    client_secret_env: EnvironmentName | None = None
    private_key_file: PathText | None = None
    assertion_audience: str | None = None
    access_tokens_only: bool = False
    timeout: float = DEFAULT_TIMEOUT
    cache_seconds: int = DEFAULT_CACHE
    negative_cache_seconds: int = DEFAULT_NEGATIVE_CACHE


class Userinfo(Table, frozen=True):
    """How an issuer is asked about users; the meanings are those of
    `policyd.tokens.settings.endpoints.UserinfoSettings`."""

    endpoint: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    cache_seconds: int = DEFAULT_CACHE
    negative_cache_seconds: int = DEFAULT_NEGATIVE_CACHE


class Issuer(Table, frozen=True):
    """An issuer; the meanings are those of `policyd.tokens.settings.issuers.IssuerSettings`."""

    issuer: str
    dialect: str
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    jwks_file: PathText | None = None
    jwks_uri: str | None = None
    jwks_hosts: tuple[str, ...] = ()
    ca_file: PathText | None = None
    allow_http_loopback: bool = False
    apis: tuple[str, ...] | None = None
    leeway: int = DEFAULT_LEEWAY
    max_token_age: int | None = None
    single_audience: bool = False
    max_stale: int = DEFAULT_MAX_STALE
    require_binding: RequiredBinding = False
    clients: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - msgspec copies it
    introspection: Introspection | None = None
    userinfo: Userinfo | None = None


class File(Table, frozen=True):
    """The whole file."""

    policies: Policies
    server: Server = Server()
    tokens: Tokens = Tokens()
    dpop: Dpop = Dpop()
    decision_log: DecisionLogTable = DecisionLogTable()
    log: Log = Log()
    http: Http = Http()
    listeners: tuple[ListenerTable, ...] = ()
    authzen: AuthzenTable = AuthzenTable()
    envoy: EnvoyTable = EnvoyTable()
    metadata: MetadataTable = MetadataTable()
    apis: dict[str, ApiTable] = {}  # noqa: RUF012 - msgspec copies it
    dialects: dict[str, DialectTable] = {}  # noqa: RUF012 - msgspec copies it
    revocations: RevocationsTable | None = None
    issuers: tuple[Issuer, ...] = ()
