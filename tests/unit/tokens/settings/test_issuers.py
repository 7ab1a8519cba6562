"""Settings that make no sense are refused by the name of the setting, with what to do."""

from __future__ import annotations

import pytest

from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.issuers import (
    InvalidIssuerSettings,
    IssuerSettings,
    check_issuers,
    shared_apis,
)
from policyd.tokens.urls import check_url, is_loopback
from tests.support.tokens import ISSUER, settings


@pytest.mark.parametrize(
    ("changes", "setting", "message"),
    [
        ({"issuer": ""}, "issuer", "exact `iss`"),
        ({"issuer": "https://a b/"}, "issuer", "exact `iss`"),
        ({"issuer": "https://a\n/"}, "issuer", "exact `iss`"),
        ({"issuer": "https://accounts.google.com"}, "issuer", "ID tokens"),
        ({"issuer": "https://accounts.google.com/"}, "issuer", "ID tokens"),
        ({"issuer": "accounts.google.com"}, "issuer", "ID tokens"),
        ({"dialect": "auth1"}, "dialect", "did you mean auth0"),
        ({"dialect": "somebody"}, "dialect", "not one of auth0"),
        ({"algorithms": ()}, "algorithms", "is empty"),
        ({"algorithms": ("HS256",)}, "algorithms", "shared secrets"),
        ({"algorithms": ("RS256", "hs512")}, "algorithms", "shared secrets"),
        ({"algorithms": ("none",)}, "algorithms", "unsigned"),
        ({"algorithms": ("nOnE",)}, "algorithms", "unsigned"),
        ({"algorithms": ("RS265",)}, "algorithms", "did you mean RS256"),
        ({"algorithms": ("rs256",)}, "algorithms", "did you mean RS256"),
        ({"algorithms": ("ES256K",)}, "algorithms", "did you mean ES256"),
        ({"jwks_uri": "https://a/"}, "jwks_uri", "excludes `jwks_file`"),
        ({"jwks_file": None, "jwks_uri": "ftp://a/k"}, "jwks_uri", "https://"),
        ({"jwks_file": None, "jwks_uri": "http://a/k"}, "jwks_uri", "https://"),
        ({"jwks_file": None, "jwks_uri": "http://127.0.0.1/k"}, "jwks_uri", "allow_http_loopback"),
        ({"jwks_file": None, "issuer": "my-issuer"}, "issuer", "discovered"),
        ({"leeway": -1}, "leeway", "0 to 60"),
        ({"leeway": 61}, "leeway", "0 to 60"),
        ({"max_token_age": 0}, "max_token_age", "positive"),
        ({"max_stale": -1}, "max_stale", "negative"),
        ({"apis": frozenset()}, "apis", "empty"),
        ({"dialect": "own", "dialects": {"ours": Dialect()}}, "dialect", "not one of ours"),
        ({"clients": {"health": frozenset("a")}}, "clients", "leave it out"),
        (
            {"dialect": "cognito", "clients": {"health": frozenset()}},
            "clients",
            "names no application",
        ),
        (
            {"dialect": "cognito", "clients": {"health": frozenset(("", "a"))}},
            "clients",
            "names no application",
        ),
        (
            {
                "dialect": "cognito",
                "clients": {"billing": frozenset("a")},
                "apis": frozenset(("health",)),
            },
            "clients",
            "'billing', which is not one of its `apis`",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    changes: dict[str, object], setting: str, message: str
) -> None:
    with pytest.raises(InvalidIssuerSettings, match=message) as caught:
        settings(**changes)

    assert caught.value.setting == setting
    assert f"`{setting}`" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"issuer": "not-a-url"},
        {"algorithms": ("Ed25519", "ES512")},
        {"leeway": 0},
        {"leeway": 60},
        {"max_token_age": 1},
        {"max_stale": 0},
        {"dialect": "keycloak"},
        {"dialect": "ours", "dialects": {"ours": Dialect(at_jwt=True)}},
        {"dialect": "cognito", "clients": {"health": frozenset("a")}},
        {"jwks_file": None},
        {"jwks_file": None, "jwks_uri": "https://keys.example/jwks"},
        {"jwks_file": None, "jwks_uri": "http://[::1]:8080/k", "allow_http_loopback": True},
        {"jwks_file": None, "issuer": "http://localhost:9/", "allow_http_loopback": True},
    ],
)
def test_settings_that_make_sense_are_kept(changes: dict[str, object]) -> None:
    made = settings(**changes)

    for name, value in changes.items():
        assert getattr(made, name) == value


def test_the_defaults_are_the_careful_ones() -> None:
    made = IssuerSettings(issuer=ISSUER, dialect="auth0")

    assert made.algorithms == ("RS256",)
    assert made.leeway == 30
    assert made.max_stale == 3600
    assert not made.allow_http_loopback


def test_several_issuers_must_each_say_for_which_apis_they_speak() -> None:
    one = settings(apis=frozenset(("health",)))
    other = settings(issuer="https://other.example/")

    check_issuers([settings()])
    with pytest.raises(InvalidIssuerSettings, match=r"other\.example.*`apis` is missing"):
        check_issuers([one, other])


def test_an_issuer_is_configured_once() -> None:
    one = settings(apis=frozenset(("health",)))

    with pytest.raises(InvalidIssuerSettings, match="twice"):
        check_issuers([one, one])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///path",
        "//host/path",
        "https://user@host/",
        "https://user:secret@host/",
        "https://host/#part",
        "https://host/?query",
        "https://host:0/",
        "https://host:65536/",
        "https://host:port/",
        "https://h\u00f6st/",
        "https://host/a b",
        "https://host/\n",
        "https://[::1/",
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "ftp://host/keys",
        "data:application/json,{}",
        "gopher://host/",
        "HTTP://host/",
        "http://10.0.0.1/keys",
        "http://169.254.169.254/latest",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
    ],
)
def test_a_url_that_may_not_be_fetched_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_url(url, loopback_http=True)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.1", "::1"])
def test_loopback_is_told_by_its_literal_name(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "10.0.0.1", "::2", "0.0.0.0", ""])
def test_nothing_else_is_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_apis_of_several_issuers_are_those_that_more_than_one_may_speak_for() -> None:
    one = settings(apis=frozenset(("health", "billing")))
    other = settings(issuer="https://other.example/", apis=frozenset(("billing",)))

    assert shared_apis([one, other]) == {"billing"}
    assert shared_apis([settings()]) == frozenset()
