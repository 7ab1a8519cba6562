"""Forward authentication: which question a gateway's request is, and what the answer becomes."""

from __future__ import annotations

import msgspec
import pytest

from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.model import Decision, Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.policy import Api
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.services.forward_auth import ForwardAuthService
from policyd.server.transport.web import Fields, WebRequest, WebResponse
from policyd.tokens.model import SenderProof
from tests.support.audit import verified_token
from tests.support.deciding import ALLOWED, DENIED, Decider, KeptLog, answering, settled

POLICY = """\
api orders

audience "https://example.com/orders"

resource order {
    owner: string?
    actions read, cancel
}

route GET "/orders/{id}" as read on order
route DELETE "/orders/{id}" as cancel on order
route GET "/{owner}/orders/{id}" as read on order

allow reads: read on order
    when token.client == "a"
"""
BEARER = ("authorization", "Bearer t")
ORIGINAL = (("x-original-method", "DELETE"), ("x-original-uri", "/orders/7"))


def api_of(text: str) -> Api:
    loaded = load([Source("orders.policy", text)])
    assert loaded.policies is not None
    return loaded.policies.apis["orders"]


ORDERS = api_of(POLICY)


def held(target: str = "/orders/7", *fields: tuple[str, str], method: str = "GET") -> Fields:
    return (("x-forwarded-method", method), ("x-forwarded-uri", target), *fields)


def from_gateway(fields: Fields, query: str = "", path: str = "/forward-auth/orders") -> WebRequest:
    return WebRequest("GET", path, query, fields)


def asked(fields: Fields, decider: Decider | None = None, query: str = "") -> WebResponse:
    service = ForwardAuthService(answering(decider or Decider()), {"orders": ORDERS}.get)
    answer = settled(service.answer(from_gateway(fields, query)))
    assert isinstance(answer, WebResponse)
    return answer


def question(*fields: tuple[str, str]) -> Request:
    decider = Decider()
    assert asked(fields, decider).status == 200
    (found,) = decider.asked
    assert isinstance(found, Request)
    return found


DPOP = (("authorization", "DPoP t"), ("dpop", "p"))
MAIL = "auth0|a.b-c_d~e+f@g.example/h:i?j"  # stands as it is
URL = (("x-forwarded-proto", "https"), ("x-forwarded-host", "shop.example:8443"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (held("/orders/7", BEARER), Request("t", "orders", "read", "order", "7")),
        (held("/orders/7?a=/b", BEARER), Request("t", "orders", "read", "order", "7")),
        ((*ORIGINAL, BEARER), Request("t", "orders", "cancel", "order", "7")),
        (
            held("/ann/orders/7", ("authorization", "bEaReR  t ")),
            Request("t", "orders", "read", "order", "7", {"owner": "ann"}),
        ),
        (
            held("/orders/7", ("authorization", "Basic t")),
            Request("", "orders", "read", "order", "7"),
        ),
        (held(), Request("", "orders", "read", "order", "7")),
    ],
)
def test_the_held_request_is_the_question(fields: Fields, expected: Request) -> None:
    assert question(*fields) == expected


@pytest.mark.parametrize(
    ("fields", "proofs"),
    [
        ((("authorization", "DPoP t"), ("dpop", "p")), ("p",)),
        ((("authorization", "DPoP t"),), ()),
        ((("authorization", "dpop t"), ("dpop", "p"), ("dpop", "q")), ("p", "q")),
    ],
)
def test_a_proof_is_for_the_url_that_the_gateway_tells(fields: Fields, proofs: tuple[str]) -> None:
    found = question(*held("/orders/7?a=b", *URL, *fields))
    assert found.access_token == "t"
    proof = msgspec.structs.replace(found.proof, request_id="")
    assert proof == SenderProof(proofs, "GET", "https://shop.example:8443/orders/7")


