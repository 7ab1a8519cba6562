"""What an issuer tells of a user: to a token that opens the endpoint, of its own subject alone."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from policyd.json_types import Json
from policyd.tokens.claims import facts
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.https.fetch import Document, FetchFailed, HttpRequest
from policyd.tokens.settings.endpoints import UserinfoSettings
from policyd.tokens.userinfo import Userinfo
from policyd.tokens.validator import Validator
from tests.support import tokens
from tests.support.asking import ENDPOINT, FakeAsk, asked_issuer
from tests.support.tokens import HEALTH, NOW, Clock, accepted_claims

INFO: dict[str, Json] = {"sub": "auth0|123456", "email": "a@example.com"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ask() -> FakeAsk:
    return FakeAsk(INFO)


@pytest.fixture
def validator(ask: FakeAsk, clock: Clock) -> Validator:
    return Validator([asked_issuer(ask, clock)])


def known(validator: Validator, text: str, clock: Clock) -> Mapping[str, Json] | None:
    """Return what is known without asking; raises `TokenPending`."""
    token = validator.verify(text, HEALTH, NOW)
    return validator.userinfo(token, text, clock())


def learnt(validator: Validator, text: str, clock: Clock) -> Mapping[str, Json] | None:
    """Return what is known once the issuer was asked."""
    with pytest.raises(TokenPending) as caught:
        known(validator, text, clock)
    caught.value.fetch()
    return known(validator, text, clock)


def test_asks_with_the_access_token(validator: Validator, ask: FakeAsk, clock: Clock) -> None:
    text = tokens.token()
    assert learnt(validator, text, clock) == INFO
    (request,) = ask.requests
    assert (request.url, request.form) == (ENDPOINT, None)
    assert request.headers["Authorization"] == f"Bearer {text}"
    assert known(validator, text, clock) == INFO
    assert len(ask.requests) == 1


def test_an_answer_counts_for_a_while(validator: Validator, clock: Clock) -> None:
    learnt(validator, tokens.token(), clock)
    clock.move(59)
    assert known(validator, tokens.token(), clock) == INFO
    clock.move(1)
    with pytest.raises(TokenPending):
        known(validator, tokens.token(), clock)


def test_it_is_of_the_token_and_not_of_the_subject(validator: Validator, clock: Clock) -> None:
    """Another token of the same user may open less."""
    learnt(validator, tokens.token(), clock)
    with pytest.raises(TokenPending):
        known(validator, tokens.token(accepted_claims(jti="another")), clock)


@pytest.mark.parametrize(
    "claims",
    [
        accepted_claims(scope="read:patients"),
        tokens.without(accepted_claims(), "sub"),
    ],
)
def test_who_may_not_ask_does_not(
    validator: Validator, ask: FakeAsk, clock: Clock, claims: dict[str, Json]
) -> None:
    assert known(validator, tokens.token(claims), clock) is None
    assert ask.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        {"sub": "auth0|other", "email": "a@example.com"},
        {"email": "a@example.com"},
        {"sub": ["auth0|123456"]},
        Document(b'{"sub": "auth0|123456"}', None, "text/html"),
        Document(b"e30.e30.e30", None, "application/jwt"),
        Document(b"[]", None, "application/json"),
        FetchFailed(ENDPOINT, "answered with status 401", 401),
        None,
    ],
)
def test_what_cannot_be_used_is_nothing_known(
    validator: Validator,
    ask: FakeAsk,
    clock: Clock,
    answer: Mapping[str, Json] | Document | FetchFailed | None,
) -> None:
    ask.answer = answer
    assert learnt(validator, tokens.token(), clock) is None
    assert len(ask.requests) == 1
    clock.move(5)
    ask.answer = INFO
    assert learnt(validator, tokens.token(), clock) == INFO


def test_a_bound_token_opens_the_endpoint_for_its_sender_alone(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    token = facts.read("auth0", {}, accepted_claims(cnf={"jkt": "A" * 43}))
    assert validator.userinfo(token, "bound", clock()) is None
    assert ask.requests == []


@pytest.mark.parametrize("answer", [INFO, None])
def test_two_who_wait_ask_once(
    validator: Validator, ask: FakeAsk, clock: Clock, answer: dict[str, Json] | None
) -> None:
    ask.answer = answer
    pendings: list[TokenPending] = []
    for _ in range(2):
        with pytest.raises(TokenPending) as caught:
            known(validator, tokens.token(), clock)
        pendings.append(caught.value)
    assert pendings[0].key == pendings[1].key
    for pending in pendings:
        pending.fetch()
    assert len(ask.requests) == 1


def test_an_endpoint_is_discovered_once_in_a_while(clock: Clock) -> None:
    document = {"issuer": tokens.ISSUER, "userinfo_endpoint": f"{tokens.ISSUER}userinfo"}

    class Discovering(FakeAsk):
        def __call__(self, request: HttpRequest, seconds: float) -> Document:
            self.answer = document if "well-known" in request.url else INFO
            return super().__call__(request, seconds)

    ask = Discovering()
    usual = asked_issuer(ask, clock)
    found = Userinfo(usual.settings, UserinfoSettings(), ask, clock)
    validator = Validator([msgspec.structs.replace(usual, userinfo=found)])
    for number in range(3):
        text = tokens.token(accepted_claims(jti=str(number)))
        assert learnt(validator, text, clock) == INFO
    assert [request.url for request in ask.requests] == [
        "https://my-domain.auth0.com/.well-known/openid-configuration",
        *["https://my-domain.auth0.com/userinfo"] * 3,
    ]
    assert ask.seconds[1] <= ask.seconds[0], "one time for both"


def test_giving_up_is_nothing_known(validator: Validator, ask: FakeAsk, clock: Clock) -> None:
    with pytest.raises(TokenPending) as caught:
        known(validator, tokens.token(), clock)
    caught.value.give_up()
    assert known(validator, tokens.token(), clock) is None
    assert ask.requests == []


def test_a_problem_is_told_without_the_subject(
    validator: Validator, ask: FakeAsk, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ask.answer = {"sub": "auth0|other"}
    learnt(validator, tokens.token(), clock)
    (record,) = caplog.records
    assert "auth0|" not in str(vars(record))


def test_an_issuer_that_is_not_asked_tells_nothing(clock: Clock) -> None:
    validator = tokens.validator()
    assert known(validator, tokens.token(), clock) is None
