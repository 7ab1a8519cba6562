"""Tokens and proofs as requests carry them."""

from __future__ import annotations

from typing import cast

import pytest

from policyd.client import Credentials, Proof, QuestionInvalid, credentials
from policyd.client.credentials import bare_token


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ("a.b.c", "a.b.c"),
        ("a.b.c\n", "a.b.c"),
        ("Bearer a.b.c", "a.b.c"),
        ("bearer  a.b.c\r\n", "a.b.c"),
        ("Bearer", ""),
        ("Bearer ", ""),
        ("", ""),
        (None, ""),
        ("Basic dXNlcg==", "Basic dXNlcg=="),
        ("a b", "a b"),
        ("Bearer Bearer a", "Bearer a"),
    ],
)
def test_a_token_as_files_and_headers_hold_it(given: str | None, token: str) -> None:
    assert bare_token(given) == token


def test_names_what_is_no_bearer_token() -> None:
    with pytest.raises(QuestionInvalid, match="has `DPoP ` before it: pass what follows"):
        bare_token("DPoP a.b.c")
    with pytest.raises(QuestionInvalid, match="an access token is a text, and no bytes"):
        bare_token(cast("str", b"a.b.c"))


@pytest.mark.parametrize(
    ("authorization", "dpop", "expected"),
    [
        (["Bearer t"], [], Credentials("t")),
        (["bEARER t "], [], Credentials("t")),
        ([], [], Credentials("")),
        (["Bearer"], [], Credentials("")),
        (["Basic dXNlcg=="], [], Credentials("")),
        (["Bearer t", "Bearer t"], [], Credentials("Bearer t, Bearer t")),
        # A token that is bound to a key is no bearer token (RFC 9449, section 7.2).
        (["Bearer t"], ["p"], Credentials("t")),
        (["DPoP t"], ["p"], Credentials("t", Proof(("p",), "GET", "u"))),
        (["DPoP t"], ["p", "q"], Credentials("t", Proof(("p", "q"), "GET", "u"))),
        # Without its proof it is none either.
        (["DPoP t"], [], Credentials("t", Proof(("",), "GET", "u"))),
    ],
)
def test_what_a_request_shows(
    authorization: list[str], dpop: list[str], expected: Credentials
) -> None:
    assert credentials(authorization, dpop=dpop, method="GET", uri="u") == expected


def test_the_certificate_of_the_sender() -> None:
    shown = credentials(["Bearer t"], certificate="x")
    assert shown == Credentials("t", Proof((), "", "", "x"))