def test_without_a_proof_the_url_is_not_needed() -> None:
    assert question(*held("/orders/7", BEARER)).proof == SenderProof()


@pytest.mark.parametrize("authorization", ["Bearer t", "bearer t", "Basic t", ""])
def test_a_proof_counts_under_its_own_scheme_alone(authorization: str) -> None:
    """RFC 9449, section 7.2: a bound token must not be taken as a bearer token."""
    fields = held("/orders/7", *URL, ("authorization", authorization), ("dpop", "p"))
    assert question(*fields).proof == SenderProof()


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1:80", "[::1]", "[::1]:8443", "a~b"])
@pytest.mark.parametrize("proto", ["http", "https"])
def test_hosts_that_may_stand_in_a_url(host: str, proto: str) -> None:
    url = (("x-forwarded-proto", proto), ("x-forwarded-host", host))
    found = question(*held("/orders/7", *DPOP, *url))
    assert found.proof.http_uri == f"{proto}://{host}/orders/7"


def test_two_held_requests_are_told_apart_when_a_proof_is_shown_again() -> None:
    fields = held("/orders/7", *DPOP, *URL)
    shown = [question(*fields).proof.request_id for _ in range(2)]
    assert all(shown)
    assert shown[0] != shown[1]


def said(answer: WebResponse) -> str:
    assert answer.content_type == "text/plain; charset=utf-8"
    return answer.body.decode()


NO_URL = "`X-Forwarded-Proto` and `X-Forwarded-Host` tell it"
REFUSED = [
    ((), 400, "no header field tells of the request"),
    ((*held(), *ORIGINAL), 400, "both families of header fields are there"),
    ((*held(), ORIGINAL[0]), 400, "both families"),
    ((*ORIGINAL, held()[1]), 400, "both families"),
    (held()[:1], 400, "the method or the URI of the request is missing"),
    (held()[1:], 400, "the method or the URI of the request is missing"),
    (held(""), 400, "the method or the URI of the request is missing"),
    (held(method=""), 400, "the method or the URI of the request is missing"),
    (held("/orders/\xe9"), 400, "characters that have to be encoded"),
    (held("/orders/" + "a" * 8185), 400, "the path is too long"),
    (held("/orders/../7"), 400, ""),
    (held("orders/7"), 400, ""),
    (held("/invoices/7"), 403, "no route of the policy fits"),
    (held(method="DELETE", target="/ann/orders/7"), 403, "no route of the policy fits"),
    ((*held(), BEARER, BEARER), 400, "`authorization` stands more than once"),
    ((*held(), held()[1]), 400, "`x-forwarded-uri` stands more than once"),
    (held("/orders/7", *DPOP), 400, NO_URL),
    (held("/orders/7", *DPOP, URL[0]), 400, NO_URL),
    (held("/orders/7", *DPOP, URL[1]), 400, NO_URL),
    (held("/orders/7", *DPOP, URL[0], ("x-forwarded-host", "a/b")), 400, NO_URL),
    (held("/orders/7", *DPOP, URL[0], ("x-forwarded-host", "a@b")), 400, NO_URL),
    (held("/orders/7", *DPOP, URL[0], ("x-forwarded-host", "a:")), 400, NO_URL),
    (held("/orders/7", *DPOP, ("x-forwarded-proto", "ftp"), URL[1]), 400, NO_URL),
    (held("/orders/7", ("authorization", "DPoP t")), 400, NO_URL),
    (held("/orders/7", *DPOP, *URL, URL[1]), 400, "`x-forwarded-host` stands more than once"),
]


@pytest.mark.parametrize(("fields", "status", "expected"), REFUSED)
def test_what_tells_of_no_request_is_not_asked(fields: Fields, status: int, expected: str) -> None:
    decider = Decider()
    answer = asked(fields, decider)
    assert (answer.status, decider.asked) == (status, [])
    assert expected in said(answer)
    # nginx takes any other status for an error of its own, and tells its caller 500.
    assert asked(fields, decider, "gateway=nginx").status == 403


