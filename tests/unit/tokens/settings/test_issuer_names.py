"""Names of issuers that no token can have, and unusual ones that somebody may have."""

from __future__ import annotations

import pytest

from policyd.tokens.settings.issuer_names import problem_of, tenants_of, with_usual_ending
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from tests.support.tokens import settings

ENTRA = "https://login.microsoftonline.com"
TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
LIST_EACH = "list each tenant"
PLACEHOLDER = "placeholder"


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        (f"{ENTRA}/{{tenantid}}/v2.0", LIST_EACH),
        (f"{ENTRA}/{{tenantId}}/v2.0", LIST_EACH),
        (f"{ENTRA}/<tenant-id>/v2.0", LIST_EACH),
        (f"{ENTRA}/*/v2.0", LIST_EACH),
        (f"{ENTRA}/common/v2.0", LIST_EACH),
        (f"{ENTRA}/common", LIST_EACH),
        (f"{ENTRA}/organizations/v2.0", LIST_EACH),
        (f"{ENTRA}/consumers/v2.0", "9188040d-6c67-4c5b-b112-36a304b66dad"),
        (f"{ENTRA}/contoso.onmicrosoft.com/v2.0", "a tenant by its id"),
        (f"{ENTRA}/{TENANT.upper()}/v2.0", "in lower case"),
        (f"{ENTRA}/", "a tenant by its id"),
        ("https://sts.windows.net/common/", LIST_EACH),
        ("https://sts.windows.net/{tenantid}/", LIST_EACH),
        ("https://login.microsoftonline.us/organizations/v2.0", LIST_EACH),
        (f"login.microsoftonline.com/{TENANT}/v2.0", "begin with https://"),
        (f"sts.windows.net/{TENANT}/", "begin with https://"),
        (f"https://Login.MicrosoftOnline.com/{TENANT}/v2.0", "host in lower case"),
        ("https://{yourDomain}/", PLACEHOLDER),
        ("https://{yourOktaDomain}/oauth2/default", PLACEHOLDER),
        ("https://${yourOktaDomain}/oauth2/default", PLACEHOLDER),
        ("https://<your-domain>.auth0.com/", PLACEHOLDER),
        ("https://*.auth0.com/", PLACEHOLDER),
        ("https://YOUR_DOMAIN/", PLACEHOLDER),
        ("https://YOUR-TENANT.eu.auth0.com/", PLACEHOLDER),
        ("https://yourOktaDomain.okta.com/oauth2/default", PLACEHOLDER),
        ("https://keycloak.example.com/realms/{realm}", PLACEHOLDER),
        ("https://cognito-idp.{region}.amazonaws.com/{userPoolId}", PLACEHOLDER),
        ("my-domain.auth0.com/", "must begin with https://"),
        ("my-domain.auth0.com", "must begin with https://"),
    ],
)
@pytest.mark.parametrize("dialect", ["entra", "auth0"])
def test_a_name_that_no_token_has_is_an_error_at_start(
    issuer: str, said: str, dialect: str
) -> None:
    with pytest.raises(InvalidIssuerSettings, match="`issuer`") as caught:
        settings(issuer=issuer, dialect=dialect)

    assert said in str(caught.value)
    assert caught.value.setting == "issuer"


@pytest.mark.parametrize(
    ("issuer", "dialect"),
    [
        (f"{ENTRA}/{TENANT}/v2.0", "entra"),
        (f"https://sts.windows.net/{TENANT}/", "entra"),
        (f"https://contoso.ciamlogin.com/{TENANT}/v2.0", "entra"),
        ("https://your-domain.auth0.com/", "auth0"),
        ("https://common.example/organizations/v2.0", "oidc"),
        ("https://my-company.okta.com/oauth2/default", "okta"),
        ("http://127.0.0.1:8080/realms/dev", "keycloak"),
        ("login.example.com/realm", "oidc"),
        ("kubernetes/serviceaccount", "oidc"),
        ("urn:example:issuer", "rfc9068"),
        ("not-a-url", "auth0"),
    ],
)
def test_an_unusual_name_may_be_somebodys(issuer: str, dialect: str) -> None:
    assert problem_of(issuer, dialect) is None
    assert settings(issuer=issuer, dialect=dialect).issuer == issuer


@pytest.mark.parametrize(
    ("issuer", "dialect", "usual"),
    [
        ("https://my-domain.auth0.com", "auth0", "https://my-domain.auth0.com/"),
        ("https://login.example.com", "auth0-rfc9068", "https://login.example.com/"),
        ("https://example.okta.com/oauth2/default/", "okta", None),
        (
            "https://sso.example.com/realms/shop//",
            "keycloak",
            "https://sso.example.com/realms/shop",
        ),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_a/", "cognito", None),
        (f"https://login.microsoftonline.com/{TENANT}/v2.0/", "entra", None),
        (f"https://sts.windows.net/{TENANT}", "entra", f"https://sts.windows.net/{TENANT}/"),
    ],
)
def test_the_last_slash_is_as_the_dialect_writes_it(
    issuer: str, dialect: str, usual: str | None
) -> None:
    usual = usual or issuer.removesuffix("/")
    assert with_usual_ending(issuer, dialect) == usual
    assert with_usual_ending(usual, dialect) == usual


@pytest.mark.parametrize(
    ("issuer", "dialect"),
    [
        ("https://as.example.com/", "rfc9068"),
        ("https://as.example.com", "oidc"),
        ("https://entra.example.com/", "entra"),
        ("http://127.0.0.1:8080/realms/shop/", "keycloak"),
        ("urn:example:issuer", "auth0"),
    ],
)
def test_no_slash_is_wrong_where_nothing_is_known(issuer: str, dialect: str) -> None:
    assert with_usual_ending(issuer, dialect) == issuer


def test_the_tenant_of_a_name() -> None:
    assert tenants_of(f"{ENTRA}/{TENANT}/v2.0") == (TENANT,)
    assert tenants_of("https://my-domain.auth0.com/") == ()
