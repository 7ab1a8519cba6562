"""SIGHUP: issuers take over while the daemon serves, whole or not at all."""

from __future__ import annotations

import json
import signal
import time

from policyd.tokens.minting import generate_key, key_set_text, sign
from tests.support.daemon import (
    ISSUER,
    Caller,
    Daemon,
    Site,
    access_claims,
    access_token,
    check_request,
)

OTHER = "https://other.example/"
READ = "configuration read again"
REJECTED = "the changed configuration has errors; nothing changed"
WAITING = "settings changed that wait for a restart"


def table(name: str = ISSUER, keys: str = "jwks.json", further: str = "") -> str:
    return (
        f'[[issuers]]\nissuer = "{name}"\ndialect = "auth0"\njwks_file = "{keys}"\n'
        f'apis = ["health"]\n{further}\n'
    )


def reason(caller: Caller, token: str) -> str:
    return caller.check(check_request(token)).reason


def read_again(daemon: Daemon, message: str, times: int = 1) -> dict[str, object]:
    """Send SIGHUP and return the line of the log that follows: the `times`-th with `message`."""
    seen = sum(line["message"] == message for line in daemon.log)
    daemon.signal(signal.SIGHUP)
    daemon.wait_for_log(
        message, lambda _: sum(line["message"] == message for line in daemon.log) > seen
    )
    return dict([line for line in daemon.log if line["message"] == message][-1])


def test_issuers_come_change_and_go(site: Site) -> None:
    text = site.policy.read_text()
    # With a second issuer, rules say whose applications and whose roles they mean (P1025).
    for told in ('token.client == "nightly-export"', '"clinician" in token.roles'):
        text = text.replace(told, f'{told} and token.iss == "{ISSUER}"')
    site.policy.write_text(text)
    key = generate_key()
    (site.folder / "other.json").write_bytes(key_set_text(key))
    site.configure(issuers=table())
    theirs = sign(key, access_claims(iss=OTHER, aud="https://example.com/health-api"))
    ours = access_token()
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        assert (reason(caller, ours), reason(caller, theirs)) == ("ALLOWED", "ISSUER_UNKNOWN")

        site.configure(issuers=table() + table(OTHER, "other.json"))
        line = read_again(daemon, READ)
        assert (line["added"], line["changed"], line["removed"]) == ([OTHER], [], [])
        assert (reason(caller, ours), reason(caller, theirs)) == ("ALLOWED", "ALLOWED")

        site.configure(issuers=table(further="max_token_age = 5") + table(OTHER, "other.json"))
        line = read_again(daemon, READ)
        assert (line["added"], line["changed"], line["removed"]) == ([], [ISSUER], [])
        old = access_token(iat=int(time.time()) - 70)
        assert (reason(caller, old), reason(caller, theirs)) == ("TOKEN_EXPIRED", "ALLOWED")

        site.configure(issuers=table())
        line = read_again(daemon, READ)
        assert (line["added"], line["changed"], line["removed"]) == ([], [ISSUER], [OTHER])
        assert (reason(caller, old), reason(caller, theirs)) == ("ALLOWED", "ISSUER_UNKNOWN")
        assert daemon.end() == 0


def test_keys_are_read_again_whatever_the_configuration_says(site: Site) -> None:
    """Another key under the same id, and the signal before anybody's token asks for it."""
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        held = access_token()
        assert reason(caller, held) == "ALLOWED"
        old = site.folder / "jwks.json"
        other = generate_key(key_id=json.loads(old.read_bytes())["keys"][0]["kid"])
        old.write_bytes(key_set_text(other))
        site.configure(issuers=table(further='dialect_ = "okta"'))
        fetched = sum(line["message"] == "keys fetched" for line in daemon.log)
        read_again(daemon, REJECTED)

        daemon.wait_for_log(
            "keys fetched",
            lambda _: sum(line["message"] == "keys fetched" for line in daemon.log) > fetched,
        )
        claims = access_claims(aud="https://example.com/health-api")
        assert reason(caller, sign(other, claims)) == "ALLOWED"
        assert reason(caller, held) == "SIGNATURE_INVALID"


def test_a_file_with_findings_changes_nothing(site: Site) -> None:
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        site.configure(issuers=table(further='dialect_ = "okta"') + table(OTHER))
        line = read_again(daemon, REJECTED)
        assert "P5002" in str(line["places"])
        assert "^^^^^^^^" in str(line["findings"])
        assert reason(caller, access_token()) == "ALLOWED"

        site.configure(
            issuers=table(further='ca_file = "none.pem"').replace(
                '_file = "j', '_uri = "https://localhost/j'
            )
        )
        assert "`ca_file` cannot be used" in str(read_again(daemon, REJECTED)["findings"])
        assert reason(caller, access_token()) == "ALLOWED"

        site.configure()
        assert read_again(daemon, READ)["issuers"] == [ISSUER]
        assert reason(caller, access_token()) == "ALLOWED"


def test_what_takes_a_restart_is_named(site: Site) -> None:
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        site.configure(
            "max_calls = 7\nmax_decision_age = 60",
            'path = "decisions.ndjson"\nmask = ["token.email"]',
        )
        line = read_again(daemon, WAITING)
        assert line["keys"] == ["decision_log.mask", "server.max_calls", "server.max_decision_age"]
        assert reason(caller, access_token()) == "ALLOWED"


def test_issuers_that_the_policies_would_confuse_are_not_taken(site: Site) -> None:
    """The sample names a client, which two issuers may give to two applications."""
    site.configure(issuers=table())
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        site.configure(issuers=table() + table(OTHER))
        line = read_again(
            daemon, "the policies do not go with the changed issuers; nothing changed"
        )
        assert "P1025" in str(line["places"])
        assert reason(caller, access_token()) == "ALLOWED"
        assert reason(caller, access_token(iss=OTHER)) == "ISSUER_UNKNOWN"


def test_development_has_nothing_to_read_again(site: Site) -> None:
    (site.folder / "policyd.toml").write_text(
        '[policies]\npath = "policies"\n[server]\nlisten = ["127.0.0.1:0"]\ndrain = 0\n'
    )
    with site.start("--dev") as daemon:
        line = read_again(daemon, "there is no configuration to read again")
        assert line["level"] == "warning"
        assert daemon.end() == 0


def test_a_dialect_of_the_configuration_changes_with_its_issuers(site: Site) -> None:
    own = '[dialects.house]\nmarks = [{scope = true}]\nclient = ["%s"]\n'
    site.configure(issuers=table().replace('"auth0"', '"house"') + own % "azp")
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        before = caller.check(check_request(access_token(azp="one", app="two")))
        assert before.subject.client == "one"

        site.configure(issuers=table().replace('"auth0"', '"house"') + own % "app")
        assert read_again(daemon, READ)["changed"] == [ISSUER]
        after = caller.check(check_request(access_token(azp="one", app="two")))
        assert after.subject.client == "two"


def test_asking_an_issuer_where_none_was_asked_takes_a_restart(site: Site) -> None:
    (site.folder / "secret").write_text("shared")
    asked = (
        "[issuers.introspection]\n"
        f'endpoint = "{ISSUER}introspect"\nclient_id = "policyd"\nclient_secret_file = "secret"\n'
    )
    with site.start() as daemon, Caller(*daemon.addresses) as caller:
        site.configure(issuers=table(further=asked))
        line = read_again(daemon, REJECTED)
        assert "restart the daemon to enable them" in str(line["findings"])
        assert reason(caller, access_token()) == "ALLOWED"
