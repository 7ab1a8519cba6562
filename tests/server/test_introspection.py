"""Opaque tokens through the real daemon, which asks a real HTTPS server about them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from policyd.json_types import Json
from policyd.v1 import authorization_pb2 as messages
from tests.support.authorization_server import (
    AuthorizationServer,
    Reply,
    always,
    authorization_server,
    client_key,
)
from tests.support.daemon import PATIENCE, Caller, Daemon, Site, check_request
from tests.support.proofs import CERTIFICATE, METHOD, URI, jkt, proof

TOKEN = "opaque-token_1~+/=="


@pytest.fixture
def issuer(site: Site) -> Iterator[AuthorizationServer]:
    """An authorization server; the site's daemon asks it."""
    with authorization_server(site.folder) as server:
        site.configure(issuers=server.configuration())
        yield server


def ask(daemon: Daemon, token: str = TOKEN) -> messages.CheckResponse:
    with Caller(daemon.addresses[0]) as caller:
        return caller.check(check_request(token))


def test_an_active_token(site: Site, issuer: AuthorizationServer) -> None:
    issuer.tokens[TOKEN] = issuer.active()
    with site.start() as daemon:
        answer = ask(daemon)
        assert (answer.allowed, answer.reason) == (True, "ALLOWED")
        assert answer.subject.subject == "user-1"
        assert answer.subject.issuer == issuer.issuer
        assert answer.subject.client == "app-1"
        assert answer.cacheable_until.seconds <= time.time() + 5
        assert ask(daemon).allowed
        assert issuer.count(TOKEN) == 1, "the answer is remembered"
        (asked,) = [each for each in issuer.asked if each.path == "/introspect"]
        assert asked.form == {"token": TOKEN, "token_type_hint": "access_token"}
        assert not any(TOKEN in json.dumps(line) for line in daemon.log)
    assert TOKEN not in site.decisions.read_text()
    assert [record["effect"] for record in site.records()] == ["allow", "allow"]


REFUSED: list[tuple[dict[str, Json], str]] = [
    ({"active": False}, "TOKEN_INACTIVE"),
    ({"aud": "https://example.com/other"}, "AUDIENCE_MISMATCH"),
    ({"aud": None}, "CLAIM_MISSING"),
    ({"exp": 1_000_000_000}, "TOKEN_EXPIRED"),
    ({"exp": None}, "CLAIM_MISSING"),
    ({"exp": "2030-01-01"}, "CLAIM_INVALID"),
    ({"nbf": 4_000_000_000}, "TOKEN_NOT_YET_VALID"),
    ({"token_type": None}, "TOKEN_TYPE"),
    ({"token_type": "refresh_token"}, "TOKEN_TYPE"),
    ({"token_type": "DPoP"}, "TOKEN_BINDING_INVALID"),
    ({"cnf": {"x5t#S256": "A" * 43}}, "TOKEN_BINDING_INVALID"),
    ({"at_hash": "x"}, "ID_TOKEN"),
    ({"token_use": "id"}, "ID_TOKEN"),
    ({"events": {}}, "TOKEN_TYPE"),
    ({"scope": "openid"}, "INSUFFICIENT_SCOPE"),
    ({"scope": ["read:patients"]}, "CLAIM_INVALID"),
    ({"active": "true"}, "INTROSPECTION_UNAVAILABLE"),
    ({"active": 1}, "INTROSPECTION_UNAVAILABLE"),
    ({"active": None}, "INTROSPECTION_UNAVAILABLE"),
    ({"iss": "https://other.example.com"}, "INTROSPECTION_UNAVAILABLE"),
]


def test_what_the_issuer_says_is_checked(site: Site, issuer: AuthorizationServer) -> None:
    """Each differs in one respect from a twin that is accepted."""
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for number, (changes, reason) in enumerate(REFUSED):
            issuer.tokens[f"twin-{number}"] = issuer.active()
            issuer.tokens[f"token-{number}"] = issuer.active(**changes)
            assert caller.check(check_request(f"twin-{number}")).reason == "ALLOWED"
            for _ in range(2):  # asked about, and remembered
                answer = caller.check(check_request(f"token-{number}"))
                assert (answer.allowed, answer.reason) == (False, reason), changes
            assert issuer.count(f"token-{number}") == 1
            if reason == "INTROSPECTION_UNAVAILABLE":
                assert (answer.http_status, answer.www_authenticate) == (503, "")
                assert answer.retry_after_seconds > 0
            elif reason != "INSUFFICIENT_SCOPE":
                assert answer.http_status == 401


