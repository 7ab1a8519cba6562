"""What an issuer's URL and its discovery document tell of it."""

from __future__ import annotations

import json

import pytest

from policyd.json_types import Json
from policyd.tokens.https.fetch import Document, Fetch, FetchFailed
from policyd.tooling.starting.issuer import IssuerUnusable, dialect_of, look_up

DISCOVERY = "/.well-known/openid-configuration"


def answering(**documents: dict[str, Json]) -> Fetch:
    """Return a fetcher of these documents, by the end of their URL."""

    def fetch(url: str) -> Document:
        for end, document in documents.items():
            if url.endswith(end.replace("_", "-")):
                return Document(json.dumps(document).encode())
        raise FetchFailed(url, "HTTP 404", 404)

    return fetch


@pytest.mark.parametrize(
    ("issuer", "dialect"),
    [
        ("https://my-domain.auth0.com/", "auth0"),
        ("https://example.okta.com/oauth2/default", "okta"),
        ("https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111/v2.0", "entra"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc", "cognito"),
        ("https://sso.example.com/realms/shop", "keycloak"),
        ("https://kubernetes.default.svc.cluster.local", "kubernetes"),
        ("https://oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF", "kubernetes"),
        ("https://as.example.com", "rfc9068"),
    ],
)
def test_the_dialect_by_the_url(issuer: str, dialect: str) -> None:
    assert dialect_of(issuer, {}) == dialect


def test_a_cluster_is_known_by_the_place_of_its_keys() -> None:
    keys: Json = "https://10.0.0.1:6443/openid/v1/jwks"
    assert dialect_of("https://cluster.example.com", {"jwks_uri": keys}) == "kubernetes"


def test_a_domain_of_ones_own_is_told_by_the_endpoints() -> None:
    document: dict[str, Json] = {"mfa_challenge_endpoint": "https://id.example.com/mfa/challenge"}
    assert dialect_of("https://id.example.com/", document) == "auth0"
    token = "https://id.example.com/protocol/openid-connect/token"
    assert dialect_of("https://id.example.com/", {"token_endpoint": token}) == "keycloak"


def test_the_document_says_name_algorithms_and_hosts() -> None:
    fetch = answering(
        openid_configuration={
            "issuer": "https://as.example.com/",
            "jwks_uri": "https://keys.example.net:8443/jwks",
        },
        jwks={"keys": [{"kty": "EC", "alg": "ES256"}, {"kty": "RSA", "alg": "HS256"}, 7]},
    )
    found = look_up("https://as.example.com", fetch)
    assert found.issuer == "https://as.example.com/"
    assert found.algorithms == ("ES256",)
    assert found.jwks_hosts == ("keys.example.net:8443",)
    assert found.notes == (
        "the issuer calls itself https://as.example.com/, with a slash at the end",
    )


def test_algorithms_of_the_document_where_the_keys_name_none() -> None:
    fetch = answering(
        openid_configuration={
            "issuer": "https://as.example.com",
            "jwks_uri": "https://as.example.com/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "none", "PS256"],
        },
        jwks={"keys": [{"kty": "RSA"}]},
    )
    found = look_up("https://as.example.com", fetch)
    assert (found.algorithms, found.jwks_hosts) == (("RS256", "PS256"), ())


def test_the_other_place_of_the_document() -> None:
    fetch = answering(oauth_authorization_server={"issuer": "https://as.example.com"})
    assert look_up("https://as.example.com", fetch).dialect == "rfc9068"


def test_who_cannot_be_asked_is_described_by_the_url() -> None:
    found = look_up("https://sso.example.com/realms/shop", answering())
    assert (found.issuer, found.dialect) == ("https://sso.example.com/realms/shop", "keycloak")
    assert "could not be asked, so its dialect is a guess from the URL" in found.notes[0]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sso.example.com", "must be an absolute URL"),
        ("http://sso.example.com/", "must begin with https://"),
        ("https://sso.example.com/?x=1", "no user, query or fragment"),
    ],
)
def test_what_is_no_issuer(url: str, said: str) -> None:
    with pytest.raises(IssuerUnusable, match=said):
        look_up(url, answering())


def test_a_document_of_another_issuer_is_refused() -> None:
    fetch = answering(openid_configuration={"issuer": "https://other.example.com/"})
    with pytest.raises(IssuerUnusable, match=r"is for .*other\.example\.com"):
        look_up("https://as.example.com/", fetch)


def test_the_slash_of_an_issuer_that_cannot_be_asked_is_its_dialects() -> None:
    found = look_up("https://my-domain.auth0.com", answering())
    assert found.issuer == "https://my-domain.auth0.com/"
    assert found.notes[1:] == (
        "issuers of the dialect auth0 end with a slash, so policyd.toml has "
        "https://my-domain.auth0.com/",
    )
    assert len(look_up("https://my-domain.auth0.com/", answering()).notes) == 1
