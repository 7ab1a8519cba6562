"""The tables of an issuer that is asked: introspection and userinfo."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.tokens.settings.endpoints import IntrospectionSettings, UserinfoSettings
from tests.unit.config.test_configuration import MINIMAL, configured, finding

INTROSPECTION = '[issuers.introspection]\nclient_id = "policyd"\n'


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = f'{MINIMAL}{INTROSPECTION}client_secret_file = "secret"\n'
    (issuer,) = configured(tmp_path, text).issuers
    assert issuer.introspection == IntrospectionSettings(
        client_id="policyd", client_secret_file=str(tmp_path / "secret")
    )
    assert issuer.userinfo is None
    text = f'{MINIMAL}{INTROSPECTION}private_key_file = "keys/client.jwk"\n'
    (issuer,) = configured(tmp_path, text).issuers
    assert issuer.introspection is not None
    assert issuer.introspection.private_key_file == str(tmp_path / "keys" / "client.jwk")


def test_an_empty_table_asks_about_users(tmp_path: Path) -> None:
    (issuer,) = configured(tmp_path, f"{MINIMAL}[issuers.userinfo]\n").issuers
    assert issuer.userinfo == UserinfoSettings()
    assert issuer.introspection is None


@pytest.mark.parametrize(
    ("table", "code", "headline", "line"),
    [
        (
            f'{INTROSPECTION}client_secret_env = "A"\ncache_seconds = 0',
            "P5006",
            "`introspection.cache_seconds` must be from 1 to 3600 seconds",
            "cache_seconds = 0",
        ),
        (
            f'{INTROSPECTION}client_secret_env = "A"\nprivate_key_file = "b"',
            "P5006",
            "`introspection.private_key_file` excludes `client_secret_env`",
            'private_key_file = "b"',
        ),
        (
            f"{INTROSPECTION}",
            "P5006",
            "`introspection.client_secret_file` is missing: give one of client_secret_file, ",
            "[issuers.introspection]",
        ),
        (
            f'{INTROSPECTION}client_secret_env = "A"\nendpoint = "http://x.example/"',
            "P5006",
            "`introspection` `endpoint` must begin with https://",
            "[issuers.introspection]",
        ),
        (
            "[issuers.userinfo]\ntimeout = 0.01",
            "P5006",
            "`userinfo.timeout` must be from 0.1 to 30 seconds",
            "timeout = 0.01",
        ),
        (
            f'{INTROSPECTION}client_secret = "sesame"',
            "P5002",
            "unknown key `issuers[0].introspection.client_secret`",
            'client_secret = "sesame"',
        ),
        (
            "[issuers.introspection]\n",
            "P5003",
            "`issuers[0].introspection.client_id` is missing",
            "[issuers.introspection]",
        ),
    ],
)
def test_a_mistake_is_named_and_pointed_at(
    tmp_path: Path, table: str, code: str, headline: str, line: str
) -> None:
    found = finding(tmp_path, f"{MINIMAL}{table}\n")
    assert (found[0], found[2]) == (code, line)
    assert headline in found[1]