def test_a_bound_token_with_its_proof(site: Site, issuer: AuthorizationServer) -> None:
    """The proof is looked at once the issuer was asked, so it is used up once."""
    issuer.tokens["dpop"] = issuer.active(token_type="DPoP", cnf={"jkt": jkt()})
    issuer.tokens["mtls"] = issuer.active(cnf={"x5t#S256": CERTIFICATE})
    shown = proof("dpop", iat=int(time.time()))
    proofs = {
        "dpop": messages.SenderProof(dpop_proofs=[shown], http_method=METHOD, http_uri=URI),
        "mtls": messages.SenderProof(client_certificate_sha256=CERTIFICATE),
    }
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for token, given in proofs.items():
            assert caller.check(check_request(token, proof=given)).reason == "ALLOWED"
            assert caller.check(check_request(token)).reason == "TOKEN_BINDING_INVALID"
        again = caller.check(check_request("dpop", proof=proofs["dpop"]))
        assert again.reason == "TOKEN_BINDING_INVALID", "a proof is for one request"


def test_a_response_without_iss_is_the_issuers(site: Site, issuer: AuthorizationServer) -> None:
    issuer.tokens[TOKEN] = issuer.active(iss=None)
    with site.start() as daemon:
        answer = ask(daemon)
        assert (answer.reason, answer.subject.issuer) == ("ALLOWED", issuer.issuer)


def test_an_endpoint_for_access_tokens_only(site: Site, issuer: AuthorizationServer) -> None:
    only = 'client_id = "policyd"\nclient_secret_file = "secret"\naccess_tokens_only = true'
    site.configure(issuers=issuer.configuration(only))
    issuer.tokens[TOKEN] = issuer.active(token_type=None)
    issuer.tokens["refresh"] = issuer.active(token_type="refresh_token")
    with site.start() as daemon:
        assert ask(daemon).reason == "ALLOWED"
        assert ask(daemon, "refresh").reason == "TOKEN_TYPE"


NOT_OPAQUE = [
    ("one.dot", "TOKEN_MALFORMED"),
    ("a.b.c", "TOKEN_MALFORMED"),
    ("a.b.c.d.e", "TOKEN_ENCRYPTED"),
    ("white space", "TOKEN_MALFORMED"),
    ("pad=ding", "TOKEN_MALFORMED"),
    ("tab\t", "TOKEN_MALFORMED"),
    ("naïve", "TOKEN_MALFORMED"),
    ("x" * 4097, "TOKEN_TOO_LARGE"),
    ("x" * 20_000, "TOKEN_TOO_LARGE"),
    ("", "TOKEN_MISSING"),
]


def test_what_is_not_opaque_is_not_asked_about(site: Site, issuer: AuthorizationServer) -> None:
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for token, reason in NOT_OPAQUE:
            assert caller.check(check_request(token)).reason == reason
        assert caller.check(check_request(issuer.jwt())).reason == "ALLOWED"
        assert issuer.asked == []


GARBAGE = {
    "html": Reply(b"<html>", media_type="text/html; charset=utf-8"),
    "jwt": Reply(b"e30.e30.e30", media_type="application/token-introspection+jwt"),
    "no media type": Reply(b'{"active": true}', media_type=""),
    "no json": Reply(b"{"),
    "list": Reply(b"[]"),
    "twice": Reply(b'{"active": false, "active": true}'),
    "nan": Reply(b'{"active": true, "exp": NaN}'),
    "utf-16": Reply('{"active": true}'.encode("utf-16")),
    "huge": Reply(b'{"active": true, "x": "' + b"x" * 300_000 + b'"}'),
    "500": Reply(b"oops", 500),
    "302": Reply(b"", 302),
    "204": Reply(b"", 204),
}


