"""The settings of what an issuer is asked about tokens: introspection and userinfo.

Input: configuration, already of the right types. Output: settings that are valid by themselves.
Secrets are named here, and read where they are used.
"""

from __future__ import annotations

from typing import Final

import msgspec

LONGEST_TIMEOUT: Final = 30.0
LONGEST_CACHE: Final = 3600
_WAYS: Final = ("client_secret_file", "client_secret_env", "private_key_file")
DEFAULT_TIMEOUT: Final = 2.0
DEFAULT_CACHE: Final = 60
DEFAULT_NEGATIVE_CACHE: Final = 5


class InvalidAsking(ValueError):
    """A setting is invalid. `setting` is its name in the configuration."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(problem)
        self.setting = setting


class IntrospectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an issuer is asked about opaque tokens (RFC 7662).

    `endpoint` is where; without it, it is discovered from the issuer. policyd is `client_id` there,
    and shows it by a secret (`client_secret_file`, `client_secret_env`) or by a signature with the
    JWK of `private_key_file`, made out to `assertion_audience` (without it: the issuer).
    `access_tokens_only` says that the endpoint calls no other token active, so that `token_type`
    may be missing. `timeout` bounds a question; `cache_seconds` how long an active token is taken
    to stay so, `negative_cache_seconds` how long any other answer, or its absence, counts. All
    three are in seconds.

    Raises `InvalidAsking`.
    """

    client_id: str
    endpoint: str | None = None
    client_secret_file: str | None = None
    client_secret_env: str | None = None
    private_key_file: str | None = None
    assertion_audience: str | None = None
    access_tokens_only: bool = False
    timeout: float = DEFAULT_TIMEOUT
    cache_seconds: int = DEFAULT_CACHE
    negative_cache_seconds: int = DEFAULT_NEGATIVE_CACHE

    def __post_init__(self) -> None:
        if not self.client_id or not self.client_id.isprintable():
            raise InvalidAsking("client_id", "must be the name of a client at the issuer")
        ways = [name for name in _WAYS if getattr(self, name) is not None]
        if not ways:
            raise InvalidAsking(
                "client_secret_file",
                f"is missing: give one of {', '.join(_WAYS)}, with which policyd shows who it is",
            )
        if len(ways) > 1:
            raise InvalidAsking(ways[1], f"excludes `{ways[0]}`: give one of the two")
        if self.assertion_audience is not None and self.private_key_file is None:
            raise InvalidAsking("assertion_audience", "is of use with `private_key_file` alone")
        _check_seconds("timeout", self.timeout, 0.1, LONGEST_TIMEOUT)
        _check_seconds("cache_seconds", self.cache_seconds, 1, LONGEST_CACHE)
        _check_seconds("negative_cache_seconds", self.negative_cache_seconds, 1, LONGEST_CACHE)


class UserinfoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an issuer is asked about users (OpenID Connect Core 1.0, section 5.3).

    `endpoint` is where; without it, it is discovered from the issuer. `timeout` bounds a question,
    `cache_seconds` how long an answer counts, `negative_cache_seconds` how long its absence does,
    in seconds. Raises `InvalidAsking`.
    """

    endpoint: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    cache_seconds: int = DEFAULT_CACHE
    negative_cache_seconds: int = DEFAULT_NEGATIVE_CACHE

    def __post_init__(self) -> None:
        _check_seconds("timeout", self.timeout, 0.1, LONGEST_TIMEOUT)
        _check_seconds("cache_seconds", self.cache_seconds, 1, LONGEST_CACHE)
        _check_seconds("negative_cache_seconds", self.negative_cache_seconds, 1, LONGEST_CACHE)


def _check_seconds(setting: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InvalidAsking(setting, f"must be from {least:g} to {most:g} seconds")
