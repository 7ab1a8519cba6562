"""The tables of `policyd.toml` as pydantic reads them: keys, types and bounds, one class a table.

What takes more than one key to judge is judged in `policyd.server.config`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

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
    decision_log: DecisionLogTable = DecisionLogTable()
    log: Log = Log()
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
    "decision_log": DecisionLogTable,
    "log": Log,
    "issuers": Issuer,
}