def test_a_path_may_be_as_long_as_that() -> None:
    assert question(*held("/orders/" + "a" * 8184 + "?" + "b" * 99)).resource_id == "a" * 8184


def test_an_api_is_found_by_what_the_path_says_decoded() -> None:
    names: list[str] = []

    def apis(name: str) -> Api | None:
        names.append(name)
        return ORDERS if name == "https://example.com/orders" else None

    decider = Decider()
    service = ForwardAuthService(answering(decider), apis)
    path = "/forward-auth/https%3A%2F%2Fexample.com%2Forders"
    answer = service.answer(from_gateway(held(), path=path))
    assert isinstance(answer, WebResponse)
    assert (answer.status, decider.asked[0].api) == (200, "orders")
    other = service.answer(from_gateway(held(), path="/forward-auth/other"))
    assert isinstance(other, WebResponse)
    assert (other.status, said(other)) == (404, "no policy declares this API\n")
    assert names == ["https://example.com/orders", "other"]
    assert [service.has(one) for one in (path, "/forward-auth", "/")] == [True, False, False]


def test_new_routes_count_from_the_next_request_on() -> None:
    apis = {"orders": ORDERS}
    decider = Decider()
    service = ForwardAuthService(answering(decider), apis.get)
    for text, status in (
        (POLICY, 200),
        (POLICY.replace('"/orders/{id}" as read', '"/{id}" as read'), 403),
    ):
        apis["orders"] = api_of(text)
        answer = service.answer(from_gateway(held()))
        assert isinstance(answer, WebResponse)
        assert answer.status == status


