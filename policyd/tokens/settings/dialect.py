"""What a dialect is: how one make of issuer writes down what OAuth means, as data.

Input: a table, of policyd's own (`dialect_table`) or of the configuration. Output: a `Dialect`
that is consistent, or `InvalidDialect`. Nothing here looks at tokens, but for `holds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final, Literal

import msgspec

from policyd.errors import PolicydError
from policyd.json_types import Json

ScopeForm = Literal["text", "list", "either"]

#: What may stand in an ID token, so that none of it alone can mark an access token.
ID_TOKEN_CLAIMS: Final = frozenset(
    (
        *("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr"),
        *("azp", "sid", "at_hash", "c_hash", "s_hash", "ver", "idp", "tid", "oid", "events", "act"),
        *("name", "given_name", "family_name", "middle_name", "nickname", "preferred_username"),
        *("profile", "picture", "website", "email", "email_verified", "gender", "birthdate"),
        *("zoneinfo", "locale", "phone_number", "phone_number_verified", "address", "updated_at"),
        *("roles", "groups", "entitlements", "realm_access", "resource_access", "cognito:groups"),
    )
)
#: What says by its text which kind of token this is: that it is there says nothing.
_KIND_CLAIMS: Final = ("typ", "token_use")
#: What an issuer may put into an ID token on demand: a mark, and no decisive one.
_WEAK_MARKS: Final = frozenset(("scope", "scp", "client_id", "permissions"))
#: What names the application that a token was issued to. `azp` is an ID token's claim first.
_CLIENT_CLAIMS: Final = ("azp", "client_id", "cid", "appid")
#: What names the tenant of Entra ID that a token is of.
TENANT: Final = "tid"
#: What has one meaning in every token (RFC 7519, section 4.1).
_REGISTERED: Final = frozenset(("iss", "sub", "aud", "exp", "nbf", "iat"))
_VALUES: Final = "true, false, a text, a list of texts, or { same_as = CLAIM }"


class InvalidDialect(PolicydError):
    """A dialect is invalid. `setting` is the key in question, `advice` says what to do."""

    def __init__(self, setting: str, problem: str, advice: str | None = None) -> None:
        super().__init__(f"`{setting}` {problem}")
        self.setting = setting
        self.advice = advice


class ClaimTest(msgspec.Struct, frozen=True):
    """A test of one claim: that it is there.

    With `texts`, that it is one of them; with `same_as`, that it is the same text as that other
    claim; with `absent`, that it is not there.
    """

    claim: str
    texts: frozenset[str] = frozenset()
    same_as: str | None = None
    absent: bool = False


ClaimTests = tuple[ClaimTest, ...]


class Dialect(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One dialect. Each attribute but the last is a key of `[dialects.NAME]`.

    What makes an access token: with `at_jwt`, the header's `typ`; one of `marks`, where there are
    any; with `client_outside_audience`, that it names its application, which is no audience of it.
    `decisive` says that no ID token ever bears the mark, so that a `nonce`, or the application as
    an audience, says nothing against it.

    `client` are the claims that name the application, which must agree where several are there.
    `subject` are the ways to name the principal; the first whose claims are all there counts.
    `scope` is the claim with the scopes, `scope_form` how they stand in it, `permissions` the claim
    for what the user may do, `token_id` the one that names the token, `required` are the claims
    that every token has.

    `user` and `application` are signs of one or the other; so is `auth_time`, of users, unless
    `auth_time_tells` is false: some issuers write it into each token. `user_separator` stands amid
    a `sub` that can only be a person's, `application_suffix` follows the application's id in a
    `sub` that is the application's own.

    `audience_by_client`: tokens may lack `aud`; they are then for the APIs whose scopes they were
    granted, if those know the application.
    """

    at_jwt: bool = False
    marks: tuple[ClaimTests, ...] = ()
    decisive: bool = False
    client_outside_audience: bool = False
    client: tuple[str, ...] = ("azp", "client_id")
    subject: tuple[tuple[str, ...], ...] = (("sub",),)
    scope: str = "scope"
    scope_form: ScopeForm = "text"
    permissions: str | None = None
    token_id: str = "jti"
    required: frozenset[str] = frozenset()
    user: tuple[ClaimTests, ...] = ()
    application: tuple[ClaimTests, ...] = ()
    auth_time_tells: bool = True
    user_separator: str | None = None
    application_suffix: str | None = None
    audience_by_client: bool = False

    @cached_property
    def sole_marks(self) -> frozenset[str]:
        """The claims that mark an access token by being there, alone: most marks are such."""
        return frozenset(
            mark[0].claim for mark in self.marks if mark == (ClaimTest(mark[0].claim),)
        )

    @property
    def marks_users(self) -> bool:
        """Whether tokens tell users by something else than the time of a login."""
        return bool(self.user) or self.user_separator is not None

    @cached_property
    def names_tenant(self) -> bool:
        """Whether a principal is named within a tenant, as Entra ID's are."""
        return any(TENANT in way for way in self.subject)

    @cached_property
    def naming_claims(self) -> tuple[str, ...]:
        """The claims that may name the application, in this dialect or in another."""
        return tuple(dict.fromkeys((*self.client, *_CLIENT_CLAIMS)))


def holds(condition: ClaimTests, claims: Mapping[str, Json]) -> bool:
    """Tell whether every test of a condition holds."""
    for test in condition:
        if test.claim not in claims:
            if test.absent:
                continue
            return False
        if test.absent:
            return False
        if test.texts:
            value = claims[test.claim]
            if not isinstance(value, str) or value not in test.texts:
                return False
        elif test.same_as is not None:
            value = claims[test.claim]
            if not isinstance(value, str) or value != claims.get(test.same_as):
                return False
    return True


