"""Tokens as real issuers write them: `tests/fixtures/issuers`, and many more like them.

`genuine` makes access tokens of each dialect at random, with everything that is optional there or
not, from a seeded generator: the same seed, the same tokens. `judge` takes a payload through the
pipeline from `kind` to `facts`, as if its signature held.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import msgspec

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.keys.key_set import KeySet
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import ResourceServer, SubjectKind, VerifiedToken
from policyd.tokens.pipeline import PIPELINE
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.steps import Candidate
from policyd.tokens.trust import Trust, issuer_of
from tests.support.tokens import NOW

Claims = dict[str, Json]

FOLDER = Path(__file__).parents[1] / "fixtures" / "issuers"
API = "health"
_STEPS = tuple(step for step in PIPELINE if step.name in ("kind", "time", "audience", "facts"))
_TRUST = Trust(issuers={}, max_token_bytes=0, constraints=SenderConstraints())
_NO_KEYS = FixedKeys(
    KeySet(
        keys={},
        by_algorithm={},
        key_ids=frozenset(),
        ambiguous=frozenset(),
        skipped=(),
        digest=b"",
    )
)


class IssuerToken(msgspec.Struct, frozen=True):
    """A token of one dialect: what stands in it, for an API with these audiences, and whose it is.

    `kind` is what the issuer knows of its subject, and the token perhaps does not tell. `client` is
    empty where tokens name none.
    """

    dialect: str
    name: str
    audiences: frozenset[str]
    header: Mapping[str, Json]
    claims: Mapping[str, Json]
    client: str
    kind: SubjectKind


def fixtures(*names: str) -> list[IssuerToken]:
    """Return the files whose names begin with one of `names`, of all dialects."""
    found = [
        _fixture(file)
        for dialect in DIALECTS
        for file in sorted((FOLDER / dialect).glob("*.json"))
        if file.stem.startswith(names)
    ]
    assert {one.dialect for one in found} == set(DIALECTS)
    return found


def fixture(dialect: str, name: str) -> IssuerToken:
    return _fixture(FOLDER / dialect / f"{name}.json")


def access_token_of(dialect: str) -> IssuerToken:
    """Return a user's token, or a machine's where the issuer has no users."""
    names = (name for name in ("user", "machine") if (FOLDER / dialect / f"{name}.json").exists())
    return fixture(dialect, next(names))


def _fixture(file: Path) -> IssuerToken:
    content = json.loads(file.read_text(encoding="utf-8"))
    claims: Claims = content["payload"]
    is_id_token = file.stem.startswith("id_token")
    named = ("aud",) if is_id_token else ("azp", "client_id", "cid", "appid")
    client = next((claims[name] for name in named if name in claims), "")
    return IssuerToken(
        dialect=file.parent.name,
        name=file.stem,
        audiences=frozenset(content["audiences"]),
        header=content["header"],
        claims=claims,
        client=str(client),
        kind="application" if file.stem.startswith("machine") else "user",
    )


def judge(
    token: IssuerToken, dialect: Dialect | str | None = None, *audiences: str
) -> VerifiedToken:
    """Take a token from `kind` to `facts`, in its dialect or in another. Raises `TokenRefused`.

    The API has the token's audiences and these besides, and knows the token's application.
    """
    row = dialect if isinstance(dialect, Dialect) else DIALECTS[dialect or token.dialect]
    settings = IssuerSettings(
        issuer=str(token.claims["iss"]),
        dialect="judged",
        dialects={"judged": row},
        jwks_file="unused.json",
        clients={API: frozenset((token.client,))} if row.audience_by_client else {},
    )
    server = ResourceServer(API, token.audiences | frozenset(audiences))
    candidate = Candidate("", server, NOW, _TRUST)
    candidate.header = jws.read_header(json.dumps(dict(token.header)).encode())
    candidate.claims = dict(token.claims)
    candidate.issuer = issuer_of(settings, _NO_KEYS)
    for step in _STEPS:
        step.run(candidate)
    return candidate.token


def genuine(dialect: str, seed: int, number: int) -> Iterator[IssuerToken]:
    """Make `number` access tokens of a dialect, half of them users' and half machines'."""
    rng = Random(f"{dialect} {seed}")
    for index in range(number):
        kind: SubjectKind = "user" if index % 2 else "application"
        yield _Maker(rng, kind).make(dialect, index)


class _Maker:
    """Makes one token. What is optional is there or not, at random."""

    def __init__(self, rng: Random, kind: SubjectKind) -> None:
        self._rng = rng
        self._kind = kind
        self._client = self._id()
        self._api = rng.choice((f"https://{self._id()}.example/api", f"api://{self._id()}"))
        self._audiences = frozenset((self._api,))
        self._header: Claims = {"alg": "RS256", "kid": self._id()}
        self._claims: Claims = {
            "iss": f"https://{self._id()}.example/",
            "iat": int(NOW) - rng.randrange(0, 3600),
            "exp": int(NOW) + rng.randrange(1, 86_400),
        }

    def make(self, dialect: str, index: int) -> IssuerToken:
        {
            "auth0": self._auth0,
            "auth0-rfc9068": self._auth0_rfc9068,
            "okta": self._okta,
            "entra": self._entra,
            "keycloak": self._keycloak,
            "cognito": self._cognito,
            "kubernetes": self._kubernetes,
            "rfc9068": self._rfc9068,
            "oidc": self._oidc,
        }[dialect]()
        return IssuerToken(
            dialect,
            f"{dialect}-{index}",
            self._audiences,
            self._header,
            self._claims,
            self._client,
            self._kind,
        )

    # -- what they have in common --------------------------------------------------------------

    @property
    def _is_user(self) -> bool:
        return self._kind == "user"

    def _id(self) -> str:
        return f"{self._rng.getrandbits(80):020x}"

    def _maybe(self, more: Claims | None = None, **claims: Json) -> None:
        """Add each of these claims, or not."""
        for name, value in {**claims, **(more or {})}.items():
            if self._rng.random() < 0.4:
                self._claims[name] = value

    def _scopes(self, prefix: str = "") -> list[str]:
        names = ["openid", "profile", "read:patients", "write:patients", "a.b", "x/y"]
        chosen = self._rng.sample(names, self._rng.randrange(1, 5))
        return chosen if not prefix else [f"{prefix}/{name}" for name in ("read", "write")]

    def _audience(self, *others: str) -> None:
        """Write `aud` as text or a list, the API's own perhaps among others."""
        rest = [other for other in others if self._rng.random() < 0.5]
        listed: list[Json] = [self._api, *rest]
        self._rng.shuffle(listed)
        self._claims["aud"] = listed if rest or self._rng.random() < 0.5 else self._api

    def _extras(self) -> None:
        """Add what issuers are told to add."""
        self._maybe(
            {"https://example.com/roles": ["clinician"]},
            groups=["a", "b"],
            org_id=self._id(),
            sid=self._id(),
            acr="urn:example:mfa",
            amr=["pwd", "otp"],
            nbf=int(NOW) - 5,
        )

    # -- each dialect --------------------------------------------------------------------------

    def _auth0(self) -> None:
        rng, claims = self._rng, self._claims
        self._header["typ"] = "JWT"
        self._audience("https://tenant.auth0.com/userinfo", "https://other.example/api")
        claims["azp"] = self._client
        claims["sub"] = f"auth0|{self._id()}" if self._is_user else f"{self._client}@clients"
        machine = rng.choice(("client-credentials", "client_credentials"))
        marks: Claims = {
            "scope": " ".join(self._scopes()),
            "permissions": ["read:patients", "write:patients"],
            "gty": "password" if self._is_user else machine,
        }
        for mark in rng.sample(sorted(marks), rng.randrange(1, 4)):
            claims[mark] = marks[mark]
        self._extras()

    def _auth0_rfc9068(self) -> None:
        self._rfc9068()
        self._claims["sub"] = (
            f"google-oauth2|{self._id()}" if self._is_user else f"{self._client}@clients"
        )
        self._maybe(permissions=["read:patients"])

    def _okta(self) -> None:
        claims = self._claims
        if self._rng.random() < 0.3:  # the org's own authorization server names itself
            self._api = str(claims["iss"])
            self._audiences = frozenset((self._api,))
        claims |= {
            "ver": 1,
            "jti": f"AT.{self._id()}",
            "aud": self._api,
            "cid": self._client,
            "scp": [*self._scopes()],
            "sub": f"{self._id()}@example.com" if self._is_user else self._client,
        }
        if self._is_user:
            claims["uid"] = f"00u{self._id()}"
            self._maybe(auth_time=int(NOW) - 100, email="jane@example.com")
        self._extras()

    def _entra(self) -> None:
        rng, claims = self._rng, self._claims
        self._header["typ"] = "JWT"
        first = rng.random() < 0.5
        self._audiences = frozenset((f"api://{self._api}", self._api))
        claims |= {
            "aud": f"api://{self._api}" if first else self._api,
            "appid" if first else "azp": self._client,
            "appidacr" if first else "azpacr": rng.choice(("0", "1", "2")),
            "ver": "1.0" if first else "2.0",
            "tid": self._id(),
            "oid": self._id(),
            "uti": self._id(),
        }
        if rng.random() < 0.3:  # one registration is the application and the API
            self._client = self._api
            claims |= {"aud": self._api, "appid" if first else "azp": self._api}
        if self._is_user:
            claims |= {"sub": self._id(), "scp": " ".join(self._scopes())}
            self._maybe(name="Jane Doe", preferred_username="jane@example.com", idtyp="user")
        else:
            claims["sub"] = claims["oid"]
            self._maybe(idtyp="app")
        self._maybe(roles=["Patients.Read"], wids=["x"], aio="x", rh="x", nonce="x")
        self._extras()

    def _keycloak(self) -> None:
        rng, claims = self._rng, self._claims
        self._header["typ"] = rng.choice(("JWT", "at+jwt"))
        self._audience("account", self._client)
        claims |= {
            "typ": rng.choice(("Bearer", "DPoP")),
            "azp": self._client,
            "sub": self._id(),
            "jti": self._id(),
            "scope": " ".join(self._scopes()),
        }
        if self._is_user:
            self._maybe(nonce="x", auth_time=int(NOW) - 9, session_state="x", name="Jane Doe")
        else:
            claims[rng.choice(("client_id", "clientId"))] = self._client
            self._maybe(auth_time=0, preferred_username="service-account-x")
        self._maybe(
            realm_access={"roles": ["clinician"]},
            resource_access={"account": {"roles": ["view-profile"]}},
            email_verified=False,
        )
        self._extras()

    def _cognito(self) -> None:
        claims = self._claims
        claims |= {
            "token_use": "access",
            "client_id": self._client,
            "scope": " ".join(["openid", *self._scopes(self._api)]),
            "version": 2,
            "jti": self._id(),
            "auth_time": int(NOW) - 9,
            "sub": self._id() if self._is_user else self._client,
        }
        if self._is_user:
            claims["username"] = "jane"
            self._maybe(device_key="x", origin_jti="x", event_id="x")
        if self._rng.random() < 0.5:
            self._audience()
        self._maybe({"cognito:groups": ["clinicians"]})

    def _kubernetes(self) -> None:
        self._kind, self._client = "application", ""
        namespace, account = self._id(), self._id()
        about: Claims = {
            "namespace": namespace,
            "serviceaccount": {"name": account, "uid": self._id()},
        }
        if self._rng.random() < 0.7:
            about |= {"pod": {"name": self._id(), "uid": self._id()}}
        if self._rng.random() < 0.3:
            about["warnafter"] = int(NOW) + 3607
        self._audience("https://kubernetes.default.svc.cluster.local")
        self._claims |= {
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "nbf": self._claims["iat"],
            "kubernetes.io": about,
        }
        self._maybe(jti=self._id())

    def _rfc9068(self) -> None:
        rng, claims = self._rng, self._claims
        self._header["typ"] = rng.choice(("at+jwt", "AT+JWT", "application/at+jwt"))
        if rng.random() < 0.3:  # one registration is the application and the API
            self._client = self._api
        self._audience("https://other.example/api")
        claims |= {
            "sub": self._id() if self._is_user else self._client,
            "client_id": self._client,
            "jti": self._id(),
        }
        if self._is_user:
            self._maybe(auth_time=int(NOW) - 9, nonce="x", email="jane@example.com")
        self._maybe(scope=" ".join(self._scopes()), roles=["a"], entitlements=["b"])
        self._extras()

    def _oidc(self) -> None:
        rng, claims = self._rng, self._claims
        if rng.random() < 0.5:
            self._header["typ"] = "JWT"
        self._audience("https://other.example/api", "https://id.example/userinfo")
        claims[rng.choice(("azp", "client_id"))] = self._client
        claims["scope"] = " ".join(self._scopes())
        claims["sub"] = self._id() if self._is_user else self._client
        if self._is_user:
            self._maybe(auth_time=int(NOW) - 9, email="jane@example.com")
        self._maybe(jti=self._id(), scp=["x"])
        self._extras()
