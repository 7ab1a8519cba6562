from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from policyd.json_types import Json
from policyd.tokens.minting import generate_key, key_set_text, sign
from tests.support.authorization_server import authorization_server
from tests.support.cli import Result, Run
from tests.support.https import body, serving, write_authority, write_certificate
from tests.support.tooling import POLICY, write

AUDIENCE = "https://example.com/health-api"
ISSUER = "https://issuer.example/"
REQUIRED = ("--attr", "org_id=o", "--attr", "sealed=false", "--attr", "visits=0")
READ = ("--action", "read", "--resource", "patient:p1", *REQUIRED)
CLAIMS: dict[str, Json] = {"sub": "auth0|x", "scope": "read:patients"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, health=POLICY)
    (tmp_path / "claims.json").write_text(json.dumps(CLAIMS), encoding="utf-8")
    return tmp_path


def _eval(policyd: Run, folder: Path, *arguments: object, stdin: str = "") -> Result:
    return policyd("eval", "--policies", folder, *arguments, stdin=stdin)


def test_claims_are_taken_for_granted_and_that_is_said(policyd: Run, folder: Path) -> None:
    result = _eval(policyd, folder, "--claims", folder / "claims.json", *READ)
    assert result.code == 0
    assert result.out.startswith("decision:         allow\n")
    assert "no signature, audience or time was checked" in result.err
    assert _eval(policyd, folder, "--claims", "-", *READ, stdin=json.dumps(CLAIMS)).code == 0


def test_deny_is_exit_code_one(policyd: Run, folder: Path) -> None:
    result = _eval(policyd, folder, "--claims", "-", *READ, "--format", "json", stdin="{}")
    assert result.code == 1
    document = json.loads(result.out)
    assert document["reason"] == "INSUFFICIENT_SCOPE"
    assert document["missing_scopes"] == [["read:patients"]]


def test_what_is_certain_while_facts_are_unknown(policyd: Run, folder: Path) -> None:
    asked = ("--claims", folder / "claims.json", "--action", "read", "--resource", "patient")
    maybe = _eval(policyd, folder, *asked, "--unknown", "resource")
    assert maybe.code == 1
    assert maybe.out.startswith("decision:         maybe\ndepends on:       resource.sealed\n")
    read = ("--claims", folder / "claims.json", *READ, "--unknown", "resource", "--format", "json")
    certain = _eval(policyd, folder, *read)
    assert certain.code == 0
    document = json.loads(certain.out)
    assert (document["outcome"], document["depends_on"]) == ("allow", [])
    assert _eval(policyd, folder, *asked, "--unknown", "resource.x").code == 2
    assert _eval(policyd, folder, *read, "--trace").code == 2


def test_clock_context_and_trace(policyd: Run, folder: Path) -> None:
    rule = (
        'allow local: update on patient\n    when context.ip in ["192.0.2.0/24"]\n'
        '        and now < "2026-01-01T00:00:00Z"\n'
    )
    write(folder, health=POLICY + rule)
    update = ("--action", "update", "--resource", "patient", *REQUIRED, "--claims", "-")
    early, late = "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"
    local = ("--context", "ip=192.0.2.7", "--trace")
    allowed = _eval(policyd, folder, *update, *local, "--at", early, stdin="{}")
    assert allowed.code == 0
    assert "allow local: true, so it applies\n" in allowed.out
    assert _eval(policyd, folder, *update, *local, "--at", late, stdin="{}").code == 1
    assert _eval(policyd, folder, *update, "--at", early, stdin="{}").code == 1
    assert _eval(policyd, folder, *update, "--at", "noon", stdin="{}").code == 2


