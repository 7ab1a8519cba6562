"""Start and stop of the real daemon, and what keeps it from starting."""

from __future__ import annotations

import itertools
import re
import signal
import threading
import time

import grpc
import pytest

from tests.support.daemon import PATIENCE, Caller, Failure, Site, access_token, check_request


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_when_it_is_asked(site: Site, number: signal.Signals) -> None:
    with site.start() as daemon:
        daemon.signal(number)
        assert daemon.wait() == 0
        assert daemon.wait_for_log("stopping")["signal"] == number.name
        assert daemon.wait_for_log("stopped")["records_dropped"] == 0


def test_a_stop_under_load_loses_no_answer_and_no_record(site: Site) -> None:
    site.configure("drain = 0.2")
    request = check_request()
    answered: list[str] = []
    failures: list[Failure] = []
    enough = threading.Event()

    def ask(target: str) -> None:
        with Caller(target) as caller:
            for n in itertools.count():
                try:
                    answered.append(caller.check(request).decision_id)
                except grpc.RpcError as error:
                    failures.append(Failure(error))
                    return
                if n == 50:
                    enough.set()

    with site.start() as daemon:
        threads = [threading.Thread(target=ask, args=daemon.addresses) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert enough.wait(30)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        for thread in threads:
            thread.join(30)
    # Whoever asks after the end finds nobody; nobody is answered with anything else.
    assert {failed.code for failed in failures} <= {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
    }
    records = [record["decision_id"] for record in site.records()]
    assert len(records) == len(set(records))
    assert set(answered) <= set(records)


def test_an_error_in_the_first_policies_ends_the_start(site: Site) -> None:
    site.policy.write_text(site.policy.read_text().replace("resource.sealed", "resource.sealt"))
    result = site.run()
    assert result.returncode == 1
    assert "error[P1005]" in result.stderr
    assert "health.policy:" in result.stderr
    assert "^^^" in result.stderr


def test_bytes_that_are_no_text_end_the_start(site: Site) -> None:
    site.policy.write_bytes(b"api health\xff")
    result = site.run()
    assert result.returncode == 1
    assert "error[P0001]" in result.stderr


def test_policies_that_are_not_there_end_the_start(site: Site) -> None:
    site.policy.unlink()
    result = site.run()
    assert result.returncode == 1
    assert "error[P1017]" in result.stderr
    site.policies.rmdir()
    result = site.run()
    assert result.returncode == 2
    assert "the policies cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ("[policies", "P5001"),
        ("[policies]\npath = 'policies'\nfoo = 1", "P5002"),
        ("[policies]\npath = 'policies'", "P5003"),
    ],
)
def test_a_bad_configuration_ends_the_start(site: Site, configuration: str, code: str) -> None:
    (site.folder / "policyd.toml").write_text(configuration)
    result = site.run()
    assert result.returncode == 2
    assert f"error[{code}]" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_decision_log_that_cannot_be_written_ends_the_start(site: Site) -> None:
    site.configure(decision_log='path = "nowhere/decisions.ndjson"')
    result = site.run()
    assert result.returncode == 2
    assert "error[P5008]" in result.stderr


def test_without_keys_it_serves_and_refuses(site: Site) -> None:
    (site.folder / "jwks.json").write_text('{"keys": []}')
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        answer = caller.check(check_request())
        assert (answer.allowed, answer.reason) == (False, "KEYS_UNAVAILABLE")
        assert answer.http_status == 503
        assert answer.retry_after_seconds > 0
        assert answer.www_authenticate == ""
        assert daemon.wait_for_log("keys could not be fetched")["problem"]


def test_a_mask_that_names_nothing_ends_the_start(site: Site) -> None:
    mask = 'mask = ["token.subject", "token.role", "roles"]'
    site.configure(decision_log=mask)
    result = site.run()
    assert result.returncode == 2
    assert result.stderr.count("error[P5013]") == 2
    lines = (site.folder / "policyd.toml").read_text().splitlines()
    assert f"--> policyd.toml:{lines.index(mask) + 1}:1" in result.stderr
    assert result.stderr.count("= help: did you mean `token.roles`?") == 2


def test_a_mask_that_names_nothing_any_more_is_a_trouble(site: Site) -> None:
    site.configure(
        decision_log='mask = ["token.roles"]\n[http]\nlisten = ["127.0.0.1:0"]',
    )
    with site.start() as daemon:
        text = site.policy.read_text()
        site.policy.write_text(text.replace("roles", "parts"))
        told = daemon.wait_for_log("the configuration names what no policy declares")
        headline = "`token.roles` in `mask` names a fact that no API declares"
        assert headline in str(told["places"])
        (trouble,) = daemon.troubles()
        assert re.match(rf"line \d+ of the configuration: {re.escape(headline)}; ", trouble)
        site.policy.write_text(text)
        limit = time.monotonic() + PATIENCE
        while daemon.troubles() and time.monotonic() < limit:
            time.sleep(0.01)
        assert daemon.troubles() == []


def test_warns_of_names_that_lead_nowhere(site: Site) -> None:
    """In the words of `policyd check --config`."""
    site.configure(
        decision_log='[http]\nlisten = ["127.0.0.1:0"]\n[apis.helth]\nname = "Health"',
        issuers='[[issuers]]\nissuer = "https://my-domain.auth0.com/"\ndialect = "auth0"\n'
        'jwks_file = "jwks.json"\napis = ["health", "heath"]\n',
    )
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        told = daemon.wait_for_log("the configuration names what no policy declares")
        assert str(told["findings"]).count("help: did you mean `health`?") == 2
        assert [re.sub(r"line \d+", "line N", trouble) for trouble in daemon.troubles()] == [
            "line N of the configuration: issuer 'https://my-domain.auth0.com/': `apis` names "
            "the API `heath`, which no policy declares; did you mean `health`?",
            "line N of the configuration: `apis` names the API `helth`, which no policy declares; "
            "did you mean `health`?",
        ]
        assert caller.check(check_request(access_token())).allowed
