"""Protected resource metadata: identifiers, URLs, documents (RFC 9728)."""

from __future__ import annotations

import pytest

from policyd.config.apis import ApiSettings, is_resource, is_web_page
from policyd.language.policy import Api, ScopeDeclaration
from policyd.pdp.metadata import Metadata, metadata_url
from tests.support.tokens import settings


def api(name: str = "health", *audiences: str) -> Api:
    scopes = {
        scope: ScopeDeclaration(scope, "", ()) for scope in ("read:patients", "write:patients")
    }
    return Api(
        name=name,
        audiences=audiences,
        scopes=scopes,
        claims={},
        userinfo={},
        context=(),
        resources={},
        rules=(),
        routes=(),
        docs=(),
    )


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        # The first two are the RFC's own (sections 3 and 3.1).
        ("https://resource.example.com", "https://resource.example.com{}"),
        ("https://resource.example.com/resource1", "https://resource.example.com{}/resource1"),
        ("https://resource.example.com/", "https://resource.example.com{}"),
        ("https://example.com:8443/a/b/", "https://example.com:8443{}/a/b/"),
        ("http://127.0.0.1:3000/mcp", "http://127.0.0.1:3000{}/mcp"),
    ],
)
def test_the_well_known_part_stands_between_host_and_path(resource: str, url: str) -> None:
    assert metadata_url(resource) == url.format("/.well-known/oauth-protected-resource")


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1/?a=b",
        "api://guid",
        "urn:x",
        "https://example.com/?a=b",
        "https://example.com/#a",
        "https://user@example.com/",
        "https:///path",
        "https://example.com/a b",
        "",
    ],
)
def test_what_is_no_resource_identifier(text: str) -> None:
    assert is_resource(text) is False


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("https://example.com/docs?page=1#top", True),
        ("http://example.com/", False),
        ("https:///docs", False),
        ("https://example.com/\u00e9", False),
        ("https://example.com/a b", False),
        ("https://[x", False),
        ("docs", False),
    ],
)
def test_documentation_is_an_https_url(text: str, is_one: bool) -> None:
    assert is_web_page(text) is is_one


def test_the_identifier_is_the_only_audience_that_can_be_one() -> None:
    metadata = Metadata({"named": ApiSettings(resource="https://public.example/")})
    assert metadata.resource(api("a", "api://x", "https://a.example/")) == "https://a.example/"
    assert metadata.resource(api("a", "https://a.example/", "https://b.example/")) is None
    assert metadata.resource(api("a", "api://x")) is None
    assert metadata.url(api("a", "api://x")) is None
    assert metadata.resource(api("named", "https://a.example/")) == "https://public.example/"


def test_finds_by_path_and_by_host_where_several_have_it() -> None:
    path = "/.well-known/oauth-protected-resource"
    one, two = api("one", "https://a.example/"), api("two", "https://b.example")
    third = api("third", "https://c.example/x")
    metadata, apis = Metadata({}), (one, two, third)
    assert metadata.find(apis, path, "A.example:443") is one
    assert metadata.find(apis, path, "b.example") is two
    assert metadata.find(apis, path, "policyd.internal:8182") is None
    assert metadata.find(apis, f"{path}/x", "policyd.internal:8182") is third
    assert metadata.find(apis, f"{path}/y", "c.example") is None
    assert metadata.find((), path, "a.example") is None


def test_the_document_by_default() -> None:
    sole = settings()
    assert Metadata({}).document(api("health", "https://a.example/"), [sole]) == {
        "resource": "https://a.example/",
        "authorization_servers": [sole.issuer],
        "scopes_supported": ["read:patients", "write:patients"],
        "bearer_methods_supported": ["header"],
        "resource_name": "health",
    }


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:3000/mcp", "http://localhost/", "http://[::1]:1/"]
)
def test_a_service_that_is_developed_may_be_on_this_machine(text: str) -> None:
    assert is_resource(text) is True
    assert Metadata({}).resource(api("health", text)) == text


def test_the_document_names_the_scopes_to_begin_with() -> None:
    metadata = Metadata({"health": ApiSettings(base_scopes=("openid", "read:patients"))})
    document = metadata.document(api("health", "https://a.example/"), [settings()])
    assert document["scopes_supported"] == ["openid", "read:patients"]
    assert metadata.base_scopes(api("health", "https://a.example/")) == ("openid", "read:patients")
    assert metadata.base_scopes(api("other", "https://b.example/")) == ()


def test_the_document_says_what_is_configured() -> None:
    told = ApiSettings(name="Health records", documentation="https://a.example/docs")
    metadata = Metadata({"health": told}, dpop_algorithms=("ES256",))
    mine = settings(apis=frozenset({"health"}), require_binding="dpop")
    other = settings(issuer="https://other.example/", apis=frozenset({"billing"}))
    document = metadata.document(api("health", "https://a.example/"), [mine, other])
    assert document["authorization_servers"] == [mine.issuer]
    assert document["resource_name"] == "Health records"
    assert metadata.url(api("other", "https://b.example/")) is not None
    assert "resource_documentation" not in metadata.document(api("b", "https://b/"), [mine])
    assert document["resource_documentation"] == "https://a.example/docs"
    assert document["dpop_signing_alg_values_supported"] == ("ES256",)
    assert document["dpop_bound_access_tokens_required"] is True
    assert "tls_client_certificate_bound_access_tokens" not in document


def test_the_document_of_an_api_that_takes_either_binding() -> None:
    metadata = Metadata({}, dpop_algorithms=("ES256",))
    document = metadata.document(
        api("health", "https://a.example/"), [settings(require_binding="any")]
    )
    assert document["tls_client_certificate_bound_access_tokens"] is True
    assert document["dpop_signing_alg_values_supported"] == ("ES256",)
    assert "dpop_bound_access_tokens_required" not in document


def test_challenges_name_it_only_when_told_to() -> None:
    one = api("a", "https://a.example/")
    assert Metadata({}).challenged(one) is None
    assert Metadata({}, in_challenges=True).challenged(one) == metadata_url("https://a.example/")
    assert Metadata({}, in_challenges=True).challenged(api("b", "api://b")) is None
