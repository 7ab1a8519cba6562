"""A minted token of each dialect is accepted, and says what it was to say."""

from __future__ import annotations

import msgspec
import pytest

from policyd.tokens.claims.writing import AccessToken, write
from policyd.tokens.model import VerifiedToken
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.validator import Validator
from tests.support.tokens import AUDIENCE, ISSUER, NOW, USERINFO, issuer, key, token, verify

WANTED = AccessToken(
    issuer=ISSUER,
    subject="auth0|jane",
    client="app",
    audiences=(AUDIENCE,),
    scopes=("read:patients", "write:patients"),
    issued_at=int(NOW),
    expires_at=int(NOW) + 60,
    token_id="t-1",
)


def minted(dialect: str, wanted: AccessToken) -> VerifiedToken:
    header, claims = write(dialect, wanted)
    of = Validator((issuer(dialect=dialect),))
    return verify(token(claims, header=header, by=key()), of)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_users(dialect: str) -> None:
    facts = minted(dialect, WANTED)

    tenant = "00000000-0000-0000-0000-000000000000/" if dialect == "entra" else ""
    assert facts.subject == f"{tenant}auth0|jane"
    assert (facts.client, facts.token_id) == ("app", "t-1")
    assert facts.scopes == {"read:patients", "write:patients"}
    assert (facts.issued_at, facts.expires_at) == (int(NOW), int(NOW) + 60)
    # Kubernetes knows service accounts alone.
    assert facts.kind in (("application",) if dialect == "kubernetes" else ("user", None))


@pytest.mark.parametrize("dialect", sorted(set(DIALECTS) - {"entra"}))
def test_a_machines(dialect: str) -> None:
    facts = minted(dialect, msgspec.structs.replace(WANTED, subject="app"))

    assert facts.kind == "application"


@pytest.mark.parametrize("dialect", ["okta", "entra", "cognito"])
def test_a_user_is_told_where_the_issuer_tells(dialect: str) -> None:
    assert minted(dialect, WANTED).kind == "user"


def test_an_entra_principal_has_a_tenant_and_without_scopes_is_a_machine() -> None:
    facts = minted("entra", msgspec.structs.replace(WANTED, subject="t/o", scopes=()))

    assert (facts.subject, facts.kind) == ("t/o", "application")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_for_several_audiences(dialect: str) -> None:
    facts = minted(dialect, msgspec.structs.replace(WANTED, audiences=(AUDIENCE, USERINFO)))

    assert facts.audience == {AUDIENCE, USERINFO}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_scopes(dialect: str) -> None:
    assert minted(dialect, msgspec.structs.replace(WANTED, scopes=())).scopes == frozenset()
