"""Revocations in the real daemon: a token that was just allowed, remembered, and revoked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from policyd.cli.main import run
from policyd.sources.revocations.shared import create
from policyd.v1 import authorization_pb2 as messages
from tests.support.daemon import (
    ISSUER,
    Caller,
    Daemon,
    Site,
    access_token,
    check_request,
)
from tests.support.redis import redis_server, until, wire_to

FILE = '[revocations]\nfile = "list.ndjson"\nmax_staleness = 2\n'


def revocations(table: str) -> str:
    """Return the end of a configuration: the usual issuer, and a table."""
    return f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n{table}'


def redis_table(port: int, more: str = "") -> str:
    return f'[revocations]\n{more}\n[revocations.redis]\nurl = "redis://127.0.0.1:{port}"\n'


def revoke(folder: Path, *options: str) -> None:
    """Do what an operator does with `policyd revoke`."""
    assert run(["revoke", "--config", str(folder / "policyd.toml"), *options]) == 0


def reason(caller: Caller, token: str) -> str:
    return caller.check(check_request(token)).reason


def wait_for(caller: Caller, token: str, expected: str) -> messages.CheckResponse:
    """Ask until the answer is as expected."""
    until(lambda: reason(caller, token) == expected, f"{expected} never came")
    return caller.check(check_request(token))


def health(caller: Caller) -> int:
    answer = caller.raw("/grpc.health.v1.Health/Check", HealthCheckRequest().SerializeToString())
    return HealthCheckResponse.FromString(answer).status


@contextmanager
def waiting(site: Site) -> Iterator[tuple[Daemon, Caller]]:
    """Run a daemon that waits for its list."""
    daemon = Daemon(site.folder, ())
    try:
        said = daemon.wait_for_log("waiting for the revocation list")["addresses"]
        assert isinstance(said, list)
        with Caller(str(said[0])) as caller:
            yield daemon, caller
    finally:
        daemon.end()


def test_a_remembered_token_is_refused_once_it_is_revoked(site: Site) -> None:
    site.configure(issuers=revocations(FILE))
    revoke(site.folder, "--create")
    one, other, third = access_token(jti="one"), access_token(jti="other"), access_token(sub="u3")
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        for _ in range(2):  # the second time it is remembered
            assert [reason(caller, token) for token in (one, other, third)] == ["ALLOWED"] * 3
        revoke(site.folder, "--jti", "one", "--issuer", ISSUER)
        answer = wait_for(caller, one, "TOKEN_REVOKED")
        assert (answer.allowed, answer.http_status) == (False, 401)
        assert 'error="invalid_token"' in answer.www_authenticate
        assert not answer.HasField("cacheable_until")
        revoke(site.folder, "--subject", "u3", "--issuer", ISSUER, "--reason", "left us")
        wait_for(caller, third, "TOKEN_REVOKED")
        assert reason(caller, other) == "ALLOWED"
    details = [record.get("detail") for record in site.records()]
    assert any("left us" in str(detail) for detail in details)


def test_until_the_list_is_there_it_does_not_serve(site: Site) -> None:
    site.configure(issuers=revocations(FILE))
    token = access_token()
    with waiting(site) as (daemon, caller):
        assert health(caller) == HealthCheckResponse.NOT_SERVING
        answer = caller.check(check_request(token))
        assert (answer.reason, answer.http_status) == ("REVOCATIONS_UNAVAILABLE", 503)
        assert answer.retry_after_seconds > 0
        assert answer.www_authenticate == ""
        revoke(site.folder, "--create")
        daemon.wait_for_log("serving")
        assert health(caller) == HealthCheckResponse.SERVING
        assert reason(caller, token) == "ALLOWED"


def test_a_daemon_that_waits_for_its_list_can_be_stopped(site: Site) -> None:
    site.configure(issuers=revocations(FILE))
    with waiting(site) as (daemon, _):
        daemon.process.terminate()
        assert daemon.wait() == 0


def put(path: Path, content: bytes) -> None:
    """Change a file at once: a list that is half written is another mistake."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def test_a_bad_list_keeps_the_good_one_until_it_is_stale(site: Site) -> None:
    site.configure(issuers=revocations(FILE))
    revoke(site.folder, "--create")
    revoke(site.folder, "--jti", "one", "--issuer", ISSUER)
    one, other = access_token(jti="one"), access_token(jti="other")
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        listed = site.folder / "list.ndjson"
        good = listed.read_bytes()
        assert (reason(caller, one), reason(caller, other)) == ("TOKEN_REVOKED", "ALLOWED")
        put(listed, good + b"nonsense\n")
        said = daemon.wait_for_log("revocations cannot be read")
        assert "P5011" in str(said["findings"])
        answer = wait_for(caller, other, "REVOCATIONS_UNAVAILABLE")
        assert answer.http_status == 503
        daemon.wait_for_log("the revocation list is stale")
        put(listed, good)
        wait_for(caller, other, "ALLOWED")
        assert reason(caller, one) == "TOKEN_REVOKED"


