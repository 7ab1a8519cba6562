"""Calls that wait for an issuer, in the real daemon: each gets its answer, and no other waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2
from tests.support.authorization_server import AuthorizationServer, authorization_server
from tests.support.daemon import PATIENCE, SERVICE, Caller, Site, check_request

TOKEN = "opaque"


@pytest.fixture
def issuer(site: Site) -> Iterator[AuthorizationServer]:
    """An authorization server; the site's daemon asks it."""
    with authorization_server(site.folder) as server:
        site.configure(issuers=server.configuration())
        yield server


def test_a_batch_and_an_explanation_wait_as_well(site: Site, issuer: AuthorizationServer) -> None:
    site.configure('explain_listen = ["127.0.0.1:0"]', issuers=issuer.configuration())
    issuer.tokens.update({name: issuer.active() for name in ("batch", "explained")})
    with site.start() as daemon, Caller(daemon.addresses[1]) as caller:
        question = check_request("batch")
        batch = messages.BatchCheckRequest(access_token="batch", api="health")
        for name in ("a", "b"):
            batch.items.add(id=name, action=question.action, resource=question.resource)
        outcomes = caller.batch_check(batch).results
        assert [(each.id, each.response.allowed) for each in outcomes] == [("a", True), ("b", True)]
        data = caller.raw(
            "/policyd.v1.ExplanationService/Explain",
            explanation_pb2.ExplainRequest(request=check_request("explained")).SerializeToString(),
        )
        assert explanation_pb2.ExplainResponse.FromString(data).response.allowed


def test_a_stream_waits_for_its_own_answers_in_order(
    site: Site, issuer: AuthorizationServer
) -> None:
    issuer.tokens["known"] = issuer.active()
    questions = [
        messages.CheckStreamRequest(id=name, request=check_request(token))
        for name, token in (("1", "known"), ("2", issuer.jwt()), ("3", "none"), ("4", "known"))
    ]
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        stream: grpc.StreamStreamMultiCallable[bytes, bytes]
        stream = caller.channel.stream_stream(f"{SERVICE}/CheckStream")
        sent = iter([each.SerializeToString() for each in questions])
        answers = [messages.CheckStreamResponse.FromString(each) for each in stream(sent)]
    assert [(each.id, each.response.reason) for each in answers] == [
        ("1", "ALLOWED"),
        ("2", "ALLOWED"),
        ("3", "TOKEN_INACTIVE"),
        ("4", "ALLOWED"),
    ]


def test_fifty_at_once_ask_once(site: Site, issuer: AuthorizationServer) -> None:
    issuer.tokens[TOKEN] = issuer.active()
    issuer.routes["/introspect"] = issuer.hang
    with (
        site.start() as daemon,
        Caller(daemon.addresses[0]) as caller,
        ThreadPoolExecutor(50) as pool,
    ):
        answers = [pool.submit(caller.check, check_request(TOKEN)) for _ in range(50)]
        assert issuer.hanging.acquire(timeout=PATIENCE)
        issuer.release()
        assert {answer.result().reason for answer in answers} == {"ALLOWED"}
    assert issuer.count(TOKEN) == 1


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000


def timed(caller: Caller, token: str, number: int = 300) -> list[float]:
    request = check_request(token)
    taken = []
    for _ in range(number):
        began = time.perf_counter()
        assert caller.check(request).allowed
        taken.append(time.perf_counter() - began)
    return taken


def test_whatever_hangs_touches_no_other_check(
    site: Site, issuer: AuthorizationServer, transport: str
) -> None:
    """All threads that ask hang, all places are taken, and JWTs are still judged."""
    patient = 'client_id = "policyd"\nclient_secret_file = "secret"\ntimeout = 30'
    site.configure(
        "waiting_threads = 4\nmax_waiting = 4\nthreads = 2", issuers=issuer.configuration(patient)
    )
    issuer.routes["/introspect"] = issuer.hang
    token = issuer.jwt()
    issuer.tokens.update({f"t{number}": issuer.active() for number in range(4)})
    with (
        site.start() as daemon,
        Caller(daemon.addresses[0]) as caller,
        Caller(daemon.addresses[0]) as other,
    ):
        quiet = timed(other, token)
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(caller.check, check_request(f"t{n}")) for n in range(4)]
            for _ in waiting:
                assert issuer.hanging.acquire(timeout=PATIENCE)
            busy = timed(other, token)
            # The four places are taken, so a fifth is told at once to come again.
            surplus = other.check(check_request("surplus"))
            assert (surplus.reason, surplus.http_status) == ("INTROSPECTION_UNAVAILABLE", 503)
            assert surplus.retry_after_seconds == 1
            assert issuer.count("surplus") == 0
            issuer.release()
            assert {each.result().reason for each in waiting} == {"ALLOWED"}
        assert other.check(check_request(token)).allowed
    print(
        f"\n{transport}: p99 of a JWT's check: {p99(quiet):.2f} ms quiet, "
        f"{p99(busy):.2f} ms while all threads that ask hang"
    )


def test_a_slow_server_costs_the_timeout_and_no_more(
    site: Site, issuer: AuthorizationServer
) -> None:
    hasty = 'client_id = "policyd"\nclient_secret_file = "secret"\ntimeout = 0.2'
    site.configure(issuers=issuer.configuration(hasty))
    issuer.routes["/introspect"] = issuer.hang
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        answer = caller.check(check_request(TOKEN))
        assert answer.reason == "INTROSPECTION_UNAVAILABLE"
    (record,) = site.records()
    assert "took longer than" in str(record["detail"])


def test_a_callers_deadline_ends_its_wait(site: Site, issuer: AuthorizationServer) -> None:
    """And what the issuer says after that is remembered for the next."""
    issuer.tokens[TOKEN] = issuer.active()
    issuer.routes["/introspect"] = issuer.hang
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        method = caller.channel.unary_unary(f"{SERVICE}/Check")
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
            method(check_request(TOKEN).SerializeToString(), timeout=0.3)
        issuer.release()
        assert caller.check(check_request(TOKEN)).reason == "ALLOWED"
        assert issuer.count(TOKEN) == 1


def test_a_stop_waits_for_those_who_wait(site: Site, issuer: AuthorizationServer) -> None:
    issuer.tokens[TOKEN] = issuer.active()
    issuer.routes["/introspect"] = issuer.hang
    answers: list[messages.CheckResponse] = []
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        asking = threading.Thread(target=lambda: answers.append(caller.check(check_request(TOKEN))))
        asking.start()
        assert issuer.hanging.acquire(timeout=PATIENCE)
        daemon.process.terminate()
        daemon.wait_for_log("stopping")
        issuer.release()
        asking.join(PATIENCE)
        assert daemon.wait() == 0
    assert [answer.reason for answer in answers] == ["ALLOWED"]
