"""The settings of an issuer: whose tokens are accepted, for which APIs, signed how.

Input: configuration, already of the right types. Output: `IssuerSettings` that are valid by
themselves (`IssuerSettings(…)` raises otherwise) and together (`check_issuers`). Nothing here does
I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, get_args

import msgspec

from policyd.diagnostics.suggest import closest
from policyd.errors import PolicydError
from policyd.tokens.algorithms import ALGORITHMS, canonical_algorithm
from policyd.tokens.details import escaped
from policyd.tokens.settings import issuer_names
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.endpoints import IntrospectionSettings, UserinfoSettings
from policyd.tokens.urls import check_url, host_and_port

LONGEST_LEEWAY: Final = 60
RequiredBinding = Literal[False, "dpop", "mtls", "any"]
_GOOGLE: Final = ("https://accounts.google.com", "accounts.google.com")
DEFAULT_ALGORITHMS: Final = ("RS256",)
DEFAULT_LEEWAY: Final = 30
DEFAULT_MAX_STALE: Final = 3600


class InvalidIssuerSettings(PolicydError):
    """A setting of an issuer is invalid. `setting` is its name in the configuration."""

    def __init__(self, issuer: str, setting: str, problem: str) -> None:
        super().__init__(f"issuer {escaped(issuer)}: `{setting}` {problem}")
        self.issuer = issuer
        self.setting = setting


class IssuerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One configured issuer.

    `issuer` is compared with `iss` character for character. Keys come from `jwks_file`, from
    `jwks_uri`, or, with neither, from the issuer's own discovery document, whose `jwks_uri` must
    stay on the issuer's host and port or on one of `jwks_hosts`, of which each is a host, for the
    port 443, or host:port. `apis` are the names of the APIs that this
    issuer may speak for; `None` means all, which only a sole issuer may. `leeway`, `max_token_age`
    and `max_stale` are in seconds: the clocks' difference granted to `exp`, `nbf` and `iat`; the
    age by `iat` past which a token counts as expired; and how long keys serve after the time at
    which they should have been renewed. `single_audience` refuses tokens that are meant for several
    APIs. `ca_file` replaces the system's certificate authorities. `require_binding` refuses tokens
    that are not bound to their sender by DPoP, by mutual TLS, or by any of the two.

    `dialects` are the dialects that there are, by name: policyd's own and those of the
    configuration. `clients` are, by the name of an API, the applications whose tokens for it may
    lack `aud`, where the dialect has such tokens. With `introspection` the issuer is asked about
    opaque tokens, with `userinfo` about users.

    Raises `InvalidIssuerSettings`.
    """

    issuer: str
    dialect: str
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    jwks_file: str | None = None
    jwks_uri: str | None = None
    jwks_hosts: tuple[str, ...] = ()
    ca_file: str | None = None
    allow_http_loopback: bool = False
    apis: frozenset[str] | None = None
    leeway: int = DEFAULT_LEEWAY
    max_token_age: int | None = None
    single_audience: bool = False
    max_stale: int = DEFAULT_MAX_STALE
    require_binding: RequiredBinding = False
    introspection: IntrospectionSettings | None = None
    userinfo: UserinfoSettings | None = None
    dialects: Mapping[str, Dialect] = msgspec.field(default_factory=lambda: DIALECTS)
    clients: Mapping[str, frozenset[str]] = msgspec.field(default_factory=dict)

    @property
    def dialect_row(self) -> Dialect:
        """The row of the dialect that `dialect` names."""
        return self.dialects[self.dialect]

    def __post_init__(self) -> None:
        self._check_name()
        self._check_dialect()
        self._check_clients()
        self._check_algorithms()
        self._check_keys()
        self._check_times()
        self._check_asking()
        if self.require_binding not in get_args(RequiredBinding):
            raise self._invalid("require_binding", 'must be false, "dpop", "mtls" or "any"')
        if self.apis is not None and not self.apis:
            raise self._invalid("apis", "is empty: name an API, or leave it out to mean all")

    def _invalid(self, setting: str, problem: str) -> InvalidIssuerSettings:
        return InvalidIssuerSettings(self.issuer, setting, problem)

    def _check_name(self) -> None:
        if not self.issuer or not self.issuer.isprintable() or " " in self.issuer:
            raise self._invalid("issuer", "must be the exact `iss` of its tokens, usually a URL")
        if self.issuer.rstrip("/") in _GOOGLE:
            raise self._invalid(
                "issuer", "is Google, whose JWTs are ID tokens: they open no API of yours"
            )
        problem = issuer_names.problem_of(self.issuer, self.dialect)
        if problem is not None:
            raise self._invalid("issuer", problem)

    def _check_dialect(self) -> None:
        if self.dialect not in self.dialects:
            known = tuple(self.dialects)
            raise self._invalid(
                "dialect", f"is {escaped(self.dialect)}{_instead(self.dialect, known)}"
            )

    def _check_clients(self) -> None:
        if self.clients and not self.dialect_row.audience_by_client:
            raise self._invalid(
                "clients",
                f"says whose tokens may lack `aud`, and every token of the dialect {self.dialect} "
                "must have it: leave it out",
            )
        for api, clients in self.clients.items():
            if self.apis is not None and api not in self.apis:
                raise self._invalid(
                    "clients", f"names {escaped(api)}, which is not one of its `apis`"
                )
            if not clients or "" in clients:
                raise self._invalid(
                    "clients", f"names no application for {escaped(api)}: name one, or leave it out"
                )

    def _check_algorithms(self) -> None:
        if not self.algorithms:
            raise self._invalid("algorithms", "is empty: no token could be accepted")
        for name in self.algorithms:
            if name.upper().startswith("HS"):
                raise self._invalid(
                    "algorithms",
                    f"has {escaped(name)}: shared secrets (HMAC) are not supported, "
                    "use an asymmetric algorithm such as RS256",
                )
            if name.lower() == "none":
                raise self._invalid("algorithms", "has 'none': unsigned tokens prove nothing")
            if canonical_algorithm(name) not in ALGORITHMS:
                raise self._invalid(
                    "algorithms", f"has {escaped(name)}{_instead(name, ALGORITHMS)}"
                )

    def _check_keys(self) -> None:
        if self.jwks_file is not None and self.jwks_uri is not None:
            raise self._invalid("jwks_uri", "excludes `jwks_file`: give one of the two")
        for host in self.jwks_hosts:
            try:
                host_and_port(host)
            except ValueError as problem:
                raise self._invalid("jwks_hosts", f"has {escaped(host)}: {problem}") from None
        if self.jwks_file is not None:
            return
        setting = "issuer" if self.jwks_uri is None else "jwks_uri"
        try:
            check_url(self.jwks_uri or self.issuer, loopback_http=self.allow_http_loopback)
        except ValueError as problem:
            hint = "" if self.jwks_uri else " (keys are discovered there: no jwks_file, jwks_uri)"
            raise self._invalid(setting, f"{problem}{hint}") from None

    def _check_asking(self) -> None:
        for setting, asking in (("introspection", self.introspection), ("userinfo", self.userinfo)):
            if asking is None:
                continue
            try:
                check_url(asking.endpoint or self.issuer, loopback_http=self.allow_http_loopback)
            except ValueError as problem:
                hint = "" if asking.endpoint else " (the issuer, where `endpoint` is discovered)"
                raise self._invalid(setting, f"`endpoint` {problem}{hint}") from None

    def _check_times(self) -> None:
        if not 0 <= self.leeway <= LONGEST_LEEWAY:
            raise self._invalid("leeway", f"must be from 0 to {LONGEST_LEEWAY} seconds")
        if self.max_token_age is not None and self.max_token_age <= 0:
            raise self._invalid("max_token_age", "must be a positive number of seconds")
        if self.max_stale < 0:
            raise self._invalid("max_stale", "must not be negative")


