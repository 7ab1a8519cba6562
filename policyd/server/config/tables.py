"""The tables of `policyd.toml` as pydantic reads them: keys, types and bounds, one class a table.

What takes more than one key to judge is judged in `policyd.server.config.configuration`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from policyd.sources.revocations.settings import DEFAULT_KEY, DEFAULT_LONGEST_TOKEN_LIFE
from policyd.tokens.issuers import RequiredBinding
from policyd.tokens.proof.settings import DEFAULTS as DPOP
from policyd.tokens.revocation.revocation_list import DEFAULT_MAX_STALENESS
from policyd.tokens.validator import (
    DEFAULT_CACHE_BYTES,
    DEFAULT_CACHE_ENTRIES,
    DEFAULT_TOKEN_BYTES,
    LONGEST_TOKEN_BYTES,
)

ENVIRONMENT_PREFIX = "POLICYD_"
NESTED = "__"

Seconds = Annotated[float, Field(ge=0, le=3600)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Policies(Table):
    """`path` is the directory of the policy files."""

    path: str


class Tls(Table):
    """PEM files. With `client_authorities`, callers must present a certificate of theirs."""

    certificate: str
    private_key: str
    client_authorities: str | None = None


class Server(Table):
    """How the daemon is reached. Times are in seconds.

    `explain_listen` are the listeners that offer explanations besides; they show rules and values.
    `transport` is how calls are carried: `event`, where it passes a test at start, or `standard`.
    `threads` is the size of the standard one's pool.
    `waiting_threads` ask issuers about opaque tokens and users, for at most `max_waiting` calls at
    a time. `workers` is the number of
    processes, which share the ports.
    `drain` is how long the daemon still takes calls after it says NOT_SERVING, `grace` how long
    calls under way may take from then on.
    """

    listen: list[str] = ["127.0.0.1:8181"]
    explain_listen: list[str] = []
    default_api: str = ""
    insecure: bool = False
    tls: Tls | None = None
    transport: Literal["event", "standard"] = "event"
    threads: Annotated[int, Field(ge=1, le=64)] = 6
    waiting_threads: Annotated[int, Field(ge=1, le=256)] = 8
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 256
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    max_message_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 4 * 1024 * 1024
    max_batch_items: Annotated[int, Field(ge=1, le=100_000)] = 1000
    max_calls: Annotated[int, Field(ge=1, le=100_000)] = 1000
    max_streams: Annotated[int, Field(ge=1, le=10_000)] = 64
    max_decision_age: Annotated[int, Field(ge=0, le=3600)] = 5
    drain: Seconds = 0.5
    grace: Seconds = 10


class Tokens(Table):
    """Limits of token validation: the longest token that is looked at, and the cache of verified
    tokens, in entries and (by estimate) bytes; 0 entries turn it off."""

    max_token_bytes: Annotated[int, Field(ge=1, le=LONGEST_TOKEN_BYTES)] = DEFAULT_TOKEN_BYTES
    cache_entries: Annotated[int, Field(ge=0)] = DEFAULT_CACHE_ENTRIES
    cache_bytes: Annotated[int, Field(ge=0)] = DEFAULT_CACHE_BYTES


class Dpop(Table):
    """DPoP proofs; the meanings are those of `policyd.tokens.proof.settings.DpopSettings`.

    `nonce_secret_file` holds the secret that nonces are made from; without one the daemon makes one
    at each start.
    """

    enabled: bool = DPOP.enabled
    max_age: int = DPOP.max_age
    leeway: int = DPOP.leeway
    algorithms: list[str] = [*DPOP.algorithms]
    nonce: bool = DPOP.nonce
    nonce_secret_file: str | None = None
    nonce_lifetime: int = DPOP.nonce_lifetime
    replay_entries: int = DPOP.replay_entries
    replay_per_key: int = DPOP.replay_per_key


class DecisionLogTable(Table):
    """Where decision records go: to a file, or with none to standard output.

    `capacity` is how many may wait to be written. `mask` names facts, such as `token.email` or
    `resource.ssn`, whose values stay out of the log and of explanations.
    """

    path: str | None = None
    capacity: Annotated[int, Field(ge=1, le=10_000_000)] = 65_536
    mask: list[str] = []


class Log(Table):
    """The daemon's own log, on standard error. `auto` is text on a terminal and JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json"] = "auto"


class Http(Table):
    """Listeners for health, metrics and the metadata of APIs, over plain HTTP; none by default.

    They take no tokens and tell nothing that is secret.
    """

    listen: list[str] = []


class MetadataTable(Table):
    """`in_challenges` is whether challenges name the URL of an API's metadata (RFC 9728): once its
    clients can get it there."""

    in_challenges: bool = False