def test_what_is_no_answer(site: Site, issuer: AuthorizationServer) -> None:
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for name, reply in GARBAGE.items():
            issuer.routes["/introspect"] = always(reply)
            token = name.replace(" ", "-")
            for _ in range(2):
                answer = caller.check(check_request(token))
                assert (answer.allowed, answer.reason) == (False, "INTROSPECTION_UNAVAILABLE"), name
            assert issuer.count(token) == 1, "it is not asked again and again"
        line = daemon.wait_for_log("an issuer could not be asked about tokens")
        assert line["issuer"] == issuer.issuer
        told = [each for each in daemon.log if each["message"] == line["message"]]
        assert len(told) == 1, "nor is the log told again and again"
    assert {record["reason"] for record in site.records()} == {"INTROSPECTION_UNAVAILABLE"}


def test_a_server_that_refuses_policyd_is_left_alone(
    site: Site, issuer: AuthorizationServer
) -> None:
    """Its other tokens too: a client that goes on with a wrong secret may be locked out."""
    issuer.secret = "changed"
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for number in range(20):
            answer = caller.check(check_request(f"token-{number}"))
            assert answer.reason == "INTROSPECTION_UNAVAILABLE"
        assert len([each for each in issuer.asked if each.path == "/introspect"]) == 1


def test_a_server_that_is_not_there(site: Site, issuer: AuthorizationServer) -> None:
    issuer.close()
    with site.start() as daemon:
        assert ask(daemon).reason == "INTROSPECTION_UNAVAILABLE"


def test_recovers_when_the_server_does(site: Site, issuer: AuthorizationServer) -> None:
    short = 'client_id = "policyd"\nclient_secret_file = "secret"\nnegative_cache_seconds = 1'
    site.configure(issuers=issuer.configuration(short))
    issuer.tokens[TOKEN] = issuer.active()
    issuer.routes["/introspect"] = always(Reply(b"oops", 500))
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert caller.check(check_request(TOKEN)).reason == "INTROSPECTION_UNAVAILABLE"
        del issuer.routes["/introspect"]
        deadline = time.monotonic() + PATIENCE
        while not caller.check(check_request(TOKEN)).allowed:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("endpoint", ["configured", "discovered"])
def test_a_client_that_signs(site: Site, issuer: AuthorizationServer, endpoint: str) -> None:
    issuer.client_key = client_key(site.folder)
    introspection = 'client_id = "policyd"\nprivate_key_file = "client.jwk"'
    if endpoint == "configured":
        introspection += f'\nendpoint = "{issuer.issuer}/introspect"'
    site.configure(issuers=issuer.configuration(introspection))
    with site.start() as daemon:
        for token in ("one", "two"):  # each assertion is for one request alone
            issuer.tokens[token] = issuer.active()
            assert ask(daemon, token).reason == "ALLOWED"
        discoveries = [each for each in issuer.asked if "well-known" in each.path]
        assert len(discoveries) == (0 if endpoint == "configured" else 1)


def test_a_secret_of_odd_characters_from_the_environment(
    site: Site, issuer: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.client_id, issuer.secret = "policy:d ☃", "p%2F+ä: &=~*"
    monkeypatch.setenv("INTROSPECTION_SECRET", issuer.secret)
    site.configure(
        issuers=issuer.configuration(
            'client_id = "policy:d ☃"\nclient_secret_env = "INTROSPECTION_SECRET"'
        )
    )
    issuer.tokens[TOKEN] = issuer.active()
    with site.start() as daemon:
        assert ask(daemon).reason == "ALLOWED"
        assert issuer.secret not in json.dumps(daemon.log)


def test_a_secret_that_is_not_there(site: Site, issuer: AuthorizationServer) -> None:
    site.configure(
        issuers=issuer.configuration('client_id = "x"\nclient_secret_env = "NOT_SET_ANYWHERE"')
    )
    refused = site.run()
    assert refused.returncode == 2
    assert "error[P5006]" in refused.stderr
    assert "NOT_SET_ANYWHERE" in refused.stderr


def test_without_introspection_an_opaque_token_is_malformed(
    site: Site, issuer: AuthorizationServer
) -> None:
    site.configure(issuers=issuer.configuration(""))
    with site.start() as daemon:
        assert ask(daemon).reason == "TOKEN_MALFORMED"
        assert issuer.asked == []
