"""What is sent in a token's place is told by its name, in the log and by `token inspect`."""

from __future__ import annotations

import pytest

from policyd.tokens.inspection import inspect
from tests.support.tokens import HEALTH, NOW, issuer, refusal, token


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Bearer TOKEN", "has `Bearer ` in front: pass on what follows it alone"),
        ("bearer TOKEN", "has `bearer ` in front: pass on what follows it alone"),
        ("BEARER  TOKEN", "has `BEARER ` in front"),
        ("Bearer\tTOKEN", "has `Bearer ` in front"),
        ("Bearer: TOKEN", "has `Bearer ` in front"),
        ("DPoP TOKEN", "has `DPoP ` in front: pass on what follows it alone"),
        ("Token TOKEN", "has `Token ` in front"),
        ("JWT TOKEN", "has `JWT ` in front"),
        ("Bearer opaque", "has `Bearer ` in front"),
        ("Basic dXNlcjpwYXNzd29yZA==", "a user and a password, and no token"),
        ("Bearer", "the word `Bearer` alone"),
        ("Bearer ", "the word `Bearer` alone"),
        ("Authorization: Bearer TOKEN", "the name of its header field in front"),
        ("Bearer null", "has `Bearer ` in front"),
        ("null", "the word `null`: the client had none"),
        ("undefined", "the word `undefined`: the client had none"),
        ("None", "the word `None`: the client had none"),
        ("[object Object]", "the word `[object Object]`"),
        (" ", "white space alone"),
        ("\n", "white space alone"),
        ('"TOKEN"', "stands in quotes"),
        ("'TOKEN'", "stands in quotes"),
        ('"Bearer TOKEN"', "stands in quotes"),
        ("TOKEN\n", "white space around it"),
        (" TOKEN", "white space around it"),
        ('{"access_token":"TOKEN"}', "the token is JSON"),
    ],
)
def test_what_is_well_known_is_named(text: str, said: str) -> None:
    sent = text.replace("TOKEN", token())
    found = refusal(sent)
    seen = inspect(sent, NOW, issuers=[issuer()], api=HEALTH)

    assert found.reason == "TOKEN_MALFORMED"
    assert said in str(found)
    assert "base64url" not in str(found)
    assert token() not in str(found)
    assert str(found) in [step.text for step in seen.steps]


@pytest.mark.parametrize("text", ["opaque", "bearerless", "tokenised", "nullable", "a.b", "e!.e.e"])
def test_what_is_not_is_told_as_before(text: str) -> None:
    found = refusal(text)

    assert found.reason == "TOKEN_MALFORMED"
    assert any(words in str(found) for words in ("no dots", "segments", "base64url"))


def test_no_token_is_missing() -> None:
    assert refusal("").reason == "TOKEN_MISSING"
