"""Settings of what issuers are asked: what makes no sense is told, by its name."""

from __future__ import annotations

import msgspec
import pytest

from policyd.tokens.settings.endpoints import InvalidAsking, UserinfoSettings
from policyd.tokens.settings.issuers import InvalidIssuerSettings, IssuerSettings, check_issuers
from tests.support import tokens
from tests.support.asking import introspection


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_secret_env": None}, "client_secret_file"),
        ({"private_key_file": "key"}, "private_key_file"),
        ({"assertion_audience": "x"}, "assertion_audience"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": 31.0}, "timeout"),
        ({"cache_seconds": 0}, "cache_seconds"),
        ({"negative_cache_seconds": 0}, "negative_cache_seconds"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, object], setting: str) -> None:
    introspection()
    with pytest.raises(InvalidAsking) as caught:
        introspection(**changes)
    assert caught.value.setting == setting


@pytest.mark.parametrize("endpoint", ["http://x.example/ask", "ftp://x", "https://u:p@x.example/"])
def test_an_endpoint_must_be_one_to_fetch_from(endpoint: str) -> None:
    with pytest.raises(InvalidIssuerSettings, match="endpoint"):
        tokens.settings(introspection=introspection(endpoint=endpoint))


def test_each_api_has_one_issuer_to_ask_at_most() -> None:
    def settings(name: str, *apis: str) -> IssuerSettings:
        return tokens.settings(
            issuer=f"https://{name}.example", apis=frozenset(apis), introspection=introspection()
        )

    check_issuers([settings("a", "health"), settings("b", "billing")])
    with pytest.raises(InvalidIssuerSettings, match="does not say which of the two"):
        check_issuers([settings("a", "health"), settings("b", "billing", "health")])


@pytest.mark.parametrize("setting", ["timeout", "cache_seconds", "negative_cache_seconds"])
def test_userinfo_takes_and_counts_for_some_time(setting: str) -> None:
    with pytest.raises(InvalidAsking) as caught:
        msgspec.structs.replace(UserinfoSettings(), **{setting: 0})
    assert caught.value.setting == setting
