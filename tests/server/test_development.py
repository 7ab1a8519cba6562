"""`serve --dev`, `query`, and the demo: the real commands."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.tokens.minting import read_private_key, sign, write_private_key
from policyd.tokens.settings.dialect_table import DIALECTS
from scripts import demo
from tests.support.daemon import (
    ISSUER,
    PATIENCE,
    Caller,
    Daemon,
    Site,
    access_claims,
    access_token,
    check_request,
    issuer_key,
)
from tests.support.issuer_tokens import IssuerToken, access_token_of

_KEY = re.compile(r"^ {4}(/\S+key\.json)$", re.MULTILINE)


def develop(site: Site, issuers: str = "[log]\n", server: str = "") -> None:
    site.configure(server, issuers=issuers)


def key_file(daemon: Daemon) -> Path:
    found = _KEY.search("".join(daemon.other_errors))
    assert found is not None
    return Path(found[1])


def test_development_mode_trusts_its_own_issuer_only(site: Site) -> None:
    develop(site)
    with site.start("--dev") as daemon, Caller(daemon.addresses[0]) as caller:
        path = key_file(daemon)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        key = read_private_key(path.read_bytes())
        claims = access_claims(iss="https://development.policyd.invalid/")
        assert caller.check(check_request(sign(key, claims))).allowed
        assert caller.check(check_request(access_token())).reason == "ISSUER_UNKNOWN"
        assert caller.check(check_request(sign(key, access_claims()))).reason == "ISSUER_UNKNOWN"
        explained = caller.failure("/policyd.v1.ExplanationService/Explain", b"\xff")
        assert explained.reason == "MESSAGE_MALFORMED"  # it is offered
    assert not path.parent.exists()


def test_each_start_has_a_key_of_its_own(site: Site) -> None:
    develop(site)
    keys = set()
    for _ in range(2):
        with site.start("--dev") as daemon:
            keys.add(read_private_key(key_file(daemon).read_bytes()).key_id)
    assert len(keys) == 2


def test_development_mode_stands_beside_other_issuers_and_trusts_none_of_them(site: Site) -> None:
    with site.start("--dev") as daemon, Caller(daemon.addresses[0]) as caller:
        said = "".join(daemon.other_errors)
        assert "The issuers of the configuration are not trusted." in said
        key = read_private_key(key_file(daemon).read_bytes())
        claims = access_claims(iss="https://development.policyd.invalid/")
        assert caller.check(check_request(sign(key, claims))).allowed
        assert caller.check(check_request(access_token())).reason == "ISSUER_UNKNOWN"


def test_development_mode_needs_no_configuration(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.folder / "policyd.toml").unlink()
    monkeypatch.setenv("POLICYD_SERVER__LISTEN", '["127.0.0.1:0"]')
    with site.start("--dev") as daemon, Caller(daemon.addresses[0]) as caller:
        assert caller.check(check_request(access_token())).reason == "ISSUER_UNKNOWN"


def test_development_mode_refuses_others_to_reach_it(site: Site) -> None:
    develop(site, server='listen = ["0.0.0.0:0"]\ninsecure = true')
    result = site.run("--dev")
    assert result.returncode == 2
    assert "error[P5007]: development mode does not listen on `0.0.0.0:0`" in result.stderr


@pytest.fixture
def site_explaining(site: Site) -> Iterator[Daemon]:
    site.configure('explain_listen = ["127.0.0.1:0"]')
    with site.start() as running:
        yield running


def query(*options: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    program = "from policyd.cli.main import main; main()"
    environment = {**os.environ, **({} if token is None else {"POLICYD_TOKEN": token})}
    return subprocess.run(
        [sys.executable, "-c", program, "query", *options],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE,
        check=False,
    )


def test_query_shows_a_filter(daemon: Daemon) -> None:
    options = ("--target", daemon.addresses[0], "--api", "health", "--action", "read")
    some = query(*options, "--resource", "patient", "--filter", "sqlite", token=access_token())
    assert some.returncode == 0, some.stderr
    assert 'where:            ((NOT ("sealed" <> 0)) AND "sealed" IS NOT NULL)' in some.stdout
    told = query(
        *options, "--resource", "patient", "--filter", "postgres", "--format", "json",
        token=access_token(),
    )  # fmt: skip
    assert json.loads(told.stdout)["where"] == '((NOT "sealed") AND "sealed" IS NOT NULL)'
    none = query(*options, "--resource", "patient", "--filter", "sqlite", token="none")
    assert none.returncode == 1
    assert "where:            1 = 0" in none.stdout
    wrong = query(*options, "--resource", "patient:p1", "--filter", "sqlite", token="none")
    assert wrong.returncode == 2
    assert "name its TYPE alone" in wrong.stderr


def test_query_asks_a_running_daemon(daemon: Daemon, tmp_path: Path) -> None:
    options = ("--target", daemon.addresses[0], "--api", "health")
    allowed = query(
        *options, "--action", "read", "--resource", "patient:p1", "--attr", "sealed=false",
        token=access_token(),
    )  # fmt: skip
    assert allowed.returncode == 0
    assert re.search(r"^decision: +allow$", allowed.stdout, re.MULTILINE)
    file = tmp_path / "token"
    file.write_text(access_token() + "\n")
    denied = query(
        *options, "--action", "read", "--resource", "patient:p1", "--attr", "sealed=true",
        "--token", str(file), "--format", "json",
    )  # fmt: skip
    assert denied.returncode == 1
    assert json.loads(denied.stdout)["rules"] == ["sealed"]
    unknown = ("--action", "read", "--resource", "patient", "--unknown", "resource")
    maybe = query(*options, *unknown, token=access_token())
    assert maybe.returncode == 1
    assert re.match(r"decision: +maybe\ndepends on: +resource\.sealed\n", maybe.stdout)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--action", "read", "--resource", "patient:p1"), "resource.properties.sealed"),
        (("--action", "reed", "--resource", "patient"), "did you mean `read`?"),
        (("--action", "read", "--resource", "patient", "--attr", "sealed"), "not NAME=VALUE"),
    ],
)
def test_query_says_what_is_wrong_with_a_question(
    daemon: Daemon, options: tuple[str, ...], said: str
) -> None:
    result = query("--target", daemon.addresses[0], *options, token=access_token())
    assert result.returncode == 2
    assert said in result.stderr


def test_query_explains_where_the_daemon_does(daemon: Daemon, site_explaining: Daemon) -> None:
    asked = ("--api", "health", "--action", "read", "--resource", "patient:p1", "--explain")
    options = (*asked, "--attr", "sealed=true")
    refused = query("--target", daemon.addresses[0], *options, token=access_token())
    assert refused.returncode == 2
    assert "ask a listener under `explain_listen`" in refused.stderr
    explained = query("--target", site_explaining.addresses[1], *options, token=access_token())
    assert explained.returncode == 1
    assert "deny sealed: unknown, so it applies" in explained.stdout
    assert "resource.sealed is true" in explained.stdout
    document = query(
        "--target", site_explaining.addresses[1], *options, "--format", "json",
        token=access_token(),
    )  # fmt: skip
    assert json.loads(document.stdout)["answer"]["rules"] == ["sealed"]


OPEN_TO_ALL = """api health

