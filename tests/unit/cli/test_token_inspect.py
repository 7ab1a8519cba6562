"""`policyd token inspect` against a configuration: what is read, and that nobody is asked."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from policyd.client import thumbprint
from policyd.json_types import Json
from policyd.tokens.minting import generate_key, key_set_text, sign
from policyd.tokens.proof.key import thumbprint as key_thumbprint
from tests.support.cli import Result, Run
from tests.support.documents import ROOT
from tests.support.https import body, serving, write_authority, write_certificate
from tests.support.proofs import ath, public, signed

KEY = generate_key("EdDSA", "k1")
SENDER = generate_key("ES256", "sender")
ISSUER = "https://issuer.example/"
AUDIENCE = "https://example.com/health-api"
POLICIES = ROOT / "policies"


def claims(**changes: Json) -> dict[str, Json]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "sub": "auth0|1",
        "aud": AUDIENCE,
        "azp": "app",
        "iat": now - 60,
        "exp": now + 900,
        "scope": "read:patients",
        "jti": "token-1",
        **changes,
    }


class Desk:
    """A folder with a configuration, and the command that uses it."""

    def __init__(self, folder: Path, policyd: Run) -> None:
        self.folder = folder
        self._policyd = policyd
        (folder / "jwks.json").write_bytes(key_set_text(KEY))
        self.configure()

    def configure(
        self, keys: str = 'jwks_file = "jwks.json"', further: str = "", policies: str = ""
    ) -> None:
        (self.folder / "policyd.toml").write_text(
            f'{further}\n[policies]\npath = "{policies or POLICIES / "health"}"\n'
            f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\nalgorithms = ["EdDSA"]\n{keys}\n'
        )

    def __call__(self, token: str, *options: object) -> Result:
        return self._policyd(
            *("token", "inspect", "--config", self.folder / "policyd.toml", *options), stdin=token
        )

    def json(self, token: str, *options: object) -> dict[str, Json]:
        document: dict[str, Json] = json.loads(self(token, "--format", "json", *options).out)
        return document

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def desk(tmp_path: Path, policyd: Run) -> Desk:
    return Desk(tmp_path, policyd)


def step(document: dict[str, Json], name: str) -> tuple[Json, Json]:
    """Return verdict and text of a step."""
    steps = document["steps"]
    assert isinstance(steps, list)
    found = [one for one in steps if isinstance(one, dict) and one["name"] == name]
    return found[0]["verdict"], found[0]["text"]


def test_a_configuration_is_all_it_takes(desk: Desk) -> None:
    result = desk(sign(KEY, claims()))
    assert (result.code, result.err) == (0, "")
    assert f"  health      yes, its audience is {AUDIENCE}\n" in result.out
    assert result.out.endswith("answer   the token is valid\n")


def test_the_json_says_the_same(desk: Desk) -> None:
    document = desk.json(sign(KEY, claims()))
    facts = document["facts"]
    assert isinstance(facts, dict)
    assert (document["valid"], document["reason"], document["is_signed"]) == (True, None, True)
    assert (document["issuer"], document["dialect"]) == (ISSUER, "auth0")
    assert (facts["subject"], facts["client"], facts["kind"]) == ("auth0|1", "app", "user")
    assert document["apis"] == [{"name": "health", "is_meant": True}]


def test_judges_for_the_api_that_the_token_is_for(desk: Desk) -> None:
    assert desk(sign(KEY, claims()), "--policies", POLICIES).code == 0
    document = desk.json(sign(KEY, claims(aud="x")), "--policies", POLICIES)
    assert step(document, "audience")[0] == "skipped"
    assert "--api" in str(step(document, "audience")[1])
    document = desk.json(sign(KEY, claims()), "--policies", POLICIES, "--api", "payments")
    assert document["reason"] == "AUDIENCE_MISMATCH"
    assert desk(sign(KEY, claims()), "--api", "nothing").code == 2


def test_policies_with_errors_are_said(desk: Desk) -> None:
    bad = desk.file("bad.policy", "api health\nnonsense")
    result = desk(sign(KEY, claims()), "--policies", bad)
    assert (result.code, result.out) == (2, "")
    assert "correct them, or give --audience" in result.err
    assert desk(sign(KEY, claims()), "--policies", bad, "--audience", AUDIENCE).code == 0


def test_nobody_is_asked_without_being_told_to(desk: Desk) -> None:
    certificate = write_certificate(desk.folder / "server.pem")
    authority = write_authority(desk.folder / "ca.pem")
    with serving(certificate, {"/jwks": body(key_set_text(KEY))}) as server:
        desk.configure(f'jwks_uri = "{server.url("/jwks")}"\nca_file = "{authority}"')
        document = desk.json(sign(KEY, claims()))
        assert step(document, "key")[0] == "skipped"
        assert "--fetch" in str(step(document, "key")[1])
        assert (document["reason"], document["valid"]) == (None, False)
        assert server.paths == []
        assert desk(sign(KEY, claims()), "--fetch").code == 0
        assert server.paths == ["/jwks"]


def test_keys_that_could_not_be_fetched_are_reported(desk: Desk) -> None:
    desk.configure('jwks_file = "gone.json"')
    verdict, text = step(desk.json(sign(KEY, claims())), "key")
    assert verdict == "skipped"
    assert "gone.json" in str(text)
    desk.configure('jwks_uri = "https://localhost:1/jwks"')
    verdict, text = step(desk.json(sign(KEY, claims()), "--fetch"), "key")
    assert verdict == "skipped"
    assert "could not be loaded" in str(text)


def test_limits_and_bindings_are_the_configured_ones(desk: Desk) -> None:
    desk.configure(further="[tokens]\nmax_token_bytes = 100")
    assert desk.json(sign(KEY, claims()))["reason"] == "TOKEN_TOO_LARGE"
    desk.configure('jwks_file = "jwks.json"\nrequire_binding = "dpop"')
    assert desk.json(sign(KEY, claims()))["reason"] == "TOKEN_BINDING_INVALID"


def bound() -> str:
    return sign(KEY, claims(cnf={"jkt": key_thumbprint(public(SENDER))}))


def test_a_proof_comes_from_a_file(desk: Desk) -> None:
    token = bound()
    document = desk.json(token)
    assert step(document, "binding")[0] == "skipped"
    assert "--dpop-proof" in str(step(document, "binding")[1])
    payload: dict[str, Json] = {
        "jti": "1",
        "htm": "GET",
        "htu": "https://a.example/x",
        "iat": int(time.time()),
        "ath": ath(token),
    }
    header: dict[str, Json] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public(SENDER)}
    path = desk.file("proof", signed(SENDER, header, payload))
    request = ("--dpop-proof", path, "--url", "https://a.example/x")
    assert desk(token, *request, "--method", "GET").code == 0
    assert desk.json(token, *request, "--method", "PUT")["reason"] == "TOKEN_BINDING_INVALID"
    assert desk(token, *request).code == 2


def test_a_certificate_comes_from_a_file(desk: Desk) -> None:
    certificate = write_certificate(desk.folder / "client.pem")
    token = sign(KEY, claims(cnf={"x5t#S256": thumbprint(certificate.read_text())}))
    assert step(desk.json(token), "binding")[0] == "skipped"
    assert desk(token, "--certificate", certificate).code == 0
    other = write_certificate(desk.folder / "other.pem")
    assert desk.json(token, "--certificate", other)["reason"] == "TOKEN_BINDING_INVALID"
    assert desk(token, "--certificate", desk.file("none", "")).code == 2


def test_revocations_are_those_of_the_file(desk: Desk, policyd: Run) -> None:
    desk.configure(further='[revocations]\nfile = "list.ndjson"')
    config = desk.folder / "policyd.toml"
    assert policyd("revoke", "--config", config, "--create").code == 0
    assert desk(sign(KEY, claims())).code == 0
    policyd("revoke", "--config", config, "--issuer", ISSUER, "--jti", "token-1")
    assert desk.json(sign(KEY, claims()))["reason"] == "TOKEN_REVOKED"
    assert desk(sign(KEY, claims(jti="token-2"))).code == 0


def test_revocations_in_redis_are_not_asked(desk: Desk) -> None:
    desk.configure(further='[revocations.redis]\nurl = "redis://127.0.0.1:1/0"')
    verdict, text = step(desk.json(sign(KEY, claims())), "revocation")
    assert verdict == "skipped"
    assert "Redis" in str(text)


def test_a_token_with_a_suggestion_of_another_dialect(desk: Desk) -> None:
    result = desk(sign(KEY, claims(typ="Bearer", aud=[AUDIENCE, "app"])))
    assert result.code == 1
    words = " ".join(result.out.split())
    assert "the dialect keycloak, and its issuer is configured as auth0" in words


def test_no_output_holds_the_token_or_its_proof(desk: Desk) -> None:
    for text in (bound(), sign(KEY, claims(exp=1)), "kJ8dhwlk2hd98h2dLkw0pQ"):
        for style in ("text", "json"):
            result = desk(text, "--format", style)
            parts = [part for part in text.split(".") if len(part) > 10]
            assert not any(part in result.out + result.err for part in parts)


def test_a_broken_configuration_is_said(desk: Desk) -> None:
    desk.configure(keys="nonsense = 1")
    result = desk(sign(KEY, claims()))
    assert (result.code, result.out) == (2, "")
    assert "P5002" in result.err
