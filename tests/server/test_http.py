"""The HTTP listener of the real daemon: probes, figures, metadata, and challenges that name it."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection

from policyd.cli.main import run
from policyd.json_types import Json
from policyd.v1 import authorization_pb2 as messages
from tests.support.daemon import (
    AUDIENCE,
    ISSUER,
    METRICS_KEPT,
    PATIENCE,
    Caller,
    Daemon,
    Site,
    access_token,
    check_request,
    resource,
)
from tests.support.transports import ONE_TRANSPORT

WELL_KNOWN = "/.well-known/oauth-protected-resource"
ISSUERS = f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'
HTTP = f'[http]\nlisten = ["127.0.0.1:0"]\n{ISSUERS}'


def http_address(daemon: Daemon) -> str:
    addresses = daemon.wait_for_log("serving")["http"]
    assert isinstance(addresses, list)
    return str(addresses[0])


def get(daemon: Daemon, path: str, host: str = "") -> tuple[int, dict[str, str], str]:
    connection = HTTPConnection(http_address(daemon), timeout=PATIENCE)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


def ready(daemon: Daemon) -> tuple[int, dict[str, Json]]:
    status, _, body = get(daemon, "/readyz")
    document: dict[str, Json] = json.loads(body)
    return status, document


def figures(daemon: Daemon) -> dict[str, float]:
    time.sleep(METRICS_KEPT)
    lines = (line for line in get(daemon, "/metrics")[2].splitlines() if line[:1] != "#")
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def figures_when(daemon: Daemon, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Return the figures as soon as that holds: they follow what happened by a moment."""
    for _ in range(2000):
        found = figures(daemon)
        if holds(found):
            return found
    raise AssertionError(found)


@ONE_TRANSPORT
def test_there_is_no_such_listener_by_default(daemon: Daemon) -> None:
    assert daemon.wait_for_log("serving")["http"] == []


def test_probes(site: Site) -> None:
    site.configure("drain = 30", issuers=HTTP)
    with site.start() as daemon:
        assert get(daemon, "/healthz")[::2] == (200, "OK\n")
        status, document = ready(daemon)
        assert (status, document["ready"], document["reasons"]) == (200, True, [])
        with Caller(daemon.addresses[0]) as caller:
            revision = caller.check(check_request()).policy_revision
        assert document["revision"] == revision
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_log("stopping")
        status, document = ready(daemon)
        assert (status, document["reasons"]) == (503, ["the daemon is stopping"])
        assert get(daemon, "/healthz")[0] == 200
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


def test_counts_decisions(site: Site) -> None:
    site.configure(issuers=HTTP)
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        token = access_token()
        for _ in range(3):
            assert caller.check(check_request(token)).allowed
        assert not caller.check(check_request(access_token(exp=1))).allowed
        item = messages.BatchCheckItem(
            action="read", resource=resource("patient", "p", sealed=False)
        )
        caller.batch_check(
            messages.BatchCheckRequest(access_token=token, api="health", items=[item] * 5)
        )
        total = "policyd_check_duration_seconds_count"
        found = figures_when(daemon, lambda now: now[total] == 9)
        name = 'policyd_decisions_total{{api="health",effect="{}",reason="{}"}}'
        assert found[name.format("allow", "ALLOWED")] == 8
        assert found[name.format("deny", "TOKEN_EXPIRED")] == 1
        assert found['policyd_token_validations_total{result="ACCEPTED"}'] == 4
        assert found['policyd_token_validations_total{result="TOKEN_EXPIRED"}'] == 1
        assert found["policyd_token_cache_hits_total"] == 3
        assert found["policyd_token_cache_misses_total"] == 2
        assert found["policyd_token_cache_entries"] == 1
        assert found[f'policyd_keys{{issuer="{ISSUER}"}}'] == 1
        assert found["policyd_serving"] == 1


@ONE_TRANSPORT
def test_counts_what_the_token_cache_forgot(site: Site) -> None:
    site.configure(issuers=f"[tokens]\ncache_entries = 2\n{HTTP}")
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        texts = [access_token(jti=str(number)) for number in range(5)]
        for text in texts:
            assert caller.check(check_request(text)).allowed
        assert caller.check(check_request(texts[-1])).allowed  # remembered
        assert caller.check(check_request(texts[0])).allowed  # forgotten
        found = figures(daemon)
        name = "policyd_token_cache"
        kinds = ("entries", "hits_total", "misses_total", "evictions_total")
        assert [found[f"{name}_{kind}"] for kind in kinds] == [2, 1, 6, 4]
        assert found[f"{name}_bytes"] > len(texts[0]) + len(texts[-1])


@ONE_TRANSPORT
def test_tells_of_policies_that_did_not_load(site: Site) -> None:
    site.configure(issuers=HTTP)
    with site.start() as daemon:
        good = site.policy.read_text()
        site.policy.write_text(f"{good}\nallow nonsense\n\nallow more nonsense")
        line = good.count("\n") + 2
        daemon.wait_for_log("the changed policies have errors; the old ones keep serving")
        found = figures(daemon)
        assert found['policyd_policy_loads_total{result="failed"}'] == 1
        assert found["policyd_policy_last_load_successful"] == 0
        status, document = ready(daemon)
        assert (status, document["ready"]) == (200, True)
        trouble = str(document["troubles"])
        said = "['the newest policies are not in service: {}:{}:7: error[P0026]: "
        assert trouble.startswith(said.format(f"policies/{site.policy.name}", line))
        assert trouble.endswith(" (and 1 more)']")
        site.policy.write_text(f"{good}\n// again\n")
        revision = document["revision"]
        daemon.wait_for_log("policies loaded", lambda line: line["revision"] != revision)
        assert figures(daemon)["policyd_policy_last_load_successful"] == 1
        assert ready(daemon)[1]["troubles"] == []


