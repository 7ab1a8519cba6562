"""The settings of the sources of revocations."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from policyd.tokens.revocation.revocation_list import DEFAULT_MAX_STALENESS, ClaimNames

DEFAULT_LONGEST_TOKEN_LIFE: Final = 30 * 86_400
DEFAULT_KEY: Final = "policyd:revocations"


class RedisSettings(msgspec.Struct, frozen=True):
    """The Redis that holds a shared list.

    `host` is empty and `path` is set for a Unix socket. The password is read again for each
    connection: from `password_file`, else from the environment variable `password_env`. With `tls`
    the server's certificate is checked against `ca_file`, or the system's authorities;
    `certificate` and `private_key` are PEM files of policyd's own. `key` is the name of the stream,
    and the other keys are named after it.
    """

    host: str
    port: int = 6379
    path: Path | None = None
    database: int = 0
    username: str | None = None
    password_file: Path | None = None
    password_env: str | None = None
    tls: bool = False
    ca_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    key: str = DEFAULT_KEY

    def __str__(self) -> str:
        """Name the server, without a secret."""
        return f"unix:{self.path}" if self.path is not None else f"{self.host}:{self.port}"


class RevocationSettings(msgspec.Struct, frozen=True):
    """The sources of the list: `file`, `redis`, or both.

    Times are in seconds. If a source has not answered for longer than `max_staleness`, its list
    refuses every token, unless `deny_when_stale` is false. No token may be valid for longer than
    `longest_token_life`.
    """

    file: Path | None = None
    redis: RedisSettings | None = None
    max_staleness: float = DEFAULT_MAX_STALENESS
    deny_when_stale: bool = True
    claims: ClaimNames = ClaimNames()
    longest_token_life: int = DEFAULT_LONGEST_TOKEN_LIFE
