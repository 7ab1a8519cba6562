"""The decision log of the real daemon: one record a decision, all that rules read, no token."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import resource as resource_module
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import grpc
import pytest

from policyd.v1 import authorization_pb2 as messages
from tests.support.daemon import (
    ISSUER,
    PATIENCE,
    SERVICE,
    Caller,
    LogLine,
    Site,
    access_token,
    check_request,
    issuer_key,
    resource,
)
from tests.support.transports import ONE_TRANSPORT


def records(site: Site, *requests: messages.CheckRequest) -> list[LogLine]:
    """Ask a daemon of this site, stop it, and return its records."""
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for request in requests:
            caller.check(request)
    return site.records()


def test_a_record_holds_what_the_rules_can_read(site: Site) -> None:
    token = access_token(
        {"https://example.com/roles": ["clinician"], "realm_access": {"roles": ["a"], "x": 1}},
        jti="token-1",
        acr="urn:example:mfa",
        email="jane@example.com",
    )
    asked = check_request(
        token,
        resource=resource("patient", "p1", sealed=False, note="undeclared"),
        request_id="request-1",
    )
    asked.context.update({"ip": "192.0.2.1", "weather": "fine"})
    (record,) = records(site, asked)
    facts = record["token"]
    assert isinstance(facts, dict)
    assert record["type"] == "decision"
    assert (record["effect"], record["reason"]) == ("allow", "ALLOWED")
    assert (record["api"], record["action"], record["rules"]) == ("health", "read", ["reads"])
    assert (record["resource_type"], record["resource_id"]) == ("patient", "p1")
    assert record["attributes"] == {"sealed": False}
    assert record["context"] == {"ip": "192.0.2.1"}
    assert record["request_id"] == "request-1"
    assert isinstance(record["duration_us"], int)
    assert datetime.fromisoformat(str(record["time"])).tzinfo is not None
    assert facts["claims"] == {"roles": ["clinician"], "realm_roles": ["a"]}
    assert (facts["issuer"], facts["subject"], facts["client"]) == (
        ISSUER,
        "auth0|123456",
        "my_client_id",
    )
    assert facts["scopes"] == ["openid", "profile", "read:admin", "read:patients"]
    assert facts["acr"] == "urn:example:mfa"
    assert facts["key_id"] == issuer_key().key_id
    assert facts["jti_sha256"] == hashlib.sha256(b"token-1").hexdigest()
    text = json.dumps(record)
    for secret in ("token-1", "jane@example.com", "weather", "undeclared", *token.split(".")):
        assert secret not in text


def test_a_token_whose_signature_fails_is_not_believed(site: Site) -> None:
    header, payload, _ = access_token().split(".")
    _, _, signature = access_token(sub="somebody else").split(".")
    forged = f"{header}.{payload}.{signature}"
    (record,) = records(site, check_request(forged))
    assert (record["effect"], record["reason"]) == ("deny", "SIGNATURE_INVALID")
    assert ISSUER in str(record["unverified_iss"])
    assert issuer_key().key_id in str(record["unverified_kid"])
    assert record["detail"]
    assert "token" not in record
    text = json.dumps(record)
    for secret in ("123456", "my_client_id", header, payload, signature):
        assert secret not in text


@ONE_TRANSPORT
def test_an_issuer_cannot_write_lines_of_its_own(site: Site) -> None:
    forged = access_token(iss='https://x/"}\n{"effect": "allow"')
    (record,) = records(site, check_request(forged))
    assert record["reason"] == "ISSUER_UNKNOWN"


def test_a_record_names_the_callers_trace(site: Site) -> None:
    metadata = (("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"),)
    asked = messages.CheckStreamRequest(request=check_request())
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        check: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        check = caller.channel.unary_unary(f"{SERVICE}/Check")
        check(check_request().SerializeToString(), metadata=metadata)
        stream: grpc.StreamStreamMultiCallable[bytes, bytes]
        stream = caller.channel.stream_stream(f"{SERVICE}/CheckStream")
        list(stream(iter([asked.SerializeToString()]), metadata=metadata))
        caller.check(check_request())
    traces = [record.get("trace_id") for record in site.records()]
    assert traces == ["ab" * 16, "ab" * 16, None]


@ONE_TRANSPORT
def test_masked_values_stay_out(site: Site) -> None:
    site.configure(
        decision_log='path = "decisions.ndjson"\n'
        'mask = ["token.roles", "token.subject", "resource.sealed", "resource.id", "context.ip"]'
    )
    token = access_token({"https://example.com/roles": ["clinician"]})
    asked = check_request(token)
    asked.context.update({"ip": "192.0.2.1"})
    (record,) = records(site, asked)
    facts = record["token"]
    assert isinstance(facts, dict)
    assert facts["claims"] == {}
    assert "subject" not in facts
    assert not record.keys() & {"attributes", "context", "resource_id"}
    assert record["masked"] == [
        *("context.ip", "resource.id", "resource.sealed"),
        *("token.roles", "token.sub", "token.subject"),
    ]


@ONE_TRANSPORT
def test_a_masked_value_stays_out_of_the_reason_of_a_refusal(site: Site) -> None:
    site.configure(decision_log='path = "decisions.ndjson"\nmask = ["token.subject"]')
    wrong_name = check_request(access_token(sub=7_654_321))
    wrong_audience = check_request(access_token(aud="https://elsewhere.example/"))
    of_name, of_audience = records(site, wrong_name, wrong_audience)
    assert of_name["detail"] == "`sub` must be text, not empty, found (masked)"
    assert "'https://elsewhere.example/'" in str(of_audience["detail"])
    assert "7654321" not in site.decisions.read_text()


def test_a_batch_has_a_record_an_item_that_was_decided(site: Site) -> None:
    what = resource("patient", "p1", sealed=False)
    asked = messages.BatchCheckRequest(
        access_token=access_token(),
        api="health",
        request_id="batch-1",
        items=[
            messages.BatchCheckItem(action="read", resource=what),
            messages.BatchCheckItem(action="reed", resource=what),
            messages.BatchCheckItem(action="update", resource=what),
        ],
    )
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        response = caller.batch_check(asked)
    named = [result.response.decision_id for result in response.results if result.response.reason]
    assert [record["decision_id"] for record in site.records()] == named
    assert [record["effect"] for record in site.records()] == ["allow", "deny"]
    assert {record["request_id"] for record in site.records()} == {"batch-1"}


@ONE_TRANSPORT
def test_records_go_to_standard_output_by_default(site: Site) -> None:
    site.configure(decision_log="")
    with site.start() as daemon:
        with Caller(daemon.addresses[0]) as caller:
            decision_id = caller.check(check_request()).decision_id
        daemon.end()
        lines = [json.loads(line) for line in daemon.output]
    assert [line["decision_id"] for line in lines] == [decision_id]


def test_no_log_ever_holds_a_token(site: Site) -> None:
    tokens = [access_token(), "a.b.c", "no-dots-at-all", access_token(exp=1)]
    with site.start() as daemon:
        with Caller(daemon.addresses[0]) as caller:
            for token in tokens:
                caller.check(check_request(token))
                caller.failure(
                    "/policyd.v1.AuthorizationService/Check",
                    check_request(token, api="none").SerializeToString(),
                )
        daemon.end()
        written = site.decisions.read_text() + json.dumps([daemon.log, daemon.other_errors])
    for token in tokens:
        assert token not in written
        for part in token.split("."):
            assert len(part) < 8 or part not in written


# -- rotation, and a disk that is full -------------------------------------------------------------


def ask(caller: Caller, *names: str) -> None:
    for name in names:
        caller.check(check_request(request_id=name))


def names(path: Path) -> list[object]:
    """Return what a file of the log holds: request identifiers, and the counts of gaps."""
    if not path.exists():
        return []
    lines = map(json.loads, path.read_text().splitlines())
    return [line.get("request_id", line.get("dropped")) for line in lines]


def come_to_be(found: Callable[[], object], wanted: object) -> None:
    """Wait until `found` returns what is wanted."""
    end = time.monotonic() + PATIENCE
    while found() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    assert found() == wanted


@ONE_TRANSPORT
@pytest.mark.parametrize("makes_the_next", [True, False])
def test_a_file_that_was_renamed_is_left_and_no_record_lost(
    site: Site, makes_the_next: bool
) -> None:
    old = site.folder / "decisions.1"
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        ask(caller, "a")
        come_to_be(lambda: names(site.decisions), ["a"])
        site.decisions.rename(old)
        if makes_the_next:
            site.decisions.touch()
        else:
            come_to_be(site.decisions.exists, wanted=True)
        ask(caller, "b")
        come_to_be(lambda: names(old) + names(site.decisions), ["a", "b"])
        ask(caller, "c")
    assert names(old) + names(site.decisions) == ["a", "b", "c"]
    assert names(site.decisions)[-1] == "c"


@ONE_TRANSPORT
def test_sighup_opens_the_file_anew(site: Site) -> None:
    old = site.folder / "decisions.1"
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        ask(caller, "a")
        come_to_be(lambda: names(site.decisions), ["a"])
        site.decisions.rename(old)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("the decision log was reopened")
        ask(caller, "b")
    assert (names(old), names(site.decisions)) == (["a"], ["b"])


@ONE_TRANSPORT
def test_a_file_that_was_removed_is_made_anew(site: Site) -> None:
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        ask(caller, "a")
        come_to_be(lambda: names(site.decisions), ["a"])
        site.decisions.unlink()
        ask(caller, "b")
    assert names(site.decisions) == ["b"]


@ONE_TRANSPORT
def test_half_a_line_of_a_crash_spoils_no_record(site: Site) -> None:
    site.decisions.write_text('{"type":"deci')
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        ask(caller, "a")
    half, record = site.decisions.read_text().splitlines()
    assert half == '{"type":"deci'
    assert json.loads(record)["request_id"] == "a"


@ONE_TRANSPORT
@pytest.mark.parametrize("fits", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("capacity", [2, 10_000])
def test_a_full_disk_is_a_trouble_and_each_record_is_written_or_counted(
    site: Site, fits: float, capacity: int
) -> None:
    site.configure(
        decision_log=f'path = "decisions.ndjson"\ncapacity = {capacity}\n'
        '[http]\nlisten = ["127.0.0.1:0"]'
    )
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:

        def figure(name: str) -> float:
            lines = daemon.page("/metrics").splitlines()
            (line,) = (line for line in lines if line.startswith(f"{name} "))
            return float(line.split()[-1])

        ask(caller, "a")
        come_to_be(lambda: names(site.decisions), ["a"])
        size = site.decisions.stat().st_size
        limit = (int(size * (1 + fits)), resource_module.RLIM_INFINITY)
        before = resource_module.prlimit(daemon.process.pid, resource_module.RLIMIT_FSIZE, limit)
        asked = ["a"]

        def more(*further: str) -> None:
            asked.extend(further)
            ask(caller, *further)

        full = ["the decision log: the file cannot be written: File too large"]
        end = time.monotonic() + PATIENCE
        while daemon.troubles() != full and time.monotonic() < end:
            more(f"b-{len(asked)}")
        more(*"cdefg")
        come_to_be(daemon.troubles, full)
        assert figure("policyd_decision_log_writable") == 0
        resource_module.prlimit(daemon.process.pid, resource_module.RLIMIT_FSIZE, before)
        more("h")
        come_to_be(daemon.troubles, [])
        come_to_be(lambda: names(site.decisions)[-1], "h")
        assert figure("policyd_decision_log_writable") == 1
        dropped = figure("policyd_decision_log_dropped_total")
    found = names(site.decisions)
    expected = iter(asked)
    for name in found:
        if isinstance(name, int):
            assert len(list(itertools.islice(expected, name))) == name
        else:
            assert name == next(expected)
    assert next(expected, None) is None
    assert sum(name for name in found if isinstance(name, int)) == dropped
    assert (dropped == 0) == (capacity == 10_000)


def test_with_sync_a_record_is_there_when_its_answer_is(site: Site) -> None:
    site.configure(decision_log='path = "decisions.ndjson"\ndurability = "sync"')
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for number in range(20):
            ask(caller, f"a-{number}")
            assert names(site.decisions)[-1] == f"a-{number}"
        batch = messages.BatchCheckRequest(
            access_token=access_token(),
            api="health",
            items=[
                messages.BatchCheckItem(
                    action="read", resource=resource("patient", "p1", sealed=False)
                )
            ]
            * 3,
        )
        told = [one.response.decision_id for one in caller.batch_check(batch).results]
        assert [one["decision_id"] for one in site.records()[-3:]] == told
        opaque = caller.check(check_request("no-token", request_id="b"))
        assert site.records()[-1]["decision_id"] == opaque.decision_id


@pytest.mark.parametrize("when_full", ["deny", "block"])
def test_what_cannot_be_recorded_is_not_allowed(site: Site, when_full: str) -> None:
    site.configure(
        decision_log='path = "decisions.ndjson"\ndurability = "sync"\n'
        f'when_full = "{when_full}"\n[http]\nlisten = ["127.0.0.1:0"]'
    )
    question = check_request(resource=resource("patient", "p1", sealed=False))
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert caller.check(question).allowed
        size = site.decisions.stat().st_size
        limit = (size, resource_module.RLIM_INFINITY)
        before = resource_module.prlimit(daemon.process.pid, resource_module.RLIMIT_FSIZE, limit)
        first = caller.failure(f"{SERVICE}/Check", question.SerializeToString())
        assert (first.code, first.reason) == (grpc.StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE")
        if when_full == "deny":
            answer = caller.check(question)
            assert (answer.allowed, answer.reason) == (False, "LOG_UNAVAILABLE")
            assert (answer.http_status, answer.retry_after_seconds) == (503, 1)
            assert "policyd_decision_log_denied_total 1.0" in daemon.page("/metrics")
        else:
            again = caller.failure(f"{SERVICE}/Check", question.SerializeToString())
            assert again.reason == "LOG_UNAVAILABLE"
        resource_module.prlimit(daemon.process.pid, resource_module.RLIMIT_FSIZE, before)
        come_to_be(daemon.troubles, [])
        answer = caller.check(question)
        assert answer.allowed
        assert site.records()[-1]["decision_id"] == answer.decision_id


def test_what_went_to_standard_output_is_nobodys_to_keep(site: Site) -> None:
    site.configure(decision_log='durability = "sync"')
    found = site.run()
    assert found.returncode == 2
    assert "set `path`, so that the log is a file" in found.stderr


def test_hashed_values_stay_out_and_equal_ones_are_equal(site: Site) -> None:
    (site.folder / "key").write_text("0123456789abcdef0123456789abcdef\n")
    site.configure(
        decision_log='path = "decisions.ndjson"\nhash = ["token.subject", "resource.id"]\n'
        'hash_key_file = "key"'
    )

    def asked(subject: str, patient: str) -> messages.CheckRequest:
        token = access_token(sub=subject)
        return check_request(token, resource=resource("patient", patient, sealed=False))

    one, same, other = records(site, asked("jane", "p1"), asked("jane", "p2"), asked("joe", "p1"))
    log = site.decisions.read_text()
    assert "jane" not in log
    assert "p1" not in log
    hashes = [one["hashed"], same["hashed"], other["hashed"]]
    subjects = [each["token.subject"] for each in hashes if isinstance(each, dict)]
    patients = [each["resource.id"] for each in hashes if isinstance(each, dict)]
    assert subjects[0] == subjects[1] != subjects[2]
    assert patients[0] == patients[2] != patients[1]
    expected = hmac.new(b"0123456789abcdef0123456789abcdef", b'"jane"', "sha256").hexdigest()
    assert subjects[0] == expected
    assert one["masked"] == ["resource.id", "token.sub", "token.subject"]


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ("", "set `hash_key_file`"),
        ('\nhash_key_file = "none"', "cannot be read: No such file"),
        ('\nhash_key_file = "short"', "has 5 bytes, and 32 are needed"),
    ],
)
def test_without_a_key_nothing_is_hashed(site: Site, further: str, said: str) -> None:
    (site.folder / "short").write_text("short")
    site.configure(decision_log=f'hash = ["token.subject"]{further}')
    found = site.run()
    assert found.returncode == 2
    assert said in found.stderr