def test_before_policies_are_loaded_nothing_passes() -> None:
    def apis(_name: str) -> Api | None:
        raise NotReady

    service = ForwardAuthService(answering(Decider()), apis)
    for query, status in (("", 503), ("gateway=nginx", 403)):
        answer = service.answer(from_gateway(held(), query))
        assert isinstance(answer, WebResponse)
        assert (answer.status, said(answer)) == (status, f"{NotReady()}\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "get"])
def test_gateways_ask_with_get(method: str) -> None:
    decider = Decider()
    service = ForwardAuthService(answering(decider), {"orders": ORDERS}.get)
    answer = service.answer(WebRequest(method, "/forward-auth/orders", "", held()))
    assert isinstance(answer, WebResponse)
    assert (answer.status, answer.headers) == (405, (("Allow", "GET, HEAD"),))
    assert decider.asked == []
    assert service.answer(WebRequest("HEAD", "/forward-auth/orders", "", held())).status == 200  # type: ignore[union-attr]


def allowing(**changes: object) -> Decision:
    return msgspec.structs.replace(ALLOWED, **changes)


def test_leave_says_who_it_is_and_names_the_decision() -> None:
    token = msgspec.structs.replace(verified_token(), subject='Zoë, a;b="c" %', client="<a|b@c>")
    log = KeptLog()
    service = ForwardAuthService(
        answering(Decider(allowing(token=token, dpop_nonce="n")), log), {"orders": ORDERS}.get
    )
    answer = service.answer(from_gateway(held()))
    assert isinstance(answer, WebResponse)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers == (
        ("X-Policyd-Subject", "Zo%C3%AB%2C%20a%3Bb%3D%22c%22%20%25"),
        ("X-Policyd-Client", "%3Ca|b@c%3E"),
        ("X-Policyd-Decision-Id", log.entries[0].decision_id),
        ("DPoP-Nonce", "n"),
    )


def test_usual_names_of_subjects_stand_as_they_are() -> None:
    token = msgspec.structs.replace(verified_token(), subject=MAIL)
    headers = dict(asked(held(), Decider(allowing(token=token))).headers)
    assert headers["X-Policyd-Subject"] == MAIL


def test_what_the_token_does_not_say_is_set_empty() -> None:
    token = msgspec.structs.replace(verified_token(), subject=None, client=None)
    headers = asked(held(), Decider(allowing(token=token))).headers
    assert headers[:2] == (("X-Policyd-Subject", ""), ("X-Policyd-Client", ""))
    assert len(headers) == 3


@pytest.mark.parametrize(
    ("status", "query", "expected"),
    [
        (401, "", 401), (403, "", 403), (429, "", 429), (503, "", 503),
        (200, "", 403), (302, "", 403), (399, "", 403), (400, "", 400),
        (401, "gateway=nginx", 401), (403, "gateway=nginx", 403),
        (429, "gateway=nginx", 403), (503, "gateway=nginx", 403),
        (429, "gateway=caddy", 429), (429, "gateway=nginx&gateway=x", 429),
        (429, "a=b&gateway=nginx", 403),
    ],
)  # fmt: skip
def test_a_denial_is_never_a_status_that_lets_pass(status: int, query: str, expected: int) -> None:
    denied = msgspec.structs.replace(DENIED, http_status=status)
    assert asked(held(), Decider(denied), query).status == expected


def test_a_denial_brings_what_its_caller_needs() -> None:
    denied = msgspec.structs.replace(
        DENIED,
        message="é" * 600,
        http_status=429,
        www_authenticate='DPoP error="use_dpop_nonce"',
        retry_after=0,
        dpop_nonce="n",
    )
    answer = asked(held(), Decider(denied))
    assert answer.headers == (
        ("DPoP-Nonce", "n"),
        ("WWW-Authenticate", 'DPoP error="use_dpop_nonce"'),
        ("Retry-After", "0"),
    )
    assert said(answer) == "é" * 500 + "\n"
    assert asked(held(), Decider(DENIED)).headers == ()


@pytest.mark.parametrize("asks", [False, True])
def test_where_nothing_was_decided_nothing_passes(asks: bool) -> None:
    mistake = InvalidRequest("resource.owner", "it is absent", "ATTRIBUTE_MISSING")
    for outcome, status in ((mistake, 400), (NotReady(), 503)):
        for query, expected in (("", status), ("gateway=nginx", 403)):
            answer = asked(held("/orders/7", BEARER), Decider(outcome, asks=asks), query)
            assert (answer.status, said(answer)) == (expected, f"{outcome}\n")


def test_an_issuer_that_must_be_asked_first_changes_no_answer() -> None:
    for outcome in (ALLOWED, DENIED):
        first, later = (
            asked(held("/orders/7", BEARER), Decider(outcome, asks=asks)) for asks in (False, True)
        )
        assert (first.status, first.body) == (later.status, later.body)


@pytest.mark.parametrize("code", StatusCode)
def test_who_may_not_ask_is_told_403_and_all_else_is_ours(code: StatusCode) -> None:
    service = ForwardAuthService(answering(Decider()), {"orders": ORDERS}.get)
    of_the_gateway = code in (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED)
    failed = CallFailed(code, "no")
    answer = service.failed(from_gateway(()), failed)
    assert (answer.status, said(answer)) == (403 if of_the_gateway else 503, "no\n")
    assert service.failed(from_gateway((), "gateway=nginx"), failed).status == 403


def test_the_record_names_the_gateway_and_the_trace() -> None:
    log = KeptLog()
    service = ForwardAuthService(answering(Decider(), log), {"orders": ORDERS}.get)
    request = from_gateway(held("/orders/7", ("traceparent", "00-1"), ("x-note", "n" * 100_000)))
    service.answer(msgspec.structs.replace(request, called_by="token:edge"))
    (entry,) = log.entries
    assert (entry.details.caller, entry.details.traceparent) == ("token:edge", "00-1")
    assert (entry.item.action, entry.item.resource_id) == ("read", "7")
    assert log.sizes[0] > 100_000  # the log keeps little of a large request