def test_two_daemons_share_a_list_in_redis(site: Site, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "second").mkdir()
    second = Site(tmp_path / "second", site.transport)
    with redis_server(tmp_path / "redis") as server:
        create(server.settings)
        for one_site in (site, second):
            one_site.configure(issuers=revocations(redis_table(server.port)))
        token, other = access_token(sid="s1"), access_token(sid="s2")
        with (
            site.start() as first,
            second.start() as further,
            Caller(*first.addresses) as one,
            Caller(*further.addresses) as two,
        ):
            assert [reason(caller, token) for caller in (one, two)] == ["ALLOWED"] * 2
            revoke(second.folder, "--session", "s1", "--issuer", ISSUER)
            for caller in (one, two):
                wait_for(caller, token, "TOKEN_REVOKED")
                assert reason(caller, other) == "ALLOWED"
            server.restart(hard=True)
            first.wait_for_log("revocations are current again")
            assert [reason(caller, token) for caller in (one, two)] == ["TOKEN_REVOKED"] * 2


@pytest.mark.parametrize("on_stale", ["deny", "allow"])
def test_a_partition(site: Site, tmp_path: Path, on_stale: str) -> None:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server, wire_to(server.port) as wire:
        create(server.settings)
        table = redis_table(wire.port, f'max_staleness = 2\non_stale = "{on_stale}"')
        site.configure(issuers=revocations(table))
        known, token = access_token(jti="known"), access_token(jti="later")
        revoke(site.folder, "--jti", "known", "--issuer", ISSUER)
        with site.start() as daemon, Caller(*daemon.addresses) as caller:
            assert reason(caller, token) == "ALLOWED"
            wire.cut()
            daemon.wait_for_log("the revocation list is stale")
            if on_stale == "deny":
                wait_for(caller, token, "REVOCATIONS_UNAVAILABLE")
            else:
                assert reason(caller, token) == "ALLOWED"
                assert reason(caller, known) == "TOKEN_REVOKED"
            wire.mend()
            daemon.wait_for_log("revocations are current again")
            assert reason(caller, token) == "ALLOWED"
            revoke(site.folder, "--jti", "later", "--issuer", ISSUER)
            wait_for(caller, token, "TOKEN_REVOKED")


def test_a_batch_hears_of_a_revocation(site: Site) -> None:
    site.configure(issuers=revocations(FILE))
    revoke(site.folder, "--create")
    token = access_token(jti="one")
    check = check_request(token)
    batch = messages.BatchCheckRequest(access_token=token, api="health")
    batch.items.add(id="1", action=check.action, resource=check.resource)
    with site.start() as daemon, Caller(*daemon.addresses) as caller:

        def batch_reason() -> str:
            return caller.batch_check(batch).results[0].response.reason

        assert batch_reason() == "ALLOWED"
        revoke(site.folder, "--jti", "one", "--issuer", ISSUER)
        until(lambda: batch_reason() == "TOKEN_REVOKED")
