"""Both clients against the real daemon: all that can be asked of it, and over mutual TLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from policyd.client import (
    Answer,
    AnswerCache,
    AsyncClient,
    AuthorizationFailed,
    Client,
    Explanation,
    Filter,
    Question,
    QuestionInvalid,
    Resource,
    StepUp,
    fetch_metadata,
    fetch_metadata_async,
    metadata_path,
)
from policyd.client.filters import sqlite
from tests.support.certificates import self_signed
from tests.support.daemon import AUDIENCE, PATIENCE, Daemon, Site, access_token

SEALED = Resource("patient", "p2", {"sealed": True})
OPEN = Resource("patient", "p1", {"sealed": False})


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    site = Site(tmp_path_factory.mktemp("client"))
    site.configure(
        'explain_listen = ["127.0.0.1:0"]\nmax_streams = 4\n[http]\nlisten = ["127.0.0.1:0"]'
    )
    with site.start() as running:
        yield running


def questions() -> list[Question]:
    token = access_token()
    return [
        Question(token, "read", OPEN, "health"),
        Question(token, "reed", OPEN, "health"),
        Question("none", "read", OPEN, "health"),
        Question(f"Bearer {token}\n", "read", SEALED, "health"),
    ]


REASONS = ["ALLOWED", "UNKNOWN_ACTION", "TOKEN_MALFORMED", "INSUFFICIENT_USER_AUTHENTICATION"]


MENU = [("read", Resource("patient")), ("read", Resource("patient", "p1", {"sealed": False}))]
OUTCOMES = [("maybe", ("resource.sealed",), False), ("allow", (), True)]


def test_what_is_certain_of_a_menu(daemon: Daemon) -> None:
    token = access_token()
    question = Question(token, "read", Resource("patient"), "health")
    with Client(daemon.addresses[0]) as client:
        alone = client.partial_check(question, ["resource"])
        menu = client.batch_partial_check(token, MENU, ["resource"], api="health")
        refused = client.partial_check(replace(question, access_token="none"), ["resource"])
        with pytest.raises(AuthorizationFailed, match=r"`resource\.x` is no attribute") as caught:
            client.partial_check(question, ["resource.x"])
        with pytest.raises(QuestionInvalid):
            client.partial_check(question, "resource")
    assert (alone.outcome, alone.denied, alone.answer.reason) == ("maybe", False, "UNDECIDED")
    assert [
        (one.outcome, one.depends_on, one.answer.allowed)
        for one in menu
        if not isinstance(one, AuthorizationFailed)
    ] == OUTCOMES
    assert (refused.outcome, refused.denied, refused.answer.http_status) == ("deny", True, 401)
    assert caught.value.reason == "UNKNOWN_FACT"
    with pytest.raises(TypeError):
        bool(alone)


def test_what_is_certain_of_a_menu_from_coroutines(daemon: Daemon) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(daemon.addresses[0]) as client:
            token = access_token()
            question = Question(token, "read", Resource("patient"), "health")
            alone = await client.partial_check(question, ["resource"])
            menu = await client.batch_partial_check(token, MENU, ["resource"], api="health")
            return [
                alone.outcome,
                *(one.outcome for one in menu if not isinstance(one, AuthorizationFailed)),
            ]

    assert asyncio.run(ask()) == ["maybe", "maybe", "allow"]


def test_a_stream_answers_in_order(daemon: Daemon) -> None:
    with Client(daemon.addresses[0]) as client:
        outcomes = list(client.check_stream(questions(), timeout=PATIENCE))
    assert [one.reason for one in outcomes] == REASONS
    assert [one.allowed for one in outcomes] == [True, False, False, False]


def test_a_stream_of_coroutines_answers_in_order(daemon: Daemon) -> None:
    async def come() -> AsyncIterator[Question]:
        for question in questions():
            yield question

    async def ask() -> list[Answer | AuthorizationFailed]:
        async with AsyncClient(daemon.addresses[0]) as client:
            await client.wait_until_serving(PATIENCE)
            plain = [one async for one in client.check_stream(questions(), timeout=PATIENCE)]
            told = [one async for one in client.check_stream(come(), timeout=PATIENCE)]
        assert [one.reason for one in plain] == [one.reason for one in told]
        return told

    assert [one.reason for one in asyncio.run(ask())] == REASONS


def test_a_question_that_cannot_be_sent_ends_the_stream_and_says_so(daemon: Daemon) -> None:
    wrong = Question("t", "read", Resource("patient", "p", {"n": float("inf")}), "health")

    async def ask() -> None:
        async with AsyncClient(daemon.addresses[0]) as client:
            async for _ in client.check_stream([questions()[0], wrong], timeout=PATIENCE):
                pass

    with pytest.raises(QuestionInvalid, match="attribute `n` is inf"):
        asyncio.run(ask())
    with (
        Client(daemon.addresses[0]) as client,
        pytest.raises(QuestionInvalid, match="attribute `n` is inf"),
    ):
        list(client.check_stream([questions()[0], wrong], timeout=PATIENCE))


def test_a_stream_that_breaks_is_a_failure() -> None:
    with (
        Client("unix:/nowhere/at/all") as client,
        pytest.raises(AuthorizationFailed, match="UNAVAILABLE"),
    ):
        list(client.check_stream(questions(), timeout=PATIENCE))


def test_a_stream_may_be_left(daemon: Daemon) -> None:
    """More often than there may be streams at a time."""
    with Client(daemon.addresses[0]) as client:
        for _ in range(6):
            for one in client.check_stream(questions(), timeout=PATIENCE):
                assert one.reason == "ALLOWED"
                break


def explained(explanation: Explanation) -> None:
    assert explanation.answer.reason == "INSUFFICIENT_USER_AUTHENTICATION"
    assert explanation.step_up == StepUp(("urn:example:mfa",), 900)
    assert explanation.ignored_attributes == ("colour",)
    reads, sealed = explanation.rules
    assert (reads.rule, reads.effect, reads.applies, reads.value) == ("reads", "allow", True, True)
    assert (sealed.effect, sealed.applies, sealed.value) == ("deny", True, None)
    assert sealed.file == "health.policy"
    facts = {fact.path: fact for step in sealed.steps for fact in step.facts}
    assert (facts["resource.sealed"].state, facts["resource.sealed"].value) == ("known", True)
    (login,) = explanation.conditions
    assert login.condition == "strong_login"
    assert {fact.state for step in login.steps for fact in step.facts} == {"missing"}


def test_explains(daemon: Daemon) -> None:
    asked = Question(
        access_token(),
        "read",
        Resource("patient", "p2", {"sealed": True, "colour": "red"}),
        "health",
    )

    async def ask() -> Explanation:
        async with AsyncClient(daemon.addresses[1]) as client:
            return await client.explain(asked)

    with Client(daemon.addresses[1]) as client:
        explained(client.explain(asked))
        lacking = client.explain(
            replace(asked, access_token=access_token(scope="openid"), resource=OPEN)
        )
        refused = client.explain(replace(asked, access_token="none"))
    explained(asyncio.run(ask()))
    assert lacking.missing_scope_alternatives == (("read:patients",),)
    assert refused.detail
    with (
        Client(daemon.addresses[0]) as client,
        pytest.raises(AuthorizationFailed, match="UNIMPLEMENTED"),
    ):
        client.explain(asked)


def test_the_metadata_of_an_api(daemon: Daemon) -> None:
    addresses = daemon.wait_for_log("serving")["http"]
    assert isinstance(addresses, list)
    address = str(addresses[0])
    document = fetch_metadata(address, AUDIENCE)
    assert document["resource"] == AUDIENCE
    assert asyncio.run(fetch_metadata_async(address, AUDIENCE)) == document
    assert metadata_path(AUDIENCE) == "/.well-known/oauth-protected-resource/health-api"
    assert metadata_path("https://a.example/") == "/.well-known/oauth-protected-resource"
    assert metadata_path("https://a.example/b?c=d").endswith("/b?c=d")
    with pytest.raises(AuthorizationFailed, match="NOT_FOUND: no API has"):
        fetch_metadata(address, "https://example.com/other")
    with pytest.raises(AuthorizationFailed, match="UNAVAILABLE: unix:/nowhere"):
        fetch_metadata("unix:/nowhere", AUDIENCE)
    for wrong in ("http://a.example", "health", "https://a.example/#b"):
        with pytest.raises(ValueError, match="is an https URL"):
            metadata_path(wrong)


def test_an_answer_is_kept_as_long_as_the_daemon_says(daemon: Daemon) -> None:
    with Client(daemon.addresses[0], cache=AnswerCache(now=lambda: time.time() - 1)) as client:
        asked = questions()[0]
        first, again = client.ask(asked), client.ask(asked)
        other = client.ask(replace(asked, action="update"))
    assert first.decision_id == again.decision_id != other.decision_id


def test_shows_a_certificate(site: Site) -> None:
    server, known, stranger = (
        self_signed(name, begin=time.time() - 60) for name in ("localhost", "client", "stranger")
    )
    (site.folder / "cert.pem").write_bytes(server.certificate)
    (site.folder / "key.pem").write_bytes(server.key)
    (site.folder / "ca.pem").write_bytes(known.certificate)
    site.configure(
        '[server.tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n'
        'client_authorities = "ca.pem"'
    )

    async def ask(target: str) -> Answer:
        async with AsyncClient(
            target,
            authorities=server.certificate,
            certificate=known.certificate,
            private_key=known.key,
        ) as client:
            return await client.ask(questions()[0])

    with site.start() as running:
        target = f"localhost:{running.addresses[0].rpartition(':')[2]}"
        with Client(
            target,
            authorities=server.certificate,
            certificate=known.certificate,
            private_key=known.key,
        ) as client:
            assert client.ask(questions()[0]).allowed
        assert asyncio.run(ask(target)).allowed
        for certificate, key in ((None, None), (stranger.certificate, stranger.key)):
            with (
                Client(
                    target,
                    authorities=server.certificate,
                    certificate=certificate,
                    private_key=key,
                    attempts=1,
                ) as client,
                pytest.raises(AuthorizationFailed, match="UNAVAILABLE"),
            ):
                client.ask(questions()[0])


def test_filter(daemon: Daemon) -> None:
    with Client(daemon.addresses[0]) as client:
        made = client.filter(access_token(), action="read", resource_type="patient", api="health")
        assert made.outcome == "some"
        assert made.answer.reason == "UNDECIDED"
        assert made.valid_until == made.answer.cacheable_until
        where = sqlite.where(made, {"sealed": "sealed"})
        refused = client.filter("none", action="read", resource_type="patient", api="health")
        assert (refused.outcome, refused.answer.reason) == ("none", "TOKEN_MALFORMED")
        with pytest.raises(AuthorizationFailed, match="patent"):
            client.filter(access_token(), action="read", resource_type="patent", api="health")

    async def ask() -> Filter:
        async with AsyncClient(daemon.addresses[0]) as client:
            return await client.filter(
                access_token(), action="read", resource_type="patient", api="health"
            )

    assert sqlite.where(asyncio.run(ask()), {"sealed": "sealed"}).text
    assert "sealed" in where.text