@ONE_TRANSPORT
def test_tells_how_old_the_revocation_list_is(site: Site) -> None:
    revocations = '[revocations]\nfile = "list.ndjson"\nmax_staleness = 2\n'
    site.configure(issuers=f"{revocations}{HTTP}")
    config = ("revoke", "--config", str(site.folder / "policyd.toml"))
    assert run([*config, "--create"]) == 0
    assert run([*config, "--issuer", ISSUER, "--jti", "one"]) == 0
    age, stale = (
        f'policyd_revocations_{name}{{source="file"}}' for name in ("age_seconds", "stale")
    )
    with site.start() as daemon:
        found = figures(daemon)
        assert found['policyd_revocations{kind="jti",source="file"}'] == 1
        assert (found[age] <= 2, found[stale]) == (True, 0)
        (site.folder / "list.ndjson").unlink()
        daemon.wait_for_log("the revocation list is stale")
        found = figures(daemon)
        assert (found[age] > 2, found[stale]) == (True, 1)
        assert found['policyd_revocations{kind="jti",source="file"}'] == 1
        status, document = ready(daemon)
        assert status == 200
        assert "revocation list (file)" in str(document["troubles"])


@ONE_TRANSPORT
def test_serves_metadata_of_what_the_policies_say_now(site: Site) -> None:
    site.configure(issuers=HTTP)
    with site.start() as daemon:
        status, header, body = get(daemon, f"{WELL_KNOWN}/health-api")
        assert (status, header["content-type"]) == (200, "application/json")
        document = json.loads(body)
        assert document["resource"] == AUDIENCE
        assert document["authorization_servers"] == [ISSUER]
        assert document["bearer_methods_supported"] == ["header"]
        assert "read:patients" in document["scopes_supported"]
        site.policy.write_text(site.policy.read_text().replace("write:patients", "edit:patients"))
        revision = ready(daemon)[1]["revision"]
        daemon.wait_for_log("policies loaded", lambda line: line["revision"] != revision)
        changed = json.loads(get(daemon, f"{WELL_KNOWN}/health-api")[2])
        assert "edit:patients" in changed["scopes_supported"]
        assert get(daemon, WELL_KNOWN)[0] == 404


@ONE_TRANSPORT
def test_challenges_name_the_metadata_when_configured(site: Site) -> None:
    told = '[apis.health]\nresource = "https://public.example/health"\n[metadata]\n'
    site.configure(issuers=f"{told}in_challenges = true\n{HTTP}")
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        url = f"https://public.example{WELL_KNOWN}/health"
        ending = f'resource_metadata="{url}"'
        answers = [
            caller.check(check_request("")),
            caller.check(check_request(access_token(exp=1))),
            caller.check(check_request(access_token(scope="openid"))),
        ]
        assert [answer.reason for answer in answers] == [
            "TOKEN_MISSING",
            "TOKEN_EXPIRED",
            "INSUFFICIENT_SCOPE",
        ]
        assert all(answer.www_authenticate.endswith(ending) for answer in answers)
        # What the challenge names is there, and is of the resource that was asked for.
        path = url.removeprefix("https://public.example")
        document = json.loads(get(daemon, path, host="public.example")[2])
        assert document["resource"] == "https://public.example/health"


@ONE_TRANSPORT
def test_no_challenge_names_it_by_default(caller: Caller) -> None:
    assert "resource_metadata" not in caller.check(check_request("")).www_authenticate


def test_dawdlers_hold_up_neither_probes_nor_checks(site: Site) -> None:
    site.configure(issuers=HTTP)
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        host, _, port = http_address(daemon).rpartition(":")
        dawdlers = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(100)]
        for dawdler in dawdlers:
            dawdler.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert get(daemon, "/healthz")[0] == 200
        assert caller.check(check_request()).allowed
        for dawdler in dawdlers:
            dawdler.close()


@ONE_TRANSPORT
def test_listens_on_a_unix_socket(site: Site) -> None:
    site.configure(issuers=f'[http]\nlisten = ["unix:pages"]\n{ISSUERS}')
    path = site.folder / "pages"
    with site.start() as daemon, socket.socket(socket.AF_UNIX) as connection:
        assert http_address(daemon) == f"unix:{path}"
        connection.connect(str(path))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 200 OK")
    assert not path.exists()


@ONE_TRANSPORT
def test_a_taken_port_is_said_at_the_start(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        site.configure(issuers=f'[http]\nlisten = ["{address}"]\n{ISSUERS}')
        done = site.run()
    assert done.returncode == 2
    assert "P5009" in done.stderr
    assert address in done.stderr


@ONE_TRANSPORT
def test_development_has_one(site: Site) -> None:
    (site.folder / "policyd.toml").write_text(
        '[policies]\npath = "policies"\n[server]\nlisten = ["127.0.0.1:0"]\ndrain = 0\n'
    )
    with site.start("--dev") as daemon:
        assert get(daemon, "/healthz")[0] == 200


@ONE_TRANSPORT
def test_nothing_else_is_there(site: Site) -> None:
    site.configure(issuers=HTTP)
    with site.start() as daemon:
        for path in ("/", "/metrics/", "/healthz/../metrics", f"{WELL_KNOWN}x", "//"):
            assert get(daemon, path)[0] == 404
