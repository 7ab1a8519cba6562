"""`userinfo.NAME` through the real daemon, which asks a real HTTPS server about users."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from policyd.v1 import authorization_pb2 as messages
from tests.support.authorization_server import (
    AuthorizationServer,
    Reply,
    always,
    authorization_server,
)
from tests.support.daemon import AUDIENCE, PATIENCE, Caller, Daemon, Site, check_request

POLICY = f"""
api health

audience "{AUDIENCE}"

scope read:patients "Read patient records"

userinfo verified: bool? from "email_verified"

resource patient {{
    sealed: bool
    actions read
}}

allow reads: read on patient
    when scope read:patients and userinfo.verified
"""


@pytest.fixture
def issuer(site: Site) -> Iterator[AuthorizationServer]:
    site.policy.write_text(POLICY)
    with authorization_server(site.folder) as server:
        site.configure(issuers=server.configuration(further="[issuers.userinfo]\n"))
        yield server


def ask(daemon: Daemon, token: str) -> messages.CheckResponse:
    with Caller(daemon.addresses[0]) as caller:
        return caller.check(check_request(token))


def questions(issuer: AuthorizationServer) -> list[str]:
    return [asked.path for asked in issuer.asked if asked.path in ("/userinfo", "/introspect")]


def test_what_the_issuer_tells_decides(site: Site, issuer: AuthorizationServer) -> None:
    verified, unverified, foreign, silent, machine = (
        issuer.jwt(jti=name) for name in ("verified", "unverified", "foreign", "silent", "machine")
    )
    issuer.users = {
        verified: {"sub": "user-1", "email_verified": True},
        unverified: {"sub": "user-1", "email_verified": False},
        foreign: {"sub": "user-2", "email_verified": True},
        silent: {"sub": "user-1"},
    }
    with site.start() as daemon:
        assert ask(daemon, verified).reason == "ALLOWED"
        assert ask(daemon, verified).reason == "ALLOWED"
        assert questions(issuer) == ["/userinfo"], "what was told is remembered"
        assert ask(daemon, unverified).reason == "NO_RULE_ALLOWS"
        assert ask(daemon, foreign).reason == "NO_RULE_ALLOWS"
        assert ask(daemon, silent).reason == "NO_RULE_ALLOWS"
        assert ask(daemon, machine).reason == "NO_RULE_ALLOWS"  # the endpoint answers 401
        assert len(questions(issuer)) == 5
        assert ask(daemon, issuer.jwt(scope="read:patients")).reason == "NO_RULE_ALLOWS"
        assert len(questions(issuer)) == 5, "without `openid` nobody is asked"


def test_an_opaque_token_and_its_user(site: Site, issuer: AuthorizationServer) -> None:
    issuer.tokens["opaque"] = issuer.active()
    issuer.users["opaque"] = {"sub": "user-1", "email_verified": True}
    with site.start() as daemon:
        assert ask(daemon, "opaque").reason == "ALLOWED"
        assert questions(issuer) == ["/introspect", "/userinfo"]


def test_a_refused_token_asks_about_no_user(site: Site, issuer: AuthorizationServer) -> None:
    token = issuer.jwt(aud="https://example.com/other")
    issuer.users[token] = {"sub": "user-1", "email_verified": True}
    with site.start() as daemon:
        assert ask(daemon, token).reason == "AUDIENCE_MISMATCH"
        assert questions(issuer) == []


@pytest.mark.parametrize("failure", ["500", "html", "jwt", "hangs"])
def test_an_issuer_in_trouble_is_a_fact_that_is_missing(
    site: Site, issuer: AuthorizationServer, failure: str
) -> None:
    site.configure(issuers=issuer.configuration("", "[issuers.userinfo]\ntimeout = 0.5\n"))
    issuer.routes["/userinfo"] = {
        "500": always(Reply(b"oops", 500)),
        "html": always(Reply(b"<html>", media_type="text/html")),
        "jwt": always(Reply(b"e30.e30.e30", media_type="application/jwt")),
        "hangs": issuer.hang,
    }[failure]
    token = issuer.jwt()
    with site.start() as daemon:
        assert ask(daemon, token).reason == "NO_RULE_ALLOWS"
        assert ask(daemon, token).reason == "NO_RULE_ALLOWS"
        assert questions(issuer) == ["/userinfo"]
        line = daemon.wait_for_log("an issuer could not be asked about tokens")
        assert line["asked"] == "userinfo_endpoint"


def test_a_fact_that_is_required_refuses_without_it(
    site: Site, issuer: AuthorizationServer
) -> None:
    site.policy.write_text(POLICY.replace("bool?", "bool"))
    told, untold = issuer.jwt(jti="told"), issuer.jwt(jti="untold")
    issuer.users = {told: {"sub": "user-1", "email_verified": True}, untold: {"sub": "user-1"}}
    with site.start() as daemon:
        assert ask(daemon, told).reason == "ALLOWED"
        assert ask(daemon, untold).reason == "CLAIM_MISSING"
        issuer.routes["/userinfo"] = always(Reply(b"oops", 500))
        assert ask(daemon, issuer.jwt(jti="later")).reason == "CLAIM_MISSING"
        issuer.close()
        assert ask(daemon, issuer.jwt(jti="last")).reason == "CLAIM_MISSING"
        assert ask(daemon, told).reason == "ALLOWED", "what was told is remembered"


def test_an_issuer_that_is_not_there_is_a_fact_that_is_missing(
    site: Site, issuer: AuthorizationServer
) -> None:
    token = issuer.jwt()
    issuer.users[token] = {"sub": "user-1", "email_verified": True}
    issuer.close()
    with site.start() as daemon:
        answer = ask(daemon, token)
        assert (answer.allowed, answer.reason) == (False, "NO_RULE_ALLOWS")


def test_an_api_without_such_facts_asks_nobody(site: Site, issuer: AuthorizationServer) -> None:
    site.policy.write_text(
        "\n".join(line for line in POLICY.splitlines() if not line.startswith("userinfo")).replace(
            " and userinfo.verified", ""
        )
    )
    with site.start() as daemon:
        assert ask(daemon, issuer.jwt()).reason == "ALLOWED"
        assert issuer.asked == []


def test_users_that_hang_touch_no_other_check(site: Site, issuer: AuthorizationServer) -> None:
    """Those who wait, and those who come too late for a place, get their answers."""
    site.configure(
        "waiting_threads = 1\nmax_waiting = 1\nthreads = 1",
        issuers=issuer.configuration("", "[issuers.userinfo]\ntimeout = 30\n"),
    )
    hanging, surplus = issuer.jwt(jti="hanging"), issuer.jwt(jti="surplus")
    issuer.routes["/userinfo"] = issuer.hang
    with (
        site.start() as daemon,
        Caller(daemon.addresses[0]) as caller,
        ThreadPoolExecutor(1) as pool,
    ):
        started = pool.submit(caller.check, check_request(hanging))
        assert issuer.hanging.acquire(timeout=PATIENCE)
        assert caller.check(check_request(surplus)).reason == "NO_RULE_ALLOWS"
        issuer.release()
        assert started.result().reason == "NO_RULE_ALLOWS"
    assert questions(issuer) == ["/userinfo"]