def one_holds(conditions: tuple[ClaimTests, ...], claims: Mapping[str, Json]) -> bool:
    """Tell whether one of several conditions holds."""
    for condition in conditions:  # noqa: SIM110 - half the cost of `any` over a generator
        if holds(condition, claims):
            return True
    return False


def described(condition: ClaimTests) -> str:
    """Return a condition in words, for messages."""
    return " and ".join(_described(test) for test in condition)


def _described(test: ClaimTest) -> str:
    if test.absent:
        return f"no `{test.claim}`"
    if test.texts:
        return f"`{test.claim}` {' or '.join(sorted(test.texts))}"
    if test.same_as is not None:
        return f"`{test.claim}` equal to `{test.same_as}`"
    return f"`{test.claim}`"


def read_conditions(setting: str, tables: Iterable[Mapping[str, object]]) -> tuple[ClaimTests, ...]:
    """Read conditions as they are written: each a table from claims to what they must be.

    `true` means there, `false` not there, a text or a list of texts that it is one of them, and
    `{ same_as = OTHER }` the same text as another claim. Raises `InvalidDialect`.
    """
    return tuple(_condition(setting, table) for table in tables)


def _condition(setting: str, table: Mapping[str, object]) -> ClaimTests:
    if not table:
        raise InvalidDialect(
            setting, "holds an empty table, which every token fits", "name a claim in it"
        )
    return tuple(_test(setting, claim, value) for claim, value in table.items())


def _test(setting: str, claim: str, value: object) -> ClaimTest:
    if isinstance(value, bool):
        return ClaimTest(claim, absent=not value)
    if isinstance(value, str):
        return ClaimTest(claim, frozenset((value,)))
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return ClaimTest(claim, frozenset(value))
    if isinstance(value, dict) and value.keys() == {"same_as"}:
        other = value["same_as"]
        if isinstance(other, str) and other != claim:
            return ClaimTest(claim, same_as=other)
    raise InvalidDialect(
        setting, f"has an unsupported test for claim `{claim}`", f"write {_VALUES}"
    )


def check_dialect(dialect: Dialect) -> None:
    """Check a dialect of the configuration. Raises `InvalidDialect`."""
    _check_marks(dialect)
    _check_names(dialect)
    both = set(dialect.user) & set(dialect.application)
    if both:
        raise InvalidDialect(
            "application",
            f"holds a sign of users too: {described(both.pop())}",
            "let each sign stand for one of the two",
        )
    for setting in ("application_suffix", "user_separator"):
        if getattr(dialect, setting) == "":
            raise InvalidDialect(setting, "is empty", "leave it out")


def _check_marks(dialect: Dialect) -> None:
    if not dialect.at_jwt and not dialect.marks:
        raise InvalidDialect(
            "marks",
            "is missing: nothing would tell access tokens from ID tokens",
            "set `at_jwt = true`, or name what access tokens alone carry: "
            "`marks = [{ cid = true }]`",
        )
    for mark in dialect.marks:
        _check_mark(mark, decisive=dialect.decisive)


def _check_mark(mark: ClaimTests, *, decisive: bool) -> None:
    for test in mark:
        if test.claim in _KIND_CLAIMS and not test.texts:
            raise InvalidDialect(
                "marks",
                f"asks of `{test.claim}` no more than whether it is there, "
                "which ID tokens of the same issuer have too",
                f'say what it is in access tokens: `{test.claim} = "…"`',
            )
        if test.claim in _KIND_CLAIMS and "id" in {text.lower() for text in test.texts}:
            raise InvalidDialect(
                "marks",
                f"asks for {_described(test)}, which is what ID tokens have",
                "no such token is ever accepted",
            )
    telling = {test.claim for test in mark if not test.absent} - ID_TOKEN_CLAIMS
    if not telling:
        raise InvalidDialect(
            "marks",
            f"takes {described(mark)} for the mark of an access token, "
            "and ID tokens may have it too",
            "name a claim that access tokens alone carry, or set `at_jwt = true`",
        )
    if decisive and not telling - _WEAK_MARKS:
        raise InvalidDialect(
            "decisive",
            f"is set, but some issuers put {described(mark)} into ID tokens",
            "leave `decisive` out: a `nonce`, or the application as an audience, then refuses",
        )


def _check_names(dialect: Dialect) -> None:
    lists: dict[str, tuple[str, ...]] = {
        "client": dialect.client,
        "subject": tuple("\n".join(way) for way in dialect.subject),
        "scope": (dialect.scope,),
        "token_id": (dialect.token_id,),
        "required": tuple(dialect.required),
        "permissions": ("permissions",) if dialect.permissions is None else (dialect.permissions,),
    }
    for setting, names in lists.items():
        if "" in names or (not names and setting != "required"):
            raise InvalidDialect(setting, "names no claim", "name one, or leave the key out")
        if len(set(names)) < len(names):
            raise InvalidDialect(setting, "names a claim twice")
        if setting not in ("subject", "required") and not _REGISTERED.isdisjoint(names):
            name = min(_REGISTERED.intersection(names))
            raise InvalidDialect(setting, f"names `{name}`, which has another meaning everywhere")
    for way in dialect.subject:
        if "" in way or len(set(way)) < len(way):
            raise InvalidDialect("subject", "joins a claim with itself, or with none")
    if dialect.permissions == dialect.scope:
        raise InvalidDialect(
            "permissions",
            "is the claim of the scopes: what a user may do is not what an application was granted",
        )
