"""The page on tokens connects each issuer as it says: its configuration takes that issuer's tokens.

The tokens are those of `tests/fixtures/issuers`, signed by a key that stands for the issuer's.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from policyd.config.configuration import load_configuration
from policyd.config.tables import DialectTable
from policyd.diagnostics import Source
from policyd.language import load
from policyd.tokens.claims.kinds import mark_of
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import ResourceServer
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import issuer_of
from policyd.tokens.validator import Validator
from tests.support.documents import ROOT, Fence, fences
from tests.support.issuer_tokens import fixture
from tests.support.tokens import NOW, key, key_set, reason, token

PAGE = ROOT / "docs" / "tokens.md"

CONNECTED = [
    ("Auth0", "auth0", ["user", "machine"]),
    ("Okta", "okta", ["user", "machine"]),
    ("Microsoft Entra ID", "entra", ["user", "machine"]),
    ("Keycloak", "keycloak", ["user", "machine"]),
    ("Amazon Cognito", "cognito", ["user", "user_with_aud", "machine"]),
    ("Kubernetes", "kubernetes", ["machine"]),
]


def section(heading: str) -> list[Fence]:
    """Return the blocks between a heading and the next."""
    text = PAGE.read_text(encoding="utf-8")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith("## ")]
    start = text.splitlines().index(f"## {heading}") + 1
    end = next((number for number in lines if number > start), 1_000_000)
    return [fence for fence in fences(PAGE) if start < fence.line < end]


def configured(heading: str, tmp_path: Path) -> tuple[IssuerSettings, ...]:
    (fence,) = (fence for fence in section(heading) if fence.kind == "toml")
    path = tmp_path / "policyd.toml"
    path.write_text(fence.text, encoding="utf-8")
    return load_configuration(path).issuers


@pytest.mark.parametrize(("name", "dialect", "tokens"), CONNECTED)
def test_its_tokens_are_accepted(
    name: str, dialect: str, tokens: list[str], tmp_path: Path
) -> None:
    (settings,) = configured(f"Connect {name}", tmp_path)
    assert settings.dialect == dialect
    of = Validator((issuer_of(settings, FixedKeys(key_set())),))
    policies = [fence for fence in section(f"Connect {name}") if fence.kind == "policy"]
    loaded = load([Source("api.policy", fence.text) for fence in policies])
    apis = {} if loaded.policies is None else loaded.policies.apis

    for file in tokens:
        one = fixture(dialect, file)
        api = ResourceServer("any", one.audiences)
        for declared in apis.values():
            api = ResourceServer(declared.name, frozenset(declared.audiences))
        header = {**one.header, "kid": key().key_id}
        facts = of.verify(token(one.claims, header=header), api, NOW)
        assert facts.client == (one.client or None)

    id_token = fixture(dialect, "id_token")
    header = {**id_token.header, "kid": key().key_id}
    assert reason(token(id_token.claims, header=header), of, api) == "ID_TOKEN"


def test_two_issuers_may_stand_together(tmp_path: Path) -> None:
    made = configured("Several issuers", tmp_path)

    assert [one.apis for one in made] == [frozenset(("health",)), frozenset(("clinic",))]


def test_every_dialect_is_in_the_tables_with_its_mark() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    for dialect, row in DIALECTS.items():
        told = [row for row in rows if row[1].strip() == f"`{dialect}`"]
        assert len(told) == 2, dialect
        mark = told[0][3]
        assert mark.strip().endswith("; decisive") is (row.decisive or row.at_jwt)
        named = {word for word in mark_of(row).split("`")[1::2] if word in mark}
        assert named == set(mark_of(row).split("`")[1::2]), dialect
        assert f"`{row.token_id}`" in told[1][5]
        assert f"`{row.scope}`" in told[1][2]
        assert all(f"`{claim}`" in told[1][3] for claim in row.client)


def test_every_key_of_a_dialect_is_explained_with_its_default() -> None:
    text = PAGE.read_text(encoding="utf-8")
    _, _, table = text.partition("| key | default | meaning |")
    rows = [line.split("|") for line in table.splitlines()[2:] if line.startswith("| `")]
    told: dict[str, object] = {}
    for row in rows:
        for name in row[1].replace("`", "").split(","):
            default = row[2].strip().strip("`")
            told[name.strip()] = (
                None if default in ("", "none") else tomllib.loads(f"value = {default}")["value"]
            )
    defaults = msgspec.json.decode(msgspec.json.encode(DialectTable()))

    assert told == {**defaults, "marks": None}
