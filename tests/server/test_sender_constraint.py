"""Sender-bound tokens over the wire: every method, what is answered, and what is remembered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from ssl import DER_cert_to_PEM_cert

import grpc
import pytest
from click.testing import CliRunner, Result

from policyd.cli.query import command
from policyd.tokens.minting import PrivateKey
from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2
from tests.support.daemon import (
    ISSUER,
    SERVICE,
    Caller,
    Daemon,
    Site,
    access_token,
    check_request,
    resource,
)
from tests.support.proofs import CERTIFICATE, LEFT_OUT, METHOD, URI, jkt, proof, sender

ALGORITHMS = "ES256 ES384 ES512 EdDSA PS256 RS256"
BAD_TOKEN = "the access token is expired, revoked, malformed or not meant for this API"
BAD_PROOF = "the DPoP proof is malformed, out of date, used before, or made for another request"


@pytest.fixture(scope="module")
def bound() -> str:
    """A token that is bound to the key of `sender()`."""
    return access_token(cnf={"jkt": jkt()})


def fresh(
    token: str, proof_id: str, *, by: PrivateKey | None = None, nonce: object = LEFT_OUT
) -> messages.SenderProof:
    """Return what comes along with one request: a proof made now."""
    shown = proof(token, by=by, jti=proof_id, iat=int(time.time()), nonce=nonce)
    return messages.SenderProof(dpop_proofs=[shown], http_method=METHOD, http_uri=URI)


def test_a_bound_token_with_its_proof_is_allowed_once(caller: Caller, bound: str) -> None:
    asked = check_request(bound, proof=fresh(bound, "once"))
    answer = caller.check(asked)
    assert (answer.allowed, answer.reason) == (True, "ALLOWED")
    assert not answer.HasField("cacheable_until")
    assert answer.dpop_nonce == ""
    again = caller.check(asked)
    assert (again.allowed, again.reason, again.http_status) == (
        False,
        "TOKEN_BINDING_INVALID",
        401,
    )
    assert again.message == BAD_PROOF
    assert again.www_authenticate == (
        f'DPoP realm="health", error="invalid_dpop_proof", error_description="{BAD_PROOF}", '
        f'scope="read:patients", algs="{ALGORITHMS}"'
    )


def test_calls_about_one_request_may_show_the_same_proof(caller: Caller, bound: str) -> None:
    asked = check_request(bound, proof=fresh(bound, "request"), request_id="request-1")
    assert [caller.check(asked).allowed for _ in range(3)] == [True] * 3
    asked.request_id = "request-2"
    assert not caller.check(asked).allowed


def test_a_bound_token_alone_is_no_bearer_token(caller: Caller, bound: str) -> None:
    for asked in (
        check_request(bound),
        check_request(bound, proof=messages.SenderProof(http_method=METHOD, http_uri=URI)),
    ):
        answer = caller.check(asked)
        assert (answer.allowed, answer.reason) == (False, "TOKEN_BINDING_INVALID")
        assert answer.www_authenticate == (
            f'DPoP realm="health", error="invalid_token", error_description="{BAD_TOKEN}", '
            f'scope="read:patients", algs="{ALGORITHMS}"'
        )
        assert answer.subject.subject == "auth0|123456"


def test_a_denied_scope_is_asked_for_under_dpop(caller: Caller, bound: str) -> None:
    token = access_token({"https://example.com/roles": ["clinician"]}, cnf={"jkt": jkt()})
    answer = caller.check(check_request(token, action="update", proof=fresh(token, "scope")))
    assert answer.reason == "INSUFFICIENT_SCOPE"
    assert answer.www_authenticate.startswith('DPoP realm="health", error="insufficient_scope"')
    assert answer.www_authenticate.endswith(f'algs="{ALGORITHMS}"')


def test_a_proof_for_another_request_is_refused(caller: Caller, bound: str) -> None:
    twin = fresh(bound, "twin")
    for name, value in (("http_method", "DELETE"), ("http_uri", URI + "/x")):
        asked = check_request(bound, proof=twin)
        setattr(asked.proof, name, value)
        assert caller.check(asked).reason == "TOKEN_BINDING_INVALID"
    stolen = check_request(bound, proof=fresh(bound, "stolen", by=sender(name="stranger")))
    assert caller.check(stolen).reason == "TOKEN_BINDING_INVALID"
    two = check_request(bound, proof=twin)
    two.proof.dpop_proofs.append(twin.dpop_proofs[0])
    assert caller.check(two).reason == "TOKEN_BINDING_INVALID"
    assert caller.check(check_request(bound, proof=twin)).allowed


def test_a_token_bound_to_a_certificate(caller: Caller) -> None:
    token = access_token(cnf={"x5t#S256": CERTIFICATE})
    shown = messages.SenderProof(client_certificate_sha256=CERTIFICATE)
    for _ in range(2):
        answer = caller.check(check_request(token, proof=shown))
        assert answer.allowed
        assert not answer.HasField("cacheable_until")
    other = messages.SenderProof(client_certificate_sha256=jkt())
    for asked in (check_request(token), check_request(token, proof=other)):
        answer = caller.check(asked)
        assert (answer.allowed, answer.reason) == (False, "TOKEN_BINDING_INVALID")
        assert answer.www_authenticate.startswith('Bearer realm="health", error="invalid_token"')


def test_a_batch_shows_one_proof(caller: Caller, bound: str) -> None:
    batch = messages.BatchCheckRequest(
        access_token=bound,
        api="health",
        proof=fresh(bound, "batch"),
        items=[
            messages.BatchCheckItem(
                id=str(number), action="read", resource=resource("patient", "p1", sealed=False)
            )
            for number in range(5)
        ],
    )
    first = caller.batch_check(batch)
    assert [result.response.allowed for result in first.results] == [True] * 5
    second = caller.batch_check(batch)
    assert {result.response.reason for result in second.results} == {"TOKEN_BINDING_INVALID"}


def test_each_question_of_a_stream_shows_its_own(caller: Caller, bound: str) -> None:
    asked = [
        messages.CheckStreamRequest(
            id=proof_id, request=check_request(bound, proof=fresh(bound, proof_id))
        ).SerializeToString()
        for proof_id in ("s1", "s2", "s1")
    ]
    stream: grpc.StreamStreamMultiCallable[bytes, bytes]
    stream = caller.channel.stream_stream(f"{SERVICE}/CheckStream")
    answers = [messages.CheckStreamResponse.FromString(data) for data in stream(iter(asked))]
    assert [answer.response.allowed for answer in answers] == [True, True, False]


def test_an_explanation_shows_one_too(explain_caller: Caller, bound: str) -> None:
    request = check_request(bound, proof=fresh(bound, "explained"))
    data = explanation_pb2.ExplainRequest(request=request).SerializeToString()

    def explained() -> messages.CheckResponse:
        answer = explain_caller.raw("/policyd.v1.ExplanationService/Explain", data)
        return explanation_pb2.ExplainResponse.FromString(answer).response

    assert explained().allowed
    assert explained().reason == "TOKEN_BINDING_INVALID"


@pytest.mark.parametrize("words", [["x"], ["x"] * 100, ["x" * 15_000], ["é" * 1000]])
def test_whatever_comes_along_is_answered(caller: Caller, bound: str, words: list[str]) -> None:
    shown = messages.SenderProof(
        dpop_proofs=words,
        http_method=words[0][:64],
        http_uri=words[0][:8192],
        client_certificate_sha256=words[0][:128],
    )
    mutual = access_token(cnf={"x5t#S256": CERTIFICATE})
    for token in (bound, mutual, access_token()):
        answer = caller.check(check_request(token, proof=shown))
        assert (answer.allowed, answer.reason) == (False, "TOKEN_BINDING_INVALID")


def test_query_takes_the_proof_from_files(caller: Caller, daemon: Daemon, tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    pem.write_text(DER_cert_to_PEM_cert(b"the DER of a certificate"))
    proven, certified = tmp_path / "proof", tmp_path / "token"
    token = access_token(cnf={"jkt": jkt()})
    proven.write_text(fresh(token, "query").dpop_proofs[0] + "\n")
    certified.write_text(access_token(cnf={"x5t#S256": CERTIFICATE}))
    (tmp_path / "bound").write_text(token)

    def query(*options: str) -> Result:
        usual = [
            "--action",
            "read",
            "--resource",
            "patient:p1",
            "--attr",
            "sealed=false",
            "--target",
        ]
        return CliRunner().invoke(command, [*usual, daemon.addresses[0], *options])

    with_proof = ("--token", str(tmp_path / "bound"), "--dpop-proof", str(proven))
    request = ("--method", METHOD, "--url", URI)
    assert query(*with_proof).exit_code == 2
    assert query(*with_proof, *request).exit_code == 0
    again = query(*with_proof, *request)
    assert again.exit_code == 1
    assert "TOKEN_BINDING_INVALID" in again.output
    assert query("--token", str(certified)).exit_code == 1
    assert query("--token", str(certified), "--certificate", str(pem)).exit_code == 0
    no_certificate = query("--token", str(certified), "--certificate", str(proven))
    assert no_certificate.exit_code == 2
    assert "there is no certificate in it" in no_certificate.output


# --- by configuration ---------------------------------------------------------------------------

TRUSTED = f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'


@pytest.fixture
def strict(site: Site) -> Iterator[Caller]:
    """A daemon whose issuer must bind its tokens by DPoP, and which asks for nonces."""
    (site.folder / "nonce").write_text("0123456789abcdef0123456789abcdef\n")
    site.configure(
        issuers=f'{TRUSTED}require_binding = "dpop"\n'
        '[dpop]\nnonce = true\nnonce_secret_file = "nonce"\nalgorithms = ["ES256"]\n'
    )
    with site.start() as daemon, Caller(daemon.addresses[0]) as connection:
        yield connection


def test_a_daemon_that_insists(strict: Caller, site: Site, bound: str) -> None:
    missing = strict.check(check_request(""))
    assert missing.www_authenticate == 'DPoP realm="health", scope="read:patients", algs="ES256"'
    plain = strict.check(check_request())
    assert (plain.allowed, plain.reason) == (False, "TOKEN_BINDING_INVALID")
    assert plain.www_authenticate.startswith('DPoP realm="health", error="invalid_token"')

    asked = strict.check(check_request(bound, proof=fresh(bound, "n1")))
    assert (asked.allowed, asked.http_status) == (False, 401)
    assert asked.www_authenticate == (
        'DPoP realm="health", error="use_dpop_nonce", '
        'error_description="the DPoP proof needs the nonce that comes with this answer", '
        'scope="read:patients", algs="ES256"'
    )
    nonce = asked.dpop_nonce
    assert nonce
    allowed = strict.check(check_request(bound, proof=fresh(bound, "n1", nonce=nonce)))
    assert allowed.allowed
    assert allowed.dpop_nonce

    log = site.decisions
    wait_for_records(site, 4)
    text = log.read_text()
    assert "eyJ" not in text
    assert nonce not in text
    facts = [record.get("token") for record in site.records()]
    methods = [fact.get("binding") for fact in facts if isinstance(fact, dict)]
    assert methods == [None, "dpop", "dpop"]


def wait_for_records(site: Site, number: int) -> None:
    deadline = time.monotonic() + 10
    while len(site.records()) < number:
        assert time.monotonic() < deadline, site.records()
        time.sleep(0.02)
