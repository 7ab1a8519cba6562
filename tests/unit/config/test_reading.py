"""A file held against the tables: what fits, and one finding a mistake."""

from __future__ import annotations

import math

import pytest

from policyd.config.findings import Findings, Toml
from policyd.config.reading import read_tables
from policyd.config.tables import File, Policies, Server
from policyd.diagnostics import Source

POLICIES: Toml = {"policies": {"path": "policies"}}


def read(values: Toml) -> tuple[File | None, list[tuple[str, str, str | None]]]:
    """Return the tables, and of each finding the code, the headline and the help."""
    findings = Findings(Source("policyd.toml", ""))
    made = read_tables({**POLICIES, **values}, findings)
    return made, [(found.code, found.headline, found.help) for found in findings.found]


def test_what_is_left_out_has_its_default() -> None:
    assert read({}) == (File(policies=Policies(path="policies")), [])


def test_a_whole_number_is_a_number() -> None:
    made, _ = read({"server": {"grace": 2}})
    assert made is not None
    assert made.server == Server(grace=2.0)
    assert isinstance(made.server.grace, float)


@pytest.mark.parametrize(
    ("section", "key", "value", "help_"),
    [
        ("server", "threads", True, "a whole number from 1 to 64"),
        ("server", "threads", 6.0, "a whole number from 1 to 64"),
        ("server", "threads", "6", "a whole number from 1 to 64"),
        ("server", "threads", 65, "a whole number from 1 to 64"),
        ("tokens", "cache_entries", -1, "a whole number of at least 0"),
        ("server", "grace", True, "a number from 0 to 3600"),
        ("server", "grace", math.nan, "a number from 0 to 3600"),
        ("server", "grace", math.inf, "a number from 0 to 3600"),
        ("server", "insecure", 1, "`true` or `false`"),
        ("server", "insecure", "true", "`true` or `false`"),
        ("server", "default_api", 1, "a text"),
        ("server", "default_api", None, "a text"),
        ("server", "tls", "cert.pem", "a table"),
        ("server", "tls", [], "a table"),
        ("server", "listen", "unix:a", "a list, each item a text"),
        ("server", "listen", {}, "a list, each item a text"),
        ("server", "transport", "fast", "`event` or `standard`"),
        ("dpop", "nonce_secret_file", 1, "a path, which is not empty"),
    ],
)
def test_nothing_is_taken_for_another_type(
    section: str, key: str, value: object, help_: str
) -> None:
    made, found = read({section: {key: value}})
    assert made is None
    assert found == [("P5004", f"`{section}.{key}` does not fit", f"write {help_}")]


@pytest.mark.parametrize(
    ("name", "value", "key", "help_"),
    [
        ("server", 1, "server", "a table"),
        ("issuers", {}, "issuers", "a list, each item a table"),
        ("issuers", [1], "issuers[0]", "a table"),
        ("apis", {"health": 1}, "apis.health", "a table"),
        ("apis", [], "apis", "a table"),
        ("revocations", {"redis": {"url": "", "key": "{"}}, "revocations.redis.key", None),
    ],
)
def test_mistakes_lie_at_any_depth(name: str, value: object, key: str, help_: str | None) -> None:
    made, found = read({name: value})
    expected = help_ or "a text of 1 to 200 characters without braces"
    assert (made, found) == (None, [("P5004", f"`{key}` does not fit", f"write {expected}")])


def test_every_mistake_is_found() -> None:
    issuers: list[object] = [
        {"issuer": 1, "dialect": "oidc", "require_binding": True},
        {"clients": {"health": ["a", 1]}, "introspection": {"client_ids": []}},
    ]
    made, found = read({"issuers": issuers, "server": {"listen": [1, "a", 2]}, "colour": 1})
    assert made is None
    assert [(code, headline) for code, headline, _ in found] == [
        ("P5004", "`server.listen[0]` does not fit"),
        ("P5004", "`server.listen[2]` does not fit"),
        ("P5004", "`issuers[0].issuer` does not fit"),
        ("P5004", "`issuers[0].require_binding` does not fit"),
        ("P5003", "`issuers[1].issuer` is missing"),
        ("P5003", "`issuers[1].dialect` is missing"),
        ("P5004", "`issuers[1].clients.health[1]` does not fit"),
        ("P5003", "`issuers[1].introspection.client_id` is missing"),
        ("P5002", "unknown key `issuers[1].introspection.client_ids`"),
        ("P5002", "unknown key `colour`"),
    ]


def test_a_missing_section_is_named() -> None:
    findings = Findings(Source("policyd.toml", ""))
    assert read_tables({}, findings) is None
    assert [found.headline for found in findings.found] == ["`policies` is missing"]
