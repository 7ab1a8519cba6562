"""An endpoint of an issuer: where it is, how long it may take, and what is said when it fails."""

from __future__ import annotations

import json
import logging

import pytest

from policyd.tokens.endpoints import endpoint as module
from policyd.tokens.endpoints.endpoint import (
    DISCOVERED_FOR,
    TOLD_EVERY,
    Endpoint,
    EndpointFailed,
)
from policyd.tokens.https.fetch import Document, FetchFailed, HttpRequest
from tests.support.asking import ENDPOINT, FakeAsk
from tests.support.tokens import ISSUER, settings

MEMBER = "userinfo_endpoint"
DOCUMENT = Document(
    json.dumps({"issuer": ISSUER, MEMBER: f"{ISSUER}found"}).encode(), None, "application/json"
)
TIMEOUT = 3.0


class Ticks:
    """The monotonic clock: it advances by `step` with each look."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    found = Ticks()
    monkeypatch.setattr(module, "monotonic", found)
    return found


def endpoint(ask: FakeAsk, url: str | None = ENDPOINT) -> Endpoint:
    return Endpoint(settings(), MEMBER, url, ask, TIMEOUT)


def asked(of: Endpoint) -> tuple[object, int]:
    return of.ask(lambda url: HttpRequest(url, {"X": "y"}), "userinfo response")


def failure(of: Endpoint) -> EndpointFailed:
    with pytest.raises(EndpointFailed) as caught:
        asked(of)
    return caught.value


def test_the_configured_endpoint_is_asked_within_the_time(ticks: Ticks) -> None:
    ask = FakeAsk({"sub": "u"})
    ticks.step = 1.0

    assert asked(endpoint(ask)) == ({"sub": "u"}, len('{"sub": "u"}'))
    assert [(sent.url, sent.headers) for sent in ask.requests] == [(ENDPOINT, {"X": "y"})]
    assert ask.seconds == [TIMEOUT - 1]


def test_discovery_takes_its_part_of_the_time_and_leaves_no_negative_rest(ticks: Ticks) -> None:
    ask = FakeAsk()
    ask.answer = DOCUMENT
    ticks.step = 1.0

    asked(endpoint(ask, None))

    document, found = ask.requests
    assert document.url == f"{ISSUER}.well-known/openid-configuration"
    assert document.headers == {"Accept": "application/json"}
    assert found.url == f"{ISSUER}found"
    # The clock is looked at for the URL kept, before each request, and when the URL is kept anew.
    assert ask.seconds == [TIMEOUT - 2, 0.0]


def test_a_discovered_endpoint_is_kept_for_a_while(ticks: Ticks) -> None:
    ask = FakeAsk()
    ask.answer = DOCUMENT
    of = endpoint(ask, None)

    asked(of)
    ticks.now += DISCOVERED_FOR - 1
    asked(of)
    assert len(ask.requests) == 3
    ticks.now += 1
    asked(of)
    assert len(ask.requests) == 5


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Document(b"{}", None, "text/html"), "{}: answered 'text/html', expected application/json"),
        (Document(b"{}"), "{}: answered 'without a type', expected application/json"),
        (Document(b"[]", None, "application/json"), "the userinfo response is not a JSON object"),
        (FetchFailed(ENDPOINT, "answered with status 503", 503), "{}: answered with status 503"),
    ],
)
def test_why_there_is_no_answer(answer: Document | FetchFailed, says: str) -> None:
    ask = FakeAsk()
    ask.answer = answer

    found = failure(endpoint(ask))

    assert str(found) == says.format(repr(ENDPOINT))
    assert found.status == (answer.status if isinstance(answer, FetchFailed) else None)


def test_a_document_that_names_no_endpoint() -> None:
    ask = FakeAsk({"issuer": ISSUER})

    assert f"the document has no `{MEMBER}`" in str(failure(endpoint(ask, None)))


def test_troubles_are_told_to_the_log_once_in_a_while(
    ticks: Ticks, caplog: pytest.LogCaptureFixture
) -> None:
    of = endpoint(FakeAsk())

    with caplog.at_level(logging.WARNING):
        for seconds in (0, TOLD_EVERY - 1, 1):
            ticks.now += seconds
            of.tell(f"after {seconds} s")

    told = [(record.issuer, record.asked, record.problem) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [(ISSUER, MEMBER, "after 0 s"), (ISSUER, MEMBER, "after 1 s")]
