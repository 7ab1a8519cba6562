"""How the clients reach a daemon: how often they ask, what they show, and what a failure means."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from typing import Protocol

import pytest

from policyd.client import (
    AccessDenied,
    Answer,
    AsyncClient,
    AuthorizationFailed,
    Client,
    Proof,
    Question,
    Resource,
)
from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.server.transport.interface import Unary
from policyd.server.wire.failures import failure
from policyd.v1 import authorization_pb2 as messages
from tests.unit.client.test_client import ANSWER, BATCH, CHECK, client, response

QUESTION = Question("token", "read", Resource("patient", "p1"))
UNAVAILABLE = failure(StatusCode.UNAVAILABLE, "POLICY_NOT_LOADED", "not yet")


def blocking(target: str, timeout: float, attempts: int = 4) -> Answer:
    with Client(target, timeout=timeout, attempts=attempts) as made:
        return made.ask(QUESTION)


def awaited(target: str, timeout: float, attempts: int = 4) -> Answer:
    async def ask() -> Answer:
        async with AsyncClient(target, timeout=timeout, attempts=attempts) as made:
            return await made.ask(QUESTION)

    return asyncio.run(ask())


class Ask(Protocol):
    """Either of them."""

    def __call__(self, target: str, timeout: float, attempts: int = 4) -> Answer: ...


ASK = pytest.mark.parametrize("ask", [blocking, awaited])


class Daemon:
    """Fails as it is told, one call after another, and answers from then on."""

    def __init__(self, *failures: CallFailed) -> None:
        self.calls: list[str] = []
        self._failures = list(failures)

    def check(self, data: bytes, _call: Call) -> bytes:
        self.calls.append(messages.CheckRequest.FromString(data).request_id)
        if self._failures:
            raise self._failures.pop(0)
        return response().SerializeToString()


@ASK
def test_asks_again_where_the_daemon_was_unavailable(ask: Ask) -> None:
    daemon = Daemon(UNAVAILABLE, UNAVAILABLE)
    with client({CHECK: Unary(daemon.check)}) as made:
        assert ask(made.target, timeout=30) == ANSWER
    assert len(daemon.calls) == 3


@ASK
def test_gives_up_after_its_attempts(ask: Ask) -> None:
    daemon = Daemon(*[UNAVAILABLE] * 9)
    with client({CHECK: Unary(daemon.check)}) as made:
        for attempts in (2, 1):
            with pytest.raises(AuthorizationFailed) as caught:
                ask(made.target, timeout=30, attempts=attempts)
            assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "POLICY_NOT_LOADED")
    assert len(daemon.calls) == 3


@ASK
@pytest.mark.parametrize(
    "code",
    [
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.INTERNAL,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.NOT_FOUND,
    ],
)
def test_asks_once_where_another_answer_would_be_no_other(ask: Ask, code: StatusCode) -> None:
    daemon = Daemon(CallFailed(code, "no"))
    with (
        client({CHECK: Unary(daemon.check)}) as made,
        pytest.raises(AuthorizationFailed, match=f"{code.name}: no"),
    ):
        ask(made.target, timeout=30)
    assert len(daemon.calls) == 1


@ASK
def test_ends_with_its_deadline(ask: Ask) -> None:
    """Nobody listens there, and each attempt fails at once."""
    with pytest.raises(AuthorizationFailed) as caught:
        ask("unix:/nowhere/at/all", timeout=0.01)
    assert caught.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_a_repeated_call_names_its_request_where_there_is_a_proof() -> None:
    """So that the daemon takes no repetition for a second use of the proof."""
    daemon = Daemon(UNAVAILABLE)
    with client({CHECK: Unary(daemon.check)}) as made:
        made.ask(replace(QUESTION, proof=Proof(("p",), "GET", "u")))
        made.ask(replace(QUESTION, proof=Proof(("p",), "GET", "u")))
        made.ask(QUESTION)
    first, again, second, without = daemon.calls
    assert first == again != second
    assert len(first) == 32
    assert without == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"certificate": b"c"}, "needs its private_key"),
        ({"private_key": b"k", "authorities": b"a"}, "needs its private_key"),
        ({"certificate": b"c", "private_key": b"k"}, "pass the daemon's authorities"),
        ({"attempts": 0}, "from 1 to 5"),
        ({"attempts": 6}, "from 1 to 5"),
    ],
)
def test_settings_that_do_not_fit_together(options: dict[str, bytes], said: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=said):
            kind("127.0.0.1:1", **options)  # type: ignore[arg-type]


def test_an_answer_that_must_allow() -> None:
    with client({CHECK: Unary(lambda _data, _call: b"")}) as made:
        with pytest.raises(AccessDenied) as caught:
            made.require(QUESTION)
        assert not caught.value.answer.allowed
    with client({CHECK: Unary(Daemon().check)}) as made:
        assert made.require(QUESTION) == ANSWER


def test_neither_an_answer_nor_a_failure_is_taken_for_a_permission() -> None:
    with pytest.raises(TypeError, match="test its `allowed`"):
        assert ANSWER
    assert not AuthorizationFailed("UNAVAILABLE", "").allowed


def test_a_batch_that_is_not_answered_in_full_has_no_answer() -> None:
    with (
        client({BATCH: Unary(lambda _data, _call: b"")}) as made,
        pytest.raises(AuthorizationFailed, match="did not answer each item"),
    ):
        made.batch_check("t", [("read", Resource("patient"))])


def test_a_result_without_an_answer_is_a_failure() -> None:
    empty = messages.BatchCheckResponse(results=[messages.BatchCheckResult()])
    with client({BATCH: Unary(lambda _data, _call: empty.SerializeToString())}) as made:
        (result,) = made.batch_check("t", [("read", Resource("patient"))])
    assert isinstance(result, AuthorizationFailed)
    assert result.message == "the answer is empty"


FORKED = """
import os, sys
from policyd.client import Client, Question, Resource

made = Client(sys.argv[1], timeout=30)
child = os.fork()
answer = made.ask(Question("token", "read", Resource("patient", "p1")))
if child == 0:
    os._exit(0 if answer.allowed else 1)
sys.exit(os.waitpid(child, 0)[1])
"""


def test_works_in_a_process_that_was_forked_before_the_first_question() -> None:
    daemon = Daemon()
    with client({CHECK: Unary(daemon.check)}) as made:
        command = [sys.executable, "-c", FORKED, made.target]
        subprocess.run(command, check=True, timeout=60)
    assert len(daemon.calls) == 2


def test_each_loop_has_a_connection_of_its_own() -> None:
    daemon = Daemon()
    with client({CHECK: Unary(daemon.check)}) as made:
        one = AsyncClient(made.target)

        async def ask() -> object:
            answers = [await one.ask(QUESTION), await one.ask(QUESTION)]
            await one.close()
            await one.close()
            return answers

        assert asyncio.run(ask()) == asyncio.run(ask()) == [ANSWER, ANSWER]
