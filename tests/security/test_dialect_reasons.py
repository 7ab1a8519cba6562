"""Every reason for which a token is refused, with tokens as each dialect's issuer writes them.

Each differs in one respect from the dialect's own user token, which is accepted.
`test_reasons` has the reasons that rules give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from policyd.json_types import Json
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.keys.source import FixedKeys, KeySource
from policyd.tokens.model import ResourceServer
from policyd.tokens.revocation.model import RevocationKind
from policyd.tokens.revocation.revocation_list import RevocationList
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.validator import Validator
from tests.support.issuer_tokens import API, access_token_of, fixture
from tests.support.revocations import revoked
from tests.support.tokens import (
    NOW,
    Clock,
    FakeFetch,
    issuer,
    key,
    key_set,
    reason,
    settings,
    token,
    unsigned,
    verify,
    without,
)

NAMED: Final = {"kid": key().key_id}


class Trusted:
    """A dialect's issuer, a token of it, and an API that the token is for."""

    def __init__(self, dialect: str) -> None:
        one = access_token_of(dialect)
        self.dialect = dialect
        self.claims = dict(one.claims)
        self.header: dict[str, Json] = {**one.header, **NAMED}
        self.api = ResourceServer(API, one.audiences)
        self._clients = (
            {API: frozenset((one.client,))} if DIALECTS[dialect].audience_by_client else {}
        )
        self.validator = self.with_keys(FixedKeys(key_set()))

    def with_keys(self, keys: KeySource, revocations: RevocationList | None = None) -> Validator:
        """Return a validator that trusts this issuer."""
        of = issuer(
            keys,
            issuer=self.claims["iss"],
            dialect=self.dialect,
            apis=frozenset((API,)),
            clients=self._clients,
        )
        return Validator([of]) if revocations is None else Validator([of], revocations=revocations)

    def text(self, header: Mapping[str, Json] | None = None, **changes: Json) -> str:
        """Return the token with some of it changed."""
        return token({**self.claims, **changes}, header={**self.header, **(header or {})})

    def reason(self, text: str, of: Validator | None = None) -> str:
        """Return why a token is refused, by an issuer that accepts the one that it changes."""
        assert verify(self.text(), self.validator, self.api).issuer == self.claims["iss"]
        return reason(text, of or self.validator, self.api)


def _id_token(of: Trusted) -> str:
    one = fixture(of.dialect, "id_token")
    return of.reason(token({**one.claims, "iss": of.claims["iss"]}, header={**one.header, **NAMED}))


def _keys_that_fail(of: Trusted, *, came_once: bool, **header: Json) -> str:
    fetch = FakeFetch(key())
    keys = RefreshedKeys(settings(), fetch, Clock(), lambda _: None)
    if came_once:
        keys.refresh()
    fetch.fail()
    keys.refresh()
    return of.reason(of.text(header), of.with_keys(keys))


def _revoked_subject(of: Trusted) -> str:
    subject = verify(of.text(), of.validator, of.api).subject
    revocations = RevocationList(clock=Clock(0))
    revocations.replace(())
    revocations.confirm()
    keys = FixedKeys(key_set())
    assert verify(of.text(), of.with_keys(keys, revocations), of.api).subject == subject
    name = str(of.claims["iss"])
    revocations.replace([revoked(RevocationKind.SUBJECT, str(subject), int(NOW), issuer=name)])
    return of.reason(of.text(), of.with_keys(keys, revocations))


def _other_signature(of: Trusted) -> str:
    signed, _, _ = of.text().rpartition(".")
    return of.reason(f"{signed}.{of.text(sub='x').rpartition('.')[2]}")


REASONS: Final[Mapping[str, Callable[[Trusted], str]]] = {
    "TOKEN_MISSING": lambda of: of.reason(""),
    "TOKEN_MALFORMED": lambda of: of.reason(of.text() + "="),
    "TOKEN_TOO_LARGE": lambda of: of.reason(of.text(filling="x" * 20_000)),
    "TOKEN_ENCRYPTED": lambda of: of.reason(of.text() + ".AAAA.AAAA"),
    "ISSUER_UNKNOWN": lambda of: of.reason(of.text(iss=f"{of.claims['iss']}x")),
    "ALGORITHM_NOT_ALLOWED": lambda of: of.reason(
        unsigned({**of.header, "alg": "none"}, claims=of.claims)
    ),
    "KEY_UNKNOWN": lambda of: of.reason(of.text({"kid": "unknown"})),
    "KEYS_REFRESHING": lambda of: _keys_that_fail(of, came_once=True, kid="newer"),
    "KEYS_UNAVAILABLE": lambda of: _keys_that_fail(of, came_once=False),
    "SIGNATURE_INVALID": _other_signature,
    "ID_TOKEN": _id_token,
    "TOKEN_TYPE": lambda of: of.reason(of.text({"typ": "logout+jwt"})),
    "TOKEN_EXPIRED": lambda of: of.reason(of.text(exp=int(NOW) - 60)),
    "TOKEN_NOT_YET_VALID": lambda of: of.reason(of.text(nbf=int(NOW) + 60)),
    "AUDIENCE_MISMATCH": lambda of: of.reason(of.text(aud="https://elsewhere.example")),
    "CLAIM_MISSING": lambda of: of.reason(token(without(of.claims, "exp"), header=of.header)),
    "CLAIM_INVALID": lambda of: of.reason(of.text(act="robot")),
    "TOKEN_BINDING_INVALID": lambda of: of.reason(of.text(cnf={"jkt": "x"})),
    "TOKEN_REVOKED": _revoked_subject,
}


@pytest.mark.parametrize("expected", sorted(REASONS))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_reason_in_each_dialect(dialect: str, expected: str) -> None:
    assert REASONS[expected](Trusted(dialect)) == expected
