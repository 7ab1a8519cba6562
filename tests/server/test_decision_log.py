"""The decision log of the real daemon: one record a decision, all that rules read, no token."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import grpc

from policyd.v1 import authorization_pb2 as messages
from tests.support.daemon import (
    ISSUER,
    SERVICE,
    Caller,
    LogLine,
    Site,
    access_token,
    check_request,
    issuer_key,
    resource,
)


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
    assert facts["claims"] == {"roles": "(masked)"}
    assert facts["subject"] == "(masked)"
    assert record["attributes"] == {"sealed": "(masked)"}
    assert record["context"] == {"ip": "(masked)"}
    assert record["resource_id"] == "(masked)"


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
