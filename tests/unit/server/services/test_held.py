"""Requests that gateways hold, apart from how each gateway tells of them."""

from __future__ import annotations

import pytest

from policyd.server.services.held import Held, HeldRequests, Named, NoQuestion
from tests.support.outcomes import ORDERS

HELD = HeldRequests({"orders": ORDERS}.get, "say which")


def test_a_proof_without_an_origin_cannot_be_judged() -> None:
    with pytest.raises(NoQuestion) as raised:
        HELD.question("orders", Held("GET", "/orders/7", "DPoP a.b.c", ("proof",)))
    assert (raised.value.status, raised.value.said) == (400, "a DPoP proof is for a URL: say which")


def test_a_certificate_needs_no_origin() -> None:
    asked = HELD.question("orders", Held("GET", "/orders/7", "Bearer a.b.c", certificate="thumb"))
    assert (asked.proof.client_certificate_sha256, asked.proof.http_uri) == ("thumb", "")


def test_each_request_is_another_one_to_the_memory_of_proofs() -> None:
    held = Held("GET", "/orders/7", "DPoP a.b.c", ("proof",), "https://api.example")
    first, second = (HELD.question("orders", held).proof for _ in range(2))
    assert first.http_uri == second.http_uri == "https://api.example/orders/7"
    assert first.request_id != second.request_id


def test_a_question_that_the_gateway_names_takes_the_paths_of_a_route() -> None:
    named = Named("read", "order")
    asked = HELD.question("orders", Held("GET", "/anything?x=1", "Bearer a.b.c"), named)
    assert (asked.action, asked.resource_type, asked.access_token) == ("read", "order", "a.b.c")
    longest = "/" + "x" * 8191
    assert HELD.question("orders", Held("GET", longest), named).resource_id == ""
    with pytest.raises(NoQuestion, match="too long"):
        HELD.question("orders", Held("GET", f"{longest}x"), named)
