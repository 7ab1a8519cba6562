"""Opaque tokens: what is asked, what is remembered for how long, and what is believed."""

from __future__ import annotations

import math

import msgspec
import pytest

from policyd.json_types import Json
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.https.fetch import Document, FetchFailed, HttpRequest
from policyd.tokens.introspection.introspector import GIVEN_UP_FOR, introspected
from policyd.tokens.introspection_pipeline import IntrospectedToken
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import (
    IntrospectionUnavailable,
    TokenInactive,
    TokenRefused,
    TokenRevoked,
)
from policyd.tokens.validator import Validator
from tests.support import tokens
from tests.support.asking import ENDPOINT, FakeAsk, active, asked_issuer, settle
from tests.support.tokens import BILLING, HEALTH, NOW, Clock

TEXT = "opaque"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICYD_TEST_SECRET", "secret")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ask() -> FakeAsk:
    return FakeAsk(active())


@pytest.fixture
def validator(ask: FakeAsk, clock: Clock) -> Validator:
    return Validator([asked_issuer(ask, clock)])


def refusal(validator: Validator, text: str, clock: Clock) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        validator.verify(text, HEALTH, clock())
    return caught.value


def is_pending(validator: Validator, text: str, clock: Clock) -> bool:
    try:
        validator.verify(text, HEALTH, clock())
    except TokenPending:
        return True
    except TokenRefused:
        return False
    return False