def check_issuers(issuers: Sequence[IssuerSettings]) -> None:
    """Check what only shows when the issuers stand together. Raises `InvalidIssuerSettings`."""
    names: set[str] = set()
    for settings in issuers:
        if settings.issuer in names:
            raise InvalidIssuerSettings(settings.issuer, "issuer", "is configured twice")
        names.add(settings.issuer)
        if settings.apis is None and len(issuers) > 1:
            raise InvalidIssuerSettings(
                settings.issuer,
                "apis",
                "is missing: with several issuers, each must name the APIs it may speak for",
            )
    _check_introspection(issuers)


def _check_introspection(issuers: Sequence[IssuerSettings]) -> None:
    """An opaque token does not say whose it is, so each API has one issuer to ask at most."""
    asked: dict[str, str] = {}
    for settings in issuers:
        for api in (settings.apis or ()) if settings.introspection is not None else ():
            if api in asked:
                raise InvalidIssuerSettings(
                    settings.issuer,
                    "introspection",
                    f"conflicts with that of {escaped(asked[api])}, which speaks for the API "
                    f"{escaped(api)} too: an opaque token does not say which of the two to ask",
                )
            asked[api] = settings.issuer


def shared_apis(issuers: Iterable[IssuerSettings], asserted: Iterable[str] = ()) -> frozenset[str]:
    """Return the names of the APIs that more than one issuer may speak for.

    A sole issuer without `apis` shares none; with several, each names its own (`check_issuers`).
    Who asserts subjects of an API that is among `asserted` is one more issuer.
    """
    issuers = tuple(issuers)
    named = Counter(api for issuer in issuers for api in issuer.apis or ())
    shared = {api for api, number in named.items() if number > 1}
    shared.update(
        api
        for api in asserted
        if any(issuer.apis is None or api in issuer.apis for issuer in issuers)
    )
    return frozenset(shared)


def _instead(word: str, known: Sequence[str]) -> str:
    similar = closest(word, known)
    if similar is not None:
        return f"; did you mean {similar}?"
    return f", which is not one of {', '.join(known)}"
