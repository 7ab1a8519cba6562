"""`policyd what-can` and `policyd who-can`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.documents import ROOT
from tests.support.tooling import POLICY, write

DOCUMENTS = ROOT / "policies" / "documents"
ALICE = {
    "iss": "https://issuer.example/",
    "sub": "alice",
    "org_id": "red",
    "scope": "read:documents write:documents",
}


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    file = tmp_path / "claims.json"
    file.write_text(json.dumps(ALICE))
    return file


def test_who_can(policyd: Run) -> None:
    shown = policyd("who-can", "delete", "on", "document", "--policies", DOCUMENTS)
    assert shown.code == 0
    assert shown.out == (
        "documents: delete on document: 2 ways\n"
        "\n"
        "  1. by owner-deletes\n"
        "     scope delete:documents\n"
        "     token.subject == resource.owner\n"
        "     not resource.legal_hold\n"
        "     token.org_id == resource.org_id\n"
        "\n"
        "  2. by owner-deletes\n"
        "     scope delete:documents\n"
        "     token.subject == resource.owner\n"
        "     resource.legal_hold is missing\n"
        "     token.org_id == resource.org_id\n"
        "\n"
        "these are all, for all tokens and requests; holds for any configuration\n"
    )


def test_who_can_as_json(policyd: Run) -> None:
    arguments = ("share", "on", "document", "--policies", DOCUMENTS, "--format", "json")
    (report,) = json.loads(policyd("who-can", *arguments).out)
    assert report["complete"]
    (way,) = report["ways"]
    assert way["conditions"][0] == "scope share:documents"
    assert way["example"]["confirmed"]
    assert way["minted"] == {"auth0": True, "rfc9068": True}


def test_nobody_can(policyd: Run, tmp_path: Path) -> None:
    never = POLICY + "\ndeny nobody: update on patient\n    when true\n"
    folder = write(tmp_path, health=never)
    shown = policyd("who-can", "update", "on", "patient", "--policies", folder)
    assert shown.code == 1
    assert "update on patient: nobody can" in shown.out
    assert "proven, for all tokens and requests" in shown.out


def test_who_can_stops(policyd: Run) -> None:
    arguments = ("read", "on", "document", "--policies", DOCUMENTS, "--most", "2")
    shown = policyd("who-can", *arguments)
    assert shown.code == 0
    assert "2 ways" in shown.out
    assert "stopped here: there may be more" in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("delet", "on", "document"), "`document` has no action `delet`; did you mean `delete`?"),
        (("read", "on", "documents"), "no API declares the resource `documents`; did you mean"),
        (("read", "of", "document"), "'of' is not 'on'"),
        (("read", "on", "document", "--api", "other"), "no API is called other"),
    ],
)
def test_who_can_of_nothing(policyd: Run, words: tuple[str, ...], said: str) -> None:
    shown = policyd("who-can", *words, "--policies", DOCUMENTS)
    assert shown.code == 2
    assert said in shown.err


def test_what_can(policyd: Run, claims: Path) -> None:
    at = ("--at", "2026-12-01T12:00:00Z")
    shown = policyd("what-can", "--claims", claims, "--policies", DOCUMENTS, *at)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[:5] == [
        "subject alice, scopes read:documents write:documents",
        "at 2026-12-01T12:00:00Z",
        "",
        "documents",
        "  document",
    ]
    assert "    delete  never" in lines
    folder = lines[lines.index("  folder") :]
    assert folder[1:3] == [
        "    create  depends on resource.org_id",
        '              if resource.org_id == "red"',
    ]
    assert not any("not confirmed" in line for line in lines)


def test_what_can_as_json(policyd: Run, claims: Path) -> None:
    arguments = ("--claims", claims, "--policies", DOCUMENTS, "--format", "json")
    (api,) = json.loads(policyd("what-can", *arguments).out)["apis"]
    outcomes = {(one["resource"], one["action"]): one["outcome"] for one in api["actions"]}
    assert outcomes["document", "share"] == "never"
    assert outcomes["document", "update"] == "depends"
    for one in api["actions"]:
        for example in (one["allowed"], one["denied"]):
            assert example is None or example["confirmed"]


def test_always(policyd: Run, tmp_path: Path, claims: Path) -> None:
    folder = write(tmp_path, health=POLICY)
    claims.write_text(json.dumps({**ALICE, "scope": "read:patients", "acr": "strong"}))
    shown = policyd("what-can", "--claims", claims, "--policies", folder)
    assert "depends on resource.sealed" in shown.out
    nothing = {key: value for key, value in ALICE.items() if key != "scope"}
    claims.write_text(json.dumps(nothing))
    shown = policyd("what-can", "--claims", claims, "--policies", folder)
    assert shown.code == 1
    assert "depends" not in shown.out
    open_ = POLICY.partition("deny sealed")[0]
    claims.write_text(json.dumps({**ALICE, "scope": "read:patients"}))
    shown = policyd("what-can", "--claims", claims, "--policies", write(tmp_path, health=open_))
    assert "  always" in shown.out


def test_a_token_that_is_not_accepted(policyd: Run, claims: Path) -> None:
    claims.write_text(json.dumps({**ALICE, "aud": "https://elsewhere.example"}))
    shown = policyd("what-can", "--claims", claims, "--policies", DOCUMENTS)
    assert shown.code == 1
    assert "documents: nothing, the token is refused: AUDIENCE_MISMATCH" in shown.out
    claims.write_text(json.dumps({key: one for key, one in ALICE.items() if key != "org_id"}))
    shown = policyd("what-can", "--claims", claims, "--policies", DOCUMENTS)
    assert "documents: nothing, the token is refused: CLAIM_MISSING" in shown.out


def test_without_a_token(policyd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLICYD_TOKEN", raising=False)
    shown = policyd("what-can", "--policies", DOCUMENTS)
    assert shown.code == 2
    assert "a token needs --config, or --jwks" in shown.err


@pytest.mark.parametrize(
    "arguments", [("who-can", "read", "on", "patient"), ("what-can", "--claims", "claims.json")]
)
def test_without_policies_the_option_that_names_them_is_told(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.json").write_text(json.dumps(ALICE))
    refused = policyd(*arguments)
    assert refused.code == 2
    assert "give --policies PATH: there is no policyd.toml here or in a folder above" in refused.err