def test_a_token_that_was_never_asked_about_is_pending(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    with pytest.raises(TokenPending) as caught:
        validator.verify(TEXT, HEALTH, clock())
    assert not isinstance(caught.value, TokenRefused)
    assert ask.requests == []
    caught.value.fetch()
    token = validator.verify(TEXT, HEALTH, clock())
    assert isinstance(token, IntrospectedToken)
    assert (token.issuer, token.subject, token.client) == (tokens.ISSUER, "user-1", "app-1")
    assert token.scopes == {"openid", "read:patients"}
    assert (token.algorithm, token.key_id) == ("", None)
    assert len(ask.requests) == 1


def test_an_answer_counts_for_as_long_as_it_is_configured(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    settle(validator, TEXT, clock)
    clock.move(59.9)
    assert not is_pending(validator, TEXT, clock)
    clock.move(0.2)
    assert is_pending(validator, TEXT, clock)


def test_it_counts_from_the_time_of_the_question(clock: Clock) -> None:
    """The token may have been revoked while the answer was on its way."""

    class SlowAsk(FakeAsk):
        def __call__(self, request: HttpRequest, seconds: float) -> Document:
            clock.move(1.5)
            return super().__call__(request, seconds)

    validator = Validator([asked_issuer(SlowAsk(active()), clock)])
    settle(validator, TEXT, clock)
    token = validator.verify(TEXT, HEALTH, clock())
    assert validator.trusted_until(token) == NOW + 60


def test_trusted_until_is_bounded_by_what_is_remembered(validator: Validator, clock: Clock) -> None:
    settle(validator, TEXT, clock)
    clock.move(10)
    token = validator.verify(TEXT, HEALTH, clock())
    assert validator.trusted_until(token) == NOW + 60
    jwt = validator.verify(tokens.token(), HEALTH, NOW)
    assert validator.trusted_until(jwt) == math.inf


def test_every_use_checks_the_time(validator: Validator, ask: FakeAsk, clock: Clock) -> None:
    ask.answer = active(exp=int(NOW) + 5)
    settle(validator, TEXT, clock)
    validator.verify(TEXT, HEALTH, clock())
    clock.move(40)
    assert refusal(validator, TEXT, clock).reason == "TOKEN_EXPIRED"
    assert len(ask.requests) == 1


def test_every_use_checks_the_audience(validator: Validator, clock: Clock) -> None:
    settle(validator, TEXT, clock)
    with pytest.raises(TokenRefused) as caught:
        validator.verify(TEXT, BILLING, clock())
    assert caught.value.reason == "AUDIENCE_MISMATCH"
    assert caught.value.token is not None, "the log may name the subject"


def test_inactive_is_remembered_for_a_while(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    ask.answer = {"active": False}
    settle(validator, TEXT, clock)
    assert isinstance(refusal(validator, TEXT, clock), TokenInactive)
    clock.move(4.9)
    assert isinstance(refusal(validator, TEXT, clock), TokenInactive)
    clock.move(0.2)
    assert is_pending(validator, TEXT, clock)


def test_what_became_inactive_stays_so_when_the_clock_is_set_back(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    settle(validator, TEXT, clock)
    clock.move(61)
    ask.answer = {"active": False}
    settle(validator, TEXT, clock)
    clock.move(-10)
    assert isinstance(refusal(validator, TEXT, clock), TokenInactive)


def test_a_failure_is_remembered_for_a_while(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    ask.answer = None
    settle(validator, TEXT, clock)
    found = refusal(validator, TEXT, clock)
    assert isinstance(found, IntrospectionUnavailable)
    assert found.retry_after == 5
    assert "the network is down" in str(found)
    clock.move(5)
    assert is_pending(validator, TEXT, clock)


def test_giving_up_is_remembered_for_a_moment(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    with pytest.raises(TokenPending) as caught:
        validator.verify(TEXT, HEALTH, clock())
    caught.value.give_up()
    assert isinstance(refusal(validator, TEXT, clock), IntrospectionUnavailable)
    clock.move(GIVEN_UP_FOR)
    assert is_pending(validator, TEXT, clock)
    assert ask.requests == []


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_a_server_that_wants_nothing_of_policyd_is_left_alone(
    validator: Validator, ask: FakeAsk, clock: Clock, status: int
) -> None:
    ask.answer = FetchFailed(ENDPOINT, f"status {status}", status)
    settle(validator, TEXT, clock)
    assert isinstance(refusal(validator, "another", clock), IntrospectionUnavailable)
    clock.move(5)
    assert is_pending(validator, "another", clock)


@pytest.mark.parametrize("status", [None, 400, 404, 500])
def test_other_failures_concern_one_token(
    validator: Validator, ask: FakeAsk, clock: Clock, status: int | None
) -> None:
    ask.answer = FetchFailed(ENDPOINT, "failed", status)
    settle(validator, TEXT, clock)
    assert is_pending(validator, "another", clock)


def test_a_paused_server_refuses_no_token_that_is_known(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    settle(validator, TEXT, clock)
    ask.answer = FetchFailed(ENDPOINT, "status 429", 429)
    settle(validator, "another", clock)
    validator.verify(TEXT, HEALTH, clock())


@pytest.mark.parametrize("answer", [active(), {"active": False}])
def test_two_who_wait_ask_once(
    validator: Validator, ask: FakeAsk, clock: Clock, answer: dict[str, Json]
) -> None:
    ask.answer = answer
    pendings: list[TokenPending] = []
    for _ in range(2):
        with pytest.raises(TokenPending) as caught:
            validator.verify(TEXT, HEALTH, clock())
        pendings.append(caught.value)
    assert pendings[0].key == pendings[1].key
    for pending in pendings:
        pending.fetch()
    assert len(ask.requests) == 1


def test_a_flood_of_invented_tokens_drives_out_no_genuine_one(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    settle(validator, TEXT, clock)
    ask.answer = {"active": False}
    for number in range(10_500):
        settle(validator, f"invented-{number}", clock)
    validator.verify(TEXT, HEALTH, clock())


def test_the_question_is_that_of_the_standard(
    validator: Validator, ask: FakeAsk, clock: Clock
) -> None:
    settle(validator, "a+b/c==", clock)
    (request,) = ask.requests
    assert request.url == ENDPOINT
    assert request.form == b"token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "secret" not in repr(request)
    assert ask.seconds[0] <= 2.0


def test_no_message_quotes_the_token(validator: Validator, ask: FakeAsk, clock: Clock) -> None:
    for number, answer in enumerate(({"active": "yes"}, {"active": False}, None)):
        ask.answer = answer
        text = f"sesame{number}"
        settle(validator, text, clock)
        assert text not in str(refusal(validator, text, clock))


def test_a_discovered_endpoint_must_be_on_the_issuers_host(clock: Clock) -> None:
    ask = FakeAsk(
        {"issuer": tokens.ISSUER, "introspection_endpoint": "https://evil.example/introspect"}
    )
    validator = Validator([asked_issuer(ask, clock, endpoint=None)])
    settle(validator, TEXT, clock)
    assert "leaves the issuer's host" in str(refusal(validator, TEXT, clock))
    assert [request.form for request in ask.requests] == [None], "the token went nowhere"


def test_an_issuers_responses_have_the_names_of_the_standard() -> None:
    okta = tokens.settings(dialect="okta").dialect_row
    read = introspected(okta)
    assert (read.scope, read.scope_form) == ("scope", "text")
    assert read.client == ("cid", "client_id")
    assert not read.marks
    assert introspected(read) == read


def test_an_issuer_for_one_api_is_not_asked_about_tokens_for_another(
    ask: FakeAsk, clock: Clock
) -> None:
    asked = asked_issuer(ask, clock)
    settings = msgspec.structs.replace(asked.settings, apis=frozenset(("health",)))
    validator = Validator([msgspec.structs.replace(asked, settings=settings)])
    assert is_pending(validator, TEXT, clock)
    with pytest.raises(TokenRefused) as caught:
        validator.verify(TEXT, BILLING, clock())
    assert caught.value.reason == "TOKEN_MALFORMED"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("white space", "TOKEN_MALFORMED"),
        ("pad=ding", "TOKEN_MALFORMED"),
        ("=", "TOKEN_MALFORMED"),
        ("line\n", "TOKEN_MALFORMED"),
        ("naïve", "TOKEN_MALFORMED"),
        ("x" * 4097, "TOKEN_TOO_LARGE"),
        ("one.dot", "TOKEN_MALFORMED"),
        ("", "TOKEN_MISSING"),
    ],
)
def test_what_no_token_can_look_like_is_not_asked_about(
    validator: Validator, clock: Clock, text: str, reason: str
) -> None:
    assert refusal(validator, text, clock).reason == reason


def test_no_text_past_the_limit_of_all_tokens_is_asked_about(ask: FakeAsk, clock: Clock) -> None:
    validator = Validator([asked_issuer(ask, clock)], max_token_bytes=10)
    assert is_pending(validator, "x" * 10, clock)
    assert refusal(validator, "x" * 11, clock).reason == "TOKEN_TOO_LARGE"


@pytest.mark.parametrize("text", ["x", "x" * 4096, "aZ09-_~+/==", "eyJhbGciOiJub25lIn0"])
def test_what_can_be_opaque_is(validator: Validator, clock: Clock, text: str) -> None:
    assert is_pending(validator, text, clock)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"token_type": None}, "TOKEN_TYPE"),
        ({"token_type": "refresh_token"}, "TOKEN_TYPE"),
        ({"token_type": ["Bearer"]}, "TOKEN_TYPE"),
        ({"token_type": "DPoP"}, "TOKEN_BINDING_INVALID"),
        ({"at_hash": "x"}, "ID_TOKEN"),
        ({"exp": None}, "CLAIM_INVALID"),
        ({"exp": int(NOW) - 60}, "TOKEN_EXPIRED"),
        ({"aud": "https://example.com/other"}, "AUDIENCE_MISMATCH"),
        ({"scope": ["read:patients"]}, "CLAIM_INVALID"),
        ({"cnf": {"x5t#S256": "A" * 43}}, "TOKEN_BINDING_INVALID"),
        ({"active": "true"}, "INTROSPECTION_UNAVAILABLE"),
        ({"active": 1}, "INTROSPECTION_UNAVAILABLE"),
        ({"active": None}, "INTROSPECTION_UNAVAILABLE"),
        ({"active": False}, "TOKEN_INACTIVE"),
        ({"active": 0}, "INTROSPECTION_UNAVAILABLE"),
        ({"iss": "https://other.example"}, "INTROSPECTION_UNAVAILABLE"),
        ({"iss": None}, "INTROSPECTION_UNAVAILABLE"),
    ],
)
def test_each_respect_in_which_a_response_can_fail(
    validator: Validator, ask: FakeAsk, clock: Clock, changes: dict[str, Json], reason: str
) -> None:
    ask.answer = active()
    settle(validator, "twin", clock)
    validator.verify("twin", HEALTH, clock())
    ask.answer = active(**changes)
    settle(validator, TEXT, clock)
    assert refusal(validator, TEXT, clock).reason == reason


@pytest.mark.parametrize("token_type", ["bearer", "BEARER", "Bearer"])
def test_the_type_ignores_case(
    validator: Validator, ask: FakeAsk, clock: Clock, token_type: str
) -> None:
    ask.answer = active(token_type=token_type)
    settle(validator, TEXT, clock)
    validator.verify(TEXT, HEALTH, clock())


def test_an_endpoint_for_access_tokens_only_may_leave_the_type_out(
    ask: FakeAsk, clock: Clock
) -> None:
    validator = Validator([asked_issuer(ask, clock, access_tokens_only=True)])
    ask.answer = tokens.without(active(), "token_type")
    settle(validator, TEXT, clock)
    validator.verify(TEXT, HEALTH, clock())
    ask.answer = active(token_type="refresh_token")
    settle(validator, "refresh", clock)
    assert refusal(validator, "refresh", clock).reason == "TOKEN_TYPE"


def test_a_secret_that_cannot_be_read_asks_nothing(
    validator: Validator, ask: FakeAsk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLICYD_TEST_SECRET")
    settle(validator, TEXT, clock)
    assert refusal(validator, TEXT, clock).reason == "INTROSPECTION_UNAVAILABLE"
    assert ask.requests == []


@pytest.mark.parametrize("trouble", ["network", "secret"])
def test_a_trouble_is_told_once_in_a_while(
    validator: Validator,
    ask: FakeAsk,
    clock: Clock,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if trouble == "network":
        ask.answer = None
    else:
        monkeypatch.delenv("POLICYD_TEST_SECRET")
    for number in range(5):
        settle(validator, f"sesame-{number}", clock)
    (record,) = caplog.records
    assert record.message == "an issuer could not be asked about tokens"
    assert "sesame" not in str(vars(record))


def test_revocations_are_asked_at_each_use(ask: FakeAsk, clock: Clock) -> None:
    revoked: list[str | None] = []

    class Subjects:
        def check(self, token: VerifiedToken, now: float) -> None:
            if token.subject in revoked:
                raise TokenRevoked("revoked")

    validator = Validator([asked_issuer(ask, clock)], revocations=Subjects())
    settle(validator, TEXT, clock)
    validator.verify(TEXT, HEALTH, clock())
    revoked.append("user-1")
    assert refusal(validator, TEXT, clock).reason == "TOKEN_REVOKED"