def test_what_the_issuer_tells_is_taken_for_granted(policyd: Run, folder: Path) -> None:
    rule = (
        'userinfo town: string?\nallow local: update on patient\n    when userinfo.town == "Bern"\n'
    )
    write(folder, health=POLICY + rule)
    (folder / "told.json").write_text('{"town": "Bern"}', encoding="utf-8")
    update = ("--action", "update", "--resource", "patient", *REQUIRED, "--claims")
    claims, told = folder / "claims.json", ("--userinfo", folder / "told.json")
    assert _eval(policyd, folder, *update, claims, *told).code == 0
    assert _eval(policyd, folder, *update, claims).code == 1
    broken = _eval(policyd, folder, *update, claims, "--userinfo", "-", stdin="[]")
    assert (broken.code, broken.out) == (2, "")
    assert "--userinfo: " in broken.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--action", "reads", "--resource", "patient", *REQUIRED), "did you mean `read`?"),
        (("--action", "read", "--resource", "patient", "--attr", "sealed=x"), "sealed is a bool"),
        (("--action", "read", "--resource", "patient"), "org_id"),
        ((*READ, "--api", "other"), "no API is called other"),
        ((*READ, "--token", "x"), "exclude each other"),
        ((*READ, "--dialect", "rfc9068"), "--claims"),
    ],
)
def test_wrong_questions(policyd: Run, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    result = _eval(policyd, folder, "--claims", folder / "claims.json", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


@pytest.mark.parametrize("claims", ["", "[]", "{", '{"sub": 5}', '{"a": 1, "a": 2}'])
def test_wrong_claims(policyd: Run, folder: Path, claims: str) -> None:
    assert _eval(policyd, folder, "--claims", "-", *READ, stdin=claims).code == 2


def test_api_is_named_where_there_are_several(policyd: Run, folder: Path) -> None:
    write(folder, other='api other\naudience "o"\n')
    claims = ("--claims", folder / "claims.json")
    assert _eval(policyd, folder, *claims, *READ).code == 2
    assert _eval(policyd, folder, *claims, *READ, "--api", "health").code == 0
    assert _eval(policyd, folder, *claims, *READ, "--api", AUDIENCE).code == 0


def test_broken_policies(policyd: Run, folder: Path) -> None:
    write(folder, health="api health\n")
    result = _eval(policyd, folder, "--claims", folder / "claims.json", *READ)
    assert (result.code, result.out) == (1, "")
    assert "P1016" in result.err


@pytest.fixture
def token(folder: Path) -> str:
    key = generate_key("ES256")
    (folder / "keys.json").write_bytes(key_set_text(key))
    now = int(time.time())
    times: dict[str, Json] = {"iat": now, "exp": now + 600}
    claims: dict[str, Json] = {**CLAIMS, **times, "iss": ISSUER, "aud": AUDIENCE, "azp": "app"}
    (folder / "token").write_text(sign(key, claims) + "\n", encoding="ascii")
    return (folder / "token").read_text(encoding="ascii")


def _trust(folder: Path, issuer: str = ISSUER) -> tuple[object, ...]:
    keys = ("--jwks", folder / "keys.json", "--issuer", issuer)
    return (*keys, "--dialect", "auth0", "--algorithm", "ES256")


def test_token_is_verified(
    policyd: Run, folder: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--token", folder / "token", *READ)
    result = _eval(policyd, folder, *given, *_trust(folder))
    assert (result.code, result.err) == (0, "")
    assert _eval(policyd, folder, "--token", "-", *READ, *_trust(folder), stdin=token).code == 0
    monkeypatch.setenv("POLICYD_TOKEN", token)
    assert _eval(policyd, folder, *READ, *_trust(folder)).code == 0
    other = _eval(policyd, folder, *given, *_trust(folder, "https://other.example/"))
    assert other.code == 1
    assert "ISSUER_UNKNOWN" in other.out


def test_nobody_is_asked_about_the_user(policyd: Run, folder: Path, token: str) -> None:
    write(folder, health=f"{POLICY}\nuserinfo town: string\n")
    (folder / "told.json").write_text('{"town": "Bern"}', encoding="utf-8")
    assert token
    given = ("--token", folder / "token", *READ, *_trust(folder))
    assert _eval(policyd, folder, *given, "--userinfo", folder / "told.json").code == 0
    assert "CLAIM_MISSING" in _eval(policyd, folder, *given).out


def test_token_is_verified_by_a_configuration(policyd: Run, folder: Path, token: str) -> None:
    config = folder / "policyd.toml"
    config.write_text(
        f'[policies]\npath = "."\n[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\n'
        'algorithms = ["ES256"]\njwks_file = "keys.json"\n',
        encoding="utf-8",
    )
    given = ("--token", folder / "token", *READ, "--config", config)
    assert token
    assert _eval(policyd, folder, *given).code == 0
    assert _eval(policyd, folder, *given, "--jwks", folder / "keys.json").code == 2
    config.write_text("[policies]\n", encoding="utf-8")
    broken = _eval(policyd, folder, *given)
    assert broken.code == 2
    assert "P5003" in broken.err


def test_keys_are_fetched_on_demand_alone(policyd: Run, folder: Path, token: str) -> None:
    assert token
    certificate, authority = write_certificate(folder / "tls.pem"), write_authority(folder / "ca")
    with serving(certificate, {"/jwks": body((folder / "keys.json").read_bytes())}) as server:
        (folder / "policyd.toml").write_text(
            f'[policies]\npath = "."\n[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\n'
            f'algorithms = ["ES256"]\njwks_uri = "{server.url("/jwks")}"\nca_file = "{authority}"\n'
        )
        given = ("--config", folder / "policyd.toml", "--token", folder / "token", *READ)
        unasked = _eval(policyd, folder, *given)
        assert unasked.code == 1
        assert "--fetch" in unasked.err
        assert server.paths == []
        assert _eval(policyd, folder, *given, "--fetch").code == 0


def test_token_without_keys(
    policyd: Run, folder: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert token
    monkeypatch.delenv("POLICYD_TOKEN", raising=False)
    given = ("--token", folder / "token", *READ)
    assert _eval(policyd, folder, *given).code == 2
    assert _eval(policyd, folder, *given, "--jwks", folder / "keys.json").code == 2
    assert _eval(policyd, folder, *READ, *_trust(folder)).code == 2
    assert _eval(policyd, folder, "--token", folder / "gone", *READ, *_trust(folder)).code == 2


def test_an_opaque_token_is_asked_about_on_demand_alone(policyd: Run, folder: Path) -> None:
    (folder / "jwks.json").write_bytes(key_set_text(generate_key()))
    (folder / "token").write_text("opaque")
    with authorization_server(folder) as issuer:
        (folder / "policyd.toml").write_text(
            f'[policies]\npath = "."\n{issuer.configuration()}', encoding="utf-8"
        )
        given = ("--config", folder / "policyd.toml", "--token", folder / "token", *READ)
        unasked = _eval(policyd, folder, *given)
        assert unasked.code == 2
        assert "its issuer was not asked about it; add --fetch to ask" in unasked.err
        assert issuer.asked == []
        issuer.tokens["opaque"] = issuer.active()
        assert _eval(policyd, folder, *given, "--fetch").code == 0
        issuer.tokens.clear()
        inactive = _eval(policyd, folder, *given, "--fetch", "--format", "json")
        assert json.loads(inactive.out)["reason"] == "TOKEN_INACTIVE"