class ApiTable(Table):
    """What is told of an API; see `policyd.server.http.metadata.ApiSettings`."""

    resource: str | None = None
    name: str | None = None
    documentation: str | None = None


class DialectTable(Table):
    """A dialect; the meanings are those of `policyd.tokens.dialects.row.Dialect`.

    The values of a condition are judged there too: no union of types makes good messages.
    """

    at_jwt: bool = False
    marks: list[dict[str, object]] = []
    decisive: bool = False
    client_outside_audience: bool = False
    client: list[str] = ["azp", "client_id"]
    subject: list[object] = ["sub"]
    scope: str = "scope"
    scope_form: Literal["text", "list", "either"] = "text"
    permissions: str | None = None
    token_id: str = "jti"
    required: list[str] = []
    user: list[dict[str, object]] = []
    application: list[dict[str, object]] = []
    auth_time_tells: bool = True
    user_separator: str | None = None
    application_suffix: str | None = None


class RevocationsRedis(Table):
    """A Redis to share the list by; see `policyd.sources.revocations.RedisSettings`.

    `insecure` allows a plain connection to another machine.
    """

    url: str
    key: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^{}]+$")] = DEFAULT_KEY
    password_file: str | None = None
    password_env: str | None = None
    ca_file: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    insecure: bool = False


class RevocationsTable(Table):
    """Where revocations come from; see `policyd.sources.revocations.RevocationSettings`.

    Without the table nobody revokes. Times are in seconds.
    """

    file: str | None = None
    redis: RevocationsRedis | None = None
    max_staleness: Annotated[float, Field(ge=2, le=86_400)] = DEFAULT_MAX_STALENESS
    on_stale: Literal["deny", "allow"] = "deny"
    session_claims: list[str] = ["sid"]
    organisation_claims: list[str] = ["org_id", "tid"]
    longest_token_life: Annotated[int, Field(ge=60, le=3650 * 86_400)] = DEFAULT_LONGEST_TOKEN_LIFE


class Introspection(Table):
    """How an issuer is asked about opaque tokens; the meanings are those of
    `policyd.tokens.asking.introspection_settings.IntrospectionSettings`."""

    client_id: str
    endpoint: str | None = None
    client_secret_file: str | None = None
    client_secret_env: str | None = None
    private_key_file: str | None = None
    assertion_audience: str | None = None
    access_tokens_only: bool = False
    timeout: float = 2.0
    cache_seconds: int = 60
    negative_cache_seconds: int = 5


class Userinfo(Table):
    """How an issuer is asked about users; the meanings are those of
    `policyd.tokens.asking.introspection_settings.UserinfoSettings`."""

    endpoint: str | None = None
    timeout: float = 2.0
    cache_seconds: int = 60
    negative_cache_seconds: int = 5


class Issuer(Table):
    """An issuer; the meanings are those of `policyd.tokens.issuers.IssuerSettings`."""

    issuer: str
    dialect: str
    algorithms: list[str] = ["RS256"]
    jwks_file: str | None = None
    jwks_uri: str | None = None
    jwks_hosts: list[str] = []
    ca_file: str | None = None
    allow_http_loopback: bool = False
    apis: list[str] | None = None
    leeway: int = 30
    max_token_age: int | None = None
    single_audience: bool = False
    max_stale: int = 3600
    require_binding: RequiredBinding = False
    clients: dict[str, list[str]] = {}
    introspection: Introspection | None = None
    userinfo: Userinfo | None = None


class File(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=NESTED,
    )

    policies: Policies
    server: Server = Server()
    tokens: Tokens = Tokens()
    dpop: Dpop = Dpop()
    decision_log: DecisionLogTable = DecisionLogTable()
    log: Log = Log()
    http: Http = Http()
    metadata: MetadataTable = MetadataTable()
    apis: dict[str, ApiTable] = {}
    dialects: dict[str, DialectTable] = {}
    revocations: RevocationsTable | None = None
    issuers: list[Issuer] = []

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library names the parameters
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


TABLES: dict[str, type[BaseModel]] = {
    "policies": Policies,
    "server": Server,
    "tls": Tls,
    "tokens": Tokens,
    "dpop": Dpop,
    "decision_log": DecisionLogTable,
    "log": Log,
    "http": Http,
    "metadata": MetadataTable,
    "apis": ApiTable,
    "dialects": DialectTable,
    "revocations": RevocationsTable,
    "redis": RevocationsRedis,
    "issuers": Issuer,
    "introspection": Introspection,
    "userinfo": Userinfo,
}
#: Tables of tables, each under a name that the user gives.
NAMED = frozenset({"apis", "dialects"})
