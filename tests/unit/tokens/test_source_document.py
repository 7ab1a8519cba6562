"""The two tokens of the document that this project is about."""

from __future__ import annotations

from tests.support.tokens import AUDIENCE, ISSUER, NOW, reason, source_document, token, verify


def test_its_access_token_is_accepted_with_nothing_changed_but_the_times() -> None:
    claims = source_document()["access_token"]
    claims |= {"iat": int(NOW), "exp": int(NOW) + 1000}

    verified = verify(token(claims))

    assert verified.issuer == ISSUER
    assert verified.subject == "auth0|123456"
    assert verified.client == "my_client_id"
    assert verified.kind == "user"
    assert verified.scopes == {"openid", "profile", "read:patients", "read:admin"}
    assert verified.permissions == frozenset()
    assert AUDIENCE in verified.audience
    assert verified.claims == claims


def test_its_access_token_has_expired_as_it_stands() -> None:
    assert reason(token(source_document()["access_token"])) == "TOKEN_EXPIRED"


def test_its_id_token_is_refused_as_one() -> None:
    claims = source_document()["id_token"]
    claims |= {"iss": ISSUER, "iat": int(NOW), "exp": int(NOW) + 1000}

    assert reason(token(claims)) == "ID_TOKEN"


def test_its_expired_id_token_is_an_id_token_not_an_expired_token() -> None:
    claims = source_document()["id_token"]
    claims |= {"iss": ISSUER}

    assert reason(token(claims)) == "ID_TOKEN"


def test_its_id_token_names_another_issuer_as_it_stands() -> None:
    assert reason(token(source_document()["id_token"])) == "ISSUER_UNKNOWN"
