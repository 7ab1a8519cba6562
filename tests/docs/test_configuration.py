"""The page on configuration names every key, with its default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

import msgspec
import pytest

from policyd.config import tables as config
from tests.support.documents import ROOT, fences

PAGE = ROOT / "docs" / "configuration.md"
TABLES: dict[str, type[config.Table]] = {
    "policies": config.Policies,
    "policies.git": config.Git,
    "policies.shadow": config.Shadow,
    "policies.bundle": config.Bundle,
    "server": config.Server,
    "server.tls": config.Tls,
    "tokens": config.Tokens,
    "dpop": config.Dpop,
    "decision_log": config.DecisionLogTable,
    "decision_log.sinks": config.SinkTable,
    "log": config.Log,
    "http": config.Http,
    "listeners": config.ListenerTable,
    "listeners.tls": config.Tls,
    "authzen": config.AuthzenTable,
    "authzen.database": config.AuthzenDatabase,
    "authzen.database.entities.document": config.EntityTable,
    "metadata": config.MetadataTable,
    "apis.health": config.ApiTable,
    "revocations": config.RevocationsTable,
    "revocations.redis": config.RevocationsRedis,
    "dialects.example": config.DialectTable,
    "issuers": config.Issuer,
    "issuers.introspection": config.Introspection,
    "issuers.userinfo": config.Userinfo,
}
#: What the page gives an example for, the default being none or of no use to show.
EXAMPLES = {
    ("listeners", "callers"),
    ("authzen.database.entities.document", "columns"),
    ("decision_log", "path"),
    ("decision_log", "sample_allows_of"),
    ("decision_log", "hash_key_file"),
    ("issuers", "apis"),
    ("issuers", "clients"),
    ("dialects.example", "marks"),
    ("dialects.example", "required"),
    ("dialects.example", "user"),
    ("dialects.example", "application"),
}
#: What a line begins with that holds a table or a key in a comment.
_ALTERNATIVE = re.compile(r"^# (?=\[|\w+ +=|\w+=)", re.MULTILINE)
#: Keys whose values are tables that the user names.
MAPPINGS = {
    ("issuers", "clients"),
    ("decision_log", "sample_allows_of"),
    ("authzen.database.entities.document", "columns"),
}


def shown() -> dict[str, dict[str, object]]:
    """Return the page's keys by table; of several issuers, all keys together.

    What excludes something else stands in comments, so that the whole is a configuration.
    """
    (fence,) = (fence for fence in fences(PAGE) if fence.info == "toml")
    tables: dict[str, dict[str, object]] = {}

    def add(name: str, table: Mapping[str, object]) -> None:
        for key, value in table.items():
            if isinstance(value, dict) and (name, key) not in MAPPINGS:
                add(f"{name}.{key}", value)
            elif isinstance(value, list) and f"{name}.{key}" in TABLES:
                for one in value:
                    add(f"{name}.{key}", one)
            else:
                tables.setdefault(name, {})[key] = value

    for name, value in tomllib.loads(_ALTERNATIVE.sub("", fence.text)).items():
        for table in value if isinstance(value, list) else [value]:
            add(name, table)
    return tables


@pytest.mark.parametrize("name", TABLES)
def test_names_every_key(name: str) -> None:
    tables = [f"{key}." for key in TABLES]
    keys = {
        key
        for key in TABLES[name].__struct_fields__
        if not any(table.startswith(f"{name}.{key}.") for table in tables)
    }
    assert shown()[name].keys() == keys


@pytest.mark.parametrize("name", TABLES)
def test_shows_defaults(name: str) -> None:
    values = shown()[name]
    for field in msgspec.structs.fields(TABLES[name]):
        known = field.default is not None and field.default is not msgspec.NODEFAULT
        if field.name in values and known and (name, field.name) not in EXAMPLES:
            assert msgspec.convert(values[field.name], field.type) == field.default, field.name