{audiences}

resource patient {{
    open: bool
    actions read
}}

allow reads: read on patient
    when resource.open
"""


@pytest.fixture(scope="module")
def every_dialect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Path]]:
    """A daemon that trusts an issuer of each dialect, and the key that stands in for all."""
    site = Site(tmp_path_factory.mktemp("dialects"))
    tokens = [access_token_of(name) for name in DIALECTS]
    audiences = sorted({audience for one in tokens for audience in one.audiences})
    site.policy.write_text(
        OPEN_TO_ALL.format(audiences="\n".join(f'audience "{one}"' for one in audiences))
    )
    tables = "".join(
        f'[[issuers]]\nissuer = "{issuer_name(one)}"\ndialect = "{one.dialect}"\n'
        'jwks_file = "jwks.json"\napis = ["health"]\n'
        + (f'clients = {{ health = ["{one.client}"] }}\n' if one.dialect == "cognito" else "")
        for one in tokens
    )
    write_private_key(issuer_key(), site.folder / "key.json")
    site.configure(issuers=tables)
    with site.start() as running:
        yield running, site.folder / "key.json"


def issuer_name(token: IssuerToken) -> str:
    """Return the issuer of a token; two dialects of one issuer are two issuers here."""
    name = str(token.claims["iss"])
    return f"{name.rstrip('/')}/second/" if token.dialect.endswith("rfc9068") else name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_query_asks_with_the_claims_of_a_real_token(
    every_dialect: tuple[Daemon, Path], tmp_path: Path, dialect: str
) -> None:
    daemon, key = every_dialect
    token = access_token_of(dialect)
    claims = tmp_path / "claims.json"
    options = (
        "--target", daemon.addresses[0], "--api", "health", "--action", "read",
        "--resource", "patient:p1", "--attr", "open=true", "--claims", str(claims),
        "--key", str(key), "--dialect", dialect, "--issuer", issuer_name(token),
    )  # fmt: skip
    claims.write_text(json.dumps(dict(token.claims)))
    allowed = query(*options)
    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    assert re.search(r"^decision: +allow$", allowed.stdout, re.MULTILINE)
    if token.client:
        assert re.search(rf"^client: +{re.escape(token.client)}$", allowed.stdout, re.MULTILINE)
    claims.write_text(json.dumps({**token.claims, "aud": "another", "iss": "https://no.example/"}))
    assert re.search(r"^reason: +AUDIENCE_MISMATCH$", query(*options).stdout, re.MULTILINE)
    assert re.search(r"^reason: +ISSUER_UNKNOWN$", query(*options[:-2]).stdout, re.MULTILINE)


def test_query_names_what_does_not_fit_together(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    options = ("--action", "read", "--resource", "patient", "--client-key", "key.pem")
    result = query(*options[:-1], str(tmp_path / "key.pem"), token="x")
    assert result.returncode == 2
    assert "Error: " in result.stderr


def test_query_needs_a_token_and_a_daemon(tmp_path: Path) -> None:
    options = ("--action", "read", "--resource", "patient")
    nobody = query("--target", f"unix:{tmp_path}/none", *options, "--timeout", "1", token="x")
    assert nobody.returncode == 2
    assert "UNAVAILABLE" in nobody.stderr or "DEADLINE_EXCEEDED" in nobody.stderr
    no_token = query("--target", "unix:x", *options)
    assert no_token.returncode == 2
    assert "POLICYD_TOKEN" in no_token.stderr


def test_the_demo_signs_the_documents_claims() -> None:
    document = json.loads(demo.SOURCE_DOCUMENT.read_text())
    access, id_token = demo.document_claims(int(time.time()))
    for signed, printed, changed in (
        (access, document["access_token"], {"iat", "exp"}),
        (id_token, document["id_token"], {"iat", "exp", "iss"}),
    ):
        assert signed.keys() == printed.keys()
        assert {name for name in signed if signed[name] != printed[name]} == changed
    assert id_token["iss"] == ISSUER


def test_the_demo_shows_every_decision_as_expected() -> None:
    path = Path(demo.__file__)
    result = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for reason in {question.reason for question in demo.QUESTIONS}:
        assert reason in result.stdout
    assert "missing: write:patients" in result.stdout
    assert 'acr_values="urn:example:mfa"' in result.stdout
    assert "What to do next" in result.stdout
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []
